"""What a run left behind that nothing refers to any more: models, their predictions, blocks.

Referred to is what a plan names (the last run's for every data set and student), what a recorded
run names (its `provenance.json`), and what those start from. Blocks that are newer than the last
finished run are left too: no table lists those of a job that failed, and the next one goes on from
them. Paid answers are never looked at.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from caft import layout
from caft.errors import CaftError
from caft.mixtures.plan import read_plan
from caft.shown import line
from caft.tables.files import read_json


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
    plans = sorted(root.glob(layout.any_of(layout.PLAN)))
    records = [path for path in recorded if path.is_file()]
    if not plans and not records:
        raise CaftError(
            f"{root}: no plan ({layout.root_of(layout.PLAN)}) and no record ({layout.PROVENANCE}) "
            "says which models are in use; make one: snakemake --cores all mixtures"
        )
    found: set[str] = set()
    for path in [*plans, *records]:
        try:
            found |= set(read_plan([path]).models() if path in plans else read_json(path)["models"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CaftError(f"{path}: cannot be read ({error}); nothing is removed.") from error
    return found


def find_unused(root: Path, recorded: Iterable[Path]) -> list[Unused]:
    """List what can be removed, largest first; nothing of the store is ever among it.

    Args:
        root: folder of the run.
        recorded: `provenance.json` files of runs whose models are to be kept.

    Raises:
        CaftError: if it cannot be told what is in use.
    """
    models = referred_models(root, recorded)
    models_folder = root / layout.root_of(layout.MODEL)
    folders = [path for path in models_folder.glob("*") if path.is_dir()]
    unused = [_unused(path, "model") for path in folders if path.name not in models]
    dropped = {
        path
        for path in _predictions(root, "*")
        if path.name.partition(".")[0].removesuffix(layout.BEST) not in {*models, "base"}
    }
    unused += [_unused(path, "prediction") for path in dropped]
    blocks = _blocks_in_use(root, models, dropped)
    unused += [_unused(path, "block") for path in _finished_blocks(root) if path.stem not in blocks]
    return sorted(unused, key=lambda one: (-one.size, one.path))


def _predictions(root: Path, name: str) -> Iterator[Path]:
    folder = PurePath(layout.any_of(layout.PREDICTIONS)).parent
    return root.glob(str(folder / name))


def _finished_blocks(root: Path) -> list[Path]:
    """Return the blocks that were there when the last run finished."""
    finished = root / layout.PROVENANCE
    if not finished.is_file():
        return []
    ended = finished.stat().st_mtime
    blocks = (root / layout.BLOCKS).glob("*/*.parquet")
    return [path for path in blocks if path.stat().st_mtime <= ended]


def _blocks_in_use(root: Path, models: set[str], dropped: set[Path]) -> set[str]:
    scored = [
        layout.root_of(table)
        for kind in ("scores", "generations")
        for table in layout.SHARDED[kind]
    ]
    chosen = root.glob(layout.any_of(layout.SELECTION))
    runs = [
        *(path for folder in scored for path in (root / folder).glob("**/*.run.json")),
        *(set(_predictions(root, "*.run.json")) - dropped),
        *(path for path in chosen if path.stem in models),
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
    lines = [f"{one.size / 1e6:>10.1f} MB  {one.kind:<10}  {line(one.path)}" for one in unused]
    total = sum(one.size for one in unused)
    done = "removed" if removed else "would be removed; add --remove to do it"
    return "\n".join([*lines, f"{len(unused)} in all, {total / 1e6:.1f} MB: {done}"])
