import hashlib
import json
import os
import unicodedata
from pathlib import Path

import pytest

from caft import layout
from caft.tables import hashing
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


@pytest.mark.parametrize("text", ["\x7f", "\\u0041", "\x01", "\U0001f600", "a\u0301", "\ud800"])
def test_canonical_json_escapes_what_json_has_to_and_nothing_else(text):
    normal = unicodedata.normalize("NFC", text)
    assert canonical_json([text]) == json.dumps([normal], ensure_ascii=False)


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


@pytest.fixture
def read(monkeypatch, tmp_path):
    """The files that were read to hash them; every file counts as large and as settled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hashing, "_HASHED_BYTES", 0)
    monkeypatch.setattr(hashing, "_SETTLED_NS", 0)
    plain, files = hashing.file_sha256, []

    def counting(path):
        files.append(Path(path).name)
        return plain(path)

    monkeypatch.setattr(hashing, "file_sha256", counting)
    return files


def test_the_hash_of_a_large_file_is_remembered_until_somebody_writes_it(read):
    Path("a.bin").write_bytes(b"one")
    first = hashing.remembered_sha256("a.bin")
    assert hashing.remembered_sha256("a.bin") == first == hashlib.sha256(b"one").hexdigest()
    assert read == ["a.bin"]
    times = os.stat("a.bin")
    Path("a.bin").write_bytes(b"two")  # as long as before
    os.utime("a.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hashing.remembered_sha256("a.bin") == hashlib.sha256(b"two").hexdigest()
    assert read == ["a.bin", "a.bin"]


def test_a_link_is_remembered_by_the_file_it_leads_to(read):
    Path("a.bin").write_bytes(b"one")
    Path("b.bin").symlink_to("a.bin")
    hashing.remembered_sha256("a.bin")
    hashing.remembered_sha256("b.bin")
    assert read == ["a.bin"]


def test_what_is_remembered_may_be_lost_or_spoilt(read):
    Path("a.bin").write_bytes(b"one")
    first = hashing.remembered_sha256("a.bin")
    (memory,) = Path(layout.HASHES).iterdir()
    memory.write_text("cut")
    assert hashing.remembered_sha256("a.bin") == first
    assert len(read) == 2


@pytest.mark.parametrize(("limit", "settled"), [(64_000_000, 0), (0, 3_600_000_000_000)])
def test_a_small_file_and_one_that_has_just_changed_are_read_each_time(
    read, monkeypatch, limit, settled
):
    monkeypatch.setattr(hashing, "_HASHED_BYTES", limit)
    monkeypatch.setattr(hashing, "_SETTLED_NS", settled)
    Path("a.bin").write_bytes(b"one")
    hashing.remembered_sha256("a.bin")
    hashing.remembered_sha256("a.bin")
    assert len(read) == 2 and not Path(layout.HASHES).exists()
