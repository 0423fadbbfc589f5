import math
from importlib import import_module

import pytest
import torch

from caft.complexity import METRICS, Distributions
from caft.complexity.answer_entropy import answer_entropy
from caft.complexity.cross_entropy import cross_entropy
from caft.complexity.margin import margin
from caft.complexity.option_entropy import option_entropy
from caft.complexity.single_token_entropy import single_token_entropy
from caft.tables.parquet import SCHEMAS


@pytest.fixture
def batch():
    """A choice item with p = 0.4, 0.2, 0.2 of its options, and an open one with p = 0.5, 0.5."""
    tiny = 1e-30
    probabilities = torch.tensor([[0.4, 0.2, 0.2, 0.2], [0.5, 0.5, tiny, tiny]])
    log_probs = probabilities.log()
    return Distributions(log_probs, [log_probs[0, :3], None], [1, 0])


def test_the_single_token_entropy_is_over_the_whole_vocabulary(batch):
    first = -(0.4 * math.log(0.4) + 3 * 0.2 * math.log(0.2))
    assert single_token_entropy(batch).tolist() == pytest.approx([first, math.log(2)])


def test_the_entropy_of_equal_probabilities_is_the_log_of_their_number():
    uniform = Distributions(torch.full((1, 50), -math.log(50)), [None], [0])
    assert single_token_entropy(uniform).tolist() == pytest.approx([math.log(50)])


def test_the_option_entropy_is_a_share_of_the_largest_one(batch):
    q = [0.5, 0.25, 0.25]
    expected = -sum(share * math.log(share) for share in q) / math.log(3)
    assert option_entropy(batch) == [pytest.approx(expected), None]


def test_options_of_equal_probability_have_option_entropy_one():
    logs = torch.full((4,), -9.0)
    assert option_entropy(Distributions(None, [logs], [0])) == [pytest.approx(1.0)]


def test_the_cross_entropy_is_of_the_gold_answer(batch):
    assert cross_entropy(batch) == pytest.approx([-math.log(0.2), math.log(2)])


def test_the_margin_is_negative_so_that_larger_is_harder(batch):
    assert margin(batch) == pytest.approx([-0.2, 0.0])


def test_the_answer_entropy_is_the_mean_over_the_answers_tokens():
    later = torch.tensor([[0.5, 0.5], [1.0, 1e-30]]).log()
    assert answer_entropy(0.9, later) == pytest.approx((0.9 + math.log(2) + 0) / 3)
    assert answer_entropy(0.9, later[:0]) == 0.9


def test_metrics_of_the_scores_are_columns_of_them():
    found = [name for name, metric in METRICS.items() if metric.source == "scores"]
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


def test_every_metric_names_a_function_a_known_source_and_known_needs():
    sources = {"scores", "generations", "samples", "likelihoods", "judgements", "topk", "imported"}
    needs = {"forward", "generation", "samples", "label", "rationale", "judge", "topk", "import"}
    for name, metric in METRICS.items():
        module, function = metric.compute.split(":")
        assert callable(getattr(import_module(module), function)), name
        assert metric.source in sources and metric.needs <= needs and metric.unit, name
    assert len({metric.compute for metric in METRICS.values()}) == len(METRICS) == 21
