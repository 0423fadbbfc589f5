"""Generated questions with answers that are right by construction, from reasoning-gym."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from caft.datasets import Adapter, RawRows
from caft.datasets.settings import DatasetSettings
from caft.errors import ItemError
from caft.prompting.numbers import canonical_number
from caft.settings import Whole, key, optional
from caft.tables.hashing import digest, unit_interval


class ReasoningGym(DatasetSettings):
    """Procedural questions from reasoning-gym, seeded and offline."""

    reads_here: ClassVar = True

    adapter: Literal["reasoning_gym"]
    generator: str = key("Name of a reasoning-gym data set.")
    size: Whole = key("Questions to generate; equal ones collapse to one.", ge=2)
    seed: Whole | None = optional("Seed of the generator; the run's seed if absent.")
    settings: dict[str, Any] = key("The generator's own settings.", {})
    answers: Literal["numeric", "choice", "text"] = key("Form of the answers.", "numeric")
    options: Whole = key("Options per question with `answers: choice`.", 4, ge=2, le=26)

    @property
    def reads_at_once(self) -> bool:
        """Whether so few questions are made that it takes about a second."""
        return self.size <= 5000


def read(settings: ReasoningGym, seed: int, downloads: Path) -> RawRows:
    """Generate questions; some may be equal, ingest collapses them.

    With `answers: choice` each question gets `options` options: near misses of an
    integer answer, else other questions' answers.

    Raises:
        ItemError: if the generator is unknown or refuses its settings.
    """
    generator, kind = settings.generator, settings.answers
    seed = seed if settings.seed is None else settings.seed
    # The library draws row i from seed + i: neighbouring seeds would share all rows but one.
    start = int(digest(["reasoning_gym", seed], 8), 16)
    with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
        from reasoning_gym import create_dataset
    try:
        entries = list(
            create_dataset(generator, size=settings.size, seed=start, **settings.settings)
        )
    except (AssertionError, TypeError, ValueError) as error:
        raise ItemError(
            f"reasoning_gym {generator}: {error}; check `generator` and `settings`."
        ) from error
    pool = sorted({entry["answer"] for entry in entries if entry["answer"]})
    work_out = WORKED_SOLUTIONS.get(generator, lambda entry: None)
    rows = []
    for index, entry in enumerate(entries):
        question, answer = entry["question"], entry["answer"]
        options = None
        if kind == "choice" and answer:
            options = build_options(question, answer, pool, settings.options, seed)
        rows.append(
            {
                "file": f"reasoning_gym {generator}",
                "row": index + 1,
                "source_id": f"{generator}-{seed}-{index}",
                "question": question,
                "options": options,
                "answer": answer,
                "category": generator,
                "rationale": work_out(entry),
                "split": None,
            }
        )
    return RawRows(rows, kind, "text")


def build_options(question: str, answer: str, pool: list[str], count: int, seed: int) -> list[str]:
    """Return `count` different options, the answer among them at a place drawn by hash.

    Args:
        question: the draws depend on it and the seed alone.
        answer: the right option.
        pool: answers to draw wrong options from, where the answer is no integer; where it holds
            too few, the options are fewer.
        count: of options.
        seed: of the draws.
    """

    def draw(*parts: Any) -> float:
        return unit_interval("options", seed, question, *parts)

    if canonical_number(answer) == answer and "." not in answer:
        # How many wrong options are smaller is uniform: the middle value is no better guess.
        smaller = int(draw("smaller") * count)
        steps = sorted(range(1, max(10, count) + 1), key=lambda step: draw("step", step))
        wrong = [str(int(answer) - step) for step in steps[:smaller]]
        wrong += [str(int(answer) + step) for step in steps[smaller : count - 1]]
    else:
        start = int(draw("pool") * len(pool))
        others = [text for text in pool[start:] + pool[:start] if text != answer]
        wrong = others[: count - 1]
    return sorted([answer, *wrong], key=lambda option: draw("place", option))


def _without_marker(entry: dict[str, Any]) -> str:
    return entry["metadata"]["answer_cot"].partition("####")[0].strip()


def _add_left_to_right(entry: dict[str, Any]) -> str | None:
    expression = entry["metadata"]["expression"]
    if not re.fullmatch(r"-?\d+( [+-] -?\d+)+", expression):
        return None
    total, *rest = expression.split()
    steps = []
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        result = int(total) + int(term) if sign == "+" else int(total) - int(term)
        steps.append(f"{total} {sign} {term} = {result}.")
        total = str(result)
    return " ".join(steps)


def _count_legs(entry: dict[str, Any]) -> str:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    steps, total = [], None
    for animal, count in entry["metadata"]["animals"].items():
        legs = count * ANIMALS[animal]
        steps.append(f"{animal}: {count} x {ANIMALS[animal]} = {legs}.")
        if total is not None:
            steps.append(f"{total} + {legs} = {total + legs}.")
        total = (total or 0) + legs
    return " ".join(steps)


def _continue_sequence(entry: dict[str, Any]) -> str | None:
    rule, sequence = entry["metadata"]["rule"], entry["metadata"]["sequence"]
    return f"The rule is: {rule}. After {sequence[-2]} comes {sequence[-1]}." if rule else None


# generator -> its worked solution, without an answer marker at its end
WORKED_SOLUTIONS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "gsm_symbolic": _without_marker,
    "chain_sum": _add_left_to_right,
    "basic_arithmetic": _add_left_to_right,
    "leg_counting": _count_legs,
    "number_sequence": _continue_sequence,
}


ADAPTER = Adapter(ReasoningGym, read)
