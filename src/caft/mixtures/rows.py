"""Mixtures: the exact training table of each stage, and the hash of what is in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pandas as pd

from caft.errors import TrainingError
from caft.mixtures.buckets import random_membership
from caft.mixtures.settings import Fallback, StageRows, Wanted
from caft.prompting.chat import encode_completion, encode_prompt
from caft.prompting.prompts import Messages, all_messages, completion, dump
from caft.prompting.settings import Prompt
from caft.tables.hashing import rows_digest
from caft.tables.parquet import records

MODE_OF_TARGET = {"answer": "direct", "rationale": "cot"}
_COUNTS = ["prompt_tokens", "target_tokens"]


@dataclass(frozen=True)
class Materials:
    """What the mixtures of all strategies are made from; prompts and token counts are made once.

    Attributes:
        items: the items table.
        variant: the prompt variant of training and evaluation.
        seed: of the few-shot draw.
        tokenizer: of the student.
        revision: of the student's files.
        context: of the student, tokens.
        precision: `dtype` and `attention` of training, as configured: `auto` is not resolved.
    """

    items: pd.DataFrame
    variant: Prompt
    seed: int
    tokenizer: Any = None
    revision: str = ""
    context: int = 0
    precision: Mapping[str, str] = field(default_factory=dict)
    _turns: dict[str, dict[str, Messages]] = field(default_factory=dict)
    _counts: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)

    def turns(self, mode: str) -> dict[str, Messages]:
        """Return the prompt of every item in a mode, by item_id."""
        if mode not in self._turns:
            texts = all_messages(self.items, self.variant, mode, self.seed)
            self._turns[mode] = dict(zip(self.items["item_id"], texts, strict=True))
        return self._turns[mode]

    def count(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add prompt_tokens and target_tokens; a row that was counted before is not again."""
        keys = list(zip(rows["item_id"], rows["target"], rows["completion"], strict=True))
        unknown = pd.Series([key not in self._counts for key in keys], rows.index, dtype=bool)
        new = rows[unknown]
        counted = count_tokens(new, self.tokenizer)
        for row in records(counted):
            key = (row["item_id"], row["target"], row["completion"])
            self._counts[key] = (row["prompt_tokens"], row["target_tokens"])
        counts = [self._counts[key] for key in keys]
        return rows.assign(
            prompt_tokens=[prompt for prompt, _ in counts],
            target_tokens=[target for _, target in counts],
        )


def membership(buckets: pd.DataFrame, strategy: Wanted, seed: int) -> pd.Series:
    """Return the bucket of each usable training item under a strategy, indexed by item_id.

    Args:
        buckets: a buckets table.
        strategy: its `membership` says whether buckets are drawn at random, with the same sizes.
        seed: of that draw: the training seed, so that every seed has a control of its own.
    """
    return _membership(buckets[buckets["sampled"]], strategy, seed)


def _membership(rows: pd.DataFrame, strategy: Wanted, seed: int) -> pd.Series:
    names = random_membership(rows, seed) if strategy.is_random else rows["bucket"]
    return pd.Series(names.to_numpy(), index=rows["item_id"])


def wanted_rationales(buckets: Mapping[str, pd.DataFrame], strategy: Wanted, seed: int) -> set[str]:
    """Return the items whose rationale a strategy trains on: what its teacher has to be asked.

    Args:
        buckets: buckets tables by the name of their definition.
        strategy: from config.
        seed: the training seed.
    """
    wanted: set[str] = set()
    for stage in strategy.stages:
        if names := stage.buckets_with("rationale"):
            bucket = membership(buckets[strategy.division_of(stage)], strategy, seed)
            wanted |= set(bucket.index[bucket.isin(names)])
    return wanted


def wanted_by(
    buckets: Mapping[str, pd.DataFrame], strategies: Iterable[Wanted], seeds: Iterable[int]
) -> set[str]:
    """Return the items whose rationale any of these strategies trains on, with any of these seeds.

    Args:
        buckets: buckets tables by the name of their definition.
        strategies: from config.
        seeds: of training, which random membership follows.
    """
    return {
        item
        for strategy, seed in product(strategies, seeds)
        for item in wanted_rationales(buckets, strategy, seed)
    }


def stage_rows(
    materials: Materials,
    bucket: pd.Series,
    stage: StageRows,
    rationales: pd.Series,
    fallback: Fallback,
) -> tuple[pd.DataFrame, int]:
    """Build the rows of one stage.

    Args:
        materials: only training items that are in `bucket` are used.
        bucket: bucket name per item_id.
        stage: which buckets train on what.
        rationales: text of the selected rationale per item_id.
        fallback: for an item without one: `drop` it, or `train_on_answer`; with `keep` rationales
            may be wrong.

    Returns:
        Rows with item_id, target, messages (list), completion; and how many items had no rationale.
    """
    pool = materials.items
    training = pool[pool["item_id"].isin(bucket.index)]
    rows, missing = [], 0
    for part in stage.parts_or_itself:
        members = training[bucket.reindex(training["item_id"]).isin(part.buckets).to_numpy()]
        for item in records(members):
            target, text = part.target, None
            if target == "rationale":
                text = rationales.get(item["item_id"])
                if text is None:
                    missing += 1
                    if fallback != "train_on_answer":
                        continue
                    target = "answer"
            rows.append(
                {
                    "item_id": item["item_id"],
                    "target": target,
                    "messages": materials.turns(MODE_OF_TARGET[target])[item["item_id"]],
                    "completion": completion(
                        item, materials.variant, text, right=fallback != "keep"
                    ),
                }
            )
    return pd.DataFrame(rows, columns=["item_id", "target", "messages", "completion"]), missing


def count_tokens(rows: pd.DataFrame, tokenizer: Any) -> pd.DataFrame:
    """Add prompt_tokens and target_tokens (the end-of-turn token included) to mixture rows."""
    prompts = [len(encode_prompt(tokenizer, messages)) for messages in rows["messages"]]
    targets = [
        len(encode_completion(tokenizer, messages, text))
        for messages, text in zip(rows["messages"], rows["completion"], strict=True)
    ]
    return rows.assign(prompt_tokens=prompts, target_tokens=targets)


def validation_rows(
    materials: Materials,
    buckets: pd.DataFrame,
    strategy: Wanted,
    stage: StageRows,
    seed: int,
    max_length: int,
) -> pd.DataFrame | None:
    """Build the rows of a stage out of the validation split, for the loss after every epoch.

    No teacher is asked for them: a part that trains on rationales is validated on the data set's
    own worked solutions, where it has any. Rows longer than `max_length` tokens are left out.
    Where membership is random it is here too: a loss on other buckets would compare unlike things.

    Args:
        materials: items, prompts and the student.
        buckets: the stage's buckets table, which has the items of all splits.
        strategy: its `membership` says whether buckets are drawn at random.
        stage: which buckets train on what.
        seed: of that draw.
        max_length: of a row, tokens.

    Returns:
        Rows as of a mixture; None if there are none.
    """
    held_out = buckets[buckets["split"] == "validation"] if "split" in buckets else buckets[:0]
    if held_out.empty:
        return None
    bucket = _membership(held_out, strategy, seed)
    solved = materials.items.dropna(subset="reference_rationale").set_index("item_id")
    texts = solved["reference_rationale"]
    rows = materials.count(stage_rows(materials, bucket, stage, texts, "drop")[0])
    fitting = rows[rows["prompt_tokens"] + rows["target_tokens"] <= max_length]
    return None if fitting.empty else fitting


def split_over_long(
    rows: pd.DataFrame, max_length: int, max_share: float, where: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part rows that fit from rows longer than `max_length` tokens; nothing is ever cut.

    Raises:
        TrainingError: if more than `max_share` of the rows are too long, or none is left.
    """
    long = (rows["prompt_tokens"] + rows["target_tokens"]) > max_length
    if len(rows) and long.mean() > max_share:
        raise TrainingError(
            f"{where}: {int(long.sum())} of {len(rows)} rows are longer than {max_length} tokens, "
            f"more than training.max_overlong_share allows ({max_share:g}); raise "
            "training.max_length or that share."
        )
    if not (~long).any():
        raise TrainingError(
            f"{where}: the stage has no rows to train on; look at the bucket sizes and at the "
            "teacher's quarantine table, or change the stage's buckets."
        )
    return rows[~long], rows[long]


def mixture_digest(mixture: pd.DataFrame) -> str:
    """Hash what a stage trains on, in item order: every column but the counts of tokens.

    Counts follow from the messages and the student, which a model's digest holds as well. Any
    further column can change what is learned, so it changes the digest without a word here.
    """
    ordered = mixture.sort_values(["item_id", "target"], kind="stable")
    return rows_digest(records(ordered.drop(columns=_COUNTS, errors="ignore")))


def mixture_table(mixture: pd.DataFrame) -> pd.DataFrame:
    """Return a mixture in the form of the mixtures table."""
    return mixture.assign(messages=[dump(messages) for messages in mixture["messages"]])
