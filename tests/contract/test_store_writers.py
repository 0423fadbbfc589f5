"""The store under several writers, kills, a full disk and writes that stop half way."""

import os
import random
import resource
import subprocess
import sys
import time

import pytest

from caft.cli import main
from caft.errors import StoreError
from caft.store import Store, files, segment
from caft.store.check import check

WRITER = """
import sys
from caft.store import Store

folder, name, shared, own, fold_every, length = sys.argv[1:4] + [int(a) for a in sys.argv[4:]]
keys = [f"{name}-{n}" for n in range(own)]
keys[::2] = [f"shared-{n}" for n in range(int(shared))] or keys[::2]
with Store(folder) as store:
    for number, key in enumerate(keys, 1):
        if key not in store.get([key]):
            store.append([{"key": key, "text": key * length, "received_at": "2026"}])
        print(key, flush=True)
        if fold_every and number % fold_every == 0:
            store.fold()
"""


def start(folder, name, shared=0, own=1_000_000, fold_every=0, length=20):
    arguments = [folder, name, shared, own, fold_every, length]
    command = [sys.executable, "-c", WRITER, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kept(folder, keys, length=20):
    found = Store(folder).get(keys)
    return set(found) == set(keys) and all(found[key]["text"] == key * length for key in keys)


def assert_whole(folder):
    """No torn segment and no damage; a torn last line of a journal is allowed."""
    assert all(segment.is_intact(path) for path in files.segments(folder))
    assert check(folder).damage == []


@pytest.mark.parametrize("fold_every", [0, 20])
def test_four_writers_of_which_one_is_killed_lose_nothing(tmp_path, capsys, fold_every):
    writers = [start(tmp_path, name, shared=250, own=500, fold_every=fold_every) for name in "abcd"]
    durable = [writers[0].stdout.readline().strip() for _ in range(120)]
    writers[0].kill()
    durable += writers[0].communicate()[0].split("\n")[:-1]
    assert writers[0].returncode == -9 and len(durable) < 500
    for writer in writers[1:]:
        output, errors = writer.communicate()
        assert (writer.returncode, errors) == (0, "")
        assert output.count("\n") == 500
        durable += output.split()
    assert kept(tmp_path, durable)
    assert main(["store", "verify", "--store", str(tmp_path)]) == 0
    assert " 0 damaged" in capsys.readouterr().out

    start(tmp_path, "a", shared=250, own=500).communicate()
    everything = {f"shared-{number}" for number in range(250)}
    everything |= {f"{name}-{number}" for name in "abcd" for number in range(1, 500, 2)}
    assert Store(tmp_path).keys() == everything and kept(tmp_path, everything)
    assert main(["store", "compact", "--store", str(tmp_path)]) == 0
    assert Store(tmp_path).keys() == everything and kept(tmp_path, everything)
    assert main(["store", "verify", "--store", str(tmp_path)]) == 0
    assert files.journals(tmp_path) == []


@pytest.mark.parametrize(("seed", "fold_every"), [(1, 0), (2, 0), (3, 7), (4, 7), (5, 2), (6, 2)])
def test_every_answer_that_counted_as_received_survives_a_kill(tmp_path, seed, fold_every):
    writer = start(tmp_path, "w", fold_every=fold_every, length=300)
    first = writer.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.4))
    writer.kill()
    durable = (first + writer.communicate()[0]).split("\n")[:-1]
    assert writer.returncode == -9
    assert len(durable) >= 1
    assert kept(tmp_path, durable, length=300)
    assert_whole(tmp_path)


def limited(folder, size, durable):
    """Write in a process whose files cannot grow beyond a size; return its exit status."""
    child = os.fork()
    if child == 0:
        code = 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            with Store(folder) as store:
                for number in range(30):
                    store.append([{"key": f"{number}", "text": f"{number}" * 20}])
                    os.write(durable, b"%d\n" % number)
                    if number % 10 == 9:
                        store.fold()
        except StoreError:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_writes_that_stop_half_way_leave_no_torn_segment_and_all_that_was_durable(tmp_path):
    codes = []
    for size in [1, 100, 400, 401, *range(1000, 12000, 500)]:
        folder = tmp_path / str(size)
        read, write = os.pipe()
        codes.append(limited(folder, size, write))
        os.close(write)
        with os.fdopen(read) as pipe:
            durable = pipe.read().split()
        assert kept(folder, durable)
        assert_whole(folder)
        assert not list(folder.glob("**/*.tmp"))
        assert codes[-1] == 1 or len(durable) == 30
    assert codes[0] == 1 and codes[-1] == 0


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "caft-test", str(folder)]
    try:
        refused = subprocess.run(command, capture_output=True, text=True).stderr.strip()
    except FileNotFoundError as error:
        refused = str(error)
    if refused:
        pytest.skip(f"a small disk needs the right to mount one ({refused})")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_writer_and_costs_nothing_that_was_stored(small_disk, capsys):
    store = small_disk / "store"
    writer = start(store, "w", fold_every=50, length=300)
    output, errors = writer.communicate(timeout=300)
    durable = output.split()
    assert writer.returncode == 1
    assert errors.splitlines()[-1].endswith(
        "no space left on the disk; free some and run again. All answers stored so far are kept."
    )
    assert len(durable) > 50
    assert kept(store, durable, length=300)
    assert_whole(store)

    assert main(["store", "compact", "--store", str(store)]) == 1
    assert "no space left on the disk" in capsys.readouterr().err
    assert kept(store, durable, length=300)
    assert_whole(store)

    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert main(["store", "compact", "--store", str(store)]) == 0
    assert kept(store, durable, length=300)
    assert files.journals(store) == []
    with Store(store) as more:
        more.append([{"key": "more"}])
    assert kept(store, [*durable], length=300) and Store(store).get(["more"])
