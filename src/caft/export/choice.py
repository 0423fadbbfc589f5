"""Which trained model is meant: a digest, or a strategy of the run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from caft import layout
from caft.errors import ExportError
from caft.report.answer import Answer, answers
from caft.report.results import Tables
from caft.tables.files import read_json
from caft.tables.parquet import records


@dataclass(frozen=True)
class Choice:
    """One trained model with what the run knows about it.

    Attributes:
        model: its digest.
        dataset: that it was trained on.
        student: that it was trained from.
        strategy: that it belongs to.
        stages: rows of the index of models, the model's own last.
        datasets: all data sets of the run that this very model was trained on.
        record: its `model.json`.
        rows: of the table of runs, about these very weights, those of checkpoint `last`; empty if
            they were not evaluated.
        spend: row of the teacher's spending by name of the teacher.
        provenance: of the run.
        answer: what the run answers about the data set and student; None in runs of versions
            without the tables for it.
    """

    model: str
    dataset: str
    student: str
    strategy: str
    stages: list[dict[str, Any]]
    datasets: list[str]
    record: dict[str, Any]
    rows: pd.DataFrame
    spend: dict[str, dict[str, Any]]
    provenance: dict[str, Any]
    answer: Answer | None

    @property
    def folder(self) -> Path:
        """Where the weights are."""
        return _record_file(self.model).parent

    @property
    def student_folder(self) -> Path:
        """Where the untuned student is."""
        return Path(layout.at(layout.STUDENT, student=self.student)).parent

    @property
    def source(self) -> dict[str, str]:
        """Where the student is from."""
        return self.provenance["students"][self.student]["source"]

    @property
    def name(self) -> str:
        """A name for people."""
        return f"{self.student}-{self.dataset}-{self.strategy}"


def find(
    name: str, dataset: str | None = None, student: str | None = None, seed: int | None = None
) -> Choice:
    """Find a trained model of the run in the current folder.

    Args:
        name: digest, its first digits, or a strategy, whose last model is meant.
        dataset: needed where a strategy was run on several.
        student: needed where it was run with several.
        seed: of the training, needed where there are several.

    Raises:
        ExportError: if there is no such model, or more than one.
    """
    index = _read(layout.MODEL_INDEX).astype({"model": str})
    keys = ["dataset", "student", "strategy", "seed"]
    last = index.groupby(keys)["stage"].transform("max") == index["stage"]
    chosen = index[last & (index["strategy"] == name)]
    if chosen.empty:
        # As a strategy's last model where it is one: only that was evaluated.
        found = index.assign(last=last)[index["model"].str.startswith(name)]
        chosen = found.sort_values("last", ascending=False, kind="stable")
    for column, wanted in (("dataset", dataset), ("student", student), ("seed", seed)):
        chosen = chosen[(chosen[column] == wanted) | (wanted is None)]
    if chosen["model"].nunique() != 1:
        raise ExportError(_which(name, index, chosen))
    return _choice(chosen.iloc[0], index, keys, bool(last[chosen.index[0]]))


def _choice(row: pd.Series, index: pd.DataFrame, keys: list[str], last: bool) -> Choice:
    own = (index[keys] == row[keys]).all(axis=1) & (index["stage"] <= row["stage"])
    runs = _read(layout.RUNS)
    same = (runs[keys] == row[keys]).all(axis=1) & (runs["checkpoint"] == "last")
    spend = (
        _read(layout.TEACHER_SPEND)
        if Path(layout.TEACHER_SPEND).is_file()
        else pd.DataFrame(columns=["dataset", "student"])
    )
    asked = spend[(spend["dataset"] == row["dataset"]) & (spend["student"] == row["student"])]
    trained_on = index.loc[index["model"] == row["model"], "dataset"]
    return Choice(
        model=row["model"],
        dataset=row["dataset"],
        student=row["student"],
        strategy=row["strategy"],
        stages=records(index[own].sort_values("stage")),
        datasets=list(dict.fromkeys(trained_on)),
        record=_record(row["model"]),
        rows=runs[same & last],
        spend={row["teacher"]: row for row in records(asked)},
        provenance=read_json(layout.PROVENANCE),
        answer=_answer(row["dataset"], row["student"]),
    )


def _answer(dataset: str, student: str) -> Answer | None:
    tables = Tables.read()
    found = answers(tables) if tables else []
    own = (one for one in found if (one.dataset, one.student) == (dataset, student))
    return next(own, None)


def _record_file(model: str) -> Path:
    return Path(layout.at(layout.MODEL, digest=model))


def _record(model: str) -> dict[str, Any]:
    path = _record_file(model)
    if not path.is_file():
        raise ExportError(f"{path}: is not there; run `snakemake --cores all models` first.")
    return read_json(path)


def _read(path: str) -> pd.DataFrame:
    if not Path(path).is_file():
        raise ExportError(
            f"{path}: is not there; call this in the folder of a run, after "
            "`snakemake --cores all results/summary.csv`."
        )
    return pd.read_csv(path, dtype={"model": str, "parent": str})


def _which(name: str, index: pd.DataFrame, chosen: pd.DataFrame) -> str:
    if chosen.empty:
        known = ", ".join(sorted(index["strategy"].unique()))
        return (
            f"{name}: is no trained model of this run that fits; {layout.MODEL_INDEX} lists all "
            f"digests, and the strategies with a model are: {known}."
        )
    shown = [
        f"{row['model']} (--dataset {row['dataset']} --student {row['student']} "
        f"--seed {row['seed']})"
        for row in records(chosen.drop_duplicates("model"))
    ]
    return f"{name}: several models fit; name one of {', '.join(shown)}."
