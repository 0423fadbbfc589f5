"""One vLLM engine for all that a student and its adapters are asked, not a start for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caft import layout
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.prompting.asked import Asked
from caft.running.blocks import Cache
from caft.students import vllm
from caft.students.opened import Subject


@dataclass(frozen=True)
class Question:
    """A question set with the mode that it is asked in."""

    asked: Asked
    mode: str


def answer_together(
    questions: Sequence[Question],
    split: str,
    subjects: Sequence[Subject],
    settings: Evaluation,
    cache: Cache,
) -> dict[str, Any]:
    """Let a student, and what was trained from it, answer one split; vLLM starts at most once.

    The answers lie in the cache, where a job of each model and mode finds them.

    Args:
        questions: what is asked.
        split: which split.
        subjects: the student and models on it. One with weights of its own is left to its own job:
            an engine holds one model, and any number of adapters.
        settings: how they are asked and read.
        cache: where finished blocks of items lie.

    Returns:
        How many models were asked, how many have weights of their own, and the blocks of answers.
    """
    opened = [(subject, vllm.open_scorer(subject)) for subject in subjects]
    adapted = [
        (subject, scorer) for subject, scorer in opened if scorer.weights[0] == scorer.folder
    ]

    def needed() -> vllm.Needs:
        return vllm.Needs.of(
            vllm.needs(
                scorer,
                one.asked.of_split(split, one.mode).messages,
                one.mode,
                settings.max_new_tokens.of(one.mode),
            )
            for _, scorer in adapted
            for one in questions
        )

    engine = vllm.Engine(subjects[0].engine.vllm, needed)
    blocks: list[str] = []
    for subject, _ in adapted:
        for one in questions:
            way = Way(split, one.mode)
            _, _, run = evaluate_model(one.asked, way, subject, settings, cache, engine)
            blocks += run["blocks"]
    counts = {"models": len(adapted), "own_weights": len(opened) - len(adapted)}
    return {**counts, "blocks": sorted(set(blocks))}


def weights_file(model: str, epochs: Mapping[str, int]) -> Path | None:
    """Return the record of the weights that a model is evaluated with; None for the student.

    Args:
        model: `base`, or the digest of a trained model, with `caft.layout.BEST` for its best epoch.
        epochs: the best epoch by digest.
    """
    if model == "base":
        return None
    digest = model.removesuffix(layout.BEST)
    record = Path(layout.at(layout.MODEL, digest=digest))
    if digest == model:
        return record
    return record.parent / "epochs" / str(epochs[digest]) / record.name
