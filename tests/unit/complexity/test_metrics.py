import math
import subprocess
import sys

import pandas as pd
import pytest
import torch

from caft.complexity import METRICS
from caft.complexity.compute import compute_metric
from caft.complexity.distribution import (
    Distributions,
    answer_entropy,
    cross_entropy,
    margin,
    option_entropy,
    single_token_entropy,
)
from caft.complexity.settings import MetricSettings
from caft.tables.parquet import SCHEMAS

NO_OPTIONS = torch.full((1, 2), -math.inf)


@pytest.fixture
def batch():
    """A choice item with p = 0.4, 0.2, 0.2 of its options, and an open one with p = 0.5, 0.5."""
    tiny = 1e-30
    probabilities = torch.tensor([[0.4, 0.2, 0.2, 0.2], [0.5, 0.5, tiny, tiny]])
    log_probs = probabilities.log()
    options = log_probs[:, :3].clone()
    options[1] = -math.inf
    return Distributions(log_probs, options, torch.tensor([1, 0]))


def test_the_single_token_entropy_is_over_the_whole_vocabulary(batch):
    first = -(0.4 * math.log(0.4) + 3 * 0.2 * math.log(0.2))
    assert single_token_entropy(batch).tolist() == pytest.approx([first, math.log(2)])


def test_the_entropy_of_equal_probabilities_is_the_log_of_their_number():
    uniform = Distributions(torch.full((1, 50), -math.log(50)), NO_OPTIONS, torch.tensor([0]))
    assert single_token_entropy(uniform).tolist() == pytest.approx([math.log(50)])


def test_the_option_entropy_is_a_share_of_the_largest_one(batch):
    q = [0.5, 0.25, 0.25]
    expected = -sum(share * math.log(share) for share in q) / math.log(3)
    assert option_entropy(batch).tolist() == pytest.approx([expected, math.nan], nan_ok=True)


def test_options_of_equal_probability_have_option_entropy_one():
    logs = torch.full((1, 4), -9.0)
    assert option_entropy(Distributions(None, logs, None)).tolist() == pytest.approx([1.0])


def test_the_cross_entropy_is_of_the_gold_answer(batch):
    assert cross_entropy(batch).tolist() == pytest.approx([-math.log(0.2), math.log(2)])


def test_the_margin_is_negative_so_that_larger_is_harder(batch):
    assert margin(batch).tolist() == pytest.approx([-0.2, 0.0])


def test_the_answer_entropy_is_the_mean_over_the_answers_tokens():
    first = torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    later = torch.tensor([[0.75, 0.25], [1.0, 1e-30]]).log()
    gold, of = torch.tensor([0, 0]), torch.tensor([0, 0])
    batch = Distributions(first, NO_OPTIONS.expand(2, -1), gold, later, of)
    second = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    expected = [(math.log(2) + second + 0) / 3, math.log(2)]
    assert answer_entropy(batch).tolist() == pytest.approx(expected)


def test_metrics_of_the_scores_are_columns_of_them():
    found = [name for name, metric in METRICS.items() if metric.in_pass]
    assert sorted(found) == [
        "answer_entropy",
        "cross_entropy",
        "margin",
        "option_entropy",
        "single_token_entropy",
    ]
    assert set(found) <= set(SCHEMAS["scores"].names)


def test_metrics_that_read_the_label_say_so():
    assert [name for name, metric in METRICS.items() if "label" in metric.needs] == [
        "cross_entropy",
        "answer_entropy",
        "pass_rate",
        "ifd",
    ]


def test_every_metric_has_a_function_a_known_source_and_known_needs():
    sources = {"scores", "generations", "samples", "likelihoods", "judgements", "topk"}
    sources |= {"imported", "items", "metrics"}
    needs = {"forward", "generation", "samples", "label", "rationale", "judge", "topk"}
    needs |= {"import", "column", "metrics"}
    for name, metric in METRICS.items():
        assert callable(metric.compute), name
        assert metric.source in sources and metric.needs <= needs and metric.unit, name
    assert len({metric.compute for metric in METRICS.values()}) == len(METRICS) > 20


def test_what_metrics_are_is_known_without_heavy_libraries():
    code = (
        "import sys\n"
        "from caft.complexity import METRICS\n"
        "for metric in METRICS.values(): metric.needs, metric.source, metric.question\n"
        "print({'pandas', 'numpy', 'torch', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


UNSURE = """
# One minus the probability of the most probable option.

import math

from caft.complexity import Metric


def compute(scores, items, settings):
    from caft.complexity.values import explained, rows_of

    rows = rows_of(scores, items)
    best = rows["option_logprobs"].map(max, na_action="ignore")
    value = 1 - best.map(math.exp, na_action="ignore")
    return explained(value, rows["status"], "not_scored", "open_question")


METRIC = Metric(frozenset({"forward"}), "scores", compute, "probability")
"""


def test_a_metric_of_ones_own_is_a_file_and_a_line(tmp_path, monkeypatch):
    (tmp_path / "unsure.py").write_text(UNSURE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METRICS.where, "unsure", "unsure")
    scores = pd.DataFrame(
        {
            "item_id": ["a", "b"],
            "status": ["ok", "ok"],
            "option_logprobs": [[math.log(0.75), math.log(0.25)], None],
        }
    )
    items = pd.DataFrame({"item_id": ["c", "b", "a"], "split": "train"})
    found = compute_metric("unsure", MetricSettings(), scores, items)
    assert found["value"].tolist()[2] == pytest.approx(0.25) and found["value"].isna().sum() == 2
    assert found["reason"].tolist()[:2] == ["not_scored", "open_question"]
    assert METRICS["unsure"].unit == "probability"
