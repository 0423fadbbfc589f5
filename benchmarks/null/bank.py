"""The models of the null test: one plan, one tiny student, many training seeds, all answers.

What an experiment draws from. Everything is made by caft's own functions, in the order of a run:
questions are ingested and scored, buckets drawn, the mixture planned, a model trained for each
seed with the weights of all its epochs kept, and each epoch asked every question in both modes.
"""

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from caft import layout
from caft.complexity.compute import compute_metric
from caft.complexity.score import score_with_student
from caft.complexity.settings import MetricSettings
from caft.datasets import load, read_section
from caft.datasets.ingest import ingest_as
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.mixtures.buckets import build_buckets
from caft.mixtures.building import build_plan
from caft.mixtures.plan import Plan
from caft.mixtures.recipe import Recipe
from caft.mixtures.rows import Materials
from caft.mixtures.settings import Buckets, ResolvedStrategy
from caft.prompting.asked import Asked
from caft.prompting.settings import PerKind, Prompt, QuestionTexts
from caft.running.blocks import Cache
from caft.running.settings import Engine
from caft.students.folders import load_chat
from caft.students.opened import Subject
from caft.tables.files import read_json, write_json
from caft.training import train_planned

# The tiny student of the tests is found only once sys.path is set.
sys.path.append(str(Path(__file__).parents[2] / "tests"))

from tiny import CHATML, build_model, build_tokenizer, save_student

MODES = ("direct", "cot")
STRATEGY = "complexity_mixed"
_WORDS = {
    "size": ["big", "small", "huge", "thin", "wide", "flat"],
    "colour": ["red", "blue", "green", "black", "white", "pink", "brown", "grey"],
    "shape": ["ball", "cube", "star", "ring", "cone", "disc"],
    "place": ["here", "there", "inside", "outside", "above", "below"],
}
_NOISE = 0.2  # of the answers are drawn at random, so that no model is right everywhere
_EPOCHS = 6
_TRAINING = 160  # questions
_ENGINE = Engine(device="cpu", dtype="float32")
_PROMPT = Prompt(
    question=QuestionTexts(choice="{question}", open="{question}"),
    direct=PerKind(choice="letter", numeric="", text=""),
    cot=PerKind(choice="think", numeric="", text=""),
)
_EVALUATION = Evaluation.model_validate(
    {"max_new_tokens": {"direct": 3, "cot": 8}, "batch_size": 256}
)
_RECIPE = Recipe(
    method="full",
    learning_rate=0.004,
    batch_size=4,
    schedule="constant",
    warmup_share=0.0,
    max_length=64,
    keep_epochs=True,
)


class Answers(NamedTuple):
    """The answers to all questions, in their order.

    Attributes:
        table: of the predictions the columns that count: numbers and truth values.
        letters: what was read out of each answer; A where nothing could be.
    """

    table: pd.DataFrame
    letters: np.ndarray


@dataclass(frozen=True)
class Bank:
    """All that experiments draw from.

    Attributes:
        asked: the items that are asked and not trained on.
        plan: of one strategy with all training seeds.
        answers: by model, epoch and mode.
    """

    asked: pd.DataFrame
    plan: Plan
    answers: dict[tuple[str, int, str], Answers]


def make_bank(seeds: int, questions: int) -> Bank:
    """Run everything up to the answers in the current folder.

    Args:
        seeds: of training.
        questions: that are asked and not trained on.
    """
    items = _ingest(Path("questions.jsonl"), questions)
    student = _student(Path("data/models/tiny"))
    plan = _plan(items, student, list(range(1, seeds + 1)))
    answers = {}
    for model in plan.models():
        folder = Path(layout.at(layout.MODEL, digest=model)).parent
        stage = Path(layout.at(layout.PLANNED_STAGE, digest=model))
        write_json(folder / "model.json", train_planned(stage, folder, _ENGINE))
        for epoch, mode in product(range(1, _EPOCHS + 1), MODES):
            subject = Subject(student, folder / f"epochs/{epoch}/model.json", _ENGINE)
            way = Way("test", mode, entropy=True)
            table, _, _ = evaluate_model(asked(items), way, subject, _EVALUATION, Cache())
            # Both are sorted by item_id.
            counted = table.select_dtypes(["bool", "number"])
            letters = table["parsed"].where(table["parsed"].isin(list("ABCD")), "A")
            answers[model, epoch, mode] = Answers(counted, letters.to_numpy(dtype=str))
    return Bank(items[items["split"] == "test"].sort_values("item_id"), plan, answers)


def asked(items: pd.DataFrame) -> Asked:
    """Return items in the words of the prompt."""
    return Asked(items, _PROMPT, 1)


def _ingest(file: Path, questions: int) -> pd.DataFrame:
    rows = list(_questions(_TRAINING + questions))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = {name: name for name in ("question", "options", "answer", "rationale")}
    share = _TRAINING / len(rows)
    settings = read_section(
        {
            "adapter": "file",
            "path": file.name,
            "columns": columns,
            "splits": {"train": share, "test": 1 - share},
        }
    )
    return ingest_as(settings, load(settings, 1, file.parent), 1, "coloured").items


def _questions(count: int) -> Iterator[dict[str, object]]:
    """Yield things whose letter follows from the colour, but for some."""
    draw = random.Random(1)
    for words in draw.sample(list(product(*_WORDS.values())), count):
        _, colour, shape, _ = words
        right = _WORDS["colour"].index(colour) % 4
        letter = "ABCD"[draw.randrange(4) if draw.random() < _NOISE else right]
        yield {
            "question": " ".join(words),
            "options": ["first", "second", "third", "fourth"],
            "answer": letter,
            "rationale": f"{colour} {shape} [[{letter}]]",
        }


def _student(folder: Path) -> Path:
    texts = [" ".join(words) for words in _WORDS.values()]
    texts = [f" {text} [[A]] [[B]] [[C]] [[D]] letter think user assistant" for text in texts]
    tokenizer = build_tokenizer(
        CHATML, ["<|im_start|>", "<|im_end|>", "<|pad|>"], texts, eos_token="<|im_end|>",
        pad_token="<|pad|>", extra_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    return save_student(build_model(tokenizer, spread=0.3), tokenizer, folder) / "student.json"


def _plan(items: pd.DataFrame, student: Path, seeds: list[int]) -> Plan:
    """Draw buckets by the student's own entropies, and plan a mixture of answers and chains."""
    scores, _, _ = score_with_student(asked(items), Subject(student, None, _ENGINE), Cache())
    metric = MetricSettings(metric="single_token_entropy")
    metrics = compute_metric(metric.metric, metric, scores, items)
    buckets, _ = build_buckets(metrics, Buckets(metric="entropy", quantiles=[0.25, 0.5]), 1)
    rationales = pd.DataFrame(
        {
            "item_id": items["item_id"],
            "text": items["reference_rationale"],
            "reasoning": None,
            "selected": True,
        }
    )
    parts = [
        {"buckets": ["easy", "medium"], "target": "answer"},
        {"buckets": ["hard"], "target": "rationale"},
    ]
    strategy = ResolvedStrategy.model_validate(
        {
            "stages": [{"parts": parts, "epochs": _EPOCHS}],
            "teacher": "worked",
            "fallback": "drop",
            "recipe": _RECIPE,
        }
    )
    record = read_json(student)
    materials = Materials(
        items, _PROMPT, 1, load_chat(student.parent), record["revision"], record["context"]
    )
    plan, _, _ = build_plan(
        materials, {"default": buckets}, {"worked": rationales},
        {STRATEGY: strategy, "the same": strategy}, seeds, student, None,
    )  # fmt: skip
    return plan
