"""The shipped workflow with divided work: the same tables, and blocks that are computed once."""

import copy

import pandas as pd
import pytest
from harness import Project, questions, write_questions

from caft.tables import parquet

COUNT = 1100  # four blocks for all items, one for the reported split
SCORES = "data/scores/mine/tiny/base/letters.parquet"


@pytest.fixture(scope="module")
def divided(config):
    """A config whose work is divided over three jobs everywhere."""
    changed = copy.deepcopy(config)
    changed["students"]["tiny"]["warm_up"] = None
    shards = dict.fromkeys(["scores", "generations", "rationales", "evaluation"], 3)
    changed["engine"] = {**config["engine"], "shards": shards}
    return changed


def undivided(config):
    return {**config, "engine": {**config["engine"], "shards": {}}}


def blocks(project, kind="scores"):
    found = project.folder.glob(f"data/blocks/{kind}/*.parquet")
    return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def many(divided, tmp_path_factory):
    """A project of many items, scored by three jobs."""
    folder = tmp_path_factory.mktemp("many")
    changed = copy.deepcopy(divided)
    changed["datasets"]["mine"]["path"] = str(folder / "sums.jsonl")
    write_questions(folder / "sums.jsonl", questions(COUNT))
    project = Project(folder / "project", changed)
    first = project.run(SCORES)
    assert first.rules["score_items"] == 3 and first.rules["merge_shards"] == 1
    return project


def test_three_jobs_score_every_item_once(many):
    assert len(blocks(many)) == 4
    whole = parquet.read("scores", many.folder / SCORES)
    shares = [
        parquet.read("scores", path)["item_id"]
        for path in many.folder.glob("data/scores/**/*-of-3.parquet")
    ]
    assert len(shares) == 3 and all(len(share) > 100 for share in shares)
    assert sorted(whole["item_id"]) == sorted(pd.concat(shares))
    assert len(whole) == COUNT


def test_one_job_reads_what_three_have_computed(many):
    made, before = (many.folder / SCORES).read_bytes(), blocks(many)
    divided = many.config
    many.write(undivided(divided))
    alone = many.run(SCORES)
    assert alone.rules["score_items"] == 1 and not alone.rules["merge_shards"]
    assert "4 of 4 blocks are there from before (1100 of 1100 items)" in alone.output
    assert (many.folder / SCORES).read_bytes() == made
    assert blocks(many) == before
    many.write(divided)


def test_an_added_item_costs_one_block(many):
    before = blocks(many)
    write_questions(many.folder.parent / "sums.jsonl", questions(COUNT + 1))
    more = many.run(SCORES)
    assert more.rules["score_items"] == 3
    new = blocks(many).keys() - before.keys()
    assert len(new) == 1
    (block,) = [many.folder / "data/blocks/scores" / name for name in new]
    assert len(parquet.read("scores", block)) < COUNT / 3
    assert len(parquet.read("scores", many.folder / SCORES)) == COUNT + 1


def test_what_a_job_may_take_is_no_reason_to_run_again(many):
    changed = copy.deepcopy(many.config)
    changed["engine"] |= {"mem_mb": 900, "runtime": 10, "threads": 2}
    many.write(changed)
    assert "Nothing to be done" in many.run(SCORES).output


CHAINS = "data/generations/mine/tiny/base/letters.parquet"
ANSWERS = "results/predictions/mine/tiny/base.cot.parquet"


def whole_tables(project):
    """Every table that three jobs made, or one."""
    folders = ("scores", "generations", "rationales", "quarantine/rationales")
    files = [file for name in folders for file in (project.folder / "data" / name).rglob("*.*")]
    files.append(project.folder / ANSWERS)
    return {
        str(file.relative_to(project.folder)): file.read_bytes()
        for file in files
        if file.suffix in (".parquet", ".csv") and "-of-" not in file.name
    }


def test_divided_work_ends_like_work_in_one_piece(divided, tmp_path):
    divided = copy.deepcopy(divided)
    divided["run"]["strategies"] = ["complexity_aware"]
    divided["engine"]["shards"] |= {"generations": 2, "evaluation": 2}
    parts, one = Project(tmp_path / "parts", divided), Project(tmp_path / "one", undivided(divided))
    done = parts.run("rationales", CHAINS, ANSWERS).rules
    assert (done["score_items"], done["generate_chains"], done["merge_shards"]) == (3, 2, 3)
    assert (done["generate_rationales"], done["merge_rationales"]) == (3, 1)
    assert done["evaluate_model"] == 2
    one.run("rationales", CHAINS, ANSWERS)
    made = whole_tables(parts)
    assert len(made) == 5 and made == whole_tables(one)
    answers = parts.stored_keys()
    assert sorted(answers) == sorted(one.stored_keys()) and len(answers) == len(set(answers)) > 0
