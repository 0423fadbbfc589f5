import os
import signal
import time

import psutil
import pytest
from dying import at_step

from caft.errors import StoreError
from caft.running import machine
from caft.store import Store, files, journal, segment
from caft.store.check import check
from caft.store.compaction import compact


def record(key, text="", received_at=None):
    return {"key": key, "text": text, "received_at": received_at}


def put(folder, *records):
    with Store(folder) as store:
        store.append(records)


def texts(folder):
    store = Store(folder)
    return {key: one["text"] for key, one in store.get(store.keys()).items()}


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


@pytest.fixture
def dead(tmp_path):
    """Make a journal of a process that has ended without folding it."""

    def make(*keys):
        child = os.fork()
        if child == 0:
            Store(tmp_path).append([record(key, "of the dead") for key in keys])
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        (path,) = (tmp_path / "journals").glob(f"*-{child}-*")
        return path

    return make


def test_many_segments_become_one_with_the_same_answers(tmp_path):
    for key in "abcde":
        put(tmp_path, record(key, f"text of {key}"))
    before = texts(tmp_path)
    done = compact(tmp_path)
    assert files.segments(tmp_path) == done.written
    assert (done.merged, done.answers, done.duplicates) == (5, 5, 0)
    assert len(done.written) == 1 and segment.is_intact(done.written[0])
    assert texts(tmp_path) == before == {key: f"text of {key}" for key in "abcde"}


def test_a_second_compaction_changes_nothing(tmp_path):
    put(tmp_path, record("a"))
    put(tmp_path, record("b"))
    (first,) = compact(tmp_path).written
    stamp = first.stat().st_mtime_ns
    assert compact(tmp_path).written == []
    assert first.stat().st_mtime_ns == stamp


def test_of_duplicates_the_one_received_first_stays(tmp_path):
    put(tmp_path, record("a", "late", "2026-02"), record("b", "b", "2026-02"))
    put(tmp_path, record("a", "early", "2026-01"))
    assert compact(tmp_path).duplicates == 1
    assert texts(tmp_path) == {"a": "early", "b": "b"}
    assert Store(tmp_path).table(["key"]).num_rows == 2


def test_big_segments_are_left_alone(tmp_path, monkeypatch):
    for key in "ab":
        put(tmp_path, record(key))
    big = compact(tmp_path).written
    put(tmp_path, record("c"))
    put(tmp_path, record("d"))
    monkeypatch.setattr(segment, "SEGMENT_BYTES", big[0].stat().st_size * 2)
    for path in set(files.segments(tmp_path)) - set(big):
        assert path.stat().st_size < big[0].stat().st_size
    done = compact(tmp_path)
    assert done.merged == 2
    assert set(files.segments(tmp_path)) == {*big, *done.written}
    assert texts(tmp_path).keys() == set("abcd")


def test_the_journal_of_a_dead_writer_is_folded(tmp_path, dead):
    dead("a", "b")
    done = compact(tmp_path)
    assert (done.folded, done.answers, done.in_use) == (1, 2, 0)
    assert files.journals(tmp_path) == []
    assert texts(tmp_path) == {"a": "of the dead", "b": "of the dead"}


def test_the_journal_of_a_living_writer_is_left_alone(tmp_path):
    store = Store(tmp_path)
    store.append([record("a")])
    done = compact(tmp_path, everything=True)
    assert (done.folded, done.in_use) == (0, 1)
    store.append([record("b")])
    store.fold()
    assert texts(tmp_path).keys() == {"a", "b"}


def renamed(path, host=None, process=None, **writer):
    """Give a journal the name that another writer would have given it."""
    names = ("boot", "namespace", "started", "random")
    own_host, own_process, rest = path.stem.rsplit("-", 2)
    parts = dict(zip(names, rest.split("."), strict=True)) | writer
    name = f"{host or own_host}-{process or own_process}-{'.'.join(parts.values())}.jsonl"
    return path.rename(path.with_name(name))


def test_a_writer_whose_process_number_was_given_to_another_is_dead(tmp_path, dead):
    renamed(dead("a"), process=os.getpid())
    assert compact(tmp_path).folded == 1


def test_a_writer_before_the_last_boot_is_dead(tmp_path, dead):
    path = renamed(dead("a"), boot="b" * 32)
    assert compact(tmp_path).elsewhere == 1  # it wrote after that: another machine of this name
    before = psutil.boot_time() - 3600
    os.utime(path, (before, before))
    assert compact(tmp_path).folded == 1


@pytest.mark.parametrize(
    "writer",
    [
        {"boot": "b" * 32, "host": "elsewhere"},
        {"boot": "b" * 32},
        {"namespace": "1"},  # a container of this machine, whose process numbers are its own
        {"namespace": "1", "host": "elsewhere"},
    ],
)
def test_a_writer_whose_death_cannot_be_proved_is_left_alone(tmp_path, dead, writer):
    renamed(dead("a"), **writer)
    with Store(tmp_path) as store:
        assert store.keys() == {"a"}
    done = compact(tmp_path)
    assert (done.folded, done.elsewhere) == (0, 1)
    assert len(files.journals(tmp_path)) == 1
    assert compact(tmp_path, everything=True).folded == 1
    assert texts(tmp_path) == {"a": "of the dead"}


def test_a_living_writer_of_another_user_is_not_taken_for_dead(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.append([record("a")])

    def not_ours(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_ours)
    assert compact(tmp_path).in_use == 1
    monkeypatch.setattr(machine, "started", lambda process: "")  # hidden, too
    assert compact(tmp_path).in_use == 1


def test_a_writer_that_has_ended_and_was_not_waited_for_is_dead(tmp_path):
    child = os.fork()
    if child == 0:
        Store(tmp_path).append([record("a")])
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert compact(tmp_path).folded == 1
    os.waitpid(child, 0)


def test_the_next_job_folds_what_killed_jobs_left_and_nobody_parses_it_again(
    tmp_path, dead, monkeypatch, caplog
):
    living = Store(tmp_path)
    living.append([record("l")])
    dead("a", "b")
    dead("c")
    with caplog.at_level("INFO", "caft"), Store(tmp_path):
        assert len(files.segments(tmp_path)) == 2
        (left,) = files.journals(tmp_path)
    assert "folded 2 answers of a killed job" in caplog.text
    read = journal.read
    monkeypatch.setattr(
        journal, "read", lambda path, *rest: read(path, *rest) if path == left else 1 / 0
    )
    assert texts(tmp_path).keys() == {"a", "b", "c", "l"}
    living.append([record("m")])
    living.fold()
    assert texts(tmp_path).keys() == {"a", "b", "c", "l", "m"}


def test_jobs_that_fold_the_same_journal_at_once_make_one_segment_of_it(
    tmp_path, dead, monkeypatch
):
    dead("a", "b")
    rewrite = files.rewrite

    def another_is_faster(folder, places):
        monkeypatch.setattr(files, "rewrite", rewrite)
        with Store(folder):
            pass
        return rewrite(folder, places)

    monkeypatch.setattr(files, "rewrite", another_is_faster)
    with Store(tmp_path) as store:
        assert store.keys() == {"a", "b"}
    assert files.journals(tmp_path) == [] and len(files.segments(tmp_path)) == 1


def test_whoever_may_not_write_reads_what_a_killed_job_left(tmp_path, dead, monkeypatch, caplog):
    dead("a")

    def refused(*_):
        raise PermissionError("not yours")

    monkeypatch.setattr(files, "rewrite", refused)
    with Store(tmp_path) as store:
        assert store.keys() == {"a"}
    assert "not yours" in caplog.text


def test_a_journal_of_another_machine_is_folded_only_on_request(tmp_path, dead):
    path = dead("a")
    path.rename(path.with_name("elsewhere-1-0123.jsonl"))
    assert (compact(tmp_path).folded, compact(tmp_path).elsewhere) == (0, 1)
    assert compact(tmp_path, everything=True).folded == 1
    assert texts(tmp_path).keys() == {"a"}


def test_a_writer_taken_for_dead_begins_another_journal(tmp_path):
    store = Store(tmp_path)
    store.append([record("a")])
    (path,) = files.journals(tmp_path)
    path.rename(path.with_name("elsewhere-1-0123.jsonl"))
    compact(tmp_path, everything=True)
    store.append([record("b")])
    assert set(store.get(["a", "b"])) == {"a", "b"}
    store.fold()
    assert texts(tmp_path).keys() == {"a", "b"}


def test_a_journal_that_grew_while_it_was_folded_stays(tmp_path, dead, monkeypatch):
    path = dead("a")
    rewrite = files.rewrite

    def and_grow(folder, places):
        written = rewrite(folder, places)
        grown = dead("b")
        path.write_bytes(path.read_bytes() + grown.read_bytes())
        grown.unlink()
        return written

    monkeypatch.setattr(files, "rewrite", and_grow)
    compact(tmp_path)
    assert files.journals(tmp_path) == [path]
    assert texts(tmp_path).keys() == {"a", "b"}


def test_intact_rows_of_a_damaged_segment_are_salvaged_and_the_file_is_moved_aside(tmp_path):
    put(tmp_path, *(record(key, f"text of {key}") for key in "abc"))
    (path,) = files.segments(tmp_path)
    start = [frame.start for frame in segment._scan(path.read_bytes())][1]
    flip(path, start + 40)
    damaged = path.read_bytes()
    done = compact(tmp_path)
    assert [damage.key for damage in done.damage] == ["b"]
    assert done.aside == [tmp_path / "damaged" / path.name]
    assert done.aside[0].read_bytes() == damaged
    assert texts(tmp_path) == {"a": "text of a", "c": "text of c"}
    assert check(tmp_path).damage == []


def test_a_segment_that_is_damaged_outside_of_its_answers_is_made_whole_again(tmp_path):
    put(tmp_path, record("a"), record("b"))
    (path,) = files.segments(tmp_path)
    content = path.read_bytes()
    flip(path, len(content) - 1)
    compact(tmp_path)
    assert files.segments(tmp_path) == [path]
    assert path.read_bytes() == content


def test_a_segment_without_a_readable_answer_is_moved_aside(tmp_path):
    put(tmp_path, record("a"))
    (tmp_path / "segments" / "x.parquet").write_bytes(b"nothing")
    assert len(compact(tmp_path).aside) == 1
    assert check(tmp_path).damage == []
    assert texts(tmp_path).keys() == {"a"}


def compact_and_die(folder, step, count, after):
    """Compact in a process that kills itself at the count-th call of a function of `os`."""
    return at_step(step, count, after, lambda: compact(folder))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace", "unlink"])
def test_a_compaction_that_is_killed_at_any_step_loses_nothing(tmp_path, step, after):
    expected = {"a": "a", "b": "b", "c": "c", "e": "e"}
    kills = 0
    for count in range(1, 50):
        folder = tmp_path / str(count)
        put(folder, *(record(key, key, "2026-01") for key in "de"))
        (path,) = files.segments(folder)
        flip(path, next(segment._scan(path.read_bytes())).start + 40)
        for key in "abc":
            put(folder, record(key, key, "2026-01"))
        put(folder, record("a", "late", "2026-02"))
        code = compact_and_die(folder, step, count, after)
        assert texts(folder) == expected
        compact(folder)
        assert texts(folder) == expected
        assert check(folder).damage == []
        assert [one.name for one in folder.glob("damaged/*")] == [path.name]
        assert len(files.segments(folder)) == 1
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills == {"fsync": 4, "replace": 2, "unlink": 5}[step]


def test_old_temporary_files_are_removed_and_young_ones_are_not(tmp_path):
    put(tmp_path, record("a"))
    old, young = (tmp_path / "segments" / f".{name}.parquet.x.tmp" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    compact(tmp_path)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_compaction_beside_another_one_stops_and_loses_nothing(tmp_path, monkeypatch):
    for key in "abc":
        put(tmp_path, record(key))
    rewrite = files.rewrite

    def too_late(folder, places):
        monkeypatch.setattr(files, "rewrite", rewrite)
        compact(folder)
        return rewrite(folder, places)

    monkeypatch.setattr(files, "rewrite", too_late)
    with pytest.raises(StoreError, match="its files changed while they were read; run again"):
        compact(tmp_path)
    assert texts(tmp_path).keys() == set("abc")
