import hashlib
import json
import logging
import os
import random
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

import caft.store
from caft.errors import TeacherError
from caft.store import RECORD, Store, answer_key

WRITER = """
import sys
from caft.store import Store

folder, name, count, fold_every = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = Store(folder)
for number in range(count):
    key = f"{name}-{number}"
    store.append([{"key": key, "text": "t" * (number % 5000)}])
    print(key, flush=True)
    if fold_every and number % fold_every == fold_every - 1:
        store.fold()
"""


def start_writer(folder, name, count, fold_every=0):
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count), str(fold_every)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


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
    segment = store.fold()
    assert (journals(tmp_path), segments(tmp_path)) == ([], [segment])
    assert Store(tmp_path).get(["a", "b"]) == before == store.get(["a", "b"])
    assert store.fold() is None


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


@pytest.mark.parametrize("broken", [{"text": "no key"}, {"key": ""}, {"key": "b", "prize": 1}])
def test_a_record_without_key_or_with_an_unknown_field_is_refused_and_nothing_written(
    tmp_path, broken
):
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="key"):
        store.append([record("a"), broken])
    assert Store(tmp_path).get(["a"]) == {}


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
    assert f"{path}, line 2: was cut off" in caplog.text


def test_a_last_line_that_lacks_only_its_line_break_counts(tmp_path):
    Store(tmp_path).append([record("a")])
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert set(Store(tmp_path).get(["a"])) == {"a"}


@pytest.mark.parametrize("line", [b'{"key": "x"', b"\x00\x00", b"\xff\xfe", b"[1]", b"{}", b"3"])
def test_a_broken_line_elsewhere_is_skipped_with_file_and_line(tmp_path, caplog, line):
    Store(tmp_path).append([record("a"), record("b")])
    (path,) = journals(tmp_path)
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, line, second, b""]))
    with caplog.at_level(logging.WARNING, "caft"):
        assert set(Store(tmp_path).get(["a", "b"])) == {"a", "b"}
    assert f"{path}, line 2: is damaged" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "one bit", "empty"])
def test_a_damaged_segment_is_named_and_the_way_out_said(tmp_path, damage):
    with Store(tmp_path) as store:
        store.append(
            [record(f"k{number}", text=answer_key("", "", [], {}, number)) for number in range(99)]
        )
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    texts = pq.read_metadata(path).row_group(0).column(RECORD.names.index("text"))
    content[texts.dictionary_page_offset + texts.total_compressed_size // 2] ^= 1
    path.write_bytes({"cut": content[:100], "one bit": bytes(content), "empty": b""}[damage])
    with pytest.raises(TeacherError, match="move it away and run again") as error:
        Store(tmp_path).get(["k1"])
    assert str(path) in str(error.value)


def test_a_fold_that_fails_keeps_the_journal(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    store = Store(tmp_path)
    store.append([record("a")])
    monkeypatch.setattr(caft.store.pq, "write_table", full)
    with pytest.raises(OSError, match="no space"):
        store.fold()
    assert set(Store(tmp_path).get(["a"])) == {"a"}


def test_everything_is_read_once(tmp_path):
    with Store(tmp_path) as store:
        store.append([record("a")])
    store = Store(tmp_path)
    assert store.get(["b"]) == {}
    with Store(tmp_path) as other:
        other.append([record("b")])
    assert store.get(["b"]) == {}
    assert set(Store(tmp_path).get(["b"])) == {"b"}


def test_a_journal_that_is_folded_while_it_is_looked_for_is_found_as_a_segment(
    tmp_path, monkeypatch
):
    writer = Store(tmp_path)
    writer.append([record("a")])
    reader = Store(tmp_path)
    original = caft.store._read_journal

    def fold_first(path):
        monkeypatch.setattr(caft.store, "_read_journal", original)
        writer.fold()
        return original(path)

    monkeypatch.setattr(caft.store, "_read_journal", fold_first)
    assert set(reader.get(["a"])) == {"a"}


def test_a_hundred_thousand_answers_are_looked_up_in_seconds(tmp_path):
    with Store(tmp_path) as store:
        store.append([record(f"{number:064d}") for number in range(100_000)])
    started = time.monotonic()
    assert len(Store(tmp_path).get([f"{number:064d}" for number in range(0, 100_000, 10)])) == 10000
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(("seed", "fold_every"), [(1, 0), (2, 0), (3, 7), (4, 7), (5, 2), (6, 2)])
def test_every_answer_that_counted_as_received_survives_a_kill(tmp_path, seed, fold_every):
    writer = start_writer(tmp_path, "w", 1_000_000, fold_every)
    first = writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    writer.kill()
    received = (first + writer.stdout.read()).decode().split("\n")[:-1]
    writer.wait()
    assert writer.returncode == -9
    assert len(received) >= 1
    found = Store(tmp_path).get(received)
    assert set(found) == set(received)
    last = received[-1]
    assert found[last]["text"] == "t" * (int(last.split("-")[1]) % 5000)


def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    writers = [start_writer(tmp_path, name, 300, fold_every=50) for name in ("one", "two")]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    keys = [f"{name}-{number}" for name in ("one", "two") for number in range(300)]
    assert set(Store(tmp_path).get(keys)) == set(keys)


def test_a_journal_line_is_readable_json(tmp_path):
    Store(tmp_path).append([record("a", text="ü")])
    line = journals(tmp_path)[0].read_text(encoding="utf-8")
    assert json.loads(line)["text"] == "ü" and "ü" in line
