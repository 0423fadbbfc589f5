"""Questions from a Hugging Face hub dataset, or from a local folder in hub format."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from caft.datasets import Adapter, RawRows
from caft.datasets.cards import SHOWN, card_problem, cards
from caft.datasets.mapping import Mapper, limited
from caft.datasets.parts import SPLITS, suggested
from caft.datasets.settings import Parts, TableSettings
from caft.errors import ItemError
from caft.settings import key, optional
from caft.tables.columnar import as_written
from caft.tables.files import files_in
from caft.tables.links import is_inside, way_out
from caft.tables.rows import Limits, Row, checked, require_size

_ROWS = 1000  # unpacked at once


class Hub(TableSettings):
    """A data set of the Hugging Face hub, or a local folder in the hub's format."""

    adapter: Literal["hub"]
    id: str = key("Hub id or local folder.")
    config: str | None = optional("Configuration of the data set.")
    revision: str | None = optional(
        "Commit of the hub repository; required unless `id` is a local folder."
    )
    parts: Annotated[list[str], Field(min_length=1)] | Parts = key(
        "Splits of the hub data set to read; or which of them are which split: `{train: "
        "auxiliary_train, validation: dev, test: test}`."
    )
    official_splits: bool = key(
        "Keep the hub's own train, validation and test. A part of another name is refused.", False
    )

    def files(self) -> list[str]:
        """Return the files of a local folder; none of a data set on the hub."""
        return files_in(self.id, "**")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys."""
        yield from super().problems()
        if problem := self._unplaced():
            yield "official_splits", problem
        if isinstance(self.parts, Parts) and (name := self.parts.doubled()):
            yield "parts", f"{name!r} is named twice."
        if not self.revision and not Path(self.id).is_dir():
            yield (
                "revision",
                f"there is no folder {self.id} here; fetch the data set into it, or, if that is "
                "its id on the hub, pin the data set to a commit, or results cannot be repeated.",
            )

    def split_of(self) -> dict[str, str | None]:
        """Return the parts to read, and the split of each; None where it is drawn."""
        if isinstance(self.parts, Parts):
            return dict(self.parts.split_of())
        return {part: part if self.official_splits else None for part in self.parts}

    def _unplaced(self) -> str | None:
        names = [one for one in self.split_of() if one not in SPLITS]
        if isinstance(self.parts, Parts) or not self.official_splits or not names:
            return None
        return (
            f"knows train, validation and test, and not {', '.join(names)}; give it up and map the "
            f"parts: {suggested(self.parts)}."
        )

    @property
    def may_have_validation(self) -> bool:
        """Whether a share, a column or a part that is kept gives validation items."""
        return super().may_have_validation or "validation" in self.split_of().values()


def read(settings: Hub, seed: int, downloads: Path) -> RawRows:
    """Read the named parts (hub splits) of a dataset; code of the dataset never runs.

    With `official_splits`, or where `parts` maps them, all rows of a part are in its split.

    Raises:
        ItemError: if the dataset cannot be loaded, names files that are not its own, or a hub id
            comes without a revision; and while rows are read, if it has no such part or column.
    """
    name = settings.id
    if problem := settings._unplaced():
        raise ItemError(f"{name}: official_splits {problem}")
    parts = load_parts(name, settings.config, settings.revision, downloads)
    mapper = Mapper(settings, name)
    return limited(mapper.all(_mapped(settings, parts, mapper), required=False), settings.limit)


def _mapped(settings: Hub, parts: Any, mapper: Mapper) -> Iterator[dict[str, Any]]:
    if isinstance(settings.parts, Parts):
        _require(parts, settings.id, settings.parts.left_out())
    for part, split in settings.split_of().items():
        place = f"{settings.id}/{part}"
        rows = rows_of(parts, settings.id, part, settings.limits)
        features = parts[part].features
        names = {name: one.names for name, one in features.items() if hasattr(one, "names")}
        yield from mapper.mapped(rows, place, f"{part}/", names, split)


def load_parts(name: str, config: str | None, revision: str | None, downloads: Path) -> Any:
    """Return the parts of a data set by name; code of the data set never runs.

    Args:
        name: hub id or local folder.
        config: of the data set.
        revision: commit; needed unless it is a local folder.
        downloads: folder for what is fetched.

    Raises:
        ItemError: if the data set cannot be loaded, names files that are not its own, or is a hub
            id without a revision.
    """
    if revision is None and not Path(name).is_dir():
        raise ItemError(f"{name}: is no local folder; give the `revision` (commit) of the dataset.")
    try:
        return _load(name, config, revision, downloads)
    except ItemError:
        raise
    except Exception as error:  # whatever the library makes of a card and of files of others
        said = " ".join(str(error).split())[:300]  # the configurations are on further lines
        raise ItemError(
            f"{name}: cannot be loaded ({type(error).__name__}: {said}); check id, config, "
            "revision and the network."
        ) from error


def rows_of(parts: Any, name: str, part: str, limits: Limits) -> Iterator[Row]:
    """Return the rows of one part of a data set, which are unpacked a few at a time.

    Raises:
        ItemError: if there is no such part, or it is too large.
    """
    _require(parts, name, [part])
    require_size(f"{name}/{part}", parts[part].data.nbytes, limits)
    batches = parts[part].data.to_batches(max_chunksize=_ROWS)
    rows = (checked(row, limits) for batch in batches for row in as_written(batch).to_pylist())
    return enumerate(rows, start=1)


def _require(parts: Any, name: str, asked: list[str]) -> None:
    for part in asked:
        if part not in parts:
            raise ItemError(f"{name}: no part {part!r}; the dataset has: {', '.join(parts)}.")


def _load(name: str, config: str | None, revision: str | None, downloads: Path) -> Any:
    import datasets

    datasets.disable_progress_bars()
    if Path(name).is_dir() and (problem := way_out(name)):
        raise ItemError(problem)
    for card in cards(name, revision):
        if problem := card_problem(card):
            raise ItemError(f"{name}: its card {card.name} {problem}")
    builder = datasets.load_dataset_builder(
        name,
        name=config,
        revision=revision,
        cache_dir=str(downloads / "hub"),
    )
    # What the card's patterns came to, before any of it is fetched.
    for file in (file for files in (builder.config.data_files or {}).values() for file in files):
        base = str(builder.base_path)
        if not (file.startswith(f"{base}/") if "://" in base else is_inside(file, base)):
            raise ItemError(f"{name}: its card leads to {file[:SHOWN]!a}, which is not its own.")
    builder.download_and_prepare()
    return builder.as_dataset()


ADAPTER = Adapter(Hub, read)
