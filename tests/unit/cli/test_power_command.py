"""`caft power` says what a planned run could show."""

from pathlib import Path

import numpy as np
import pytest

from caft import layout
from caft.analysis.comparisons import verdict
from caft.analysis.power import detectable_difference, items_needed
from caft.cli import main
from caft.config.prepare import prepare
from caft.config.reading import read_files
from caft.report import summary
from caft.tables.files import write_json

ROOT = Path(__file__).parents[3]


def answers(share, seeds, items=400, luck=0.0):
    """Answers of strategies whose seeds differ by `luck` beside single answers."""
    draws = np.random.default_rng(int(1000 * share) + seeds).random((seeds, items))
    return draws < share + luck * np.linspace(-1, 1, seeds)[:, None]


def test_the_difference_that_needs_so_many_items_is_the_one_that_they_show():
    one, other = answers(0.5, 1), answers(0.52, 1)
    needed = int(items_needed(one, other, 0.05, 3))
    assert detectable_difference(one, other, needed, comparisons=3) <= 0.05
    assert detectable_difference(one, other, needed * 9 // 10, comparisons=3) > 0.05


def test_of_one_seed_it_is_the_textbooks_difference_of_paired_shares():
    one, other = np.zeros((1, 998), bool), np.zeros((1, 998), bool)
    one[0, :249], other[0, 249:498] = True, True
    # (z of 97.5% + z of 80%) x standard deviation 0.70675 (with Bonett's two items) / root of 1,000
    assert detectable_difference(one, other) == pytest.approx(2.8016 * np.sqrt(0.5e-3), rel=1e-3)


def test_more_seeds_show_more_where_seeds_differ_and_no_verdict_says_otherwise():
    one, other = answers(0.5, 3, luck=0.1), answers(0.5, 3, luck=0.1)
    by_seeds = [detectable_difference(one, other, seeds=number) for number in (3, 6, 12)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert detectable_difference(one, other) == detectable_difference(one, other, seeds=3)
    assert (verdict(one, other, 1.0, 0.05) == "no detectable difference") is (by_seeds[0] <= 0.05)


@pytest.fixture
def finished(monkeypatch, tmp_path):
    """A finished run of two strategies beside the untuned student."""
    config = prepare(read_files([ROOT / "config.yaml"]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    write_json(layout.PROVENANCE, {"config": config.plain()})
    correct = {"base": answers(0.1, 1), "sft": answers(0.3, 2), "distill": answers(0.6, 2)}
    family = summary.Family("as_trained", 0, "last", correct)
    results = summary.Results("sums", "smollm2-135m", None, {}, {}, {})
    monkeypatch.setattr(summary, "read_all", lambda config: [results])
    monkeypatch.setattr(summary, "families", lambda config, results: [family])
    return correct


def test_each_pair_has_a_line_and_each_plan_a_column(finished, capsys):
    assert main(["power", "sft", "distill", "--items", "400", "4000", "--seeds", "2", "5"]) == 0
    head, columns, line = capsys.readouterr().out.splitlines()
    assert head.startswith("sums, smollm2-135m, checkpoint last")
    assert " ".join(columns.split()[3:]) == "400 x 2 400 x 5 4000 x 2 4000 x 5"
    pair = finished["sft"], finished["distill"]
    plans = [(400, 2), (400, 5), (4000, 2), (4000, 5)]
    expected = [detectable_difference(*pair, *plan, comparisons=3) for plan in plans]
    assert line.split() == ["sft", "vs", "distill", *(f"{value:.3f}" for value in expected)]


def test_a_run_that_compares_more_shows_larger_differences_only(finished, capsys):
    assert main(["power", "sft", "distill", "--comparisons", "28"]) == 0
    *_, line = capsys.readouterr().out.splitlines()
    expected = detectable_difference(finished["sft"], finished["distill"], comparisons=28)
    assert line.split()[-1] == f"{expected:.3f}"


def test_a_strategy_that_the_run_does_not_have_is_named(finished, capsys):
    assert main(["power", "sft", "reverse"]) == 1
    assert "'reverse' is not in run.strategies" in capsys.readouterr().err


def test_the_answers_are_those_of_this_configuration(finished, tmp_path, capsys):
    (tmp_path / "my.yaml").write_text("run: {strategies: [base, sft]}\n")
    assert main(["power", "--configfile", "my.yaml"]) == 1
    assert "tells of another configuration" in capsys.readouterr().err
