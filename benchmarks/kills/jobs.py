"""The jobs of a small paid run, and what has to hold whenever one of them is struck."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from asking import SPEC
from batch_server import BatchServer
from scripted_server import ScriptedServer, question, reply
from stages import CPU, TINY_RECIPE, changed, mixture_of, plan_stage
from tiny import CHATML, build_model, build_tokenizer, save_student

from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.prompting.asked import Asked
from caft.prompting.settings import PerKind, Prompt, QuestionTexts
from caft.running.blocks import Cache
from caft.store import Store, journal
from caft.store.check import check
from caft.store.compaction import compact
from caft.store.given_up import noted
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import read_json, write_csv, write_json
from caft.teacher import asking
from caft.teacher.acceptance import quarantine
from caft.teacher.asking import Setup
from caft.teacher.collect import collect_wanted
from caft.teacher.sections import read_teacher
from caft.training import train_planned

ITEMS = 6
STORE = Path("store")
USAGE = (7, 3)
PROMPT = Prompt(
    question=QuestionTexts(choice="{question}", open="{question}"),
    direct=PerKind(choice="", numeric="Number only.", text=""),
    cot=PerKind(choice="", numeric="Think.", text=""),
)
journal.FOLD_BYTES = 4000  # so that a job folds a journal of several answers before its end, too


def jobs_of(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what makes each job anew in the current folder.

    Args:
        folder: for the student that all of them share.
    """
    tokenizer = build_tokenizer(
        CHATML, ["<|im_start|>", "<|im_end|>", "<|pad|>"], eos_token="<|im_end|>",
        pad_token="<|pad|>", extra_special_tokens=["<|im_start|>"],
    )  # fmt: skip
    student = save_student(build_model(tokenizer, spread=0.3), tokenizer, folder / "student")
    return {
        "ask": lambda: Ask(student, ScriptedServer(answer)),
        "ask in batches": lambda: AskInBatches(student, BatchServer(answer_line)),
        "compact": Compact,
        "evaluate": lambda: Evaluate(student),
        "train": lambda: Train(student),
    }


def items(split: str) -> pd.DataFrame:
    """Return numeric items whose answer is 1."""
    rows = [
        {
            "item_id": f"{number * 2**29:08x}",
            "question": f"q{number}",
            "options": None,
            "answer": "1",
            "answer_kind": "numeric",
            "reference_rationale": None,
            "split": split,
        }
        for number in range(ITEMS)
    ]
    return pd.DataFrame(rows)


def answer(request: dict[str, Any], asked: int) -> dict[str, Any]:
    """Answer rightly; the text tells how often this was asked before."""
    return reply(f"answer {asked} to {question(request)} [[1]]" + " so" * 100, usage=USAGE)


def answer_line(key: str, body: dict[str, Any]) -> dict[str, Any]:
    """The same of a batch."""
    return answer(body, 0)


def texts() -> dict[str, str]:
    """Return the text of every stored answer by key."""
    store = Store(STORE)
    return {key: record["text"] for key, record in store.get(store.keys()).items()}


class Ask:
    """Buys rationales and writes their table."""

    # The time limit is for a busy machine: a request that is given up is asked again, rightly.
    spec: ClassVar[dict[str, Any]] = {"concurrency": 3, "timeout_s": 120.0}

    def __init__(self, student: Path, server: ScriptedServer) -> None:
        """Start the endpoint."""
        self.student, self.server = student, server
        self.server.__enter__()
        self.received, self._tell = os.pipe()

    def act(self) -> None:
        """Buy them, as `generate_rationales` does."""
        tell = self._tell

        class Told(Store):
            def append(self, records: Any) -> None:
                records = list(records)
                super().append(records)
                os.write(tell, "".join(f"{record['key']}\n" for record in records).encode())

        teacher = read_teacher({**SPEC, **self.spec, "base_url": self.server.url})
        setup = Setup("teachers.big", teacher, CPU, self.student / "student.json", STORE)
        wanted = items("train")
        asking.Store = Told
        table = collect_wanted(wanted, set(wanted["item_id"]), setup, PROMPT, 1)
        parquet.write("rationales", table, "rationales.parquet")
        write_csv("quarantine.csv", quarantine(parquet.read("rationales", "rationales.parquet")))

    def after_strike(self) -> None:
        """No answer that counted as received is missing."""
        os.close(self._tell)
        with os.fdopen(self.received) as told:
            received = set(told.read().split())
        self.received, self._tell = os.pipe()
        self.before = texts()
        assert received <= self.before.keys(), "an answer is lost"
        assert check(STORE).damage == [], "damage"
        self.requests = self.bought()
        self.check_bill()

    def bought(self) -> int:
        """Return how many requests have come; first wait for those on the wire."""
        count = -1
        while count < (count := sum(self.server.answered.values())):
            time.sleep(0.02)
        return len(self.server.requests)

    def check_bill(self) -> None:
        """What was answered lies between what is stored and that with what is given up."""
        billed = sum(self.server.answered.values())
        known = Store(STORE).table(["key"]).num_rows
        unknown = sum(lost.requests for lost in noted(STORE))
        assert known <= billed <= known + unknown, f"{known}, {billed}, {unknown} not in order"

    def at_end(self) -> None:
        """Nothing was bought again; all is there."""
        os.close(self.received)
        os.close(self._tell)
        self.server.__exit__(None, None, None)
        now = texts()
        assert len(now) == ITEMS and self.before.items() <= now.items(), "an answer is lost"
        self.check_again(now)
        self.check_bill()
        assert Store(STORE).table(["key"]).num_rows == ITEMS, "an answer is stored twice"
        assert check(STORE).damage == [] and not list(STORE.glob("journals/*")), "not folded"
        rationales = parquet.read("rationales", "rationales.parquet")
        assert list(rationales["accepted"]) == [True] * ITEMS
        assert dict(zip(rationales["key"], rationales["text"], strict=True)) == now
        assert Path("quarantine.csv").read_text().count("\n") == 1

    def check_again(self, now: dict[str, str]) -> None:
        """The second run asked for what was not stored, and for nothing else."""
        asked = len(self.server.requests) - self.requests
        assert asked == ITEMS - len(self.before), f"{asked} asked again"


class AskInBatches(Ask):
    """The same by the batch interface: two batches."""

    spec: ClassVar[dict[str, Any]] = {"batch": True, "batch_max_requests": 3, "timeout_s": 120.0}

    def check_bill(self) -> None:
        """What was submitted once is not submitted again, stored or not."""
        submitted = self.server.submitted
        assert len(submitted) == len(set(submitted)), "bought twice"

    def check_again(self, now: dict[str, str]) -> None:
        """No note of a batch is left behind."""
        assert not list(STORE.glob("batches/*")), "a batch is left open"


class Compact:
    """Merges the segments and journals of a store with a duplicate and a dropped answer."""

    def __init__(self) -> None:
        """Fill the store."""
        for keys in ("ab", "bc", "d"):
            with Store(STORE) as store:
                store.append({"key": key, "text": key * 50} for key in keys)
        Store(STORE).append([{"key": "e", "text": "e" * 50}])  # its journal is not folded
        self.whole = texts()

    def act(self) -> None:
        """Compact, as `caft store compact` does."""
        compact(STORE)

    def after_strike(self) -> None:
        """Everything is there."""
        assert texts() == self.whole, "an answer is lost"
        assert check(STORE).damage == [], "damage"

    def at_end(self) -> None:
        """Everything is there, in one segment."""
        self.after_strike()
        assert len(list(STORE.glob("segments/*.parquet"))) == 1, "not compact"


class Evaluate:
    """Asks a student in blocks and writes the predictions."""

    whole: ClassVar[dict[str, bytes]] = {}  # what an undisturbed run writes

    def __init__(self, student: Path) -> None:
        """Name the student."""
        self.student = student

    def act(self) -> None:
        """Ask, as `evaluate_model` does."""
        limits = {"max_new_tokens": {"direct": 2, "cot": 4}}
        table, spec, run = evaluate_model(
            Asked(items("test"), PROMPT, 1),
            Way("test", "direct"),
            Subject(self.student / "student.json", None, CPU),
            Evaluation.model_validate(limits),
            Cache(Path("blocks"), block_items=2),
        )
        parquet.write("predictions", table, "predictions.parquet", spec)
        write_json("predictions.run.json", {"blocks": run["blocks"]})

    def _blocks(self) -> dict[str, int]:
        return {str(path): path.stat().st_ino for path in Path("blocks").glob("*/*.parquet")}

    def after_strike(self) -> None:
        """Remember which blocks are complete: under its name a block is whole."""
        self.before = self._blocks()
        for path in self.before:
            parquet.read("predictions", path)

    def at_end(self) -> None:
        """Complete blocks were kept, and the table has the bytes that it always has."""
        assert self.before.items() <= self._blocks().items(), "a block was computed again"
        written = {name: Path(name).read_bytes() for name in _WRITTEN}
        Evaluate.whole = Evaluate.whole or written
        assert written == Evaluate.whole, "another table"


_WRITTEN = ("predictions.parquet", "predictions.run.json")


class Train:
    """Trains a stage with a checkpoint at every step, and keeps its epochs."""

    whole: ClassVar[dict[str, Any]] = {}  # what an undisturbed run records

    def __init__(self, student: Path) -> None:
        """Plan the stage."""
        recipe = changed(TINY_RECIPE, keep_epochs=True)
        self.stage = plan_stage(Path(), student, recipe, 2, mixture_of(range(4)))

    def act(self) -> None:
        """Train, as `train_stage` does."""
        record = train_planned(self.stage, Path("model"), CPU, None, 1e-9)
        write_json("model/model.json", record)

    def after_strike(self) -> None:
        """A record is never there before its weights are: the second run would trust it."""

    def at_end(self) -> None:
        """Weights and losses are those of an undisturbed training, to the last bit."""
        record = read_json("model/model.json")
        names = ("weights_sha256", "history", "steps", "epochs", "files")
        found = json.loads(json.dumps({name: record[name] for name in names}))
        Train.whole = Train.whole or found
        assert found == Train.whole, "another model"
        assert not Path("model/trainer").exists(), "checkpoints are left"
