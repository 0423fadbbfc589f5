import os
import time

import pytest

from caft.cli import main
from caft.errors import CaftError
from caft.mixtures.plan import Plan, PlannedStrategy, Trained
from caft.report.leftovers import find_unused
from caft.tables.files import read_json, write_json


@pytest.fixture
def run(tmp_path, monkeypatch, planned_stage):
    """A folder with a current, a recorded and a forgotten model, and a paid answer."""
    monkeypatch.chdir(tmp_path)
    for name in ("current", "recorded", "forgotten", "started"):
        write_json(f"results/models/{name}/adapter.json", {"weights": "x" * 100})
    for name in ("current", "recorded", "forgotten"):
        write_json(f"results/models/{name}/model.json", {})
        place = f"results/predictions/d/s/{name}.direct"
        write_json(f"{place}.run.json", {"blocks": [f"of_{name}"]})
        write(f"{place}.parquet")
        write(f"data/blocks/predictions/of_{name}.parquet")
    write("results/predictions/d/s/base.direct.parquet")
    write_json("data/scores/d/s/base/letters.run.json", {"blocks": ["scored"]})
    write("data/blocks/scores/scored.parquet")
    write("data/blocks/scores/older.parquet")
    write("data/store/teacher/journals/j.jsonl")
    trained = Trained("current", 1, [planned_stage(model="current")])
    plan = Plan({"sft": PlannedStrategy("direct", "default", None, {1: trained})})
    write_json("data/mixtures/d/s/1/plan.json", plan.json())
    finish()
    return tmp_path


BLOCK = "data/blocks/predictions/{}.parquet"


def write(path):
    write_json(path, "content")


def finish():
    write_json("results/provenance.json", {"models": ["recorded"]})


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


FORGOTTEN = {
    "results/models/forgotten/adapter.json",
    "results/models/forgotten/model.json",
    "results/models/started/adapter.json",
    "results/predictions/d/s/forgotten.direct.parquet",
    "results/predictions/d/s/forgotten.direct.run.json",
    "data/blocks/predictions/of_forgotten.parquet",
    "data/blocks/scores/older.parquet",
}


def test_without_remove_everything_stays(run, capsys):
    before = files(run)
    assert main(["clean"]) == 0
    told = capsys.readouterr().out
    assert files(run) == before
    assert "results/models/forgotten" in told and "would be removed; add --remove" in told
    assert "recorded" not in told and "store" not in told


def test_what_nothing_refers_to_is_removed_and_nothing_else(run, capsys):
    before = files(run)
    assert main(["clean", "--remove"]) == 0
    assert before - files(run) == FORGOTTEN
    assert "6 in all" in capsys.readouterr().out
    assert main(["clean"]) == 0
    assert "Nothing to remove" in capsys.readouterr().out


def test_models_of_further_records_are_kept(run):
    write_json("earlier.json", {"models": ["forgotten"]})
    main(["clean", "--remove", "--keep", "earlier.json"])
    assert "results/models/forgotten/model.json" in files(run)
    assert "results/models/started/adapter.json" not in files(run)


def test_the_best_epoch_of_a_model_in_use_is_in_use_with_what_chose_it(run):
    place = "results/predictions/d/s/current-best.direct"
    write_json(f"{place}.run.json", {"blocks": ["of_best"]})
    write_json("results/selection/d/s/current.json", {"epoch": 1, "blocks": ["chose"]})
    write_json("results/selection/d/s/forgotten.json", {"epoch": 1, "blocks": ["chose_no_more"]})
    for path in (f"{place}.parquet", *map(BLOCK.format, ("of_best", "chose", "chose_no_more"))):
        write(path)
    write("results/predictions/d/s/forgotten-best.direct.parquet")
    finish()
    before = files(run)
    main(["clean", "--remove"])
    assert before - files(run) == FORGOTTEN | {
        "results/predictions/d/s/forgotten-best.direct.parquet",
        BLOCK.format("chose_no_more"),
    }


def test_blocks_that_came_after_the_last_finished_run_are_left_to_the_next(run):
    write(BLOCK.format("of_a_killed_job"))
    os.utime(BLOCK.format("of_a_killed_job"), (time.time() + 9,) * 2)
    main(["clean", "--remove"])
    assert BLOCK.format("of_a_killed_job") in files(run)
    assert "data/blocks/scores/older.parquet" not in files(run)


def test_no_block_is_removed_before_a_run_has_finished(run):
    (run / "results/provenance.json").unlink()
    main(["clean", "--remove"])
    assert "data/blocks/scores/older.parquet" in files(run)
    assert "results/models/forgotten/model.json" not in files(run)


@pytest.mark.parametrize("content", ["{", "[]", '{"sft": {}}'])
def test_nothing_is_removed_if_a_plan_cannot_be_read(run, content):
    (run / "data/mixtures/d/s/1/plan.json").write_text(content)
    before = files(run)
    with pytest.raises(CaftError, match="plan.json: cannot be read"):
        find_unused(run, [])
    assert main(["clean", "--remove"]) == 1
    assert files(run) == before


def test_a_strategy_may_be_called_as_a_record_calls_its_models(run):
    path = "data/mixtures/d/s/1/plan.json"
    write_json(path, {"models": read_json(path)["sft"]})
    assert "results/models/current" not in {str(one.path) for one in find_unused(run, [])}


def test_a_folder_without_plans_and_records_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_json("results/models/somebodys/model.json", {})
    assert main(["clean", "--remove"]) == 1
    assert "says which models are in use" in capsys.readouterr().err
    assert files(tmp_path) == {"results/models/somebodys/model.json"}


def test_a_lost_record_is_told_before_anything_is_removed(run, capsys):
    before = files(run)
    assert main(["clean", "--remove", "--keep", "nowhere.json"]) == 1
    assert "nowhere.json: no such file" in capsys.readouterr().err
    assert files(run) == before


def test_a_folder_in_which_a_run_is_under_way_is_not_cleaned(run, capsys):
    write(".snakemake/locks/0.input.lock")
    before = files(run)
    assert main(["clean", "--remove"]) == 1
    assert "a run is under way" in capsys.readouterr().err
    assert files(run) == before
