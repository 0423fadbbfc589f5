"""vLLM with adapters against merged weights, and one engine for several models."""

from importlib.util import find_spec
from typing import Any

from machine import Machine, NotHere, letters, questions, rows

EXPECTED: dict[str, Any] = {"1,200 items x <= 1,500 tokens": "1.5-5 min", "start": "60-120 s"}


def check(machine: Machine) -> dict[str, Any]:
    """Answer the same items with both engines; in bfloat16 near ties may fall differently."""
    if find_spec("vllm") is None:
        raise NotHere("vllm is not installed")
    from dataclasses import replace

    from caft.evaluation.evaluate import Way, evaluate_model
    from caft.evaluation.settings import Evaluation
    from caft.evaluation.together import Question, answer_together
    from caft.mixtures.recipe import Recipe
    from caft.prompting.asked import Asked
    from caft.running.blocks import Cache
    from caft.students.opened import Subject
    from caft.tables.files import write_json
    from caft.training import StageJob, train_stage

    folder = machine.student(hidden_size=512, num_hidden_layers=4, intermediate_size=1024)
    adapter = machine.folder / "adapter"
    record = train_stage(
        StageJob(rows(64, 10), folder, Recipe(learning_rate=1e-2), 1, 1), adapter, machine.engine()
    )
    write_json(adapter / "model.json", record)
    items = questions(machine.size(256, 8)).assign(split="test")
    asked, cache = Asked(items, letters(), 1), Cache(machine.folder / "blocks")
    # vLLM keeps what it takes, and the other engine needs room as well.
    engine = machine.engine(vllm={"gpu_memory_utilization": 0.5})
    student = Subject(folder / "student.json", None, engine)
    subjects = [student, replace(student, trained_file=adapter / "model.json")]
    settings = {name: Evaluation(engine=name) for name in ("transformers", "vllm")}
    with machine.measured() as taken:
        questions_ = [Question(asked, mode) for mode in ("direct", "cot")]
        answer_together(questions_, "test", subjects, settings["vllm"], cache)
    found: dict[str, Any] = {"vllm": taken}
    for name, subject in zip(("base", "adapter"), subjects, strict=True):
        tables = [
            evaluate_model(asked, Way("test", "cot"), subject, each, cache)[0].sort_values(
                "item_id"
            )
            for each in settings.values()
        ]
        same = [
            one == other for one, other in zip(tables[0]["text"], tables[1]["text"], strict=True)
        ]
        found[f"same texts, {name}"] = round(sum(same) / len(same), 3)
    return found
