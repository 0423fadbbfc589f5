"""What an endpoint sent back, read without a server."""

import time
from email.utils import formatdate

import pytest

from caft.teacher.endpoint.replies import Fault, brief, read_json_body, redact, retry_after

SECRET = "sk-0123456789"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-5", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_nothing_usable(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_may_be_a_date_to_come():
    assert 55 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60


def test_a_secret_is_replaced_at_any_depth():
    value = {SECRET: [f"key {SECRET}!", {"a": SECRET, "n": 1}], "b": None}
    assert redact(value, SECRET) == {
        "[redacted]": ["key [redacted]!", {"a": "[redacted]", "n": 1}],
        "b": None,
    }


@pytest.mark.parametrize("secret", [None, "", "short"])
def test_what_is_no_secret_is_left_alone(secret):
    assert redact("a short text", secret) == "a short text"


def test_a_message_is_one_short_printable_line_without_the_secret():
    assert brief(f"bad\n\tkey  {SECRET}\x1b[31m\ud83d", SECRET) == "bad key [redacted]?[31m?"
    assert len(brief("x" * 9999, SECRET)) == 302


@pytest.mark.parametrize("body", [b"", b" \n", b"[1]", b"null", b'{"a": ', b"<html>", b"[" * 99999])
def test_a_body_that_is_no_object_is_a_fault(body):
    with pytest.raises(Fault, match="the body was"):
        read_json_body(body, None)


def test_an_escaped_secret_is_found_as_well():
    body = b'{"message": "key sk\\u002d0123456789"}'
    assert read_json_body(body, SECRET) == {"message": "key [redacted]"}
