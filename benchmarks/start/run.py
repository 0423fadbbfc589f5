"""What it takes to start a job: CPU seconds and memory until it could begin to work.

    python benchmarks/start/run.py --student data/models/smollm2-135m

Each script's own imports run in a fresh interpreter, and then what its job opens first: the
student's chat template, which writes a prompt, or the student itself. Reported are CPU seconds of
the whole process and its peak of memory, the lowest of `--repeats`. The first line is AutoTokenizer
alone. The record of a student that an older version prepared does not tell the class of its
tokenizer: AutoTokenizer has to find it then, and imports torch for that.
"""

import argparse
import ast
import contextlib
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
OPENS = {
    "build_mixtures": "chat",
    "show_mixtures": "chat",
    "generate_rationales": "chat",
    "score_items": "student",
    "evaluate_model": "student",
    "train_stage": "training",
}


def open_auto(student: Path) -> None:
    """Load the tokenizer as any script would."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student, trust_remote_code=False)
    tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=True)


def open_chat(student: Path) -> None:
    """Load the student's chat template and write a prompt with it."""
    from caft.students.folders import load_chat

    load_chat(student).prompt([{"role": "user", "content": "a"}], "direct")


def open_student(student: Path) -> None:
    """Load the student as a job that scores or evaluates does."""
    from caft.running.settings import Engine
    from caft.students.opened import Subject, open_scorer

    scorer = open_scorer(Subject(student / "student.json", None, Engine(device="cpu")))
    scorer.chat.prompt([{"role": "user", "content": "a"}], "direct")
    scorer.model  # noqa: B018 - it is loaded when it is asked for


def open_training(student: Path) -> None:
    """Train the student on one row, as a job that trains does before its second step."""
    import pandas as pd

    from caft.mixtures.recipe import Recipe
    from caft.running.settings import Engine
    from caft.training import StageJob, train_stage

    turns = json.dumps([{"role": "user", "content": "a"}])
    row = {"item_id": "0", "target": "answer", "messages": turns, "completion": "b"}
    with tempfile.TemporaryDirectory() as folder:
        job = StageJob(pd.DataFrame([row]), student, Recipe(), 1, 1)
        train_stage(job, Path(folder, "model"), Engine(device="cpu"))


def measure(script: str, opens: str, student: Path) -> dict[str, object]:
    """Start a job in this process, and return what that took."""
    if script:
        body = ast.parse((SCRIPTS / f"{script}.py").read_text(encoding="utf-8")).body
        for line in body:
            if isinstance(line, ast.Import):
                for one in line.names:
                    importlib.import_module(one.name)
            elif isinstance(line, ast.ImportFrom) and line.module:
                module = importlib.import_module(line.module)
                for one in line.names:
                    if not hasattr(module, one.name):
                        importlib.import_module(f"{line.module}.{one.name}")
    opening = {"auto": open_auto, "chat": open_chat, "student": open_student}
    opening.get(opens, open_training)(student)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"cpu": time.process_time(), "mb": peak, "torch": "torch" in sys.modules}


def main() -> None:
    """Start every kind of job, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--scripts", nargs="+", default=list(OPENS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--collecting", action="store_true", help="garbage, during imports too")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collecting:
        import caft.running.imports

        caft.running.imports.importing = contextlib.nullcontext
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.student)))
        return
    print("| job | opens | CPU seconds | peak MB | torch |\n|---|---|---|---|---|")
    for script, opens in {"": "auto", **{one: OPENS[one] for one in arguments.scripts}}.items():
        command = [sys.executable, __file__, "--student", str(arguments.student)]
        command += ["--collecting"] if arguments.collecting else []
        command += ["--one", script, opens]
        took = [
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            for _ in range(arguments.repeats)
        ]
        cpu, peak = (min(one[key] for one in took) for key in ("cpu", "mb"))
        torch = "imported" if took[0]["torch"] else "–"
        print(f"| {script or '–'} | {opens} | {cpu:.1f} | {peak:.0f} | {torch} |", flush=True)


if __name__ == "__main__":
    main()
