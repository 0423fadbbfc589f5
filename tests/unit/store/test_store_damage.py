"""Wrong bytes and cut files: everything is found, and only what is hit is lost."""

import logging
import random
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

from caft.store import Store, segment
from caft.store.check import check

KEYS = [f"{number:064x}" for number in range(40)]


def fill(folder, keys=KEYS, fold=True, length=60):
    """Store an answer per key, sorted, and return the records and the file they lie in."""
    store = Store(folder)
    noise = random.Random(1)
    store.append(
        {
            "key": key,
            "model_id": "m",
            "text": noise.randbytes(length).hex(),
            "cost_usd": int(key, 16) / 8,
            "received_at": f"2026-01-01T00:00:{number:02d}+00:00",
        }
        for number, key in enumerate(keys)
    )
    if fold:
        store.fold()
    (path,) = [*folder.glob("segments/*"), *folder.glob("journals/*")]
    return Store(folder).get(keys), path


def flip(content, position, bits=0xFF):
    return content[:position] + bytes([content[position] ^ bits]) + content[position + 1 :]


def frames(content):
    """Return first byte and end of each frame of an intact segment, in the order of its rows."""
    return [(frame.start, frame.start + frame.size) for frame in segment._scan(content)]


def lines(content):
    ends = [0, *(at + 1 for at, byte in enumerate(content) if byte == ord("\n"))]
    return list(pairwise(ends))


def lost_by(spans, positions):
    return {
        KEYS[row]
        for row, (start, end) in enumerate(spans)
        if any(start <= position < end for position in positions)
    }


def assert_only_lost(folder, truth, lost):
    store = Store(folder)
    found = store.get(truth)
    assert truth.keys() - found.keys() == lost
    assert all(found[key] == truth[key] for key in found)
    assert store.get(truth) == found and store.keys() == found.keys()


# A position in every part of a segment, given its bytes and its first two frames.
IN_A_FRAME = {
    "magic": lambda content, first, second: second[0] + 3,
    "check": lambda content, first, second: second[0] + 10,
    "size": lambda content, first, second: second[0] + 16,
    "length of the record": lambda content, first, second: second[0] + 20,
    "row": lambda content, first, second: second[0] + 24,
    "number of rows": lambda content, first, second: second[0] + 28,
    "payload": lambda content, first, second: second[1] - 1,
}
ELSEWHERE = {
    "magic of the file": lambda content, first, second: 0,
    "page header": lambda content, first, second: first[0] - 10,
    "length prefix": lambda content, first, second: second[0] - 4,
    "light column": lambda content, first, second: content.index(ZSTD_PAGE) + 5,
    "footer": lambda content, first, second: len(content) - 200,
    "length of the footer": lambda content, first, second: len(content) - 7,
    "magic at the end": lambda content, first, second: len(content) - 1,
}
ZSTD_PAGE = b"\x28\xb5\x2f\xfd"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Records, name and bytes of a segment."""
    truth, path = fill(tmp_path_factory.mktemp("store"))
    return truth, path.name, path.read_bytes()


def put(folder, name, content):
    (folder / "segments").mkdir(exist_ok=True)
    (folder / "segments" / name).write_bytes(content)
    return folder / "segments" / name


@pytest.mark.parametrize("region", IN_A_FRAME)
def test_a_wrong_byte_in_a_frame_costs_that_answer(tmp_path, filled, region):
    truth, name, content = filled
    path = put(tmp_path, name, flip(content, IN_A_FRAME[region](content, *frames(content)[:2])))
    assert_only_lost(tmp_path, truth, {KEYS[1]})
    (damage,) = check(tmp_path).damage
    assert (damage.path, damage.row, damage.key) == (path, 2, KEYS[1])


@pytest.mark.parametrize("region", ELSEWHERE)
def test_a_wrong_byte_elsewhere_costs_nothing_and_is_found(tmp_path, filled, region):
    truth, name, content = filled
    path = put(tmp_path, name, flip(content, ELSEWHERE[region](content, *frames(content)[:2])))
    assert_only_lost(tmp_path, truth, set())
    assert [str(damage) for damage in check(tmp_path).damage] == [
        f"{path}: is damaged, but not in its answers: all of them are used"
    ]


@pytest.mark.parametrize("seed", range(60))
def test_a_wrong_byte_anywhere_is_found_and_costs_what_it_hits(tmp_path, filled, seed):
    truth, name, content = filled
    draw = random.Random(seed)
    spans = frames(content)
    # Half of them where Parquet keeps its structure, which is a small part of the file.
    at = draw.randrange(len(content)) if seed % 2 else draw.randrange(spans[-1][1], len(content))
    put(tmp_path, name, flip(content, at, draw.randrange(1, 256)))
    lost = lost_by(spans, [at])
    assert_only_lost(tmp_path, truth, lost)
    columns = Store(tmp_path).table(["key", "cost_usd", "received_at"]).to_pylist()
    right = {key: (one["cost_usd"], one["received_at"]) for key, one in truth.items()}
    assert all((row["cost_usd"], row["received_at"]) == right[row["key"]] for row in columns)
    assert {row["key"] for row in columns} >= truth.keys() - lost
    (damage,) = check(tmp_path).damage
    assert damage.key == next(iter(lost), None)


@pytest.mark.parametrize("fold", [True, False])
def test_of_two_hundred_rows_with_a_wrong_byte_only_those_are_bought_again(tmp_path, fold):
    keys = [f"{number:064x}" for number in range(500)]
    truth, path = fill(tmp_path, keys, fold, length=400)
    content = path.read_bytes()
    draw = random.Random(3)
    spans = dict(enumerate(frames(content) if fold else lines(content)))
    hit = sorted(draw.sample(range(500), 200))
    for row in hit:
        content = flip(content, draw.randrange(*spans[row]), draw.randrange(1, 256))
    path.write_bytes(content)
    lost = {keys[row] for row in hit}

    assert_only_lost(tmp_path, truth, lost)
    report = check(tmp_path)
    named = [damage.row - 1 if fold else damage.offset for damage in report.damage]
    assert named == (hit if fold else [spans[row][0] for row in hit])
    assert report.keys == truth.keys() - lost and report.torn == []

    with Store(tmp_path) as store:
        wanted = [truth[key] for key in keys if key not in store.get(keys)]
        assert {one["key"] for one in wanted} == lost
        store.append(wanted)
    assert Store(tmp_path).get(keys) == truth


def test_a_segment_cut_at_each_4_kib_keeps_all_whole_frames(tmp_path):
    truth, path = fill(tmp_path, length=1000)
    content = path.read_bytes()
    spans = frames(content)
    cuts = range(0, len(content), 4096)
    assert len(cuts) > 10
    for cut in cuts:
        path.write_bytes(content[:cut])
        lost = {KEYS[row] for row, (_, end) in enumerate(spans) if end > cut}
        assert_only_lost(tmp_path, truth, lost)
        report = check(tmp_path)
        assert report.keys == truth.keys() - lost
        if lost == truth.keys():
            assert [damage.reason for damage in report.damage] == ["no answer in it can be read"]
        else:
            named = [KEYS[damage.row - 1] for damage in report.damage if damage.row]
            assert set(named) == lost and len(report.damage) == max(1, len(lost))


def test_a_journal_cut_at_each_4_kib_keeps_all_whole_lines(tmp_path):
    truth, path = fill(tmp_path, fold=False, length=1000)
    content = path.read_bytes()
    spans = lines(content)
    for cut in range(0, len(content), 4096):
        path.write_bytes(content[:cut])
        lost = {KEYS[row] for row, (_, end) in enumerate(spans) if end > cut}
        assert_only_lost(tmp_path, truth, lost)
        report = check(tmp_path)
        assert report.damage == [] and len(report.torn) == (cut > 0)


JOURNAL_PARTS = {"prefix": 3, "check": 15, "middle": 30, "record": 60, "last": -2, "break": -1}


@pytest.mark.parametrize("byte", [0, ord("\n"), ord("{"), ord('"'), ord("\\"), 0xFF])
@pytest.mark.parametrize("part", JOURNAL_PARTS)
@pytest.mark.parametrize("row", [0, 1, 39])
def test_a_wrong_byte_in_a_journal_costs_its_own_line(tmp_path, part, byte, row):
    truth, path = fill(tmp_path, fold=False)
    content = path.read_bytes()
    start, end = lines(content)[row]
    at = (start if JOURNAL_PARTS[part] >= 0 else end) + JOURNAL_PARTS[part]
    wrong = content[:at] + bytes([byte]) + content[at + 1 :]
    path.write_bytes(wrong)
    lost = {KEYS[row]} if wrong != content else set()
    assert_only_lost(tmp_path, truth, lost)
    report = check(tmp_path)
    assert [damage.offset for damage in report.damage] == [start] * len(lost)
    assert report.torn == []


def test_a_line_that_lost_its_break_and_another_byte_is_damage_not_an_unfinished_line(tmp_path):
    truth, path = fill(tmp_path, fold=False)
    content = path.read_bytes()
    start, end = lines(content)[7]
    path.write_bytes(flip(flip(content, start + 100), end - 1))
    assert_only_lost(tmp_path, truth, {KEYS[7]})
    report = check(tmp_path)
    assert (len(report.damage), report.torn) == (1, [])


def test_where_one_copy_is_damaged_another_one_is_used(tmp_path, filled):
    truth, name, content = filled
    later = {**truth[KEYS[3]], "received_at": "2027", "text": "bought again"}
    with Store(tmp_path) as store:
        store.append([later])
    put(tmp_path, name, flip(content, frames(content)[3][0] + 40))
    assert Store(tmp_path).get(KEYS) == {**truth, KEYS[3]: later}


def test_damage_is_reported_once_with_file_row_and_key(tmp_path, filled, caplog):
    _, name, content = filled
    path = put(tmp_path, name, flip(content, frames(content)[3][0] + 40))
    with caplog.at_level(logging.WARNING, "caft"):
        store = Store(tmp_path)
        store.get(KEYS)
        store.get(KEYS)
        store.refresh()
        store.get(KEYS)
    expected = f"{path}, row 4, key {KEYS[3]}: is damaged; this answer is not used"
    assert [entry.getMessage() for entry in caplog.records] == [expected]


def test_much_damage_is_reported_in_few_lines(tmp_path, filled, caplog):
    _, name, content = filled
    for start, _ in frames(content)[:30]:
        content = flip(content, start + 40)
    path = put(tmp_path, name, content)
    with caplog.at_level(logging.WARNING, "caft"):
        assert len(Store(tmp_path).get(KEYS)) == 10
    assert len(caplog.records) == 6
    assert caplog.records[-1].getMessage() == f"{path}: 25 more; `caft store verify` names all."


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"PAR1", b"PAR1\0\0\0\0PAR1"])
def test_a_file_that_is_no_segment_is_damage_and_stops_nothing(tmp_path, filled, content):
    truth, name, right = filled
    put(tmp_path, name, right)
    path = put(tmp_path, "other.parquet", content)
    assert_only_lost(tmp_path, truth, set())
    assert [str(one) for one in check(tmp_path).damage] == [f"{path}: no answer in it can be read"]


def test_a_file_that_lost_its_name_is_found(tmp_path, filled):
    truth, _, content = filled
    put(tmp_path, "renamed.parquet", content)
    assert_only_lost(tmp_path, truth, set())
    assert len(check(tmp_path).damage) == 1


def test_a_journal_with_a_damaged_line_is_kept_aside_when_it_is_folded(tmp_path):
    store = Store(tmp_path)
    store.append([{"key": key, "text": "x"} for key in "abc"])
    (path,) = tmp_path.glob("journals/*")
    path.write_bytes(flip(path.read_bytes(), lines(path.read_bytes())[1][0] + 60))
    store.fold()
    assert Store(tmp_path).keys() == {"a", "c"} == store.keys()
    assert [one.name for one in tmp_path.glob("damaged/*")] == [path.name]
    assert list(tmp_path.glob("journals/*")) == []


def test_other_tools_read_a_segment(tmp_path):
    truth, path = fill(tmp_path)
    table = pq.read_table(path, columns=["key", "cost_usd"])
    assert table["key"].to_pylist() == KEYS
    assert table["cost_usd"].to_pylist() == [truth[key]["cost_usd"] for key in KEYS]
