"""Write docs/tutorial/questions.csv, the 120 questions of the tutorial, with worked explanations.

python docs/tutorial/make_questions.py
"""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parent / "questions.csv"
COLUMNS = ("id", "topic", "question", "answer", "explanation")
# (topic, large unit, small unit, small ones in a large one, numbers of large ones to draw from)
UNITS = [
    ("length", "metres", "centimetres", 100, range(2, 60)),
    ("length", "kilometres", "metres", 1000, range(2, 60)),
    ("mass", "kilograms", "grams", 1000, range(2, 60)),
    ("volume", "litres", "millilitres", 1000, range(2, 60)),
    ("time", "hours", "minutes", 60, range(2, 10)),
    ("time", "weeks", "days", 7, range(2, 10)),
    ("count", "dozens", "pieces", 12, range(2, 10)),
    ("money", "euros", "cents", 100, range(2, 60)),
]
PER_UNIT = 5  # questions of each of the three kinds below


def one_step(number: int, large: str, small: str, factor: int) -> tuple[str, int, str]:
    """Return question, answer and explanation of a plain conversion."""
    result = number * factor
    return (
        f"How many {small} are {number} {large}?",
        result,
        f"{number} * {factor} = {result}.",
    )


def added(number: int, rest: int, large: str, small: str, factor: int) -> tuple[str, int, str]:
    """Return question, answer and explanation of a conversion with a sum behind it."""
    converted, result = number * factor, number * factor + rest
    return (
        f"How many {small} are {number} {large} and {rest} {small}?",
        result,
        f"{number} * {factor} = {converted}. {converted} + {rest} = {result}.",
    )


def left(number: int, rest: int, large: str, small: str, factor: int) -> tuple[str, int, str]:
    """Return question, answer and explanation of a conversion with a difference behind it."""
    converted, result = number * factor, number * factor - rest
    return (
        f"From {number} {large}, {rest} {small} are taken away. How many {small} are left?",
        result,
        f"{number} * {factor} = {converted}. {converted} - {rest} = {result}.",
    )


def rows() -> Iterator[dict[str, str]]:
    """Yield the rows of the file; the same ones whenever it is called."""
    draw = random.Random(1)
    count = 0
    for topic, large, small, factor, numbers in UNITS:
        for kind in (one_step, added, left):
            for number in draw.sample(numbers, PER_UNIT):
                count += 1
                rest = () if kind is one_step else (draw.randrange(2, min(factor, 100)),)
                question, answer, explanation = kind(number, *rest, large, small, factor)
                values = (f"q{count:03}", topic, question, str(answer), explanation)
                yield dict(zip(COLUMNS, values, strict=True))


if __name__ == "__main__":
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows())
    print(f"{sum(1 for _ in rows())} questions in {FILE}")
