"""The explorer: one page with every item of a run, to be opened from the disk without a server.

The tables are embedded compressed, the long texts in blocks that are unpacked only when one of
their items is looked at. Text of items is data: the page's own scripts alone may run, named by
their hashes, and nothing may be fetched.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from typing import Any

from caft.report.items import Part, Sources, part_of

LARGEST = 24_000_000  # bytes of a page: a browser opens it in seconds, and it can still be sent
_LENGTHS = (16000, 8000, 5600, 4000, 2800, 2000, 1400, 1000, 700, 500, 350, 250, 100)
_LEFT_OUT = "\n[… {} characters are left out here …]\n"
_TOGETHER = 64  # items whose texts are unpacked together
_SAMPLED = 16  # a page's size is estimated from every so many blocks
_ASSETS = files("caft.report") / "assets"


def explorer_page(sources: Iterable[Sources], largest: int = LARGEST) -> str:
    """Return the page; long texts lose their middles where it would be too large otherwise.

    Args:
        sources: the tables of each data set and student.
        largest: bytes of the page; its size is estimated before, so that it may exceed them by a
            few in a hundred.
    """
    parts = [part_of(one) for one in sources]
    longest = next((one for one in _LENGTHS if _estimate(parts, one) <= largest), _LENGTHS[-1])
    return _render(parts, longest)


def _estimate(parts: Iterable[Part], longest: int) -> float:
    """Return about how many bytes a page takes, from a sample of its blocks."""
    size = 0.0
    for part in parts:
        blocks = _blocks(part)
        sampled = [len(_pack(_shortened(block, longest))) for block in blocks[::_SAMPLED]]
        size += len(_pack(part.head)) + sum(sampled) / len(sampled) * len(blocks)
    return size


def _render(parts: Iterable[Part], longest: int) -> str:
    index, packed = [], []
    for number, part in enumerate(parts):
        index.append({"dataset": part.head["dataset"], "student": part.head["student"]})
        packed.append(_element(f"part-{number}-head", part.head))
        packed += [
            _element(f"part-{number}-texts-{place}", _shortened(block, longest))
            for place, block in enumerate(_blocks(part))
        ]
    facts = {"parts": index, "together": _TOGETHER, "longest": longest}
    library, program, style = (
        _asset(name) for name in ("regular-table/regular-table.js", "explorer.js", "explorer.css")
    )
    filled = {
        "policy": _policy([library, program], style),
        "style": style,
        "data": "".join([_element("facts", facts), *packed]),
        "licence": _asset("regular-table/LICENSE"),
        "library": library,
        "program": program,
    }
    page = _asset("explorer.html")
    for name, text in filled.items():
        page = page.replace("{{" + name + "}}", text, 1)
    return page


def _blocks(part: Part) -> list[list[dict[str, Any]]]:
    starts = range(0, len(part.texts), _TOGETHER)
    return [part.texts[start : start + _TOGETHER] for start in starts]


def _shortened(content: Any, longest: int) -> Any:
    """Return JSON-like content with texts that keep their beginnings and their ends."""
    if isinstance(content, dict):
        return {name: _shortened(value, longest) for name, value in content.items()}
    if isinstance(content, list):
        return [_shortened(value, longest) for value in content]
    if isinstance(content, str) and len(content) > longest:
        end = longest // 3
        gap = _LEFT_OUT.format(len(content) - longest)
        return content[: longest - end] + gap + content[len(content) - end :]
    return content


def _element(name: str, content: object) -> str:
    """Return an element that holds data and does nothing."""
    return f'<script type="application/gzip" id="{name}">{_pack(content)}</script>\n'


def _pack(content: object) -> str:
    """Return JSON, compressed, in letters that mean nothing to HTML."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _policy(scripts: Iterable[str], style: str) -> str:
    """Return what the page may do: run these scripts, use this style, and nothing else."""
    named = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {named}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
