"""Questions in files of a pinned package."""

import gzip
import hashlib
import json
import re
import zipfile

import pytest
import yaml
from raw_rows import loaded

from caft.config.reading import parse
from caft.datasets import RETIRED, read_section
from caft.errors import ConfigError, ModelError
from caft.students import packages

PROMPT = (
    "The following are questions.\n\nQ: Which is even?\n(A) 1 (B) 2 (C) 3 (D) 5\n"
    "A: Let's think step by step. Two is 2 x 1. The answer is (B).\n\n"
)
ROWS = [{"doc": {"q": f"{n} + 1?", "a": str(n + 1), "level": "Level 1"}} for n in range(3)]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


MEMBERS = {
    "demo/a.jsonl": lines(ROWS[:2]),
    "demo/b.jsonl.gz": gzip.compress(lines(ROWS[2:]), mtime=0),
    "demo/prompts.json": json.dumps({"tests": PROMPT}).encode(),
    "../evil": b"x",
}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A wheel that pip would download; its hash and how often it was downloaded."""
    wheel = tmp_path / "index" / "demo-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    asked = []
    monkeypatch.setattr(packages, "_download", lambda *given: asked.append(given) or wheel)
    return hashlib.sha256(wheel.read_bytes()).hexdigest(), asked


def section(sha256, *members, **changes):
    plain = {
        "adapter": "package",
        "package": "demo==1.0",
        "wheel_sha256": sha256,
        "members": list(members),
        "answer_kind": "numeric",
        "columns": {"question": "doc.q", "answer": "doc.a", "more": {"level": "doc.level"}},
        "splits": {"train": 0.5, "test": 0.5},
    }
    return read_section({**plain, **changes})


def test_rows_of_all_members_are_read_and_nothing_else_is_unpacked(index, tmp_path):
    settings = section(index[0], "demo/a.jsonl", "demo/b.jsonl.gz")
    raw = loaded(settings, 1, tmp_path / "downloads")
    assert [(row["source_id"], row["question"], row["more"]["level"]) for row in raw.rows] == [
        ("demo/a.jsonl/1", "0 + 1?", "Level 1"),
        ("demo/a.jsonl/2", "1 + 1?", "Level 1"),
        ("demo/b.jsonl.gz/1", "2 + 1?", "Level 1"),
    ]
    assert not list(tmp_path.rglob("evil")) and not list(tmp_path.rglob("prompts.json"))


def test_a_wheel_is_downloaded_once_and_looked_at_each_time(index, tmp_path):
    settings, (_, asked) = section(index[0], "demo/a.jsonl"), index
    for _ in range(2):
        loaded(settings, 1, tmp_path / "downloads")
    assert len(asked) == 1
    (kept,) = (tmp_path / "downloads").rglob("*.whl")
    kept.write_bytes(kept.read_bytes() + b"x")
    assert len(loaded(settings, 1, tmp_path / "downloads").rows) == 2
    assert len(asked) == 2


def test_another_wheel_than_the_pinned_one_is_refused(index, tmp_path):
    with pytest.raises(ModelError, match=f"has sha256 {index[0]}, expected {'0' * 64}"):
        loaded(section("0" * 64, "demo/a.jsonl"), 1, tmp_path / "downloads")
    assert not list((tmp_path / "downloads").rglob("*.whl"))


def test_a_member_that_is_not_there_is_named_with_one_that_is(index, tmp_path):
    with pytest.raises(ModelError, match=r"no file 'demo/b\.jsonl'; did you mean 'demo/a\.jsonl'"):
        loaded(section(index[0], "demo/b.jsonl"), 1, tmp_path / "downloads")


@pytest.mark.parametrize("member", ["../evil", "/etc/passwd"])
def test_a_member_outside_the_wheel_is_refused(member):
    problems = list(section("0" * 64, member).problems())
    assert problems == [("members", f"{member!r} is no path inside a wheel.")]


def test_worked_prompts_are_rows_with_columns(index, tmp_path):
    columns = {"question": "question", "options": "options", "answer": "answer", "id": "id"}
    columns |= {"rationale": "rationale", "category": "subject"}
    given = {"format": "worked_prompts", "columns": columns, "answer_kind": "choice"}
    raw = loaded(section(index[0], "demo/prompts.json", **given), 1, tmp_path / "downloads")
    (row,) = raw.rows
    assert (row["source_id"], row["category"], row["answer"]) == ("tests/1", "tests", "B")
    assert (row["options"], row["rationale"]) == (["1", "2", "3", "5"], "Two is 2 x 1.")


def test_what_the_message_about_mmlu_dev_says_is_a_section_that_reads():
    raw = {"datasets": {"mmlu": {"adapter": "mmlu_dev", "splits": {"train": 0.5, "test": 0.5}}}}
    with pytest.raises(ConfigError) as error:
        parse(raw)
    (told,) = (one for one in str(error.value).splitlines() if "datasets.mmlu" in one)
    assert RETIRED["mmlu_dev"] in told
    keys = yaml.safe_load(re.search(r"\{.*\}", told)[0])
    settings = read_section({**raw["datasets"]["mmlu"], **keys})
    assert list(settings.problems()) == [] and settings.format == "worked_prompts"
