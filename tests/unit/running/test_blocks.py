import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from caft.complexity import forward
from caft.complexity.generations import Sampling, generate_with_student
from caft.complexity.likelihoods import likelihoods_with_student
from caft.complexity.score import score_with_student
from caft.errors import CaftError
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.prompting.asked import Asked
from caft.running import blocks
from caft.running.blocks import Shard, divide, merge_shards
from caft.students.opened import Subject
from caft.students.settings import TokensPerMode
from caft.tables import parquet
from caft.tables.files import write_json
from caft.tables.hashing import item_id

EVALUATION = Evaluation(max_new_tokens=TokensPerMode(direct=4, cot=8), batch_size=4)


def question(number):
    """An item; every third is a choice, every fourth has a worked solution."""
    choice = number % 3 == 0
    text, options = f"What is {number} + 5 ? " + "so " * (number % 5), ["4", "7"]
    answer = "B" if choice else str(number + 5)
    return {
        "item_id": item_id(text, options if choice else None, answer),
        "question": text,
        "options": options if choice else None,
        "answer": answer,
        "answer_kind": "choice" if choice else "numeric",
        "reference_rationale": f"{number} and 5." if number % 4 == 0 else None,
        "split": "test" if number % 2 else "train",
    }


def questions(numbers):
    return pd.DataFrame([question(number) for number in numbers])


@pytest.fixture
def items():
    """Forty questions, in blocks of about four by the fixture `small`."""
    return questions(range(40))


@pytest.fixture
def small(cache):
    """A cache of blocks of a few items."""
    return replace(cache, block_items=4)


@pytest.fixture
def jobs(student, letters, engine):
    """Every job that works in blocks: from items and a cache to a table and its schema."""
    subject = Subject(student / "student.json", None, engine)
    drawn = {"samples": 2, "temperature": 1.0}

    def score(items, cache):
        return score_with_student(Asked(items, letters, 1), subject, cache)

    def think(items, cache, **sampling):
        asked = Asked(items, letters, 1)
        return generate_with_student(asked, subject, EVALUATION, cache, Sampling(**sampling))

    def measure(items, cache):
        return likelihoods_with_student(Asked(items, letters, 1), subject, cache)

    def answer(items, cache):
        asked = Asked(items, letters, 1)
        return evaluate_model(asked, Way("test", "cot"), subject, EVALUATION, cache)

    return {
        "scores": ("scores", score),
        "chains": ("generations", think),
        "samples": ("generations", lambda items, cache: think(items, cache, **drawn)),
        "likelihoods": ("likelihoods", measure),
        "predictions": ("predictions", answer),
    }


@pytest.fixture
def scored(monkeypatch):
    """Count the items that go through the model when scores are computed."""
    counted = []

    def count(model, tokenizer, batch, *rest):
        counted.extend(row.index for row in batch)
        return score_batch(model, tokenizer, batch, *rest)

    score_batch = forward.score_batch
    monkeypatch.setattr(forward, "score_batch", count)
    return counted


def written(name, made, path):
    """Write a job's table and run record, as its script does; return the table's bytes."""
    table, spec, run = made
    parquet.write(name, table, path, spec, code=1)
    write_json(path.with_suffix(".run.json"), run)
    return path.read_bytes()


def files(cache):
    return {path: path.stat().st_mtime_ns for path in cache.folder.rglob("*.parquet")}


def test_items_are_divided_by_their_ids_into_a_power_of_two_of_blocks():
    ids = [f"{number:x}fffffff00000000" for number in reversed(range(16))]
    assert divide(ids, 16) == {0: list(reversed(range(16)))}
    assert divide(ids, 15) == {0: [15, 14, 13, 12, 11, 10, 9, 8], 1: [7, 6, 5, 4, 3, 2, 1, 0]}
    assert divide(ids, 4) == {
        0: [15, 14, 13, 12],
        1: [11, 10, 9, 8],
        2: [7, 6, 5, 4],
        3: [3, 2, 1, 0],
    }
    assert list(divide(ids[:8], 1)) == [4, 5, 6, 7], "blocks without items are left out"


def test_an_item_more_changes_one_block(items):
    ids = list(items["item_id"])
    one, more = divide(ids, 4), divide([*ids, question(99)["item_id"]], 4)
    assert len(one) > 8
    changed = [number for number in more if more[number] != one.get(number)]
    assert len(changed) == 1 and 40 in more[changed[0]]


def test_a_shard_has_its_share_of_the_items(items):
    assert Shard.named("") == Shard(0, 1)
    assert Shard.named(".shards/2-of-7") == Shard(1, 7)
    held = [[shard.has(key) for shard in map(Shard, range(3), [3] * 3)] for key in items["item_id"]]
    assert {sum(row) for row in held} == {1}
    assert all(any(column) for column in zip(*held, strict=True))


@pytest.mark.parametrize("name", ["scores", "chains", "samples", "likelihoods", "predictions"])
def test_one_job_and_seven_make_the_same_bytes(name, jobs, items, small, tmp_path):
    kind, run = jobs[name]
    made = run(items, small)
    alone = written(kind, made, tmp_path / "alone.parquet")
    assert len(made[2]["blocks"]) > 7 or name == "predictions"
    other = replace(small, folder=tmp_path / "other")
    paths = [tmp_path / f"{number}-of-7.parquet" for number in (1, 2, 3, 4, 5, 6, 7)]
    for number, path in enumerate(paths):
        # In any order of the rows.
        written(kind, run(items[::-1], replace(other, shard=Shard(number, 7))), path)
    assert len(files(other)) == len(files(small)) > 4
    table, footer, record = merge_shards(paths)
    assert footer["spec"] == parquet.footer(tmp_path / "alone.parquet")["spec"]
    assert written(kind, (table, footer["spec"], record), tmp_path / "whole.parquet") == alone
    assert {**record, "seconds": 0} == {**made[2], "seconds": 0}


def test_another_number_of_jobs_computes_nothing_again(jobs, items, small, scored, tmp_path):
    _, run = jobs["scores"]
    for number in range(3):
        run(items, replace(small, shard=Shard(number, 3)))
    assert len(scored) == 40
    table, _, _ = run(items, small)
    for number in range(2):
        run(items, replace(small, shard=Shard(number, 2)))
    assert len(scored) == 40 == len(table)


def test_a_shard_without_blocks_is_an_empty_table(jobs, items, cache, tmp_path):
    for name in ("scores", "chains", "predictions"):
        kind, run = jobs[name]
        paths = [tmp_path / f"{name}.{number}.parquet" for number in range(2)]
        for number, path in enumerate(paths):
            written(kind, run(items, replace(cache, shard=Shard(number, 2))), path)
        assert len(parquet.read(kind, paths[1])) == 0 < len(parquet.read(kind, paths[0]))
        assert len(merge_shards(paths)[0]) == len(parquet.read(kind, paths[0]))


def test_a_table_names_the_cards_of_its_blocks_and_tells_of_unlike_ones(
    jobs, items, small, tmp_path, monkeypatch, caplog
):
    """The card is no part of the key: blocks of another one are found and used."""
    kind, run = jobs["scores"]
    monkeypatch.setattr(logging.getLogger("caft"), "propagate", True)
    paths = [tmp_path / f"{number}.parquet" for number in range(2)]
    for number, card in enumerate(["H100, CUDA 12.8, driver 550.1", "A100, CUDA 12.8, driver 1"]):
        monkeypatch.setattr(blocks, "_card", lambda key, card=card: {"gpu": card})
        made = run(items, replace(small, shard=Shard(number, 2)))
        assert made[1]["gpus"] == made[2]["gpus"] == [card]
        written(kind, made, paths[number])
    assert "unlike cards" not in caplog.text
    _, spec, told = run(items, small)
    assert (
        spec["gpus"]
        == told["gpus"]
        == ["A100, CUDA 12.8, driver 1", "H100, CUDA 12.8, driver 550.1"]
    )
    assert caplog.text.count("unlike cards, which round otherwise: A100") == 1
    _, footer, record = merge_shards(paths)
    assert footer["spec"] == spec and record["gpus"] == spec["gpus"]
    assert caplog.text.count("unlike cards, which round otherwise: A100") == 2


def test_only_what_a_gpu_computes_names_one(monkeypatch):
    monkeypatch.setattr(blocks.devices, "card", lambda: "H100")
    assert blocks._card({"device": "cuda"}) == {"gpu": "H100"}
    assert blocks._card({"device": "cpu"}) == {}


def test_shards_that_were_made_differently_are_not_joined(tmp_path):
    for number, device in enumerate(["cpu", "cuda"]):
        table = pd.DataFrame({"item_id": [str(number)]})
        run = {"seconds": 1.0, "blocks": []}
        written("scores", (table, {"device": device}, run), tmp_path / f"{number}.parquet")
    with pytest.raises(CaftError, match=r"1\.parquet: was made with device cuda, .*0\.parquet"):
        merge_shards([tmp_path / "0.parquet", tmp_path / "1.parquet"])


def test_an_added_or_edited_item_costs_one_block(jobs, items, small, scored):
    _, run = jobs["scores"]
    before = run(items, small)[2]["blocks"]
    scored.clear()
    added = run(pd.concat([items, questions([99])]), small)[2]["blocks"]
    assert len(set(added) - set(before)) == 1
    assert 0 < len(scored) < 12
    # Another wrong option: the id of an item is a hash of its content.
    edited = items.copy()
    edited.loc[0, "item_id"] = edited.loc[0, "item_id"][:8] + "00000000"
    edited.at[0, "options"] = ["5", "7"]
    scored.clear()
    changed = run(edited, small)[2]["blocks"]
    assert len(set(changed) - set(before)) == 1
    assert 0 < len(scored) < 12


def test_a_moved_split_computes_nothing(jobs, items, small, scored):
    _, run = jobs["scores"]
    assert set(run(items, small)[0]["split"]) == {"train", "test"}
    scored.clear()
    table, _, _ = run(items.assign(split="test"), small)
    assert set(table["split"]) == {"test"} and scored == []


@pytest.mark.parametrize(
    "change",
    [
        {"token_budget": 77},
        {"dtype": "bfloat16"},
        {"attention": "eager"},
    ],
)
def test_what_changes_results_is_computed_anew(
    change, student, items, letters, engine, small, scored
):
    asked, subject = Asked(items, letters, 1), Subject(student / "student.json", None, engine)
    one = score_with_student(asked, subject, small)[2]["blocks"]
    scored.clear()
    changed = replace(subject, engine=engine.model_copy(update=change))
    again = score_with_student(asked, changed, small)
    assert len(scored) == 40 and not set(one) & set(again[2]["blocks"])


def test_examples_in_the_prompt_belong_to_the_block(student, items, letters, engine, small, scored):
    asked = Asked(items, letters.model_copy(update={"few_shot": 2}), 1)
    subject = Subject(student / "student.json", None, engine)
    score_with_student(asked, subject, small)
    scored.clear()
    score_with_student(asked, subject, small)
    assert scored == []
    score_with_student(replace(asked, seed=2), subject, small)
    assert len(scored) == 40, "another seed draws other examples"


def test_seconds_are_those_of_the_blocks_whoever_computed_them(jobs, items, small):
    _, run = jobs["chains"]
    for number in range(2):
        run(items, replace(small, shard=Shard(number, 2)))
    kept = [parquet.footer(path)["spec"]["amounts"] for path in files(small)]
    whole = run(items, small)[2]
    assert whole["seconds"] == pytest.approx(sum(block["seconds"] for block in kept))
    assert whole["seconds"] > 0
    assert whole["new_tokens"] == sum(block["new_tokens"] for block in kept) > 40


def test_blocks_that_are_there_are_told_and_count_as_done(jobs, items, small, caplog, monkeypatch):
    monkeypatch.setattr("caft.running.jobs._SECONDS_BETWEEN_LINES", 0.0)
    _, run = jobs["scores"]
    for number in (1, 2):
        run(items, replace(small, shard=Shard(number, 3)))
    there = sum(len(parquet.read("scores", path)) for path in files(small))
    caplog.set_level("INFO", logger="caft")
    caplog.clear()
    blocks = len(run(items, small)[2]["blocks"])
    lines = [record.getMessage() for record in caplog.records]
    assert f"of {blocks} blocks are there from before ({there} of 40 items)" in lines[0]
    done = [int(line.split(": ")[1].split("/")[0]) for line in lines[1:]]
    assert min(done) >= there and max(done) == 40


_DRIVER = """
import json, os, signal, sys
from pathlib import Path
import pandas as pd
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache
from caft.complexity import forward
from caft.complexity.score import score_with_student
from caft.prompting.asked import Asked
from caft.running.settings import Engine
from caft.students.opened import Subject

given = json.loads(sys.stdin.read())
score_batch, left = forward.score_batch, [given["batches"]]

def counting(*arguments):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return score_batch(*arguments)

forward.score_batch = counting
items = pd.DataFrame(given["items"]).replace({float("nan"): None})
table, _, run = score_with_student(
    Asked(items, Prompt.model_validate(given["letters"]), 1),
    Subject(Path(given["student"]), None, Engine.model_validate(given["engine"])),
    Cache(Path(given["folder"]), block_items=4),
)
heavy = sorted({"torch", "transformers"} & set(sys.modules))
print(json.dumps({"items": len(table), "heavy": heavy}))
"""


@pytest.fixture
def process(student, items, letters, engine, small):
    """Score the items in a process of its own, which kills itself after so many batches."""

    def run(batches):
        given = {
            "items": items.to_dict("records"),
            "student": str(student / "student.json"),
            "letters": letters.plain(),
            "engine": engine.plain(),
            "folder": str(small.folder),
            "batches": batches,
        }
        return subprocess.run(
            [sys.executable, "-c", _DRIVER],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(forward.__file__).parents[2])},
        )

    return run


def test_a_killed_job_goes_on_after_its_last_finished_block(
    process, jobs, items, small, cache, scored, tmp_path
):
    killed = process(batches=6)
    assert killed.returncode == -9, killed.stderr
    there = files(small)
    assert 0 < len(there) < len(divide(list(items["item_id"]), 4))
    finished = sum(len(parquet.read("scores", path)) for path in there)
    kind, run = jobs["scores"]
    rest = written(kind, run(items, small), tmp_path / "rest.parquet")
    assert len(scored) == 40 - finished
    assert {path: when for path, when in files(small).items() if path in there} == there
    fresh = replace(small, folder=tmp_path / "fresh")
    assert written(kind, run(items, fresh), tmp_path / "fresh.parquet") == rest


def test_no_model_is_loaded_where_every_block_is_there(process, jobs, items, small):
    jobs["scores"][1](items, small)
    done = process(batches=0)
    assert json.loads(done.stdout) == {"items": 40, "heavy": []}, done.stderr
    assert len(files(small)) == len(divide(list(items["item_id"]), 4))


def test_a_damaged_block_says_what_to_do(jobs, items, small):
    _, run = jobs["scores"]
    run(items, small)
    block = next(iter(files(small)))
    block.write_bytes(b"PAR1")
    with pytest.raises(CaftError, match=f"{block.name}.*delete it and run again"):
        run(items, small)
