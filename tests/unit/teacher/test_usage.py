"""Tokens and money as endpoints tell them: right or unknown, and never too low."""

import pytest

from caft.teacher.reading.usage import Usage, read_usage
from caft.teacher.settings import Prices

PRICES = Prices(prompt=1.0, cached=0.1, completion=10.0, entered="2026-11-01")


def details(**of_completion):
    return {"completion_tokens_details": of_completion}


def cached(tokens):
    return {"prompt_tokens_details": {"cached_tokens": tokens}}


TOLD = {"prompt_tokens": 10, "completion_tokens": 100}


@pytest.mark.parametrize(
    ("usage", "prompt", "completion"),
    [
        (TOLD, 10, 100),
        (TOLD | {"total_tokens": 110}, 10, 100),
        # Reasoning: inside, beside, in the total alone, or who knows.
        (TOLD | {"total_tokens": 110} | details(reasoning_tokens=80), 10, 100),
        (TOLD | {"total_tokens": 190} | details(reasoning_tokens=80), 10, 180),
        (TOLD | {"total_tokens": 190, "reasoning_tokens": 80}, 10, 180),
        (TOLD | {"total_tokens": 190}, 10, 180),
        (TOLD | details(reasoning_tokens=80), 10, None),
        (TOLD | details(reasoning_tokens=180), 10, 280),
        (TOLD | details(reasoning_tokens=0), 10, 100),
        (TOLD | {"total_tokens": 110} | details(reasoning_tokens=180), None, None),
        (TOLD | {"total_tokens": 150} | details(reasoning_tokens=80), None, None),
        # Tokens of a cache: inside, beside, or who knows.
        (TOLD | {"total_tokens": 110} | cached(8), 10, 100),
        (TOLD | {"total_tokens": 118} | cached(8), 18, 100),
        (TOLD | cached(90), 100, 100),
        (TOLD | cached(8), None, 100),
        (TOLD | {"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2}, 10, 100),
        # Names that nobody has listed.
        (TOLD | {"thinking_tokens": 180}, 10, 280),
        (TOLD | {"reasoning_output_tokens": 80}, 10, None),
        (TOLD | {"total_tokens": 110, "reasoning_output_tokens": 80}, 10, 100),
        (TOLD | {"cached_input_tokens": 8}, None, 100),
        (TOLD | {"total_tokens": 118, "num_cached_tokens": 8}, 18, 100),
        (TOLD | {"cached_tokens_details": {"text_tokens": 8}, "cache_discount": 1}, 10, 100),
        # Other dialects.
        ({"input_tokens": 10, "output_tokens": 100, "cache_read_input_tokens": 8}, 18, 100),
        ({"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}, 10, 100),
        (TOLD | {"total_tokens": 110, "cache_read_input_tokens": 8}, 10, 100),
        ({"inputTokens": 10, "outputTokens": 100, "cacheWriteInputTokens": 7}, 17, 100),
        (
            {
                "inputTokens": 10,
                "outputTokens": 100,
                "totalTokens": 125,
                "cacheReadInputTokens": 8,
                "cacheWriteInputTokens": 7,
            },
            *(25, 100),
        ),
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 100,
                "thoughtsTokenCount": 80,
                "toolUsePromptTokenCount": 5,
                "cachedContentTokenCount": 8,
                "totalTokenCount": 195,
            },
            15,
            180,
        ),
        ({"promptTokenCount": 10, "candidatesTokenCount": 9, "thoughtsTokenCount": 80}, 10, 89),
        (TOLD | {"input_tokens": 0, "output_tokens": 0}, 10, 100),
        # Nobody has counted, or not all.
        ({}, None, None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None, None),
        ({"prompt_tokens": 10, "completion_tokens": 0}, 10, None),
        ({"prompt_tokens": 10, "total_tokens": 110}, 10, 100),
        ({"completion_tokens": 100, "total_tokens": 110}, None, None),
        ({"total_tokens": 110}, None, None),
        (TOLD | {"total_tokens": 0}, 10, 100),
        (TOLD | {"total_tokens": 90}, None, None),
        (TOLD | {"total_tokens": "?"}, 10, None),
        # Numbers in other clothes.
        ({"prompt_tokens": "10", "completion_tokens": " 100 "}, 10, 100),
        ({"prompt_tokens": 10.0, "completion_tokens": "1e2"}, 10, 100),
    ],
)
def test_the_tokens_of_a_dialect(usage, prompt, completion):
    found = read_usage({"usage": usage}, True)
    assert (found.prompt, found.completion) == (prompt, completion)


@pytest.mark.parametrize(
    "odd", [10**19, 10**400, -5, True, 0.5, float("nan"), float("inf"), "many", [1], {"a": 1}]
)
def test_an_odd_count_is_unknown_and_its_neighbour_is_not(odd):
    found = read_usage({"usage": {"prompt_tokens": odd, "completion_tokens": 5}}, True)
    assert (found.prompt, found.completion) == (None, 5)
    found = read_usage({"usage": {"prompt_tokens": 5, "completion_tokens": odd}}, True)
    assert (found.prompt, found.completion) == (5, None)


@pytest.mark.parametrize(
    "reply",
    [
        {"usage": TOLD},
        {"usage": None, "x_groq": {"usage": TOLD}},
        {"usage": {"prompt_tokens": 0}, "choices": [{"usage": TOLD}]},
        {"choices": [{"message": {"usage": TOLD}}]},
        {"usageMetadata": TOLD},
    ],
)
def test_usage_is_found_wherever_a_server_puts_it(reply):
    assert read_usage(reply, True) == Usage(10, 0, 100)


@pytest.mark.parametrize(
    ("told", "cost"),
    [
        ({"cost": 0.25}, 0.25),
        ({"cost": "0.25"}, 0.25),
        ({"cost": {"input_tokens_cost": 0.05, "total_cost": 0.25}}, 0.25),
        ({"estimated_cost": 0.25}, 0.25),
        ({"cost": 0}, 0.0),
        ({"cost_in_usd_ticks": 2_500_000_000}, 0.25),
        ({"cost_in_usd_ticks": "many"}, 1010e-6),
        # The user's own key at a router: its fee, and what the provider takes.
        ({"cost": 0, "cost_details": {"upstream_inference_cost": 0.04}}, 0.04),
        (
            {
                "cost": 0.01,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.04},
            },
            0.05,
        ),
        ({"cost": 0.01, "is_byok": True}, 0.01 + 1010e-6),
        (
            {
                "cost": 0.04,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": 0.04},
            },
            0.04,
        ),
        # What cannot be a cost: the prices count.
        ({"cost": float("nan")}, 1010e-6),
        ({"cost": -1}, 1010e-6),
        ({"cost": 10**9}, 1010e-6),
        ({"cost": True}, 1010e-6),
        ({"cost": None}, 1010e-6),
        # Money that is no USD: the prices count.
        ({"cost": 0.25, "currency": "EUR"}, 1010e-6),
        ({"cost": {"total_cost": 0.25, "currency": "CNY"}}, 1010e-6),
        ({"cost": 25, "cost_unit": "credits"}, 1010e-6),
        ({"cost": 0.25, "currency": "usd"}, 0.25),
        # What the prices do not say.
        ({"completion_tokens_details": {"audio_tokens": 3, "reasoning_tokens": 0}}, None),
        ({"prompt_tokens_details": {"audio_tokens": 0, "image_tokens": 0}}, 1010e-6),
        ({"cache_creation_input_tokens": 5, "total_tokens": 115}, None),
        ({"cacheWriteInputTokens": 5, "total_tokens": 115}, None),
        (
            {"cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0}},
            None,
        ),
        ({"web_search_requests": 2}, None),
        ({"citation_tokens": 1000}, None),
        ({"cost": {"input_tokens_cost": 0.05, "request_cost": 0.005}}, None),
        ({"cache_creation_input_tokens": 0, "num_search_queries": 0}, 1010e-6),
        ({"prompt_tokens": -1}, None),
    ],
)
def test_the_cost_is_reported_or_priced_or_unknown(told, cost):
    found = read_usage({"usage": TOLD | told}, True).cost(PRICES)
    assert found == (None if cost is None else pytest.approx(cost))


def test_a_cost_of_nothing_for_tokens_that_nobody_counted_is_unknown():
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "cost": 0}
    assert read_usage({"usage": usage}, True).cost(PRICES) is None


def test_without_prices_only_what_is_reported_is_known():
    assert read_usage({"usage": TOLD}, True).cost(None) is None
    assert read_usage({"usage": TOLD | {"cost": 0.25}}, True).cost(None) == 0.25


def test_what_is_free_costs_nothing_however_long_it_is():
    assert read_usage({}, True).cost(Prices(prompt=0.0, completion=0.0)) == 0.0
