"""Teachers behind an endpoint, in the configuration."""

import copy
import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from caft.config.prepare import prepare
from caft.errors import ConfigError

ROOT = Path(__file__).parents[3]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
EXAMPLES = re.findall(
    r"```yaml\n(teachers:\n.*?)```", (ROOT / "docs/teachers.md").read_text(), re.DOTALL
)
ENDPOINT = {"provider": "openai", "base_url": "https://host/v1", "model": "big"}
SERVER = {"provider": "vllm_server", "command": ["serve", "{port}"], "model": "big"}
PRICES = {"prompt": 0.4, "completion": 0.4, "entered": "2026-11-01"}


def prepared(**teachers):
    """Prepare the shipped configuration with other teachers."""
    config = {**copy.deepcopy(SHIPPED), "teachers": copy.deepcopy(teachers)}
    config["teacher"] = next(iter(teachers))
    return prepare(config).plain()["teachers"]


def problem(spec):
    with pytest.raises(ConfigError) as caught:
        prepared(big=spec)
    return str(caught.value)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split()[1])
def test_an_example_of_the_documentation_is_valid(example):
    config = copy.deepcopy(SHIPPED)
    config["teachers"] |= yaml.safe_load(example)["teachers"]
    config["run"]["strategies"].append("hard_only")  # a stage of which is a teacher there
    prepare(config)


def test_the_documentation_has_examples_of_the_providers_that_are_set_up():
    providers = [
        spec["provider"] for text in EXAMPLES for spec in yaml.safe_load(text)["teachers"].values()
    ]
    assert set(providers) == {"openai", "student", "vllm_server"}


@pytest.mark.parametrize("spec", [ENDPOINT, SERVER])
def test_what_is_left_out_is_filled_in(spec):
    filled = prepared(big=spec)["big"]
    assert (filled["concurrency"], filled["attempts"], filled["breaker"]) == (32, 6, 10)
    assert (filled["temperature"], filled["max_tokens_field"]) == (0.0, "max_tokens")
    assert (filled["revision"], filled["prices"], filled["extra_body"]) == ("", None, {})
    assert filled["budget"] == {"max_requests": None, "max_tokens": None, "max_cost_usd": None}


def test_prices_are_filled_in_and_their_day_may_be_written_as_a_date():
    day = {**PRICES, "entered": date(2026, 11, 1)}
    assert prepared(big={**ENDPOINT, "prices": day})["big"]["prices"] == {
        **PRICES,
        "cached": None,
        "batch_share": 0.5,
    }


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"base_url": "https://me:secret@host/v1"}, "big.base_url: holds user info; name an"),
        ({"base_url": "https://host/v1?key=secret"}, "big.base_url: ends in a query; give the"),
        ({"base_url": "host:8000/v1"}, "big.base_url: is no address that begins with http"),
        ({"api_key_env": "sk-secret"}, "big.api_key_env: is no name of an environment"),
        ({"prices": {"prompt": 1, "completion": 1}}, "big.prices.entered: say on which"),
        ({"prices": {**PRICES, "entered": "last week"}}, "big.prices.entered: say on"),
        ({"budget": {"max_cost_usd": 5}}, "big.budget.max_cost_usd: needs prices, or nobody"),
        ({"extra_body": {"model": "x"}}, "extra_body.model: is set by the key model."),
        ({"extra_body": {"max_tokens": 5}}, "is set by the key max_new_tokens."),
        ({"extra_body": {"stream": True}}, "teachers.big.extra_body.stream: leave it out"),
        ({"concurrency": 0}, "teachers.big.concurrency: 0 is less than the minimum of 1."),
        ({"timeout": 5}, "teachers.big: unknown key 'timeout'; known keys are allow_plain_http,"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_its_mend(changed, told):
    message = problem({**ENDPOINT, **changed})
    assert message.startswith("config: teachers.big") and told in message
    assert "secret" not in message


def test_a_budget_in_usd_works_with_prices():
    spec = {**ENDPOINT, "prices": PRICES, "budget": {"max_cost_usd": 5}}
    assert prepared(big=spec)["big"]["budget"]["max_cost_usd"] == 5


def test_a_server_without_a_place_for_its_port_is_refused():
    message = problem({**SERVER, "command": ["serve", "--port", "8000"]})
    assert "teachers.big.command: {port} is missing; write it where" in message


def test_a_server_inside_the_job_has_neither_address_nor_key():
    assert "unknown key 'api_key_env'" in problem({**SERVER, "api_key_env": "KEY"})
