import errno
import hashlib
import json
import logging
import os
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caft.errors import StoreError
from caft.store import Store, answer_key, journal, segment
from caft.store.check import check
from caft.store.compaction import compact


def record(key, **fields):
    return {"key": key, "kind": "rationale", "text": f"text of {key}", **fields}


def journals(folder):
    return sorted((folder / "journals").glob("*.jsonl"))


def segments(folder):
    return sorted((folder / "segments").glob("*.parquet"))


MESSAGES = [{"role": "user", "content": "2 + 2?"}]
DECODING = {"temperature": 0.7, "max_tokens": 100}


def test_key_is_the_same_on_every_machine():
    text = (
        '{"decoding":{"max_tokens":100,"temperature":0.7},'
        '"messages":[{"content":"2 + 2?","role":"user"}],'
        '"model_id":"m","revision":"r","sample":0}'
    )
    key = answer_key("m", "r", MESSAGES, DECODING, 0)
    assert key == hashlib.sha256(text.encode()).hexdigest()


def test_key_does_not_depend_on_the_order_of_settings_or_on_how_a_number_is_written():
    first = answer_key("m", "r", MESSAGES, {"temperature": 0, "top_p": 1.0}, 0)
    assert first == answer_key("m", "r", MESSAGES, {"top_p": 1, "temperature": 0.0}, 0)


@pytest.mark.parametrize(
    "other",
    [
        ("n", "r", MESSAGES, DECODING, 0),
        ("m", "s", MESSAGES, DECODING, 0),
        ("m", "r", [{"role": "user", "content": "2 + 3?"}], DECODING, 0),
        ("m", "r", MESSAGES, {**DECODING, "temperature": 0.8}, 0),
        ("m", "r", MESSAGES, DECODING, 1),
    ],
)
def test_key_changes_with_everything_the_model_is_asked(other):
    assert answer_key("m", "r", MESSAGES, DECODING, 0) != answer_key(*other)


def test_an_appended_record_is_read_back_by_another_store(tmp_path):
    store = Store(tmp_path)
    store.append([record("a", cost_usd=0.25, raw='{"id": "x"}')])
    found = Store(tmp_path).get(["a", "b"])
    assert list(found) == ["a"]
    assert found["a"] == store.get(["a"])["a"]
    assert (found["a"]["cost_usd"], found["a"]["raw"]) == (0.25, '{"id": "x"}')


def test_a_folder_that_does_not_exist_is_an_empty_store_and_stays_so(tmp_path):
    with Store(tmp_path / "none") as store:
        assert store.get(["a"]) == {}
    assert not (tmp_path / "none").exists()


def test_folding_moves_the_journal_into_a_segment_with_the_same_records(tmp_path):
    store = Store(tmp_path)
    store.append([record("b"), record("a", text="ü 😀 \u2028 line\nbreak")])
    before = Store(tmp_path).get(["a", "b"])
    folded = store.fold()
    assert (journals(tmp_path), segments(tmp_path)) == ([], folded)
    assert Store(tmp_path).get(["a", "b"]) == before == store.get(["a", "b"])
    assert store.fold() == []


def test_the_same_answers_make_the_same_segment(tmp_path):
    for folder, keys in (("one", "ab"), ("two", "ba")):
        with Store(tmp_path / folder) as store:
            for key in keys:
                store.append([record(key)])
    assert segments(tmp_path / "one")[0].name == segments(tmp_path / "two")[0].name


def test_the_journal_is_folded_after_an_exception(tmp_path):
    with pytest.raises(RuntimeError), Store(tmp_path) as store:
        store.append([record("a")])
        raise RuntimeError
    assert journals(tmp_path) == []
    assert list(Store(tmp_path).get(["a"])) == ["a"]


def test_appending_goes_on_after_a_fold(tmp_path):
    with Store(tmp_path) as store:
        store.append([record("a")])
        store.fold()
        store.append([record("b")])
    assert len(segments(tmp_path)) == 2
    assert set(Store(tmp_path).get(["a", "b"])) == {"a", "b"}


def test_one_append_is_one_fsync_of_the_journal(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.append([record("first")])
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.append([record("a"), record("b")])
    assert len(synced) == 1


def test_a_record_is_never_rewritten(tmp_path):
    with Store(tmp_path) as store:
        store.append([record("a", text="first"), record("a", text="second")])
        store.append([record("a", text="third")])
        assert store.get(["a"])["a"]["text"] == "first"
    assert Store(tmp_path).get(["a"])["a"]["text"] == "first"


@pytest.mark.parametrize("folded", [True, False])
def test_of_duplicates_the_one_received_first_wins(tmp_path, folded):
    late, early = Store(tmp_path), Store(tmp_path)
    late.append([record("a", text="late", received_at="2026-01-02T00:00:00.000000+00:00")])
    early.append([record("a", text="early", received_at="2026-01-01T00:00:00.000000+00:00")])
    if folded:
        late.fold()
    assert Store(tmp_path).get(["a"])["a"]["text"] == "early"


@pytest.mark.parametrize(
    "broken",
    [
        {"text": "no key"},
        {"key": ""},
        {"key": "b", "prize": 1},
    ],
)
def test_a_record_without_key_or_with_an_unknown_field_is_refused_and_nothing_written(
    tmp_path, broken
):
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="record"):
        store.append([record("a"), broken])
    assert Store(tmp_path).get(["a"]) == {}


@pytest.mark.parametrize(
    ("name", "odd", "kept"),
    [
        ("prompt_tokens", "many", None),
        ("prompt_tokens", True, None),
        ("prompt_tokens", 12.0, 12),
        ("prompt_tokens", 12.5, None),
        ("completion_tokens", 2**64, None),
        ("completion_tokens", [3], None),
        ("completion_tokens", float("nan"), None),
        ("cost_usd", "0.1", None),
        ("cost_usd", float("inf"), None),
        ("cost_usd", 10**400, None),
        ("cost_usd", 2**70, 2**70),
        ("text", 3, None),
        ("reasoning", {"a": ["b"]}, None),
        ("received_at", 20260101, None),
    ],
)
def test_a_value_that_does_not_fit_becomes_null_and_costs_nothing_else(tmp_path, name, odd, kept):
    with Store(tmp_path) as store:
        store.append(
            [
                record("a", raw="as it came", **{name: odd})
                if name != "text"
                else {"key": "a", "raw": "as it came", "text": odd},
                record("b", cost_usd=0.5),
            ]
        )
        before = store.get(["a", "b"])
    assert journals(tmp_path) == []
    after = Store(tmp_path).get(["a", "b"])
    assert after == before
    assert (after["a"][name], after["a"]["raw"]) == (kept, "as it came")
    assert after["b"]["cost_usd"] == 0.5
    if name != "text" and name != "reasoning":
        table = Store(tmp_path).table(["key", name]).to_pylist()
        assert {row["key"]: row[name] for row in table}["a"] == kept


def journal_line(record):
    body = json.dumps(record).encode()
    check = hashlib.sha256(body).hexdigest()[:16].encode()
    return b'{"check": "' + check + b'", "record": ' + body + b"}\n"


@pytest.mark.parametrize(
    "odd",
    [
        {"key": "x", "text": "of another version"},
        {"key": "x", "text": "t", "prompt_tokens": "many", "cost_usd": {}, "received_at": None},
        {"key": "x", "text": "t", "completion_tokens": 2**70, "raw": "[", "later": 1},
    ],
)
def test_an_odd_line_of_a_journal_is_folded_beside_its_neighbours(tmp_path, odd):
    store = Store(tmp_path)
    store.append([record("a"), record("b")])
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes() + journal_line(odd))
    assert len(store.fold()) == 1
    reader = Store(tmp_path)
    assert reader.keys() == {"a", "b", "x"} == set(reader.get("abx"))
    assert reader.get("x")["x"]["text"] == odd["text"]
    assert reader.get("x")["x"]["finish_reason"] is None
    assert reader.table(["key", "cost_usd"]).num_rows == 3


def test_half_a_surrogate_pair_can_be_stored_and_folded(tmp_path):
    with Store(tmp_path) as store:
        store.append([record("a", text="x\ud83dy")])
        held = store.get(["a"])["a"]["text"]
    assert held == Store(tmp_path).get(["a"])["a"]["text"] == "x?y"


def test_a_torn_last_line_is_skipped_with_a_warning(tmp_path, caplog):
    Store(tmp_path).append([record("a"), record("b")])
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING, "caft"):
        assert set(Store(tmp_path).get(["a", "b"])) == {"a"}
    assert f"{path}, line 2, byte" in caplog.text and "was cut off" in caplog.text


def test_a_last_line_that_lacks_only_its_line_break_counts(tmp_path):
    Store(tmp_path).append([record("a")])
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert set(Store(tmp_path).get(["a"])) == {"a"}


def test_what_follows_an_unfinished_line_is_read_once_it_is_finished(tmp_path):
    Store(tmp_path).append([record("a"), record("b"), record("c")])
    (path,) = journals(tmp_path)
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    store = Store(tmp_path)
    for cut, expected in (
        (ends[0] + 30, {"a"}),
        (ends[1] - 1, {"a", "b"}),  # all but its line break
        (ends[1] + 1, {"a", "b"}),
        (ends[2], {"a", "b", "c"}),
    ):
        path.write_bytes(whole[:cut])
        store.refresh()
        assert store.keys() == expected
        assert store.table(["key"])["key"].to_pylist() == sorted(expected)


@pytest.mark.parametrize("line", [b'{"key": "x"', b"\x00\x00", b"\xff\xfe", b"[1]", b"{}", b"3"])
def test_a_broken_line_elsewhere_is_skipped_with_file_and_line(tmp_path, caplog, line):
    Store(tmp_path).append([record("a"), record("b")])
    (path,) = journals(tmp_path)
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, line, second, b""]))
    with caplog.at_level(logging.WARNING, "caft"):
        assert set(Store(tmp_path).get(["a", "b"])) == {"a", "b"}
    assert f"{path}, line 2, byte {len(first) + 1}" in caplog.text
    assert "is damaged; this answer is not used" in caplog.text


def test_a_journal_line_is_readable_json(tmp_path):
    Store(tmp_path).append([record("a", text="ü")])
    line = journals(tmp_path)[0].read_text(encoding="utf-8")
    assert json.loads(line)["record"]["text"] == "ü" and "ü" in line


def test_a_segment_is_named_by_its_content_and_read_by_its_columns(tmp_path, monkeypatch):
    with Store(tmp_path) as store:
        store.append([record("a", cost_usd=0.5), record("b")])
    (path,) = segments(tmp_path)
    assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(segment, "salvage", lambda path: pytest.fail("the bytes were searched"))
    reader = Store(tmp_path)
    assert reader.keys() == {"a", "b"}
    assert reader.get(["b"])["b"]["text"] == "text of b"
    assert reader.table(["cost_usd"])["cost_usd"].to_pylist() == [0.5, None]


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=30)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(TEXTS.filter(bool), st.tuples(TEXTS, st.integers(-5, 2**62)), max_size=5))
def test_any_text_comes_back_as_it_was(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("store")
    records = [
        {"key": key, "text": text, "raw": json.dumps(text), "prompt_tokens": count}
        for key, (text, count) in texts.items()
    ]
    with Store(folder) as store:
        store.append(records)
        held = store.get(store.keys())
    stored = Store(folder).get(Store(folder).keys())
    assert stored == held
    printable = {
        key.encode("utf-8", "replace").decode(): text.encode("utf-8", "replace").decode()
        for key, (text, _) in reversed(texts.items())
    }
    assert {key: one["text"] for key, one in stored.items()} == printable


def test_a_record_of_ten_megabytes_is_stored(tmp_path):
    noise = random.Random(1).randbytes(10_000_000).decode("latin-1")
    with Store(tmp_path) as store:
        store.append([record("a", raw=noise), record("b")])
        assert store.get(["a"])["a"]["raw"] == noise
    assert Store(tmp_path).get(["a"])["a"]["raw"] == noise


def test_many_bytes_are_folded_into_several_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "SEGMENT_BYTES", 10_000)
    randbytes = random.Random(1).randbytes
    with Store(tmp_path) as store:
        store.append([record(f"{number:02d}", raw=randbytes(1000).hex()) for number in range(30)])
        folded = store.fold()
    assert len(folded) > 2
    assert len(Store(tmp_path).get([f"{number:02d}" for number in range(30)])) == 30


def test_a_fold_that_fails_keeps_the_journal(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.append([record("a")])
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(StoreError, match="no space left on the disk; free some and run again"):
            store.fold()
    assert segments(tmp_path) == []
    assert set(Store(tmp_path).get(["a"])) == {"a"}
    assert len(store.fold()) == 1
    assert journals(tmp_path) == []


def test_a_fold_that_fails_does_not_hide_what_went_wrong_before(tmp_path, monkeypatch, caplog):
    with pytest.raises(RuntimeError, match="first"), Store(tmp_path) as store:
        store.append([record("a")])
        monkeypatch.setattr(os, "replace", fail)
        raise RuntimeError("first")
    assert "no space left" in caplog.text


def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_after_a_failed_append_the_next_goes_to_another_journal(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.append([record("a")])
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:50]) and fail())
        with pytest.raises(StoreError, match="no space left.*All answers stored so far are kept"):
            store.append([record("b")])
    assert set(Store(tmp_path).get(["a", "b"])) == {"a"}
    store.append([record("b")])
    assert len(journals(tmp_path)) == 2
    assert set(Store(tmp_path).get(["a", "b"])) == {"a", "b"} == set(store.get(["a", "b"]))
    store.fold()
    assert journals(tmp_path) == []
    assert set(Store(tmp_path).get(["a", "b"])) == {"a", "b"}


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "open"])
def test_whichever_write_fails_what_was_appended_before_is_there(tmp_path, monkeypatch, step):
    original, failures = getattr(os, step), 0
    for failing in range(1, 100):
        folder, calls, durable = tmp_path / str(failing), iter(range(1, 10_000)), []

        def call(*arguments, calls=calls, failing=failing, **named):
            return fail() if next(calls) == failing else original(*arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, step, call)
            try:
                with Store(folder) as store:
                    for number in range(4):
                        store.append([record(f"{failing}-{number}")])
                        durable.append(f"{failing}-{number}")
                        if number == 2:
                            store.fold()
                broken = False
            except StoreError:
                broken = True
        failures += broken
        assert set(Store(folder).get(durable)) == set(durable)
        assert check(folder).damage == []
        assert all(segment.is_intact(path) for path in segments(folder))
        assert not list(folder.glob("**/*.tmp"))
        if not broken:
            break
    assert failures == {"write": 4, "fsync": 13, "replace": 2, "open": 11}[step]


def test_everything_is_read_once_and_again_on_request(tmp_path):
    with Store(tmp_path) as store:
        store.append([record("a")])
    store = Store(tmp_path)
    assert store.get(["b"]) == {}
    other = Store(tmp_path)
    other.append([record("b")])
    assert store.get(["b"]) == {}
    store.refresh()
    assert set(store.get(["b", "c"])) == {"b"}
    other.append([record("c")])
    other.fold()
    store.refresh()
    assert set(store.get(["b", "c"])) == {"b", "c"}
    assert store.keys() == {"a", "b", "c"}


def test_a_refresh_reads_only_what_is_new(tmp_path, monkeypatch):
    writer, reader = Store(tmp_path), Store(tmp_path)
    writer.append([record("a")])
    writer.fold()
    writer.append([record("b")])
    reader.refresh()
    end = journals(tmp_path)[0].stat().st_size
    writer.append([record("c")])
    read, known_before = journal.read, []
    monkeypatch.setattr(segment, "read", lambda path: pytest.fail("read again"))
    monkeypatch.setattr(
        journal, "read", lambda path, known=None: known_before.append(known) or read(path, known)
    )
    reader.refresh()
    reader.refresh()
    assert [known.end for known in known_before] == [end]
    assert reader.keys() == {"a", "b", "c"}


def test_a_journal_that_is_folded_while_it_is_looked_for_is_found_as_a_segment(
    tmp_path, monkeypatch
):
    writer = Store(tmp_path)
    writer.append([record("a")])
    original = journal.read

    def fold_first(*arguments):
        monkeypatch.setattr(journal, "read", original)
        writer.fold()
        return original(*arguments)

    monkeypatch.setattr(journal, "read", fold_first)
    assert set(Store(tmp_path).get(["a"])) == {"a"}


def test_files_that_go_after_they_were_listed_are_found_where_they_went(tmp_path):
    writers = [Store(tmp_path), Store(tmp_path)]
    for number, writer in enumerate(writers):
        writer.append([record(f"{number}")])
    reader = Store(tmp_path)
    assert reader.keys() == {"0", "1"}
    for writer in writers:
        writer.fold()
    assert set(reader.get(["0", "1"])) == {"0", "1"}
    compact(tmp_path)
    assert set(reader.get(["0", "1"])) == {"0", "1"}
    assert reader.table(["key"]).num_rows == 2


def test_what_was_read_before_a_file_vanished_counts(tmp_path, monkeypatch):
    for key in "ab":
        with Store(tmp_path) as store:
            store.append([record(key)])
    second = segments(tmp_path)[1]
    lost = segment.read(second).places[0].key
    read = segment.read

    def remove_first(path):
        monkeypatch.setattr(segment, "read", read)
        second.unlink()
        return read(path)

    monkeypatch.setattr(segment, "read", remove_first)
    assert Store(tmp_path).keys() == {"a", "b"} - {lost}


def test_an_answer_of_this_process_that_was_damaged_can_be_stored_again(tmp_path):
    store = Store(tmp_path)
    store.append([record("a")])
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"text of a", b"test of a"))
    assert store.get(["a"]) == {}
    store.append([record("a")])
    assert store.get(["a"])["a"]["text"] == "text of a"
    assert set(Store(tmp_path).get(["a"])) == {"a"}


def test_a_folder_that_cannot_be_read_is_an_error_in_one_line(tmp_path):
    Store(tmp_path).append([record("a")])
    (path,) = journals(tmp_path)
    store = Store(tmp_path)
    store.refresh()
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="cannot be read .*Is a directory"):
        store.get(["a"])


def test_a_folder_whose_files_cannot_be_followed_is_an_error_not_a_loop(tmp_path):
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "gone.parquet").symlink_to(tmp_path / "nothing")
    with pytest.raises(StoreError, match="vanish"):
        Store(tmp_path).keys()


def test_a_table_has_a_row_for_everything_that_was_received(tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    fields = {"model_id": "m", "revision": "r"}
    first.append([record("a", cost_usd=0.5, **fields), record("b", model_id="n")])
    first.fold()
    second.append([record("a", cost_usd=0.25, **fields), record("c", **fields)])
    second.append([record("d", raw='{"imported": true}'), record("e", raw='{"a": "imported"}')])
    store = Store(tmp_path)
    paid = store.table(["key", "cost_usd"], "m", "r")
    assert sorted(zip(*paid.to_pydict().values(), strict=True), key=str) == [
        ("a", 0.25),
        ("a", 0.5),
        ("c", None),
    ]
    assert store.table(["key"], "m", "s").num_rows == 0
    everything = store.table(["key", "imported"]).to_pylist()
    assert {row["key"] for row in everything if row["imported"]} == {"d"}
    assert len(everything) == 6
    assert Store(tmp_path / "none").table(["key"]).schema == pa.schema({"key": pa.string()})
