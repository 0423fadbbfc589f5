import hashlib

import pytest

from caft.tables.hashing import (
    canonical_json,
    digest,
    file_sha256,
    item_id,
    rows_digest,
    unit_interval,
)


def test_canonical_json_sorts_keys_and_normalises_text():
    assert canonical_json({"b": ("e\u0301", 1), "a": None}) == '{"a":null,"b":["\u00e9",1]}'


def test_a_value_without_a_word_in_json_is_refused():
    with pytest.raises(TypeError):
        canonical_json({"a": {1, 2}})


def test_a_digest_is_the_start_of_the_sha256_of_the_canonical_json():
    assert digest({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()[:16]
    assert len(digest([], length=8)) == 8


def test_an_item_id_follows_from_question_options_and_answer():
    canonical = '{"answer":"B","options":["x","y"],"question":"Which?"}'
    expected = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    assert item_id("Which?", ["x", "y"], "B") == expected
    others = [("which?", ["x", "y"], "B"), ("Which?", ["y", "x"], "B"), ("Which?", None, "B")]
    assert expected not in {item_id(*other) for other in others}


def test_equal_rows_have_equal_digests_and_order_counts():
    rows = [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert rows_digest(rows) == rows_digest([{"b": None, "a": 1}, {"b": "x", "a": 2}])
    assert rows_digest(rows) != rows_digest(rows[::-1])
    assert rows_digest([{"a": 1}, {"a": 2}]) != rows_digest([{"a": 1}])


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


def test_draws_are_reproducible_and_spread_over_the_unit_interval():
    assert unit_interval("sample", 1, "x") == unit_interval("sample", 1, "x")
    draws = [unit_interval("sample", 1, str(number)) for number in range(2000)]
    assert all(0 <= draw < 1 for draw in draws)
    tenths = [sum(k / 10 <= draw < (k + 1) / 10 for draw in draws) for k in range(10)]
    assert min(tenths) > 150 and max(tenths) < 250
