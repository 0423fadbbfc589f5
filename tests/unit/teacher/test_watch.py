"""When a job stops buying, and when it fails for want of answers."""

import pytest

from caft.errors import TeacherError
from caft.teacher import Answer
from caft.teacher.watch import Watch, check_errors, empty


def answer(text="so", finish="stop"):
    return Answer("k", text, None, finish, 1, 1, 0.0, 0.1, {"error": "it said no"})


def watch(patience=3):
    return Watch(empty, patience, "teachers.big")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (answer(), None),
        (answer(" \n"), "without content"),
        (answer("so", "length"), "truncated"),
        (answer("", "too_long"), "too_long"),
    ],
)
def test_an_answer_that_nobody_reads_further_is_useless_without_an_end_or_a_text(given, why):
    assert empty(given) == why


def test_the_first_answers_without_a_usable_one_are_enough():
    own = watch()
    own.look([answer(""), answer("so", "length")])
    assert own.stop is None
    own.look([answer("")])
    assert own.stop.startswith(
        "teachers.big: none of the first 3 answers that were bought can be used (2 without content,"
    )


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ({"body": "upstream connect error"}, "upstream connect error"),
        ({"candidates": [{"text": "hi"}]}, "candidates"),
        ({"body": "x", "error": "the reply was larger"}, "the reply was larger"),
    ],
)
def test_of_replies_that_nobody_can_read_the_message_shows_one(raw, shown):
    own = watch(1)
    own.look([Answer("k", "", None, "unreadable", None, None, None, 0.1, raw)])
    assert shown in own.stop and "base_url" in own.stop and "max_new_tokens" not in own.stop


def test_one_usable_answer_ends_the_watch():
    own = watch()
    own.look([answer(""), answer(), *[answer("")] * 9])
    assert (own.stop, own.room(10**6)) == (None, True)


def test_errors_are_no_answers():
    own = watch(1)
    own.look([answer("", "error")] * 5)
    assert own.stop is None


def test_no_more_are_under_way_than_are_needed_to_tell():
    own = watch()
    assert [own.room(under_way) for under_way in (0, 2, 3)] == [True, True, False]
    own.look([answer("")])
    assert [own.room(under_way) for under_way in (1, 2)] == [True, False]


@pytest.mark.parametrize(
    ("count", "total", "share"), [(0, 5, 0.0), (29, 100, 0.29), (1, 3, 0.334), (5, 5, 1.0)]
)
def test_a_share_of_items_may_be_without_an_answer(count, total, share):
    check_errors(["timed out"] * count, total, share, "teachers.big")


@pytest.mark.parametrize(("count", "total", "named"), [(1, 3, "0.334"), (1, 1000, "0.001")])
def test_the_share_that_the_message_names_is_enough(count, total, named):
    with pytest.raises(TeacherError, match=f"max_error_share to {named} or more"):
        check_errors(["timed out"] * count, total, 0.0, "teachers.big")
    check_errors(["timed out"] * count, total, float(named), "teachers.big")


def test_the_kinds_of_errors_are_counted_and_the_most_frequent_named():
    errors = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d", "e"]
    with pytest.raises(TeacherError) as caught:
        check_errors(errors, 20, 0.0, "teachers.big")
    assert "(4 times a; 3 times b; 2 times c; and 2 other errors)" in str(caught.value)
