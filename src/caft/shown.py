"""Text from outside where people read it: on a terminal, in a log, in a table, in a figure.

Questions, replies, errors of endpoints and names of files may hold what a terminal obeys, text that
runs backwards, lines that look like ours, or what a spreadsheet computes. Files that programs read
(Parquet, JSON, the store) keep them as they are; people see them escaped, as JSON escapes them.
"""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import copy
from numbers import Number
from typing import Any

# Controls of a terminal but line break and tab; marks that turn or hide text; line breaks that only
# some programs know; what neither UTF-8 nor XML has. Joiners stay: scripts and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# Where a cell starts: at its beginning, and for a program that takes ; or tab for the end of a cell
# or does not know quotes, behind those and line breaks too.
_FORMULA = re.compile(r"(?:^|(?<=[;\t\n]))(?=[^\S\t\n]*[=+\-@＝＋－＠])|^(?=\t)")


def escaped(text: str) -> str:
    r"""Show what nobody would see as `\u001b`; line breaks and tabs stay."""
    return _UNSEEN.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


def line(text: object) -> str:
    """Show a text on one line: line breaks and tabs are spaces."""
    return escaped(re.sub(r"[\t\r\n]+", " ", str(text)))


def block(text: object) -> str:
    """Show a text of several lines, all but the first indented: none looks like a line of ours."""
    return escaped(str(text)).replace("\n", "\n    ")


def cell(text: str) -> str:
    """Show a text in a CSV cell; what a spreadsheet would compute gets an apostrophe in front.

    A number in a text, such as -5, stays a number.
    """
    shown = escaped(text)
    return shown if _NUMBER.fullmatch(shown) else _FORMULA.sub("'", shown)


def tell(text: object) -> None:
    """Print a line."""
    print(line(text))


class Formatter(logging.Formatter):
    """Formats lines of a log: the message is ours and keeps its lines, its arguments are `block`s.

    So a table of ours is logged as the message itself.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines of a record."""
        shown = copy(record)
        if isinstance(record.args, tuple):
            shown.args = tuple(
                part if isinstance(part, Number) else block(part) for part in record.args
            )
        return escaped(super().format(shown))


class _Shown:
    """A stream that writes text escaped; everything else is the stream's own."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(escaped(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for text in lines:
            self.write(text)


@contextmanager
def streams_shown() -> Iterator[None]:
    """Escape whatever is printed meanwhile, by libraries too: their warnings quote their input."""
    with redirect_stdout(_Shown(sys.stdout)), redirect_stderr(_Shown(sys.stderr)):
        yield
