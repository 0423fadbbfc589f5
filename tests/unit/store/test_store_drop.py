import json
import os
import signal

import pytest
from dying import at_step

from caft.errors import StoreError
from caft.store import Store, dropped, files, journal
from caft.store.check import check
from caft.store.compaction import compact
from caft.store.drop import Wanted, drop, find
from caft.store.export import export


def record(key, received_at="2026-01", **fields):
    return {"key": key, "text": f"text of {key}", "received_at": received_at, **fields}


def put(folder, *records):
    with Store(folder) as store:
        store.append(records)


def keys_of(folder):
    return Store(folder).keys()


def drop_keys(folder, *keys):
    store = Store(folder)
    rows = find(store, Wanted(keys=set(keys)))
    drop(store, rows, "a test")
    return rows


@pytest.mark.parametrize("folded", [True, False])
def test_a_dropped_answer_is_absent_everywhere_and_stays_in_the_bill(tmp_path, folded):
    writer = Store(tmp_path)
    writer.append([record("a", cost_usd=0.5), record("b", cost_usd=0.25)])
    if folded:
        writer.fold()
    drop_keys(tmp_path, "a")
    store = Store(tmp_path)
    assert store.keys() == {"b"} == set(store.get(["a", "b"]))
    assert export(store, tmp_path / "out.jsonl") == 1
    assert sorted(store.table(["cost_usd"])["cost_usd"].to_pylist()) == [0.25, 0.5]
    writer.refresh()
    assert writer.keys() == {"b"}


def test_what_is_bought_instead_of_a_dropped_answer_is_used(tmp_path):
    put(tmp_path, record("a", "2026-01", cost_usd=0.5))
    drop_keys(tmp_path, "a")
    put(tmp_path, record("a", "2026-02", text="better", cost_usd=0.25))
    for _ in range(2):
        store = Store(tmp_path)
        assert store.get(["a"])["a"]["text"] == "better"
        assert sorted(store.table(["cost_usd"])["cost_usd"].to_pylist()) == [0.25, 0.5]
        compact(tmp_path)
    assert len(files.segments(tmp_path)) == 1


def test_the_writer_of_a_dropped_answer_can_store_another_one(tmp_path):
    with Store(tmp_path) as store:
        store.append([record("a", None), record("b")])
        drop_keys(tmp_path, "a", "b")
        store.refresh()
        assert store.keys() == set()
        store.append([record("a", None, text="new"), record("b", "2026-02", text="new")])
        assert {one["text"] for one in store.get(["a", "b"]).values()} == {"new"}
    assert {one["text"] for one in Store(tmp_path).get(["a", "b"]).values()} == {"new"}


def test_all_purchases_of_a_key_are_dropped(tmp_path):
    put(tmp_path, record("a", "2026-01"))
    other = Store(tmp_path)
    other.append([record("a", "2026-02")])
    assert len(drop_keys(tmp_path, "a")) == 2
    assert keys_of(tmp_path) == set()


ROWS = [
    record("a", model_id="m", revision="1", kind="rationale", finish_reason="stop"),
    record("b", model_id="m", revision="2", kind="rationale", finish_reason="length"),
    record("c", model_id="n", kind="judge", finish_reason="LENGTH"),
    record("d", model_id="n", kind="rationale"),
]


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (Wanted(), "abcd"),
        (Wanted(keys={"a", "x"}), "a"),
        (Wanted(model_id="m"), "ab"),
        (Wanted(model_id="m", revision="2"), "b"),
        (Wanted(model_id="n", revision=""), "cd"),
        (Wanted(kind="rationale"), "abd"),
        (Wanted(finish_reasons={"length"}), "bc"),
        (Wanted(finish_reasons={"length"}, model_id="n"), "c"),
        (Wanted(finish_reasons={"wrong_answer"}, rejected={"a"}), "a"),
        (Wanted(model_id="x"), ""),
    ],
)
def test_the_answers_that_are_meant_are_found(tmp_path, wanted, keys):
    put(tmp_path, *ROWS)
    assert [row["key"] for row in find(Store(tmp_path), wanted)] == list(keys)
    drop_keys(tmp_path, "a")
    found = [row["key"] for row in find(Store(tmp_path), wanted)]
    assert found == [key for key in keys if key != "a"]


def test_a_drop_that_is_taken_away_is_undone(tmp_path):
    put(tmp_path, record("a"))
    store = Store(tmp_path)
    drop_keys(tmp_path, "a")
    store.refresh()
    assert store.keys() == set()
    (path,) = dropped.paths(tmp_path)
    path.unlink()
    store.refresh()
    assert store.keys() == {"a"} == keys_of(tmp_path)


def test_a_damaged_drop_is_named_and_nothing_is_guessed(tmp_path):
    put(tmp_path, record("a"), record("b"))
    drop_keys(tmp_path, "a")
    (path,) = dropped.paths(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(StoreError, match="which answers were dropped is unknown"):
        keys_of(tmp_path)
    assert [damage.path for damage in check(tmp_path).damage] == [path]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace", "write", "unlink"])
def test_a_drop_that_is_killed_at_any_step_drops_all_or_nothing(tmp_path, step, after):
    for count in range(1, 50):
        folder = tmp_path / str(count)
        put(folder, record("a"), record("b"))
        living = Store(folder)
        living.append([record("c"), record("d")])
        code = at_step(step, count, after, lambda folder=folder: drop_keys(folder, "a", "c"))
        assert keys_of(folder) in ({"a", "b", "c", "d"}, {"b", "d"})
        assert check(folder).damage == []
        drop_keys(folder, "a", "c")
        living.fold()
        compact(folder)
        assert keys_of(folder) == {"b", "d"}
        assert Store(folder).table(["key"]).num_rows == 4
        if code == 0:
            break
        assert code == -signal.SIGKILL


def many(folder, count):
    """Append as a job does, with a journal that folds itself every few answers."""
    with Store(folder) as store:
        for number in range(count):
            store.append([record(f"{number}", f"2026-{number:03d}", cost_usd=1.0)])


@pytest.fixture
def small_journals(monkeypatch):
    monkeypatch.setattr(journal, "FOLD_BYTES", 2000)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["write", "fsync", "replace", "unlink"])
def test_a_journal_that_folds_itself_loses_and_doubles_nothing_in_a_kill(
    tmp_path, small_journals, step, after
):
    kills = 0
    for count in range(1, 60, 1 if step == "replace" else 3):
        folder = tmp_path / str(count)
        code = at_step(step, count, after, lambda folder=folder: many(folder, 12))
        kept = Store(folder)
        assert kept.keys() == {f"{number}" for number in range(len(kept.keys()))}
        assert kept.table(["cost_usd"]).num_rows == len(kept.keys())  # each is paid for once
        assert check(folder).damage == []
        with Store(folder) as store:
            assert store.keys() == kept.keys()
        assert files.journals(folder) == []
        assert Store(folder).keys() == kept.keys()
        if code == 0:
            assert len(kept.keys()) == 12
            break
        kills += 1
    assert kills > 1


def test_a_journal_folds_itself_and_the_writer_goes_on(tmp_path, small_journals):
    store = Store(tmp_path)
    for number in range(30):
        store.append([record(f"{number}")])
        assert sum(path.stat().st_size for path in files.journals(tmp_path)) < 2500
    assert len(files.segments(tmp_path)) > 2
    assert store.keys() == {f"{number}" for number in range(30)} == set(Store(tmp_path).keys())
    assert store.get(["0", "29"])["0"]["text"] == "text of 0"


def test_a_fold_that_fails_on_the_way_costs_no_answer_and_is_tried_again(
    tmp_path, small_journals, monkeypatch, caplog
):
    store = Store(tmp_path)
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(28, "No space left on device")

        patch.setattr(os, "replace", full)
        for number in range(20):
            store.append([record(f"{number}")])
    assert "no space left" in caplog.text
    assert Store(tmp_path).keys() == {f"{number}" for number in range(20)}
    store.fold()
    assert files.journals(tmp_path) == []
    assert Store(tmp_path).keys() == {f"{number}" for number in range(20)}


def test_counting_again_reads_only_what_was_added(tmp_path, monkeypatch):
    put(tmp_path, *(record(f"old {number}", prompt_tokens=1) for number in range(3)))
    writer, reader = Store(tmp_path), Store(tmp_path)
    read = []
    bodies = files.bodies
    monkeypatch.setattr(
        files, "bodies", lambda path, places: read.append(len(places)) or bodies(path, places)
    )
    for number in range(4):
        writer.append([record(f"new {number}", prompt_tokens=1)])
        for store in (writer, reader):
            store.refresh()
            total = sum(store.table(["prompt_tokens"])["prompt_tokens"].to_pylist())
            assert total == 4 + number
    assert read == [1] * 5  # the writer reads back nothing once it has begun to count


@pytest.mark.parametrize("unknown", ["cost_usd", "kind", "imported"])
def test_a_segment_of_a_version_without_a_column_is_read(tmp_path, monkeypatch, unknown):
    from caft.store import segment

    older = segment.LIGHT.remove(segment.LIGHT.get_field_index(unknown))
    with monkeypatch.context() as patch:
        patch.setattr(segment, "LIGHT", older)
        put(tmp_path, record("a", cost_usd=0.5, kind="rationale"))
    table = Store(tmp_path).table(["key", unknown, "model_id"])
    assert table.to_pylist() == [{"key": "a", unknown: None, "model_id": None}]
    assert json.loads(json.dumps(Store(tmp_path).get(["a"])["a"]))["cost_usd"] == 0.5
