"""Long model jobs in blocks of items: what was finished once is read, never computed again.

A block changes only when one of its items does, and its result depends on nothing but its content
and the settings. So a killed job goes on where it was, an added item costs one block, and any
number of jobs can share the blocks of one table.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from caft import layout
from caft.errors import CaftError
from caft.prompting.prompts import Messages
from caft.running import devices
from caft.running.jobs import Progress
from caft.running.meter import Amounts, Meter, add
from caft.tables import parquet
from caft.tables.files import ends_well, read_json
from caft.tables.hashing import digest, rows_digest
from caft.tables.parquet import SCHEMAS, records

BLOCK_ITEMS = 512  # at most, on average; few enough to lose to a kill, enough to batch by length

Rows = list[dict[str, Any]]
Compute = Callable[[list[list[int]], Progress], Iterator[Rows]]

log = logging.getLogger("caft")


@dataclass(frozen=True)
class Shard:
    """One of `count` jobs that share the items of a table; by default the only one.

    With an index of 0, 1, ... a job has the blocks whose number leaves that rest.
    """

    index: int = 0
    count: int = 1

    @classmethod
    def named(cls, name: str) -> "Shard":
        """Read the wildcard of a job's files: `.shards/2-of-7`, or nothing for all items."""
        if not name:
            return cls()
        index, count = map(int, Path(name).name.split("-of-"))
        return cls(index - 1, count)

    def has(self, item_id: str) -> bool:
        """Tell whether an item belongs to this shard, by its id alone."""
        return _place(item_id, self.count) == self.index


WHOLE = Shard()


@dataclass(frozen=True)
class Cache:
    """Where finished blocks lie, and which of them a job is there for."""

    folder: Path = Path(layout.BLOCKS)
    shard: Shard = WHOLE
    block_items: int = BLOCK_ITEMS


@dataclass(frozen=True)
class Computed:
    """A table with the blocks it consists of.

    Attributes:
        table: sorted by item.
        blocks: digests of the blocks, the names of their files.
        amounts: sums over the blocks: `seconds`, `energy_wh`, and what the computation counted.
        cards: GPUs that they were computed on, each with its CUDA and driver; none of a CPU's.
    """

    table: pd.DataFrame
    blocks: list[str]
    amounts: Amounts
    cards: list[str] = field(default_factory=list)

    @property
    def made_on(self) -> dict[str, list[str]]:
        """What a table says of its cards; nothing if there were none."""
        return {"gpus": self.cards} if self.cards else {}

    @property
    def run(self) -> dict[str, Any]:
        """What a job reports beside its table."""
        counts = {
            name: self.table[name].value_counts().to_dict()
            for name in ("status", "target")
            if name in self.table
        }
        items = self.table["item_id"].nunique()
        about = {**self.amounts, "items": items, **counts, **self.made_on}
        return {**about, "blocks": self.blocks}


def block_rows(
    items: pd.DataFrame, messages: Sequence[Messages], *columns: str
) -> list[dict[str, Any]]:
    """Return what identifies each item's part of a block: its prompt, its answer, more columns."""
    return [
        {
            **{name: item[name] for name in ("item_id", "answer", "answer_kind", *columns)},
            "options": None if item["options"] is None else len(item["options"]),
            "messages": turns,
        }
        for item, turns in zip(records(items), messages, strict=True)
    ]


def divide(item_ids: Sequence[str], block_items: int = BLOCK_ITEMS) -> dict[int, list[int]]:
    """Divide items into blocks by their ids, which are hashes.

    Args:
        item_ids: in any order.
        block_items: most items per block on average. The number of blocks is a power of two, so
            that it changes, and with it all blocks, only when the items have doubled.

    Returns:
        Positions of the items per block number, ordered by item id; no block is empty.
    """
    count = 1
    while count * block_items < len(item_ids):
        count *= 2
    blocks: dict[int, list[int]] = {}
    for position in sorted(range(len(item_ids)), key=item_ids.__getitem__):
        blocks.setdefault(_place(item_ids[position], count), []).append(position)
    return blocks


def _place(item_id: str, count: int) -> int:
    return int(item_id[:8], 16) * count >> 32 if count > 1 else 0


class Kind(NamedTuple):
    """A kind of table.

    Attributes:
        schema: its name.
        code: version of the code that makes it (`caft.versions`).
        counted: columns whose sums are reported; the table need not have them.
    """

    schema: str
    code: int
    counted: Sequence[str] = ()


def compute_in_blocks(
    made: Kind,
    rows: Sequence[dict[str, Any]],
    compute: Compute,
    key: dict[str, Any],
    cache: Cache,
    progress: tuple[str, str, int],
) -> Computed:
    """Compute a table block by block; blocks that lie in the cache are read instead.

    Args:
        made: the kind of table.
        rows: per item `item_id` and everything else of it that enters the result.
        compute: makes the rows of some blocks, given the positions of their items in `rows`; yields
            all rows of an item at once, items in any order, and tells the progress of the units it
            has done. A block is written when it is complete.
        key: everything else that enters the result: model, prompt, `device`, precision, settings.
        cache: where blocks lie, and which of them are wanted.
        progress: name of the progress line, its unit, units per item.

    Returns:
        The table of this job's blocks, read back from their files, so that it has the same bytes
        however many of them were there.
    """
    kind, code, counted = made
    ids = [row["item_id"] for row in rows]
    blocks = {
        _digest(kind, key, code, [rows[position] for position in positions]): positions
        for number, positions in divide(ids, cache.block_items).items()
        if number % cache.shard.count == cache.shard.index
    }
    paths = {name: cache.folder / kind / f"{name}.parquet" for name in blocks}
    missing = {name: blocks[name] for name in blocks if not ends_well(paths[name])}
    line = _progress(blocks, missing, *progress)
    meter = Meter(key["device"])
    for name, table in _complete(missing, ids, compute, line):
        # What blocks take that are computed together is told of the one that is complete first.
        sums = {column: int(table[column].sum()) for column in counted}
        table = table.drop(columns=[each for each in counted if each not in SCHEMAS[kind].names])
        spec = {"key": key, "amounts": {**meter.amounts, **sums}, **_card(key)}
        parquet.write(kind, table, paths[name], spec, code)
        meter = Meter(key["device"])
    whole = parquet.read(kind, *paths.values())
    specs = [parquet.footer(path)["spec"] for path in paths.values()]
    amounts = add({"energy_wh": None, **spec["amounts"]} for spec in specs)
    cards = _different(spec["gpu"] for spec in specs if "gpu" in spec)
    return Computed(whole, sorted(blocks), amounts or {"seconds": 0, "energy_wh": 0}, cards)


def _card(key: dict[str, Any]) -> dict[str, str]:
    """Return on what a block is computed, for its footer; it is no part of the key."""
    return {"gpu": devices.card()} if key["device"] == "cuda" else {}


def _different(cards: Iterable[str]) -> list[str]:
    """Return each card once, and warn where there are several: each rounds in its own way."""
    found = sorted(set(cards))
    if len(found) > 1:
        log.warning(
            "the rows of this table come from unlike cards, which round otherwise: %s; near ties "
            "may fall differently, and items change their tercile",
            "; ".join(found),
        )
    return found


def _complete(
    blocks: dict[str, list[int]], ids: Sequence[str], compute: Compute, line: Progress
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Compute blocks and yield each one's name and table when its last item is there."""
    block_of = {ids[position]: name for name, positions in blocks.items() for position in positions}
    left = {name: {ids[position] for position in positions} for name, positions in blocks.items()}
    found: dict[str, Rows] = {name: [] for name in blocks}
    for rows in compute(list(blocks.values()), line) if blocks else ():
        for row in rows:
            name = block_of[row["item_id"]]
            found[name].append(row)
            left[name].discard(row["item_id"])
        for name in [name for name, items in left.items() if not items]:
            del left[name]
            yield name, pd.DataFrame(found.pop(name))


def _digest(kind: str, key: dict[str, Any], code: int, rows: list[dict[str, Any]]) -> str:
    return digest({"kind": kind, "key": key, "code": code, "rows": rows_digest(rows, 64)}, 32)


def _progress(
    blocks: dict[str, list[int]], missing: dict[str, list[int]], what: str, unit: str, weight: int
) -> Progress:
    total, left = (weight * sum(map(len, some.values())) for some in (blocks, missing))
    if left < total:
        log.info(
            "%s: %d of %d blocks are there from before (%d of %d %s)",
            *(what, len(blocks) - len(missing), len(blocks), total - left, total, unit),
        )
    return Progress(what, total, unit, done=total - left)


def merge_shards(paths: Sequence[Path]) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Join the tables of all shards; nothing is computed.

    Args:
        paths: the shards' tables; `<table>.run.json` lies beside each.

    Returns:
        The whole table; the footer the shards have in common (`table`, `spec`, `code`); and what
        a single job would have reported.

    Raises:
        CaftError: if two shards were made differently, as on machines with and without a GPU.
    """
    footers = [parquet.footer(path) for path in paths]
    made = [{name: found[name] for name in ("table", "spec", "code")} for found in footers]
    cards = _different(card for one in made for card in one["spec"].pop("gpus", []))
    for path, other in zip(paths, made, strict=True):
        if other != made[0]:
            raise CaftError(
                f"{path}: was made with {_unlike(other, made[0])}, {paths[0]} was not; write "
                "engine.device and engine.dtype out, use one environment, delete one of the two "
                "and run again."
            )
    runs = [read_json(layout.run_of(str(path))) for path in paths]
    counted = ("seconds", "energy_wh", "new_tokens")
    sums = add({name: run[name] for name in counted if name in run} for run in runs)
    blocks = sorted(name for run in runs for name in run["blocks"])
    whole = Computed(parquet.read(made[0]["table"], *paths), blocks, sums, cards)
    made[0]["spec"] |= whole.made_on
    return whole.table, made[0], {**runs[0], **whole.run}


def _unlike(one: dict[str, Any], other: dict[str, Any]) -> str:
    specs = {"code": one["code"], **one["spec"]}, {"code": other["code"], **other["spec"]}
    return ", ".join(
        f"{name} {value}" for name, value in specs[0].items() if value != specs[1].get(name)
    )
