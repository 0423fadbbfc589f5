"""Section `metrics.<name>`: which complexity metric, and what it is made from."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from caft.complexity import METRICS
from caft.settings import Count, Name, Number, Positive, Section, key, optional
from caft.tables.files import files_in

if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[tuple(METRICS)]


class Weights(Section):
    """Weights of `cot_mix`."""

    mean: Number | None = optional("Weight of the mean entropy; 0 if left out.")
    max: Number | None = optional("Weight of the largest one; 0 if left out.")
    answer: Number | None = optional("Weight of the answer's; 0 if left out.")


class Combine(Section):
    """Several metrics in one."""

    metrics: Annotated[dict[Name, Number], Field(min_length=1)] = key(
        "Weights of other entries under `metrics`; a negative one turns a metric around."
    )
    by: Literal["rank", "value"] = key(
        "What is added up: each item's rank among the training items, 0 to 1, or the values.",
        "rank",
    )


class At(Section):
    """Which value of a list counts."""

    at: str = key("Column with its position, from 0.")


class HubScores(Section):
    """Scores in a data set of the Hugging Face hub, or in a local folder in the hub's format."""

    id: str = key("Hub id or local folder.")
    config: str | None = optional("Configuration of the data set.")
    revision: str | None = optional(
        "Commit of the hub repository; required unless `id` is a local folder."
    )
    part: str = key("Split of the hub data set to read.", "train")


class MetricSettings(Section):
    """A complexity metric of the run."""

    metric: Kind | None = key(
        "What is computed (docs/metrics.md); the entry's own name if absent.", None
    )
    prompt: str | None = key(
        "The prompt variant the student is scored with; the top-level `prompt` if absent.", None
    )
    scored_with: str = key(
        "`base`, `warm_up`, the model after a stage (`sft.1`), or `default`: warmed up where the "
        "student has a warm-up.",
        "default",
    )
    model: str | None = optional(
        "Another entry under `students` that scores in the student's place, once for all of them; "
        "the student itself if absent."
    )
    combine: Combine | None = optional(
        "A weighted sum of other metrics: `{metrics: {a: 1, b: -0.5}, by: rank}`; an entry with "
        "this key needs no `metric`."
    )
    weights: Weights | None = optional("For `cot_mix`: a third each if absent.")
    samples: Count = key("For `pass_rate`: chains of thought per item.", 4)
    temperature: Positive = key("For `pass_rate`.", 0.7)
    top_p: Number = key("For `pass_rate`.", 1.0, gt=0, le=1)
    judge: str | None = optional("For the judge metrics: a name under `judges`.")
    teacher: str | None = optional(
        "For `topk_entropy`: a teacher whose `extra_body` asks for `logprobs` and `top_logprobs`."
    )
    path: str | None = optional("For `imported`: a Parquet, JSONL, CSV or TSV file.")
    hub: HubScores | None = optional("For `imported`, in place of `path`: a data set of the hub.")
    format: Literal["parquet", "jsonl", "csv", "tsv"] | None = optional(
        "Of that file, where its name does not tell."
    )
    column: str | None = optional(
        "The values' column: of the file, or of the items for `metric: column`."
    )
    values: dict[str, Number] | None = optional(
        "What words in that column stand for: `{low: 0, medium: 1, high: 2}`."
    )
    aggregate: Literal["mean", "max", "last"] | At | None = optional(
        "What is made of a cell that holds a list, such as an entropy per token: its `mean`, "
        "`max`, `last`, or the value at a position that stands in another column, `{at: COLUMN}`."
    )
    zero_is_missing: bool | None = optional(
        "Whether a 0 means that there is no value, as where a file was filled with zeros first."
    )
    where: dict[str, Any] | None = optional("Only rows whose columns have these values.")
    join: Literal["item_id", "source_id", "question"] = key(
        "What rows and items are joined by.", "source_id"
    )
    id: str | None = optional("The file's column for that; of the same name if absent.")
    columns: dict[str, Any] | None = optional(
        "With `join: question`: columns of `question` and, if wanted, `options`."
    )
    reads_label: bool = key("An imported metric that was made with the gold answer.", False)

    def files(self) -> list[str]:
        """Return the user's files that are read, so that a changed one is noticed."""
        if self.hub:
            return files_in(self.hub.id, "**")
        return [self.path] if self.path else []

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with what an imported metric is read from: a key, and what."""
        if (self.path is None) == (self.hub is None):
            yield "path", "is needed for imported, or `hub`; give one of the two."
        if self.path is not None and not Path(self.path).is_file():
            yield "path", f"no file {self.path}; paths start in the folder of the run."
        if self.hub and not self.hub.revision and not Path(self.hub.id).is_dir():
            yield "hub.revision", "pin the data set to a commit, or give a local folder as id."
