from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from configurations import configuration

from caft.report.answering import Pair, adaptive_curve, answering_table, cap_curve
from caft.report.predictions import per_question
from caft.report.summary import read_all, summarize
from caft.tables import parquet
from caft.tables.files import read_json, write_json

IDS = [f"t{number}" for number in range(8)]
ENTROPIES = [0.1 * number for number in range(8)]
# Direct answers to the four sure items are right, chains to the four unsure ones and to t0.
DIRECT = [1, 1, 1, 1, 0, 0, 0, 0]
COT = [1, 0, 0, 0, 1, 1, 1, 1]


def predictions(correct, tokens, entropies=None, items=IDS):
    table = pd.DataFrame(
        {
            "item_id": items,
            "correct": np.array(correct, dtype=bool),
            "invalid": False,
            "new_tokens": tokens,
            "thought_tokens": 0,
            "finish_reason": "stop",
        }
    )
    return table if entropies is None else table.assign(first_token_entropy=entropies)


def write(name, table, seconds):
    place = f"results/predictions/sums/tiny/base.{name}"
    parquet.write("predictions", table, f"{place}.parquet")
    write_json(f"{place}.run.json", {"seconds": seconds, "energy_wh": None})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run of the untuned student with eight test and four validation items."""
    monkeypatch.chdir(tmp_path)
    seeds = {"1": {"final": "base", "items": 0, "stages": []}}
    base = {"trained_mode": "direct", "buckets": "default", "teacher": None, "seeds": seeds}
    write_json("data/mixtures/sums/tiny/1/plan.json", {"base": base})
    write("direct", predictions(DIRECT, 2, ENTROPIES), 1.0)
    write("cot", predictions(COT, 20), 16.0)
    held_out = [f"v{number}" for number in range(4)]
    write("direct-validation", predictions([1, 0, 0, 0], 2, [0.0, 0.2, 0.35, 0.5], held_out), 0.25)
    write("cot-validation", predictions([0, 1, 1, 1], 20, items=held_out), 4.0)
    buckets = pd.DataFrame({"item_id": IDS, "bucket": ["easy"] * 4 + ["hard"] * 4})
    parquet.write(
        "buckets", buckets.assign(sampled=False), "data/buckets/sums/tiny/default.parquet"
    )
    return {
        "run": {
            "datasets": ["sums"],
            "students": ["tiny"],
            "strategies": ["base"],
            "modes": ["direct", "cot", "adaptive"],
            "relevant_difference": 0.05,
        },
        "students": {"tiny": {"path": "tiny", "usd_per_million_tokens": 2.0}},
    }


def rows_of(run):
    return summarize(configuration(run), read_all(configuration(run)))[0].set_index("mode")


def test_the_validation_split_chooses_a_threshold_and_the_summary_has_a_row(run):
    row = rows_of(run).loc["adaptive"]
    assert (row["accuracy"], row["accuracy_easy"], row["accuracy_hard"]) == (0.875, 0.75, 1.0)
    assert row["written_tokens"] == 2 + 20 * 5 / 8, "above 0.2: t3 to t7"
    assert row["usd_per_1000"] == pytest.approx(14.5 * 2e-6 * 1000)
    assert row["evaluate_seconds"] == pytest.approx(1.0 + 16.0 * 5 / 8)
    assert row["seconds_per_1000"] == pytest.approx(11.0 / 8 * 1000)
    assert row["train_seconds"] == 4.25, "the choice of the threshold"
    assert rows_of(run).loc["cot", "train_seconds"] == 0


@pytest.mark.parametrize(("blocks", "seconds"), [(["b1", "b2"], 9.0), (["b1"], 13.0), ([], 13.0)])
def test_answers_that_choose_epoch_and_threshold_count_once(run, blocks, seconds):
    """The chains of the best epoch are those that it was chosen by; the direct answers are not."""
    stage = {
        "model": "aaaa", "parent": None, "mixture": "rows", "epochs": 1, "rows": 1,
        "answer_rows": 0, "rationale_rows": 1, "over_long": 0, "without_rationale": 0,
        "target_tokens_one_pass": 1, "target_tokens": 1, "all_tokens": 1,
    }  # fmt: skip
    seeds = {"1": {"final": "aaaa", "items": 1, "stages": [stage]}}
    tuned = {"trained_mode": "cot", "buckets": "default", "teacher": None, "seeds": seeds}
    write_json("data/mixtures/sums/tiny/1/plan.json", {"sft": tuned})
    record = {"target_tokens": 1, "all_tokens": 1, "seconds": 0.0, "energy_wh": None}
    write_json("results/models/aaaa/model.json", record)
    answers = {"epochs": [{"seconds": 5.0}, {"seconds": 3.75}], "blocks": blocks}
    write_json("results/selection/sums/tiny/aaaa.json", answers)
    for file in Path("results/predictions/sums/tiny").glob("base.*"):
        file.rename(file.with_name(file.name.replace("base", "aaaa-best")))
    place = "results/predictions/sums/tiny/aaaa-best.{}-validation.run.json"
    for mode, own in (("direct", ["d"]), ("cot", ["b1", "b2"])):
        taken = read_json(place.format(mode))
        write_json(place.format(mode), {**taken, "blocks": own})
    run["run"] |= {"strategies": ["sft"], "checkpoints": ["best"]}
    rows = rows_of(run)
    assert rows.loc["adaptive", "train_seconds"] == seconds
    assert rows.loc["cot", "train_seconds"] == 8.75


def test_a_quantile_needs_no_chains_of_the_validation_split(run, tmp_path):
    for end in ("parquet", "run.json"):
        (tmp_path / f"results/predictions/sums/tiny/base.cot-validation.{end}").unlink()
    run["run"]["adaptive"] = {"quantile": 0.75}
    row = rows_of(run).loc["adaptive"]
    assert row["written_tokens"] == 2 + 20 * 4 / 8, "above 0.35: t4 to t7"
    assert (row["accuracy"], row["train_seconds"]) == (1.0, 0.25)


def test_without_a_price_the_cost_is_unknown(run):
    del run["students"]["tiny"]["usd_per_million_tokens"]
    assert rows_of(run)["usd_per_1000"].isna().all()
    assert per_question(predictions([1], 3, items=["a"]), 2.0, None)["written_tokens"] == 3


def test_the_table_has_the_modes_and_the_curves(run):
    table = answering_table(configuration(run), read_all(configuration(run)))
    points = table.set_index("line")
    assert points.loc["direct", "accuracy"] == 0.5 and points.loc["cot", "accuracy"] == 0.625
    chosen = points.loc["adaptive"]
    assert (chosen["at"], chosen["thinks"], chosen["written_tokens"]) == (0.2, 0.625, 14.5)
    assert list(table["line"].value_counts()[["threshold", "random"]]) == [9, 9]


def pair(seed=1):
    direct, cot = predictions(DIRECT, 2, ENTROPIES), predictions(COT, 20)
    return Pair(direct.set_index("item_id"), cot.set_index("item_id"), seed)


def test_the_curves_begin_with_the_direct_answers_and_end_with_the_chains():
    points = list(adaptive_curve([pair(1), pair(2)]))
    for line in ("threshold", "random"):
        first, *_, last = (point for point in points if point.line == line)
        assert first.correct.tolist() == [DIRECT, DIRECT] and (first.written == 2).all()
        assert last.correct.tolist() == [COT, COT] and (last.written == 22).all()
        assert (first.thinks, last.thinks) == (0, 1)


def test_random_thinking_is_as_much_and_the_gain_over_it_is_told():
    points = list(adaptive_curve([pair()]))
    middle, control = points[8], points[9]
    assert (middle.line, control.line) == ("threshold", "random")
    assert middle.thinks == control.thinks == 0.5
    assert middle.written.sum() == control.written.sum()
    assert middle.correct.all() and not control.correct.all()
    assert middle.vs_random.value == 1 - control.correct.mean()


def test_a_place_that_never_thinks_gains_nothing_however_unequal_the_models_are():
    best, worst = pair(1), pair(2)
    worst.direct["correct"] = False
    first = next(adaptive_curve([best, worst]))
    # Two of ten items are the added ones: the one won and the one lost.
    half = 1.96 * 2**0.5 / 10
    found = first.vs_random
    assert (found.value, found.low, found.high) == pytest.approx((0, -half, half), abs=1e-4)


def test_the_curve_of_caps_ends_with_the_chains_accuracy():
    long = predictions(COT, [4, 4, 4, 4, 8, 8, 8, 150], items=IDS)
    *_, last = caps = list(cap_curve([long]))
    assert (last.at, last.correct.tolist()) == (150, [COT])
    assert last.written.tolist() == [[4, 4, 4, 4, 8, 8, 8, 150]]
    assert len(caps) == 101 and caps[0].at == 0 and not caps[0].correct.any()
    shares = [point.correct.mean() for point in caps]
    assert shares == sorted(shares)
