import math

import pytest
import torch

from caft.complexity import METRICS, Distributions
from caft.complexity.cross_entropy import cross_entropy
from caft.complexity.margin import margin
from caft.complexity.option_entropy import option_entropy
from caft.complexity.single_token_entropy import single_token_entropy
from caft.tables import SCHEMAS


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


def test_every_metric_is_a_column_of_the_scores_and_the_label_readers_say_so():
    assert {metric.column for metric in METRICS.values()} <= set(SCHEMAS["scores"].names)
    assert [name for name, metric in METRICS.items() if "label" in metric.needs] == [
        "cross_entropy"
    ]
