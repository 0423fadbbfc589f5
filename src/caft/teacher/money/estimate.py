"""What a teacher still has to be asked for, and what that is expected to take."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from caft.errors import BudgetError
from caft.prompting.prompts import Messages, all_messages
from caft.prompting.settings import Prompt
from caft.prompting.tokens import TokenCounter
from caft.settings import Section, key
from caft.store import Store
from caft.store.given_up import Note, noted
from caft.teacher import Request, Teacher
from caft.teacher.acceptance import Policy, Verdict, review
from caft.teacher.money.budget import (
    Budget,
    Spending,
    amounts_of,
    exceeded,
    price,
    show,
    teacher_price,
)
from caft.teacher.money.stored_prompts import StoredPrompts, all_counted
from caft.teacher.records import make_request, to_answer
from caft.teacher.settings import Asked, Endpoint, Prices

CASES = ("low", "middle", "high")
_ENOUGH = 20  # stored answers from which an estimate is made; with fewer the config's prior counts
_PRIOR_RANGE = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Missing:
    """An item without a deciding answer: the next request, and how many samples are left to ask.

    With `every` all of them are asked, whatever is accepted.
    """

    request: Request
    prompt_tokens: int
    samples: int
    every: bool = False


@dataclass(frozen=True)
class Identity:
    """Who answers, as the store knows it; None stands for several, or for nobody yet."""

    model_id: str | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Outlook:
    """What a teacher still has to be asked for some items.

    Attributes:
        missing: by item_id.
        identity: of the teacher.
        reviewed: stored answers that were looked at; only where more samples could follow.
        accepted: how many of them were accepted.
        solved: the items of these, with whether any accepted answer shows reasoning.
    """

    missing: dict[str, Missing]
    identity: Identity = Identity()
    reviewed: int = 0
    accepted: int = 0
    solved: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What the store knows of a model.

    Attributes:
        spent: by all its answers.
        completion: tokens per answer, low, middle and high; None with too few answers.
        seconds: per answer; None where unknown.
        longest: tokens of the longest answer.
        lost: what attempts without an answer may have taken.
    """

    spent: Spending = field(default_factory=Spending)
    completion: tuple[float, float, float] | None = None
    seconds: float | None = None
    longest: int = 0
    lost: Spending = field(default_factory=Spending)

    @property
    def taken(self) -> Spending:
        """What all answers took, and what attempts without one may have taken."""
        return self.spent + self.lost


@dataclass(frozen=True)
class Expected:
    """What the missing answers are expected to take; cost None where no price is known."""

    requests: float
    prompt_tokens: float
    completion_tokens: float
    cost_usd: float | None

    @property
    def spending(self) -> Spending:
        """The same in the terms of a budget."""
        tokens = math.ceil(self.prompt_tokens + self.completion_tokens)
        return Spending(math.ceil(self.requests), tokens, self.cost_usd or 0.0)


def look_up(
    items: list[dict[str, Any]],
    prompts: Mapping[str, Messages],
    teacher: Teacher,
    store: Store,
    counter: TokenCounter,
    policy: Policy | None = None,
    reads_all: bool = False,
) -> Outlook:
    """Find the items for which the store has no deciding answer: none accepted, samples left.

    Where the policy keeps all answers, only the last one decides.

    Args:
        items: rows of the items table.
        prompts: the prompt of each item, by item_id.
        teacher: whose answers are looked for; it is not asked.
        store: of paid answers.
        counter: of prompt tokens.
        policy: which answers are accepted; None where the first one decides, whatever it says.
        reads_all: whether last samples are looked at as well, so that all that is solved is known.
    """
    samples = policy.samples if policy and teacher.varies else 1
    every = policy is not None and policy.keep_all
    found: dict[str, tuple[Request, int]] = {}
    identities: set[Identity] = set()
    verdicts: list[Verdict] = []
    solved: dict[str, bool] = {}
    pending = items
    for sample in range(samples):
        asked = [
            (item, make_request(teacher, item, prompts[item["item_id"]], sample))
            for item in pending
        ]
        identities |= {Identity(request.model_id, request.revision) for _, request in asked}
        if policy is None or (sample == samples - 1 and not reads_all):
            # The last answer decides whatever it says: keys are enough, and much faster.
            known = store.keys()
        else:
            stored = store.get(request.key for _, request in asked)
            known = set(stored)
            answered = [
                (item, to_answer(stored[request.key]))
                for item, request in asked
                if request.key in known
            ]
            reviewed = [(item, one, review(one, item, policy)) for item, one in answered]
            verdicts += [verdict for _, _, verdict in reviewed]
            solved |= {
                item["item_id"]: bool(one.reasoning) or solved.get(item["item_id"], False)
                for item, one, verdict in reviewed
                if verdict.accepted
            }
            pending = [item for item, _, verdict in reviewed if every or not verdict.accepted]
        found |= {
            item["item_id"]: (request, samples - sample)
            for item, request in asked
            if request.key not in known
        }
    counts = counter.prompts([request.messages for request, _ in found.values()])
    missing = {
        item_id: Missing(request, count, left, every)
        for (item_id, (request, left)), count in zip(found.items(), counts, strict=True)
    }
    accepted = sum(verdict.accepted for verdict in verdicts)
    return Outlook(missing, common_identity(identities), len(verdicts), accepted, solved)


def common_identity(identities: Iterable[Identity]) -> Identity:
    """Return the model and revision that all of some identities share."""
    known = set(identities)
    return Identity(
        _only({identity.model_id for identity in known}),
        _only({identity.revision for identity in known}),
    )


def _only(values: set[str | None]) -> str | None:
    return values.pop() if len(values) == 1 else None


def seen_of(
    store: Store,
    identity: Identity,
    settings: Asked,
    but: Path | None = None,
    prompts: StoredPrompts | None = None,
) -> Seen:
    """Return what the store knows of a model; answers of unknown cost get the price of today.

    Prompt tokens that nobody told are counted, and an answer of unknown length counts as the
    longest that there can be.

    Args:
        store: of paid answers.
        identity: of the model.
        settings: its section of the config.
        but: a note of requests without an answer that is left out.
        prompts: counts what no endpoint told; None for the bytes of each.
    """
    if identity.model_id is None:
        return Seen()
    columns = ["key", "prompt_tokens", "completion_tokens", "cost_usd", "seconds", "imported"]
    table = store.table(columns, identity.model_id, identity.revision)
    answers = table.drop_columns("key").to_pandas()
    paid = answers[~answers["imported"].astype(bool)]
    lengths = answers["completion_tokens"][answers["completion_tokens"] > 0]
    longest = int(lengths.max()) if len(lengths) else 0
    paid = paid.fillna({"completion_tokens": max(settings.longest, longest)})
    untold = paid.index[paid["prompt_tokens"].isna()]
    if len(untold):
        keys, prompts = table["key"].to_pandas()[untold], prompts or StoredPrompts(store)
        paid = paid.assign(prompt_tokens=all_counted(paid["prompt_tokens"], keys, prompts))
    spent = Spending(
        len(paid),
        int(paid["prompt_tokens"].sum() + paid["completion_tokens"].sum()),
        float(paid["cost_usd"].sum()) + _priced_today(paid[paid["cost_usd"].isna()], settings),
    )
    answered = paid["seconds"][paid["seconds"] > 0]  # a refused prompt takes none
    seconds = float(answered.mean()) if len(answered) else None
    lost = _lost(store, identity, settings, but)
    if len(lengths) < _ENOUGH:
        return Seen(spent, None, seconds, longest, lost)
    low, high = lengths.quantile([0.1, 0.9])
    return Seen(spent, (float(low), float(lengths.mean()), float(high)), seconds, longest, lost)


def _priced_today(answers: pd.DataFrame, settings: Asked) -> float:
    """Return what answers cost at the prices of today, 0 without any: as they were asked for."""
    batched = answers["seconds"] == 0  # as `caft.teacher.reading.answer` stores them
    total = 0.0
    for part, batch in ((answers[~batched], False), (answers[batched], True)):
        sums = part["prompt_tokens"].sum(), 0, part["completion_tokens"].sum()
        total += float(price(settings.rates, *sums, batch) or 0.0)
    return total


def _lost(store: Store, identity: Identity, settings: Asked, but: Path | None) -> Spending:
    """Return the most that requests without an answer have taken, at the prices of today if any."""
    found = Spending()
    for lost in noted(store.folder, but):
        if (lost.model_id, lost.revision) == (identity.model_id, identity.revision):
            # What was noted without a price may be tokens of either kind.
            prices = [teacher_price(settings, *of) for of in ((lost.tokens, 0), (0, lost.tokens))]
            cost = lost.cost_usd or max(price or 0.0 for price in prices)
            found += Spending(lost.requests, lost.tokens, cost)
    return found


def estimate(
    missing: Iterable[Missing], settings: Asked, seen: Seen, outlook: Outlook
) -> dict[str, Expected]:
    """Estimate what missing answers take: low, middle and high; items that ask the same share one.

    Low asks once per item, high for all samples that are left; between them each rejected answer is
    followed by another, at the share of acceptance that stored answers have.
    """
    missing = list({one.request.key: one for one in missing}.values())
    share = outlook.accepted / outlook.reviewed if outlook.reviewed >= _ENOUGH else 1.0
    repeats = {
        "low": lambda left: 1.0,
        "middle": lambda left: sum((1 - share) ** sample for sample in range(left)),
        "high": float,
    }
    lengths = dict(zip(CASES, seen.completion or _prior(settings), strict=True))
    found = {}
    for case in CASES:
        times = [float(one.samples) if one.every else repeats[case](one.samples) for one in missing]
        prompt = sum(one.prompt_tokens * count for one, count in zip(missing, times, strict=True))
        completion = sum(times) * lengths[case]
        cost = teacher_price(settings, prompt, completion)
        found[case] = Expected(sum(times), prompt, completion, cost)
    return found


def _prior(settings: Asked) -> tuple[float, ...]:
    return tuple(min(settings.expected * factor, settings.longest) for factor in _PRIOR_RANGE)


def open_budget(
    where: str, settings: Asked, store: Store, outlook: Outlook, counter: TokenCounter
) -> Budget | None:
    """Return a teacher's budget, with what was spent; None if it has no limits.

    Args:
        where: config path of the teacher, for messages.
        settings: its section of the config.
        store: of its paid answers.
        outlook: of what is going to be asked.
        counter: of prompt tokens.

    Raises:
        BudgetError: if the middle estimate of what is missing goes beyond a limit, or a limit in
            USD has no prices to go by.
    """
    limits, path = settings.limits, f"{where}.budget"
    if not limits:
        return None
    if "max_cost_usd" in limits and teacher_price(settings, 1, 1) is None:
        raise BudgetError(f"{path}.max_cost_usd: needs {where}.prices to go by.")
    identity = outlook.identity
    note = Note(store.folder, identity.model_id, identity.revision)
    longest_prompt = max((one.prompt_tokens for one in outlook.missing.values()), default=0)
    prompts = StoredPrompts(store, counter, longest_prompt)

    def look() -> tuple[Spending, Spending]:
        seen = seen_of(store, identity, settings, note.path, prompts)
        return seen.spent, seen.lost

    seen = seen_of(store, identity, settings, prompts=prompts)
    longest = max(settings.longest, seen.longest)  # some endpoints do not keep to the limit
    needed = estimate(outlook.missing.values(), settings, seen, outlook)
    over = exceeded(limits, seen.taken + needed["middle"].spending) if outlook.missing else []
    if over:
        raise BudgetError(_refusal(path, over[0], limits, seen.taken, needed))
    budget = Budget(limits, seen.spent, _worst_of(settings, longest, counter), look, path, note)
    budget.count_elsewhere(seen.lost)
    return budget


def without_limits(settings: Endpoint, store: Store, counter: TokenCounter) -> Budget:
    """Return what lets everything through, and notes what is on the wire: a bill has it, too."""
    note = Note(store.folder, settings.model, settings.revision)
    return Budget({}, Spending(), _worst_of(settings, settings.longest, counter), note=note)


def _worst_of(
    settings: Asked, longest: int, counter: TokenCounter
) -> Callable[[Request], Spending]:
    """Return what tells the most that a request takes: its prompt and the longest answer."""

    def worst(request: Request) -> Spending:
        prompt = counter.prompts([request.messages])[0]  # equal texts are counted once
        cost = teacher_price(settings, prompt, longest) or 0.0
        return Spending(1, prompt + longest, cost)

    return worst


def _refusal(
    path: str,
    name: str,
    limits: Mapping[str, float],
    spent: Spending,
    needed: Mapping[str, Expected],
) -> str:
    low, middle, high = (show(name, amounts_of(needed[case].spending)[name]) for case in CASES)
    return (
        f"{path}.{name}: {show(name, limits[name])} is too little: "
        f"{show(name, amounts_of(spent)[name])} spent and about {middle} ({low} to {high}) to "
        f"come for {needed['low'].requests:.0f} items. Nothing was asked. Raise it, or want fewer "
        "items: `caft teacher plan` shows what each strategy takes."
    )


class Purchase(Section):
    """What the price of a rationale follows from, where a budget draws a threshold."""

    provider: str = key("Who answers.")
    prices: Prices = key("USD per million tokens.")
    batch: bool = key("Whether the batch interface is asked.")
    expected_completion_tokens: int = key("Tokens of an answer.")
    prompt: Prompt = key("The prompt variant that the teacher is asked with.")


def item_prices(items: pd.DataFrame, purchase: Purchase, student: Path, seed: int) -> pd.Series:
    """Return what a rationale of each training item is expected to cost, stored or not.

    Args:
        items: the items table.
        purchase: what is bought of the teacher.
        student: folder of the tokenizer that counts.
        seed: of the few-shot draw.

    Returns:
        USD, by item_id. It follows from items and config alone: what is bought moves no threshold.
    """
    messages = all_messages(items, purchase.prompt, "cot", seed)
    training = [
        turns for turns, split in zip(messages, items["split"], strict=True) if split == "train"
    ]
    counts = TokenCounter(student).prompts(training)
    expected = purchase.expected_completion_tokens
    return pd.Series(
        [price(purchase.prices, count, 0, expected, purchase.batch) for count in counts],
        index=items["item_id"][items["split"] == "train"],
        dtype=float,
    )
