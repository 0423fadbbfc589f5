"""Mixtures: the exact training table of each stage, and the hash of what is in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product

import pandas as pd

from caft.errors import TrainingError
from caft.mixtures.buckets import drawn_membership
from caft.mixtures.settings import BOUGHT, Draw, Fallback, Replay, StageRows, Target, Wanted
from caft.prompting.chat import Chat
from caft.prompting.prompts import Messages, all_messages, completion, dump
from caft.prompting.settings import Prompt
from caft.prompting.template import Place
from caft.tables.hashing import rows_digest, unit_interval
from caft.tables.parquet import SCHEMAS, records

PLACE_OF_TARGET: dict[Target, Place] = {
    "answer": "direct",
    "rationale": "cot",
    "reasoning": "thought",
}
NO_RATIONALES = pd.DataFrame(columns=["text", "reasoning"])
Solved = Callable[[str, Target], frozenset[str]]
"""Tells the items of which a teacher, by its name, has an accepted rationale for a target."""


_COUNTS = ["prompt_tokens", "target_tokens"]


def nobody(teacher: str, target: Target) -> frozenset[str]:
    """Tell that a teacher has solved nothing, where nobody is asked before another."""
    return frozenset()


@dataclass(frozen=True)
class Materials:
    """What the mixtures of all strategies are made from; prompts and token counts are made once.

    Attributes:
        items: the items table.
        variant: the prompt variant of training and evaluation.
        seed: of the few-shot draw.
        chat: tokenizer and chat template of the student.
        revision: of the student's files.
        context: of the student, tokens.
        precision: `dtype` and `attention` of training, as configured: `auto` is not resolved.
    """

    items: pd.DataFrame
    variant: Prompt
    seed: int
    chat: Chat | None = None
    revision: str = ""
    context: int = 0
    precision: Mapping[str, str] = field(default_factory=dict)
    _turns: dict[str, dict[str, Messages]] = field(default_factory=dict)
    _counts: dict[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)

    def turns(self, mode: str) -> dict[str, Messages]:
        """Return the prompt of every item in a mode, by item_id."""
        if mode not in self._turns:
            texts = all_messages(self.items, self.variant, mode, self.seed)
            self._turns[mode] = dict(zip(self.items["item_id"], texts, strict=True))
        return self._turns[mode]

    def count(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add prompt_tokens and target_tokens; a row that was counted before is not again."""
        keys = _keys(rows)
        unknown = pd.Series([key not in self._counts for key in keys], rows.index, dtype=bool)
        new = rows[unknown]
        if len(new) and self.chat:
            counted = count_tokens(new, self.chat)
            pairs = zip(counted["prompt_tokens"], counted["target_tokens"], strict=True)
            self._counts.update(zip(_keys(new), pairs, strict=True))
        counts = [self._counts[key] for key in keys]
        return rows.assign(
            prompt_tokens=[prompt for prompt, _ in counts],
            target_tokens=[target for _, target in counts],
        )


def _keys(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    names = [name for name in ("item_id", "target", "completion", "reasoning") if name in rows]
    return list(rows[names].itertuples(index=False, name=None))


def membership(buckets: pd.DataFrame, strategy: Wanted, seed: int) -> pd.Series:
    """Return the bucket of each usable training item under a strategy, indexed by item_id.

    Args:
        buckets: a buckets table.
        strategy: its `membership` says whether and how buckets are drawn anew.
        seed: of that draw: the training seed, so that every seed has a control of its own.
    """
    return _membership(buckets[buckets["sampled"]], strategy.drawn, seed)


def _membership(rows: pd.DataFrame, draw: Draw, seed: int) -> pd.Series:
    names = rows["bucket"] if draw.keeps_buckets else drawn_membership(rows, draw, seed)
    return pd.Series(names.to_numpy(), index=rows["item_id"])


def trained_items(
    buckets: Mapping[str, pd.DataFrame], strategy: Wanted, seed: int, stages: Iterable[StageRows]
) -> set[str]:
    """Return the items that some stages of a strategy train on, whatever on.

    Args:
        buckets: buckets tables by the name of their definition.
        strategy: from config.
        seed: the training seed.
        stages: of the strategy.
    """
    found: set[str] = set()
    for stage in stages:
        bucket = membership(buckets[strategy.division_of(stage)], strategy, seed)
        names = {name for part in stage.parts_or_itself for name in part.buckets}
        found |= set(bucket.index[bucket.isin(names)])
    return found


def wanted_rationales(
    buckets: Mapping[str, pd.DataFrame],
    strategy: Wanted,
    seed: int,
    solved_by: Solved = nobody,
) -> set[str]:
    """Return the items whose rationale a strategy trains on: what its teacher has to be asked.

    Args:
        buckets: buckets tables by the name of their definition.
        strategy: what is asked of one teacher.
        seed: the training seed.
        solved_by: what teachers before it in a list have solved.
    """
    wanted: set[str] = set()
    for stage in strategy.stages:
        if not stage.bought:
            continue
        bucket = membership(buckets[strategy.division_of(stage)], strategy, seed)
        for part in stage.parts_or_itself:
            if part.target in BOUGHT:
                before = (solved_by(teacher, part.target) for teacher in part.before)
                members = bucket.index[bucket.isin(part.buckets)]
                wanted |= set(members).difference(*before)
    return wanted


def wanted_by(
    buckets: Mapping[str, pd.DataFrame],
    strategies: Iterable[Wanted],
    seeds: Iterable[int],
    solved_by: Solved = nobody,
) -> set[str]:
    """Return the items whose rationale any of these strategies trains on, with any of these seeds.

    Args:
        buckets: buckets tables by the name of their definition.
        strategies: what is asked of one teacher.
        seeds: of training, which random membership follows.
        solved_by: what teachers before it in a list have solved.
    """
    return {
        item
        for strategy, seed in product(strategies, seeds)
        for item in wanted_rationales(buckets, strategy, seed, solved_by)
    }


def solved_in(rationales: Mapping[str, pd.DataFrame]) -> Solved:
    """Return what tells the items that a teacher has solved, from rationales tables by teacher."""

    @cache
    def solved(teacher: str, target: Target) -> frozenset[str]:
        table = rationales[teacher]
        return frozenset(table["item_id"][table["accepted"].astype(bool) & usable(table, target)])

    return solved


def usable(rationales: pd.DataFrame, target: Target) -> pd.Series:
    """Tell which rationales can be trained on as a target: for `reasoning` those that show some."""
    if target != "reasoning":
        return pd.Series(True, rationales.index)
    return rationales["reasoning"].fillna("").astype(bool)


def stage_rows(
    materials: Materials,
    bucket: pd.Series,
    stage: StageRows,
    rationales: pd.DataFrame,
    fallback: Fallback,
) -> tuple[pd.DataFrame, int]:
    """Build the rows of one stage.

    Args:
        materials: only training items that are in `bucket` are used.
        bucket: bucket name per item_id.
        stage: which buckets train on what.
        rationales: `text` and, where there is one, `reasoning` of the selected answers, indexed by
            item_id.
        fallback: for an item without one: `drop` it, or `train_on_answer`; with `keep` rationales
            may be wrong. An answer without reasoning is none for the target `reasoning`.

    Returns:
        Rows with item_id, target, messages (list), completion and, if any target has it, reasoning;
        and how many items had no rationale.
    """
    texts = rationales["text"].to_dict()
    thoughts = rationales["reasoning"].dropna().to_dict() if "reasoning" in rationales else {}
    pool = materials.items
    training = pool[pool["item_id"].isin(bucket.index)]
    rows, missing = [], 0
    for part in stage.parts_or_itself:
        members = training[bucket.reindex(training["item_id"]).isin(part.buckets).to_numpy()]
        for item in records(members):
            key, target, text, thought = item["item_id"], part.target, None, None
            if target in BOUGHT:
                text = texts.get(key)
                thought = thoughts.get(key) if target == "reasoning" else None
                if text is None or (target == "reasoning" and not thought):
                    missing += 1
                    if fallback != "train_on_answer":
                        continue
                    target, text = "answer", None
            mode = "direct" if target == "answer" else "cot"
            rows.append(
                {
                    "item_id": key,
                    "target": target,
                    "messages": materials.turns(mode)[key],
                    "completion": completion(
                        item, materials.variant, text, right=fallback != "keep"
                    ),
                    "reasoning": thought,
                }
            )
    columns = ["item_id", "target", "messages", "completion", "reasoning"]
    return pd.DataFrame(rows, columns=columns).dropna(axis=1, how="all"), missing


def join(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Join the rows of parts of a stage; what some of them lack is None in theirs."""
    found = [rows for rows in parts if not rows.empty]
    if len(found) < 2:
        return (found or parts)[0]
    rows = pd.concat(found, ignore_index=True).astype(object)
    return rows.where(rows.notna(), None)


def replay_rows(
    materials: Materials, pool: Iterable[str], replay: Replay, seed: int
) -> pd.DataFrame:
    """Build the rows that a stage replays.

    Each item has a draw of its own, so that a further item in the pool displaces one at most.

    Args:
        materials: items and prompts.
        pool: items that may be drawn.
        replay: how many of them, and what they train on.
        seed: of the draw: the training seed.

    Returns:
        Rows as of `stage_rows`.
    """
    order = sorted(pool, key=lambda item: (unit_interval("replay", seed, item), item))
    drawn = pd.Series("easy", index=order[: replay.of(len(order))])  # any name: all are taken
    everything = StageRows(buckets=["easy"], target=replay.target)
    return stage_rows(materials, drawn, everything, NO_RATIONALES, "drop")[0]


def count_tokens(rows: pd.DataFrame, chat: Chat) -> pd.DataFrame:
    """Add prompt_tokens and target_tokens (the end-of-turn token included) to mixture rows."""
    encoded = list(encode_rows(rows, chat))
    return rows.assign(
        prompt_tokens=[len(prompt) for prompt, _ in encoded],
        target_tokens=[len(target) for _, target in encoded],
    )


def encode_rows(rows: pd.DataFrame, chat: Chat) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the token ids of each row's prompt and of what the model learns to write after it."""
    reasoning = rows.get("reasoning", pd.Series(None, rows.index, dtype=object))
    columns = (rows["messages"], rows["completion"], rows["target"], reasoning)
    for messages, text, target, thought in zip(*columns, strict=True):
        thought = thought if isinstance(thought, str) else None
        yield chat.row(messages, text, PLACE_OF_TARGET[target], thought)


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
    Where membership is drawn it is here too: a loss on other buckets would compare unlike things.

    Args:
        materials: items, prompts and the student.
        buckets: the stage's buckets table, which has the items of all splits.
        strategy: its `membership` says whether and how buckets are drawn anew.
        stage: which buckets train on what.
        seed: of that draw.
        max_length: of a row, tokens.

    Returns:
        Rows as of a mixture; None if there are none.
    """
    held_out = buckets[buckets["split"] == "validation"] if "split" in buckets else buckets[:0]
    if held_out.empty:
        return None
    draw = strategy.drawn.model_copy(update={"items": None})  # a number is one of training items
    if draw.draw == "proportional":  # weights below 0 are refused among training items alone
        held_out = held_out.assign(complexity=held_out["complexity"].clip(lower=0))
    bucket = _membership(held_out, draw, seed)
    solved = materials.items.dropna(subset="reference_rationale").set_index("item_id")
    texts = solved["reference_rationale"].rename("text").to_frame()
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
        raise without_rows(where)
    return rows[~long], rows[long]


def without_rows(where: str) -> TrainingError:
    """Return the error of a stage that has nothing to train on."""
    return TrainingError(
        f"{where}: the stage has no rows to train on; look at the bucket sizes and at the "
        "teacher's quarantine table, or change the stage's buckets."
    )


def mixture_digest(mixture: pd.DataFrame) -> str:
    """Hash what a stage trains on, in item order: every column but the counts of tokens.

    A column that says nothing, such as the reasoning of a mixture without any, is none. Counts
    follow from the messages and the student, which a model's digest holds as well. Any further
    column can change what is learned, so it changes the digest without a word here.
    """
    ordered = mixture.sort_values(["item_id", "target"], kind="stable")
    ordered = ordered.drop(columns=_COUNTS, errors="ignore").dropna(axis=1, how="all")
    return rows_digest(records(ordered))


def mixture_table(mixture: pd.DataFrame) -> pd.DataFrame:
    """Return a mixture in the form of the mixtures table."""
    messages = [dump(messages) for messages in mixture["messages"]]
    return mixture.assign(messages=messages).reindex(columns=SCHEMAS["mixtures"].names)
