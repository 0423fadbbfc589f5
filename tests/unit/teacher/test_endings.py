"""How answers end, in the words of many endpoints."""

import pytest

from caft.teacher.reading.ending import ending_of, family_of, is_known


@pytest.mark.parametrize(
    ("family", "words"),
    [
        (
            "stop",
            "stop STOP Stop end_turn endTurn eos eos_token stop_sequence completed COMPLETE "
            "FinishReason.STOP FINISH_REASON_STOP stop-sequence done finished END_ID stop_words "
            "eos_token_id end_of_sequence",
        ),
        (
            "length",
            "length LENGTH max_tokens MAX_TOKENS maxTokens model_length max_output_tokens "
            "model_context_window_exceeded FinishReason.MAX_TOKENS token_limit truncated",
        ),
        (
            "content_filter",
            "content_filter contentFilter SAFETY safety RECITATION BLOCKLIST sensitive "
            "PROHIBITED_CONTENT SPII IMAGE_SAFETY ERROR_TOXIC guardrail_intervened",
        ),
        ("refusal", "refusal REFUSED model_declined"),
        (
            "broken_off",
            "abort aborted error ERROR cancelled canceled insufficient_system_resource timeout "
            "internal_error USER_CANCEL engine_overloaded",
        ),
        ("(none)", ["", None, 7, [], True, " "]),
    ],
)
def test_a_word_belongs_to_a_family(family, words):
    for word in words.split() if isinstance(words, str) else words:
        assert family_of(word) == family, word


def test_a_detail_behind_the_word_changes_nothing():
    assert family_of("content_filter: PROHIBITED_CONTENT") == "content_filter"


@pytest.mark.parametrize("word", ["OTHER", "eos_sometimes", "pause_turn", "unspecified"])
def test_an_unknown_word_is_kept_and_is_not_complete(word):
    assert family_of(word) == word
    assert ending_of([word], True) != "stop"
    assert not is_known(word)


@pytest.mark.parametrize(
    ("words", "has_text", "ending"),
    [
        (["stop", None], True, "stop"),
        ([None, "stop"], True, "stop"),
        (["stop", "MAX_TOKENS"], True, "length"),
        (["stop", "STOP"], True, "stop"),
        (["stop", "whatever"], True, "stop"),
        (["error", "stop"], True, "broken_off"),
        ([{"type": "stop", "matched": 2}], True, "stop"),
        ([{"type": "length", "length": 16}], True, "length"),
        ([{"matched": "stop"}], True, "(none)"),
        (["tool_calls"], True, "stop"),
        (["tool_calls"], False, "tool_calls"),
        (["function_call"], False, "function_call"),
        (["tool_calls", "MAX_TOKENS"], True, "length"),
        ([], True, "(none)"),
    ],
)
def test_of_several_words_the_one_that_is_not_complete_counts(words, has_text, ending):
    assert ending_of(words, has_text) == ending
