"""A provider, an adapter and a parser of one's own are a file and a line each."""

import difflib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROVIDER = '''\
"""A paid service that always says the same."""

from typing import Literal

from caft.settings import key
from caft.teacher import Answer, Provider, lots
from caft.teacher.money.budget import teacher_price
from caft.teacher.settings import Asked


class Oracle(Asked):
    provider: Literal["oracle"]
    says: str = key("What it says.")


class OracleTeacher:
    varies, decoding = False, {}

    def __init__(self, settings, tokenizer, here):
        self.says, self.cost = settings.says, teacher_price(settings, 1, 1)

    def identify(self, item):
        return "oracle", "1"

    def answer(self, requests):
        for lot in lots(requests):
            yield [Answer(r.key, self.says, None, "stop", 1, 1, self.cost, 0.0, {}) for r in lot]


PROVIDER = Provider(Oracle, OracleTeacher)
'''
ADAPTER = '''\
"""Sums, one a line: `1 + 2 = 3`."""

from pathlib import Path
from typing import Literal

from caft.datasets import Adapter, RawRows
from caft.datasets.settings import DatasetSettings
from caft.settings import key


class Sums(DatasetSettings):
    adapter: Literal["sums"]
    path: str = key("The file.")

    def files(self):
        return [self.path]


def read(settings, seed, downloads):
    raw = RawRows([], "numeric")
    unknown = dict.fromkeys(("options", "category", "rationale", "split"))
    for row, line in enumerate(Path(settings.path).read_text().splitlines(), start=1):
        question, answer = line.split(" = ")
        place = {"file": settings.path, "row": row, "source_id": str(row)}
        raw.rows.append({**unknown, **place, "question": question, "answer": answer})
    return raw


ADAPTER = Adapter(Sums, read)
'''
PARSER = '''\
"""What the last {...} of a text holds."""

import re

from caft.prompting.parsers import Parser


def braced(text):
    found = re.findall(r"{(.*?)}", text)
    return found[-1] if found else None


PARSER = Parser((braced,))
'''
ADDED = {
    "caft/teacher/oracle.py": PROVIDER,
    "caft/datasets/sums.py": ADAPTER,
    "caft/prompting/parsers/braced.py": PARSER,
}
# In which file which line is added after which.
LINES = {
    "caft/teacher/__init__.py": ('"local": ".local",', '"oracle": ".oracle",'),
    "caft/datasets/__init__.py": ('"hub": ".hub",', '"sums": ".sums",'),
    "caft/prompting/parsers/__init__.py": (
        '"marked": ".stated:PARSERS",',
        '"braced": ".braced",',
    ),
}
OVERLAY = """\
run: {datasets: [own]}
datasets:
  own: {adapter: sums, path: sums.txt, splits: {train: 0.5, test: 0.5}}
teachers:
  paid: {provider: oracle, says: "It is {3}.", parser: braced}
teacher: paid
judges:
  strict: {provider: oracle, says: "[[high]]"}
"""
USE = """\
import json
from pathlib import Path
import caft
from caft.config.prepare import prepare
from caft.config.reading import read_files
from caft.datasets import load, read_section
from caft.datasets.ingest import ingest
from caft.prompting.answers import parse
from caft.tables.parquet import records
from caft.teacher import Here, make_teacher
from caft.teacher.money.budget import teacher_price
from caft.teacher.records import make_request
from caft.teacher.sections import read_teacher

config = prepare(read_files([Path("config.yaml"), Path("own.yaml")]))
own = read_section(config.datasets["own"].plain())
paid = read_teacher(config.teachers["paid"].plain())
items = ingest(load(own, 1, Path("downloads")), own.splits, 1, "own", 0.1).items
teacher = make_teacher(paid, None, Here(Path("store")))
item = records(items)[0]
((answer,),) = teacher.answer([make_request(teacher, item, [], 0)])
print(json.dumps({
    "from": caft.__path__[0],
    "providers": [config.teachers["paid"].provider, config.judges["strict"].provider],
    "files": own.files(),
    "items": items[["question", "answer"]].values.tolist(),
    "text": answer.text,
    "read": parse(answer.text, paid.parser, item["answer_kind"], 0),
    "costs": [answer.cost_usd, teacher_price(paid, 1_000_000, 1_000_000)],
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a copy of the code to which the three were added."""
    folder = tmp_path_factory.mktemp("added")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in ADDED.items():
        (folder / "src" / path).write_text(text)
    for path, (after, added) in LINES.items():
        text = (folder / "src" / path).read_text()
        assert text.count(after) == 1
        (folder / "src" / path).write_text(text.replace(after, f"{after}\n        {added}"))
    shutil.copy(ROOT / "config.yaml", folder)
    (folder / "own.yaml").write_text(OVERLAY)
    (folder / "sums.txt").write_text("1 + 2 = 3\n2 + 2 = 4\n")
    return folder


@pytest.fixture(scope="module")
def used(folder):
    """Return what a process says that uses the three."""
    own = {**os.environ, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=folder, env=own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_is_a_short_file_and_one_line_elsewhere(folder):
    assert max(len(text.splitlines()) for text in ADDED.values()) <= 30
    changed = {}
    for path in (ROOT / "src").rglob("*.py"):
        name = path.relative_to(ROOT / "src").as_posix()
        before, after = path.read_text(), (folder / "src" / name).read_text()
        lines = difflib.ndiff(before.splitlines(), after.splitlines())
        if count := sum(line[0] in "+-" for line in lines if before != after):
            changed[name] = count
    assert changed == dict.fromkeys(LINES, 1)


def test_the_configuration_accepts_them(folder, used):
    assert used["from"] == str(folder / "src/caft")
    assert used["providers"] == ["oracle", "oracle"]


def test_the_adapter_reads_its_file_which_is_an_input_of_the_job(used):
    assert used["files"] == ["sums.txt"]
    assert used["items"] == [["1 + 2", "3"], ["2 + 2", "4"]]


def test_the_provider_answers_and_the_parser_reads_the_answer(used):
    assert (used["text"], used["read"]) == ("It is {3}.", "3")


def test_without_prices_the_cost_of_a_paid_provider_is_unknown(used):
    assert used["costs"] == [None, None]
