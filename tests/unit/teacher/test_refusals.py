"""Whose fault a status is, in the words of many endpoints."""

import json
import time

import pytest

from caft.errors import TeacherError
from caft.teacher import Owed
from caft.teacher.endpoint.refusals import (
    Refusal,
    Whom,
    asked_wait,
    refused,
    refused_inside,
)
from caft.teacher.endpoint.replies import Fault, retry_after

WHOM = Whom("big at http://host/v1", "$BIG_KEY", "sk-0123456789", ("reasoning_effort",))


def openai(message, **more):
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def meaning(status, body):
    """Return what a status with a body is taken for, in a word."""
    text = body if isinstance(body, str) else json.dumps(body)
    return word_of(refused(status, {}, text, WHOM))


def word_of(found):
    if isinstance(found, Refusal):
        return found.reason if found.clear else "unclear"
    return {Fault: "passes", TeacherError: "stops"}[type(found)]


OF_ONE_ITEM = [
    (400, openai("Prompt was filtered by the content policy", code="content_filter"), "refused"),
    (
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering Azure OpenAI's "
                "content management policy. Please modify your prompt and retry.",
                "code": "content_filter",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        "refused",
    ),
    (403, {"error": {"message": "Input was flagged", "metadata": {"reasons": ["hate"]}}},
     "refused"),
    (
        403,
        {"error": {"message": "meta/x requires moderation on OpenInference. Your input was flagged "
                   "for \"violence\". No credits were charged.", "code": 403}},
        "refused",
    ),
    (400, {"error": {"message": "Content Exists Risk", "type": "invalid_request"}}, "refused"),
    (400, {"code": "data_inspection_failed", "message": "Input data may contain bad content"},
     "refused"),
    (422, {"detail": "the input was blocked by a guardrail"}, "refused"),
    (400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage "
                 "policy.", code="invalid_prompt"), "refused"),
    (
        400,
        openai("This model's maximum context length is 4096 tokens. However, you requested 5000 "
               "tokens (1000 in the messages, 4000 in the completion).",
               param="messages", code="context_length_exceeded"),
        "too_long",
    ),
    (400, {"object": "error", "message": "'max_tokens' or 'max_completion_tokens' is too large: "
           "2048. This model's maximum context length is 4096 tokens and your request has 3000 "
           "input tokens.", "type": "BadRequestError", "code": 400}, "too_long"),
    (400, {"error": {"code": 400, "type": "exceed_context_size_error",
           "message": "the request exceeds the available context size"}}, "too_long"),
    (400, {"error": {"code": 400, "message": "request (9031 tokens) exceeds the available context "
           "size (512 tokens), try increasing it", "type": "exceed_context_size_error",
           "n_prompt_tokens": 9031, "n_ctx": 512}}, "too_long"),
    (500, {"error": {"message": "Requested tokens (5000) exceed context window of 2048"}},
     "too_long"),
    (413, "<html><h1>413 Request Entity Too Large</h1></html>", "too_long"),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Reduce the length."},
     "too_long"),
    (400, {"error": "prompt is too long: 210000 tokens > 200000 maximum"}, "too_long"),
    (400, {"message": "Input length 9000 exceeds the maximum length of 8192"}, "too_long"),
    *((status, openai("Request too large for gpt in organization org-1 on tokens per min (TPM): "
                      "Limit 30000, Requested 36000.", code="rate_limit_exceeded"), "too_long")
      for status in (400, 413, 429)),
    (400, openai("Bad request"), "unclear"),
    (403, "Forbidden", "unclear"),
    (422, {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "value is no text",
                       "input": "Which API key opens the account?"}]}, "unclear"),
    (400, {"error": {"message": "could not tokenize \\u0000"}}, "unclear"),
    (400, "", "unclear"),
    (400, [{"error": {"code": 400, "message": "Request contains an invalid argument.",
            "status": "INVALID_ARGUMENT"}}], "unclear"),
    (400, openai("Invalid parameter.", code="invalid_parameter_error"), "unclear"),
    (400, openai("InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]",
                 code="invalid_parameter_error"), "too_long"),
    (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. "
           "Given: 4000 `inputs` tokens", "error_type": "validation"}, "too_long"),
    (400, {"message": "Malformed input request, please reformat your input and try again."},
     "unclear"),
    (400, openai("Edit the text, or use a different one, and retry."), "unclear"),
    (451, {"error": {"message": "not for legal reasons"}}, "unclear"),
    *((400, {"error": message}, "too_long") for message in (
        "input tokens exceed the configured limit of 272000 tokens",
        "The input token count (1048577) exceeds the maximum number of tokens allowed",
        "prompt too long; exceeded max context length by 20 tokens",
        "max_new_tokens cannot exceed 4081 tokens",
        "Context size has been exceeded",
        "The context length of 4096 tokens is below your quota, and it is exceeded",
    )),
    *((500, {"error": message}, "too_long") for message in (
        "input tokens exceed the configured limit of 272000 tokens",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Context size has been exceeded",
    )),
    # What the model wrote is no word of the endpoint.
    (400, openai("Parsing failed. The model generated output that could not be parsed. Please "
                 "adjust your prompt. See 'failed_generation' for more details.",
                 code="output_parse_failed", failed_generation="The region where the organization "
                 "has its account is X, so B."), "unclear"),
    (400, openai("Tool choice is none, but model called a tool", code="tool_use_failed",
                 failed_generation='{"name": "calc", "arguments": {"temperature": 300}}'),
     "unclear"),
    *((400, {"error": {"message": "Provider returned error", "metadata": {"raw": raw}}}, "unclear")
      for raw in (
        '{"error": {"message": "Parsing failed", "failed_generation": "account of the country"}}',
        'failed: {"error": {"message": "no", "generated_text": "my organization"}} (once)',
        '[{"error": {"message": "no", "generation": "its account"}}]',
    )),
    # A firewall that blocks may mean one prompt or the endpoint.
    (403, "<!DOCTYPE html><html><head><title>Attention Required!</title></head><body><h1>Sorry, "
          "you have been blocked</h1><p>such as submitting a certain word</p></body></html>",
     "unclear"),
    (403, "\n<html><head><title>Web Filter Violation</title></head><body>Web Page Blocked! The "
          "page you have requested has been blocked because the URL is banned. text</body></html>",
     "unclear"),
]  # fmt: skip

OF_ALL = [
    (403, {"error": {"message": "Key limit exceeded (daily limit). Manage it using the settings.",
           "code": 403}}, "add credit"),
    (400, openai("You have reached your specified API usage limits. You will regain access on "
                 "2026-12-01."), "add credit"),
    (400, openai("ExceededBudget: User=x over budget. Spend=10.1, Budget=10.0"), "add credit"),
    (429, {"error": {"message": "Budget has been exceeded! Current cost: 10.1, Max budget: 10.0",
           "type": "budget_exceeded"}}, "add credit"),
    (401, openai("Incorrect API key provided", code="invalid_api_key"), "key in $BIG_KEY"),
    (402, {"error": {"message": "Insufficient credits", "code": 402}}, "add credit"),
    (404, openai("The model `big` does not exist", code="model_not_found"), "base_url and model"),
    (404, "404 page not found", "check base_url and model"),
    (405, {"detail": "Method Not Allowed"}, "check base_url and model"),
    (407, "Proxy Authentication Required", "HTTPS_PROXY"),
    (429, openai("You exceeded your current quota", code="insufficient_quota"), "add credit"),
    (429, {"error": {"message": "Your credit balance is too low"}}, "add credit"),
    (400, {"error": {"message": "Your credit balance is too low to access the API"}}, "add credit"),
    (400, {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
           "status": "INVALID_ARGUMENT"}}, "check the key"),
    (400, {"error": {"message": "User location is not supported for the API use."}}, "key"),
    (403, openai("Country, region, or territory not supported",
                 code="unsupported_country_region_territory"), "its region"),
    (403, openai("Project proj_1 does not have permission to use model big"), "no permission"),
    (403, {"error": {"message": "Your organization must be verified"}}, "its account"),
    (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                 "'max_completion_tokens' instead.", param="max_tokens",
                 code="unsupported_parameter"), "max_tokens_field"),
    (400, openai("Unsupported value: 'temperature' does not support 0.0 with this model.",
                 param="temperature", code="unsupported_value"), "temperature"),
    (400, openai("Unrecognized request argument supplied: reasoning_effort"), "extra_body"),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "reasoning_effort"],
                       "msg": "Extra inputs are not permitted"}]}, "extra_body"),
    (422, {"detail": [{"loc": ["body", "top_p"], "msg": "must be greater than 0"}]}, "top_p"),
    (400, {"error": {"message": "temperature must be between 0 and 2"}}, "temperature"),
    (400, {"error": {"message": "big is not a valid model ID", "code": 400}}, "base_url"),
    (400, {"error": {"message": "The model big has been decommissioned"}}, "base_url and model"),
    (400, {"detail": "Server is pinned to 'models/a'; requested 'big'."}, "base_url and model"),
    (400, {"error": "this worker only serves tiny-1b"}, "base_url and model"),
    (422, {"detail": "Unexpected fields in the request: {'foo'}"}, "extra_body"),
    (400, {"error": {"code": 400, "message": "Field 'temperature': [json.exception.type_error.302] "
           "type must be number, but is string", "type": "invalid_request_error"}}, "temperature"),
    # Limits of an account, though they are told in tokens.
    (400, openai("You have exceeded your monthly token limit"), "add credit"),
    (403, openai("Daily token limit reached for your plan"), "add credit"),
    (403, openai("You have exceeded your token quota"), "add credit"),
    (403, {"error": {"message": "user quota is not enough", "type": "new_api_error",
           "code": "insufficient_user_quota"}}, "add credit"),
    (403, {"error": {"message": "no", "code": "insufficient_user_quota"}}, "add credit"),
    (403, {"error": {"message": "token quota is not enough, token remain quota: $0.01, need quota: "
           "$0.02", "code": "pre_consume_token_quota_failed"}}, "add credit"),
    (400, openai("ExceededTokenBudget: Current spend for token: 7.2e-05; Max Budget for Token: "
                 "2e-07"), "add credit"),
    *((status, {"code": "Some resource has been exhausted", "error": "Your team 0-0 has either "
                "used all available credits or reached its monthly spending limit."}, "add credit")
      for status in (403, 429)),
    (429, openai("You exceeded your current token quota: <org-x> 0, please check your account "
                 "balance", code="exceeded_current_quota_error"), "add credit"),
    (500, {"error": {"message": "Insufficient balance"}}, "add credit"),
    (429, {"error": {"message": "Insufficient balance", "code": "rate_limit_exceeded"}},
     "add credit"),
]  # fmt: skip

PASSING = [
    *((status, {"error": {"message": "try again later"}})
      for status in (408, 409, 424, 425, 429, 498, 499, 500, 502, 503, 520, 529)),
    (400, {"error": {"message": "Model is loading, please try again"}}),
    (403, {"error": {"message": "Too many requests from here, rate limit reached"}}),
    (503, "<h1>busy</h1>"),
    (500, {"error": {"message": "The content filter is out of order"}}),
    # Limits of a time and of a call, though they are told in tokens and contexts.
    *((status, openai("context deadline exceeded (Client.Timeout or context cancellation while "
                      "reading body)")) for status in (400, 500)),
    (500, openai("Requests to the ChatCompletions_Create Operation have exceeded token rate limit "
                 "of your current OpenAI S0 pricing tier. Please retry after 36 seconds.")),
    *((status, openai("An error occurred (ThrottlingException) when calling the Converse operation "
                      "(reached max retries: 4): Too many tokens, please wait before trying again."
                      )) for status in (400, 500)),
    (400, openai("Rate limit: too many tokens in the last minute, try again in 5 s")),
    (400, openai("You have exceeded your limit of 40000 tokens per minute")),
    (500, openai("Internal: message too large for queue")),
    *((status, openai("exceeded retries while the length of queue is 5")) for status in (500, 503)),
    # What the model wrote is no word of the endpoint.
    *((500, {"error": {"code": 500, "message": "Failed to parse input at pos 45: " + written,
             "type": "server_error"}}) for written in (
        "<|channel|>analysis<|message|>The insufficient balance of payments includes",
        "the maximum input of the amplifier",
        '{"answer": "insufficient funds"}',
    )),
    # Words about paying, where a wait ends it.
    (429, openai("Rate limit reached for gpt-4o in organization org-x on requests per min. Limit: "
                 "3 / min. Current: 4 / min. You can increase your rate limit by adding a payment "
                 "method to your account at https://platform.openai.com/account/billing.",
                 code="rate_limit_exceeded")),
    (429, {"error": {"code": 429, "message": "You exceeded your current quota, please check your "
           "plan and billing details.", "status": "RESOURCE_EXHAUSTED"}}),
    (429, "<html><body>Slow down <a href='/billing'>Billing</a></body></html>"),
    (503, "<html><body>Service Unavailable <a href='/billing'>Billing</a></body></html>"),
    (500, openai("Upstream 429: please check your plan and billing details")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "reason"), OF_ONE_ITEM)
def test_a_refused_prompt_is_told_by_its_words(status, body, reason):
    assert meaning(status, body) == reason


@pytest.mark.parametrize(("status", "body", "check"), OF_ALL)
def test_what_every_request_would_be_told_stops_the_run_with_what_to_check(status, body, check):
    found = refused(status, {}, body if isinstance(body, str) else json.dumps(body), WHOM)
    assert type(found) is TeacherError
    assert check in str(found)


@pytest.mark.parametrize(("status", "body"), PASSING)
def test_what_passes_by_itself_is_a_fault(status, body):
    assert meaning(status, body) == "passes"


@pytest.mark.parametrize(
    ("status", "owed"), [(429, "REQUEST"), (500, "REQUEST"), (504, "ALL"), (408, "ALL")]
)
def test_a_fault_owes_its_tokens_only_where_somebody_gave_it_up(status, owed):
    assert refused(status, {}, "", WHOM).owed is Owed[owed]


@pytest.mark.parametrize(
    "text",
    ["wait for 3 answers", "try again in 3 different ways", '{"retry_after_ms": 3}', "retry 3"],
)
def test_other_numbers_in_the_words_are_no_wait(text):
    assert asked_wait(429, {}, text) is None


def test_a_message_shows_no_secret_however_it_is_escaped():
    text = '{"error": "key sk\\u002d0123456789", }'  # no JSON, so nobody unescapes it
    assert "0123" not in str(refused(500, {}, text, WHOM))


def test_a_message_shows_no_secret_at_any_length():
    text = json.dumps({"error": {"message": "x" * 290 + " sk-0123456789"}})
    for status in (400, 401, 403, 422, 429, 500):
        assert "0123" not in str(refused(status, {}, text, WHOM))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800.0),
        ("2.5", 2.5),
        ("2015-10-21T07:28:00Z", 0.0),
        ("1445412480", 0.0),
        ("1e400", None),
        ("6 minutes", 360.0),
        ("1 min 2 seconds", 62.0),
        ("1500 milliseconds", 1.5),
        ("soon", None),
        ("6 months", None),
    ],
)
def test_a_wait_is_seconds_a_duration_or_a_time(value, seconds):
    assert retry_after(value) == seconds


@pytest.mark.parametrize("form", [str, lambda at: str(int(1000 * at)), "iso"])
def test_a_time_to_come_is_waited_for(form):
    at = time.time() + 60
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) if form == "iso" else form(at)
    assert 55 < retry_after(text) <= 60


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (503, {"retry-after": "9"}, 9.0),
        (429, {"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        (
            429,
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-remaining-tokens": "5000",
            },
            1.0,
        ),
        (429, {"x-ratelimit-reset": "20ms"}, 0.02),
        (429, {"ratelimit-reset": "7"}, 7.0),
        (500, {"x-ratelimit-reset-requests": "1s"}, None),
        (429, {"x-ratelimit-reset-requests": "soon"}, None),
        (429, {}, None),
        # Not to wait is no wait: the own one counts, which grows.
        (429, {"retry-after": "0"}, None),
        (429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        (429, {"retry-after": "0", "x-ratelimit-reset": "20ms"}, 0.02),
        # A time is one of the clock of who says it.
        (
            429,
            {
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
                "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT",
            },
            30.0,
        ),
        (
            429,
            {"date": "Wed, 21 Oct 2015 07:28:00 GMT", "x-ratelimit-reset": "1445412520"},
            40.0,
        ),
    ],
)
def test_the_wait_that_an_endpoint_asks_for_is_found_in_its_headers(status, headers, seconds):
    assert asked_wait(status, headers) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *('{"retryDelay": "21s"}', "Please try again in 21s.", "retry after 21 s"),
        *("Please wait 21 seconds before you try again.", "try again in 0m21s"),
        *('{"error": {"retry_after": 21}}', '{"retry_after_seconds": 21.0, "code": 429}'),
    ],
)
def test_the_wait_that_an_endpoint_asks_for_is_found_in_its_words(text):
    assert asked_wait(429, {}, text) == 21.0


def test_a_wait_is_found_behind_long_details():
    violations = [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}] * 40
    error = {"message": "billing", "violations": violations, "retryDelay": "24s"}
    text = json.dumps([{"error": error}], indent=2)
    assert text.index("retryDelay") > 2000
    assert refused(429, {}, text, WHOM).wait == 24.0


def test_a_rate_limit_in_the_words_of_an_empty_account_passes_when_a_wait_is_told():
    said = "You exceeded your current quota, please check your plan and billing details."
    body = {"error": {"code": 429, "message": said, "details": [{"retryDelay": "20s"}]}}
    assert meaning(429, body) == "passes"
    del body["error"]["details"]
    assert meaning(429, body) == "stops"


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        # A status of its own, wherever it stands.
        ({"error": {"code": 502}}, "passes"),
        ({"error": {"code": "429"}}, "passes"),
        ({"error": {"message": "busy", "status": 503}}, "passes"),
        ({"code": 429, "message": "slow"}, "passes"),
        ({"status": 503, "error": "Service Unavailable", "path": "/v1"}, "passes"),
        ({"statusCode": 401, "message": "Unauthorized"}, "stops"),
        ({"error": {"code": 403, "message": "input flagged"}}, "refused"),
        ({"status": 400, "error": "Bad Request", "message": "prompt too long"}, "too_long"),
        # None: the words of the error decide, where they are clear.
        ({"error": {"message": "prompt was filtered", "code": "content_filter"}}, "refused"),
        ({"error": {"message": "maximum context length is 4096"}, "choices": []}, "too_long"),
        ({"errors": [{"code": 5021, "message": "exceeds the context window"}]}, "too_long"),
        ({"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}, "refused"),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "stops"),
        ({"error": "Invalid API key"}, "stops"),
        ({"error": "please try again later"}, None),
        ({"error": {"code": 3}}, None),
        ({"error": "no"}, None),
        ({"base_resp": {"status_code": 0, "status_msg": "content filter is on"}}, None),
        ({"message": "prompt was filtered"}, None),
        ({"code": 0, "message": "ok"}, None),
        ({"error": {"code": 502}, "choices": [{}]}, None),
        ({"error": {"message": "output filtered"}, "usage": {"completion_tokens": 9}}, None),
        ({}, None),
    ],
)
def test_a_body_without_an_answer_may_say_what_it_is_though_it_came_with_200(reply, what):
    found = refused_inside(reply, {}, WHOM)
    assert (found and word_of(found)) == what
