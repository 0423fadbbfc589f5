"""The journal of one writer: a readable line per answer, on the disk before it counts.

A line is `{"check": "<16 hex>", "record": {...}}`; the check is a hash of the record's bytes.
"""

import errno
import os
import re
import socket
import uuid
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain
from json import loads
from pathlib import Path
from tempfile import TemporaryFile

from caft.running import machine
from caft.store.record import Contents, Damage, DamagedError, Place
from caft.tables.files import make_folder, sync_folder

_PREFIX, _MIDDLE, _END = b'{"check": "', b'", "record": ', b"}\n"
_HEAD = len(_PREFIX) + 16 + len(_MIDDLE)
# Inside a JSON string the quotes would be escaped: this is where a line begins, and nothing else.
_LINE_START = re.compile(b"(?=" + re.escape(_PREFIX) + b")")
_KEY = re.compile(rb'"key": "([^"\\]+)"')
_SECONDS_CLOCKS_DIFFER = 60.0  # of a file server and of this machine

_PROBE = 2**20  # bytes that a store has to have room for before answers are bought

FOLD_BYTES = 64 * 2**20  # from which a writer folds its own journal: every reader parses it

DAMAGED = "is damaged; this answer is not used"
CUT_OFF = "was cut off: its writer was stopped or still writes, and it never counted as received"


class Journal:
    """An open journal; after a failed `append` it may end in a torn line and is used no more."""

    def __init__(self, folder: Path):
        """Make the file; its name says which process writes it, so that its death can be proved.

        Raises:
            OSError: if that fails.
        """
        writer = f"{machine.boot()}.{machine.namespace()}.{machine.started(os.getpid())}"
        name = f"{socket.gethostname()}-{os.getpid()}-{writer}.{uuid.uuid4().hex}.jsonl"
        self.path = folder / "journals" / name
        make_folder(self.path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(self.path, flags, 0o666)
        self._size = 0
        sync_folder(self.path.parent)

    def append(self, bodies: Iterable[bytes]) -> list[tuple[int, int]]:
        """Write records; return first byte and size of each line, once they are on the disk.

        Raises:
            OSError: if that fails; ESTALE if the file was removed meanwhile.
        """
        lines = [_line(body) for body in bodies]
        rest = memoryview(b"".join(lines))
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
            if os.fstat(self._file).st_nlink == 0:
                raise OSError(errno.ESTALE, "removed while it was written", str(self.path))
        except OSError:
            self.close()
            raise
        places = []
        for line in lines:
            places.append((self._size, len(line)))
            self._size += len(line)
        return places

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def probe(folder: Path) -> None:
    """Write and sync as much as many answers take, where a journal goes, and take it away again.

    Raises:
        OSError: if that fails.
    """
    make_folder(folder / "journals")
    with TemporaryFile(dir=folder / "journals") as file:  # it has no name that a kill could leave
        file.write(bytes(_PROBE))
        file.flush()
        os.fsync(file.fileno())


def _line(body: bytes) -> bytes:
    return b"".join([_PREFIX, sha256(body).hexdigest()[:16].encode(), _MIDDLE, body, _END])


def _body(line: bytes) -> bytes | None:
    body = line[_HEAD : -len(_END)]
    return body if line == _line(body) else None


def read(path: Path, known: Contents | None = None) -> Contents:
    """Find the intact answers of a journal.

    Args:
        path: the journal.
        known: what was found in it before; only what was added since is read.

    Returns:
        All intact answers, and what is wrong in the part that was read.

    Raises:
        FileNotFoundError: if it was folded since it was listed.
    """
    known = known or Contents()
    kept = [place for place in known.places if place.start < known.end]
    found = Contents(kept, [], known.end, known.end, known.line)
    half = False  # a damaged line was broken in two by a byte that became a line break
    with open(path, "rb") as file:
        file.seek(known.end)
        for piece, is_last in chain.from_iterable(map(_pieces, file)):
            start, found.size = found.size, found.size + len(piece)
            body, wrong = _judge(piece, is_last)
            if body:
                record = loads(body)
                received = record.get("received_at") or ""
                found.places.append(Place(record["key"], received, path, start, len(piece)))
            elif piece != b"\n" and (piece.startswith(_PREFIX) or not half):
                torn = wrong == CUT_OFF
                found.damage.append(Damage(path, wrong, found.line, start, _key(piece), torn))
            half = not body and b"}" not in piece[-3:-1]
            if piece.endswith(b"\n"):
                found.end, found.line = found.size, found.line + 1
    return found


def bodies(path: Path, places: Iterable[Place]) -> Iterator[tuple[Place, bytes]]:
    """Read the records at these places, in the order in which they lie.

    Raises:
        FileNotFoundError: if the journal was folded meanwhile.
        DamagedError: if one of them is not intact any more.
    """
    with open(path, "rb") as file:
        for place in sorted(places, key=lambda place: place.start):
            file.seek(place.start)
            line = file.read(place.size)
            body = _body(line if line.endswith(b"\n") else line + b"\n")
            if body is None:
                raise DamagedError(path)
            yield place, body


def is_abandoned(path: Path) -> bool | None:
    """Tell whether a journal's writer is dead; None where this process cannot know.

    Host name and process number alone prove nothing: containers share them, and numbers come again.
    Dead is who ran since the same boot, among the same process numbers, and is there no more; and
    who wrote on a host of this name before it booted.

    Raises:
        FileNotFoundError: if the journal was folded since it was listed.
    """
    host, _, process = path.stem.rpartition("-")[0].rpartition("-")
    boot, *writer = path.stem.rpartition("-")[2].split(".")
    if len(writer) != 3 or not process.isdigit():
        return None
    if boot == machine.boot():
        namespace, began = writer[:2]
        return None if namespace != machine.namespace() else not machine.runs(int(process), began)
    before = machine.booted() - _SECONDS_CLOCKS_DIFFER
    return True if host == socket.gethostname() and path.stat().st_mtime < before else None


def _pieces(whole: bytes) -> Iterator[tuple[bytes, bool]]:
    """Split what lies up to a line break where lines begin: a lost line break joins two of them.

    With each piece comes whether it is the end of the file and has no line break.
    """
    pieces = [whole] if _body(whole) else [piece for piece in _LINE_START.split(whole) if piece]
    for number, piece in enumerate(pieces, start=1):
        yield piece, number == len(pieces) and not whole.endswith(b"\n")


def _judge(piece: bytes, is_last: bool) -> tuple[bytes | None, str]:
    if not is_last:
        return _body(piece), DAMAGED
    if body := _body(piece + b"\n"):
        return body, ""
    # Whole but for its line break, it was not cut off: another byte stands there.
    return None, DAMAGED if _body(piece[:-1] + b"\n") else CUT_OFF


def _key(piece: bytes) -> str | None:
    found = _KEY.search(piece)
    return found.group(1).decode(errors="replace") if found else None
