"""What a run left behind that nothing refers to any more: models, their predictions, blocks.

Referred to is what a plan names (`data/mixtures/*/*/*/plan.json`, the last run's for every data set
and student), what a recorded run names (its `provenance.json`), and what those start from. Blocks
that are newer than the last finished run are left too: no table lists those of a job that failed,
and the next one goes on from them. Paid answers are never looked at.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caft.config.modes import BEST
from caft.errors import CaftError
from caft.tables.files import read_json

MODELS, PREDICTIONS = Path("results/models"), Path("results/predictions")
PLANS, BLOCKS = "data/mixtures/*/*/*/plan.json", Path("data/blocks")
SELECTION, FINISHED = Path("results/selection"), Path("results/provenance.json")


@dataclass(frozen=True)
class Unused:
    """A file or folder that nothing refers to.

    Attributes:
        path: where it lies.
        kind: model, prediction or block.
        size: bytes.
    """

    path: Path
    kind: str
    size: int


def referred_models(root: Path, recorded: Iterable[Path]) -> set[str]:
    """Return the digests of all models that are in use.

    Args:
        root: folder of the run.
        recorded: `provenance.json` files of runs whose models are to be kept.

    Raises:
        CaftError: if a record cannot be read, or nothing at all refers to models: then the folder
            is not one of a run, or its plans were deleted, and everything would look unused.
    """
    plans = sorted(root.glob(PLANS))
    records = [path for path in recorded if path.is_file()]
    if not plans and not records:
        raise CaftError(
            f"{root}: no plan (data/mixtures) and no record (results/provenance.json) says which "
            "models are in use; make one: snakemake --cores all mixtures"
        )
    found: set[str] = set()
    for path in [*plans, *records]:
        try:
            found |= _models_of(read_json(path))
        except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise CaftError(f"{path}: cannot be read ({error}); nothing is removed.") from error
    return found


def _models_of(content: dict[str, Any]) -> set[str]:
    if "models" in content:  # a record
        return set(content["models"])
    trained = [seed for entry in content.values() for seed in entry["seeds"].values()]
    return {stage["model"] for seed in trained for stage in seed["stages"]}


def find_unused(root: Path, recorded: Iterable[Path]) -> list[Unused]:
    """List what can be removed, largest first; nothing of the store is ever among it.

    Args:
        root: folder of the run.
        recorded: `provenance.json` files of runs whose models are to be kept.

    Raises:
        CaftError: if it cannot be told what is in use.
    """
    models = referred_models(root, recorded)
    folders = [path for path in (root / MODELS).glob("*") if path.is_dir()]
    unused = [_unused(path, "model") for path in folders if path.name not in models]
    dropped = {
        path
        for path in (root / PREDICTIONS).glob("*/*/*")
        if path.name.partition(".")[0].removesuffix(BEST) not in {*models, "base"}
    }
    unused += [_unused(path, "prediction") for path in dropped]
    blocks = _blocks_in_use(root, models, dropped)
    unused += [_unused(path, "block") for path in _finished_blocks(root) if path.stem not in blocks]
    return sorted(unused, key=lambda one: (-one.size, one.path))


def _finished_blocks(root: Path) -> list[Path]:
    """Return the blocks that were there when the last run finished."""
    if not (root / FINISHED).is_file():
        return []
    ended = (root / FINISHED).stat().st_mtime
    return [path for path in (root / BLOCKS).glob("*/*.parquet") if path.stat().st_mtime <= ended]


def _blocks_in_use(root: Path, models: set[str], dropped: set[Path]) -> set[str]:
    runs = [
        *(root / "data").glob("*/*/*/**/*.run.json"),
        *(set((root / PREDICTIONS).glob("*/*/*.run.json")) - dropped),
        *(path for path in (root / SELECTION).glob("*/*/*.json") if path.stem in models),
    ]
    return {block for path in runs for block in read_json(path).get("blocks", [])}


def _unused(path: Path, kind: str) -> Unused:
    files = path.rglob("*") if path.is_dir() else [path]
    return Unused(path, kind, sum(file.stat().st_size for file in files if file.is_file()))


def remove(unused: Iterable[Unused]) -> None:
    """Remove what was listed; a model's record goes first, so that a kill leaves no half model."""
    for one in unused:
        if one.path.is_dir():
            (one.path / "model.json").unlink(missing_ok=True)
            (one.path / "training.json").unlink(missing_ok=True)
            shutil.rmtree(one.path)
        else:
            one.path.unlink(missing_ok=True)


def render(unused: list[Unused], removed: bool) -> str:
    """Render the list for a terminal, with the sum per kind."""
    if not unused:
        return "Nothing to remove: plans and records refer to every model."
    lines = [f"{one.size / 1e6:>10.1f} MB  {one.kind:<10}  {one.path}" for one in unused]
    total = sum(one.size for one in unused)
    done = "removed" if removed else "would be removed; add --remove to do it"
    return "\n".join([*lines, f"{len(unused)} in all, {total / 1e6:.1f} MB: {done}"])
