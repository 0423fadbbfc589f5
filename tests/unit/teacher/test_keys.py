"""Keys are kept out of configurations, commands and records, and no message repeats one."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from caft.config import resolve
from caft.config.prepare import prepare
from caft.config.reading import parse
from caft.errors import ConfigError
from caft.teacher.keys import exposed, is_variable, looks_like_key, names_a_secret
from caft.teacher.sections import read_judge, read_teacher

ROOT = Path(__file__).parents[3]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
PLAIN, ISSUED = "hunter2hunter", "sk-proj-Ab3dEf6hIj9lMn2pQr5t"
DRAWN = "q9Zr4Tk2Wm7Xc1Vb8Ns3Lp6Hd0Jf5Gy"
KEYS = [PLAIN, ISSUED, DRAWN]
ENDPOINT = {"provider": "openai", "base_url": "https://host/v1", "model": "big"}
SERVER = {"provider": "vllm_server", "command": ["serve", "--port", "{port}"], "model": "big"}


def with_teacher(**spec):
    """Return the shipped configuration with a teacher that its strategies use."""
    return {**copy.deepcopy(SHIPPED), "teachers": {"big": spec}, "teacher": "big"}


def refusal(raw):
    with pytest.raises(ConfigError) as caught:
        prepare(raw)
    message = str(caught.value)
    assert not any(key in message for key in KEYS), message
    return message


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "field",
    [
        *("authorization", "Authorization", "proxy-authorization", "api-key", "api_key", "apiKey"),
        *(
            "x-api-key",
            "X-Goog-Api-Key",
            "Ocp-Apim-Subscription-Key",
            "token",
            "hf_token",
            "secret",
        ),
        *("access_token", "client_secret", "password", "db_passwd", "cookie", "Set-Cookie", "auth"),
        *("key", "openai_key", "OPENAIAPIKEY", "authorization_header"),
    ],
)
def test_no_field_of_a_request_carries_a_key(field, key):
    for extra in ({field: key}, {"headers": {field: key}}, {"a": [{"b": {field: [key]}}]}):
        message = refusal(with_teacher(**ENDPOINT, extra_body=extra))
        assert "teachers.big.extra_body" in message and "api_key_env" in message
        assert "environment variable" in message


@pytest.mark.parametrize(
    "value",
    [
        *(ISSUED, DRAWN, f"Bearer {PLAIN}", f"basic {PLAIN}", "hf_abcdefghijABCDEFGHIJklmn"),
        *("AKIAIOSFODNN7EXAMPLE", "AIzaSyD-1234567890abcdefghijk", "ghp_16C7e42F292c6912E7710c838"),
        *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "0123456789abcdef0123456789abcdef"),
        *("gsk_1a2b3c4d5e6f7g8h9i0j", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
    ],
)
def test_a_value_that_looks_like_a_key_is_refused_under_any_name(value):
    for where in ({"user": value}, {"metadata": [value]}, {"a": {value: 1}}):
        message = refusal(with_teacher(**ENDPOINT, extra_body=where))
        assert "teachers.big.extra_body" in message and value not in message


@pytest.mark.parametrize(
    "extra",
    [
        {"max_completion_tokens_hint": 3, "stop_token_ids": [1, 2], "skip_special_tokens": False},
        {"logprobs": True, "top_logprobs": 20, "logit_bias": {"50256": -100}},
        {"provider": {"order": ["deepinfra"], "allow_fallbacks": False}},
        {"prompt_cache_key": "sums-2026", "eos_token": "<|im_end|>", "thinking_token_budget": 2048},
        {"chat_template_kwargs": {"enable_thinking": False}, "user": "students", "tokenizer": "x"},
        {"response_format": {"type": "object", "properties": {"token": {"type": "string"}}}},
        {"adapter": "meta-llama/Llama-3.3-70B-Instruct-Turbo", "revision": "9f" * 20},
        {
            "adapter": "DeepSeekR1DistillQwen32BInstruct",
            "session": "3f2504e0-4f89-11d3-9a0c-0305e8",
        },
        {"token": None, "password": "", "auth": False},
    ],
)
def test_other_fields_are_sent(extra):
    assert prepare(with_teacher(**ENDPOINT, extra_body=extra)).teachers["big"].extra_body == extra


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "form",
    [
        ["--api-key", "{key}"],
        ["--api-key={key}"],
        ["--hf-token", "{key}"],
        ["-H", "Authorization: Bearer {key}"],
        ["--header", "X-Api-Key: {key}"],
        ["env", "VLLM_API_KEY={key}"],
        ["sh", "-c", "HF_TOKEN={key} vllm serve"],
        ["sh", "-c", "vllm serve --api-key '{key}' x"],
        ["--json", '{{"password": "{key}"}}'],
        ["--proxy", "http://me:{key}@proxy:3128"],
        ["--url", "https://host/v1?key={key}"],
        ["--api-key", "{key}", "--api-key", "b"],
    ],
)
def test_no_command_carries_a_key(form, key):
    command = [*SERVER["command"], *(part.format(key=key) for part in form)]
    message = refusal(with_teacher(**{**SERVER, "command": command}))
    assert "teachers.big.command" in message and "reads from the environment" in message
    launcher = {**copy.deepcopy(SHIPPED["training"]), "launcher": command}
    assert "training.launcher" in refusal({**SHIPPED, "training": launcher})


@pytest.mark.parametrize(
    "more",
    [
        ["--max-num-batched-tokens", "8192", "--tokenizer", "Qwen/Qwen2.5-72B-Instruct"],
        ["--revision", "0123456789abcdef0123456789abcdef01234567"],
        ["--ssl-keyfile", "/etc/tls/key.pem", "--api-key-file", "/run/secrets/key"],
        ["--api-key", "--port", "{port}"],
        ["--model", "/data/8f14e45fceea167a5a36dedd4bea2543/model.gguf"],
    ],
)
def test_other_commands_run(more):
    assert prepare(with_teacher(**{**SERVER, "command": [*SERVER["command"], *more]}))


@pytest.mark.parametrize(
    "given",
    [
        *(
            ISSUED,
            DRAWN,
            f"Bearer {PLAIN}",
            "sk_live_Ab3dEf6hIj9l",
            "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
        ),
        *(
            "abcdefghijklmnopqrstuvwxyz",
            "a b",
            "1KEY",
            "$KEY",
            "${KEY}",
            "",
            "KEY-2",
            "KEY\n",
            7654321,
        ),
        *([PLAIN], {PLAIN: 1}, True, "gsk_1a2b3c4d5e6f7g8h9i0j", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_what_names_no_variable_is_refused_and_not_repeated(given):
    message = refusal(with_teacher(**ENDPOINT, api_key_env=given))
    assert "teachers.big.api_key_env: is no name of an environment variable" in message
    assert str(given) == "" or len(str(given)) < 4 or str(given) not in message
    judge = {**SHIPPED, "judges": {"strict": {**ENDPOINT, "api_key_env": given}}}  # not used
    assert "judges.strict.api_key_env: is no name" in refusal(judge)


def test_names_of_variables_are_taken():
    for name in ("KEY", "_key", "OPENAI_API_KEY", "key_of_my_company_2", "MYCOMPANYSROUTERAPIKEY"):
        assert is_variable(name)


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": f"https://me:{PLAIN}@host/v1"},
        {"base_url": f"https://{PLAIN}@host/v1"},
        {"base_url": f"https://host/v1?key={PLAIN}"},
        {"base_url": f"https://host/v1?a=b&api-version=1&access_token={PLAIN}"},
        {"api_key": PLAIN},
        {"api_key": [PLAIN]},
        {"model": ISSUED},
        {"revision": 5, "token": 123456789},
        {"prices": {"entered": ISSUED}},
        {ISSUED: True},
    ],
)
def test_a_section_that_nobody_uses_is_checked_too(changed):
    raw = {**copy.deepcopy(SHIPPED), "judges": {"unused": {**ENDPOINT, **changed}}}
    message = refusal(raw)
    assert message.startswith("config: judges.unused") and "123456789" not in message


@pytest.mark.parametrize("url", ["http://host/v1", "http://10.0.0.7:8000/v1", "HTTP://host/v1"])
def test_a_key_goes_over_plain_http_only_where_that_is_said(url):
    spec = {**ENDPOINT, "base_url": url, "api_key_env": "KEY"}
    message = refusal(with_teacher(**spec))
    assert "teachers.big.base_url: begins with http://" in message and "allow_plain_http" in message
    prepare(with_teacher(**spec, allow_plain_http=True))
    prepare(with_teacher(**{**spec, "api_key_env": None}))
    prepare(with_teacher(**{**spec, "base_url": "https://host/v1"}))


@pytest.mark.parametrize("key", [ISSUED, DRAWN])
@pytest.mark.parametrize("place", ["https://host/{}/v1", "https://host/v1/{}", "http://host/{}"])
def test_no_address_has_a_key_in_its_path(place, key):
    message = refusal(with_teacher(**ENDPOINT | {"base_url": place.format(key)}))
    assert "teachers.big.base_url: holds what looks like a key" in message


@pytest.mark.parametrize("path", ["0123456789abcdef0123456789abcdef/gateway/openai", "sk/v1", "v1"])
def test_other_paths_of_an_address_are_taken(path):
    prepare(with_teacher(**ENDPOINT | {"base_url": f"https://host/{path}"}))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "[::1]", "LOCALHOST"])
def test_a_key_may_go_to_this_machine(host):
    prepare(with_teacher(**ENDPOINT | {"base_url": f"http://{host}:8000/v1", "api_key_env": "KEY"}))


@pytest.mark.parametrize(
    "host", ["127.0.0.1.example.org", "localhost.example.org", "127.1", "2130706433", "0.0.0.0"]
)
def test_what_only_looks_like_this_machine_is_another_one(host):
    spec = {**ENDPOINT, "base_url": f"http://{host}/v1", "api_key_env": "KEY"}
    assert "begins with http://" in refusal(with_teacher(**spec))


def test_the_plan_of_a_run_says_where_keys_go():
    raw = with_teacher(**ENDPOINT, api_key_env="BIG_KEY")
    assert resolve.ways(prepare(raw)) == ["teacher big: https://host/v1, key from $BIG_KEY"]
    raw = with_teacher(**{**SERVER, "command": ["/opt/bin/serve", "{port}"]})
    raw["judges"] = {"strict": {**ENDPOINT, "base_url": "http://gpu:8000/v1"}}
    raw["metrics"]["judge_reasoning_steps"] = {"judge": "strict"}
    assert resolve.ways(prepare(raw)) == [
        "teacher big: a server that the job starts (serve), no key",
        "judge strict: http://gpu:8000/v1, no key",
    ]
    assert resolve.ways(prepare(SHIPPED)) == []


def test_a_proxy_on_the_way_is_named(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy:3128")
    way = read_teacher({**ENDPOINT, "api_key_env": "KEY"}).way
    assert way == "https://host/v1, key from $KEY, through the proxy in HTTPS_PROXY"


def snakemake(folder, *given):
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "-s", ROOT / "Snakefile"]
    command += ["--configfile", ROOT / "config.yaml", "own.yaml", "-d", folder, *given]
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
    logs = "".join(path.read_text() for path in folder.glob(".snakemake/log/*"))
    return done.returncode, done.stdout + done.stderr + logs


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"api_key_env": DRAWN}, "teachers.big.api_key_env: is no name of an environment variable"),
        ({"base_url": "http://host/v1", "api_key_env": "KEY"}, "big.base_url: begins with http://"),
        ({"api_key_env": "KEY"}, "teacher big: https://host/v1, key from $KEY"),
    ],
)
def test_a_dry_run_tells_and_repeats_no_key(changed, told, tmp_path):
    own = {"teachers": {"big": {**ENDPOINT, **changed}}, "teacher": "big"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    status, said = snakemake(tmp_path)
    assert told in said and not any(key in said for key in KEYS)
    assert (status == 0) == (changed == {"api_key_env": "KEY"})


def test_sections_of_jobs_repeat_nothing_either():
    for read in (read_teacher, read_judge):
        with pytest.raises(ValueError) as caught:
            read({**ENDPOINT, "api_key_env": DRAWN, "concurrency": PLAIN})
        assert DRAWN not in str(caught.value) and PLAIN not in str(caught.value)


def test_what_is_recorded_of_a_run_has_names_of_variables_alone(monkeypatch):
    monkeypatch.setenv("BIG_KEY", ISSUED)
    raw = with_teacher(**ENDPOINT, api_key_env="BIG_KEY")
    assert ISSUED not in json.dumps(parse(raw).plain())


def test_the_shipped_configurations_hold_no_key():
    for path in [ROOT / "config.yaml", *ROOT.glob("config/examples/*.yaml")]:
        assert list(exposed(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


def test_names_and_forms_of_keys():
    assert [one for one in (PLAIN, ISSUED, DRAWN) if looks_like_key(one)] == [ISSUED, DRAWN]
    assert names_a_secret("HTTP_X_API_KEY2") and not names_a_secret("monkey")
