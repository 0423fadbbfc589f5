"""Questions from a Hugging Face hub dataset, or from a local folder in hub format."""

from pathlib import Path
from typing import Any, Literal

from caft.datasets import Adapter, RawRows
from caft.datasets.file import limited, map_rows
from caft.datasets.settings import TableSettings
from caft.errors import ItemError
from caft.settings import key, optional

_SPLITS = ("train", "validation", "test")


class Hub(TableSettings):
    """A data set of the Hugging Face hub, or a local folder in the hub's format."""

    adapter: Literal["hub"]
    id: str = key("Hub id or local folder.")
    config: str | None = optional("Configuration of the data set.")
    revision: str | None = optional(
        "Commit of the hub repository; required unless `id` is a local folder."
    )
    parts: list[str] = key("Splits of the hub data set to read.", min_length=1)
    official_splits: bool = key("Keep the hub's own train, validation and test.", False)


def read(spec: dict[str, Any], seed: int, downloads: Path) -> RawRows:
    """Read the named parts (hub splits; default all) of a dataset; code of the dataset never runs.

    With `official_splits`, parts named train, validation and test keep their rows in that split.

    Raises:
        ItemError: if the dataset cannot be loaded, has no such part or column, or a hub id comes
            without a revision.
    """
    import datasets

    name, revision = spec["id"], spec.get("revision")
    if revision is None and not Path(name).is_dir():
        raise ItemError(f"{name}: is no local folder; give the `revision` (commit) of the dataset.")
    datasets.disable_progress_bars()
    try:
        parts = datasets.load_dataset(
            name, name=spec.get("config"), revision=revision, cache_dir=str(downloads / "hub")
        )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise ItemError(
            f"{name}: cannot be loaded ({str(error).splitlines()[0]}); check id, config, revision "
            "and the network."
        ) from error
    wanted = spec.get("parts") or list(parts)
    raw = RawRows([], "")
    for part in wanted:
        if part not in parts:
            raise ItemError(f"{name}: no part {part!r}; the dataset has: {', '.join(parts)}.")
        records = list(enumerate(parts[part].to_list(), start=1))
        mapped = map_rows(records, f"{name}/{part}", spec, prefix=f"{part}/")
        if spec.get("official_splits") and part in _SPLITS:
            for row in mapped.rows:
                row["split"] = part
        raw = RawRows(
            raw.rows + mapped.rows,
            mapped.answer_kind,
            mapped.answer_format,
            raw.rejected + mapped.rejected,
        )
    return limited(raw, spec.get("limit"))


ADAPTER = Adapter(Hub, read)
