"""What the sections `datasets.<name>` of several adapters share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from caft.settings import Count, Name, Number, Positive, Section, Share, key, optional
from caft.tables.items import ITEM_COLUMNS, OWN_COLUMNS
from caft.tables.rows import Limits


class Splits(Section):
    """Shares of the items; each item's split follows from its question text and the seed alone."""

    train: Number = key("Share to train on.", gt=0, le=1)
    validation: Share = key("Share for choosing settings.", 0.0)
    test: Number = key("Share that is reported.", gt=0, le=1)


class Columns(Section):
    """Which column holds what. What lies below a column is named by a path: `choices.text`."""

    question: str | Annotated[list[str], Field(min_length=2)] = key(
        "The question. Several columns, such as `[passage, question]`, stand one below the other, "
        "with an empty line between; the last one is the question itself, and the others may be "
        "empty. Questions about one text, the first column, get one split."
    )
    options: str | Annotated[list[str], Field(min_length=2)] | None = optional(
        "One column (a list, a JSON list or a Python list as text, a text with a mark before each, "
        "such as `A) x | B) y`, or an object `{A: …}` whose keys are labels), or a list of "
        "columns, one per option. Where `answer` names the same "
        "object and `answer_format` is `scores`, its keys are the options: `{yes: 1, no: 0}`."
    )
    labels: str | None = optional(
        "The row's own labels of its options, where answers name them (`choices.label`). If "
        "absent: the keys of an object, or a `label` or `key` beside the options of a path."
    )
    answer: str | Annotated[list[str], Field(min_length=2)] = key(
        "The gold answer; with `answer_format: scores` also a list of columns, one per option."
    )
    id: str | None = optional(
        "An id of the source; the same id with different content is an error."
    )
    category: str | None = optional("A topic for reports.")
    rationale: str | None = optional("A worked solution.")
    split: str | None = optional(
        "An official split (train, validation, test); it wins over `splits`."
    )
    more: dict[Name, str] | None = optional(
        "Further columns that items keep, by the names that they get there: `{level: difficulty}`. "
        "A prompt may show them (`{level}`), and a metric may read them (`metric: column`)."
    )

    @field_validator("more")
    @classmethod
    def _new_names(cls, more: dict[str, str] | None) -> dict[str, str] | None:
        for name in more or {}:
            if name in OWN_COLUMNS:
                raise ValueError(f"{name!r} is a column that items have anyway; give another name")
        return more

    def selectors(self) -> dict[str, list[str]]:
        """Return where each named thing is: one selector, or one per option."""
        named = self.named() | {f"more.{name}": given for name, given in (self.more or {}).items()}
        return {name: [one] if isinstance(one, str) else one for name, one in named.items()}

    def named(self) -> dict[str, str | list[str]]:
        """Return where each named thing is, but `more`; each part of a question is one."""
        named = {name: given for name, given in self if given is not None and name != "more"}
        if isinstance(self.question, list):
            del named["question"]
            named |= {f"question[{n}]": one for n, one in enumerate(self.question)}
        return named


class Parts(Section):
    """Which parts of a data set, by its own names, are which split."""

    train: str | list[str] = key("To train on.", [])
    validation: str | list[str] = key("For choosing settings.", [])
    test: str | list[str] = key("That is reported.", [])
    leave_out: str | list[str] | None = optional("Parts that are not read.")

    def split_of(self) -> dict[str, str]:
        """Return the split of every part that is read, in the order of the splits."""
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        return {part: split for split, parts in given.items() for part in _listed(parts)}

    def left_out(self) -> list[str]:
        """Return the parts that are not read."""
        return _listed(self.leave_out or [])

    def doubled(self) -> str | None:
        """Return a part that is named twice, if there is one."""
        names = [part for _, parts in self for part in _listed(parts or [])]
        return next((name for name in names if names.count(name) > 1), None)


def _listed(parts: str | list[str]) -> list[str]:
    return [parts] if isinstance(parts, str) else parts


class DatasetSettings(Section):
    """What every question set has, whatever its adapter."""

    if TYPE_CHECKING:
        adapter: str  # each adapter declares it as the one name that it has

    reads_here: ClassVar[bool] = False
    """Whether reading it needs no network, so that a plan may count its items before a run."""

    @property
    def reads_at_once(self) -> bool:
        """Whether reading it takes about a second, so that a dry run may count its items too."""
        return False

    splits: Splits = key(
        "Shares of the items; each item's split follows from its question text and the seed alone."
    )
    terms: str | None = optional(
        "Licence of the questions and what they may be used for, in words; cards repeat it."
    )
    max_bad_share: Share = key(
        "Above this share of rejected rows the run stops (a single bad row never stops it).", 0.1
    )

    shuffle_options: bool | None = optional(
        "Put the options of each item into an order that follows from its content alone, where the "
        "place of the right one tells it; the column `source_order` keeps the old places."
    )
    max_overlap: Share | None = optional(
        "Items of train and validation go to the quarantine if more than this share of their runs "
        "of 13 words is in test questions. All stay if absent, and the report counts them."
    )

    def files(self) -> list[str]:
        """Return the user's files that are read, so that a changed one is noticed."""
        return []

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys, or with a file: a key of the section, and what."""
        shares = [share for _, share in self.splits]
        if abs(sum(shares) - 1) > 1e-6:
            yield "splits", f"the shares add up to {sum(shares):g}; make them add up to 1."

    @property
    def item_columns(self) -> frozenset[str]:
        """The columns in which its items have something."""
        return frozenset(ITEM_COLUMNS)

    @property
    def may_have_validation(self) -> bool:
        """Whether there can be validation items, by a share or by splits of the set's own."""
        return self.splits.validation > 0

    @property
    def may_have_rationales(self) -> bool:
        """Whether there can be worked solutions of the data set's own."""
        return True


class LimitedSettings(DatasetSettings):
    """A question set of which a part may be taken."""

    limit: Count | None = optional("Take this many rows only, drawn by their content.")


class Table(Section):
    """What stands in which column, and how answers are written there."""

    columns: Columns = key("Which column holds what.")
    answer_format: Literal["letter", "index0", "index1", "text", "scores"] = key(
        "How the answer names an option: `letter` is the row's own label where it has labels, else "
        "the letter of the place; `index0` and `index1` count from 0 or 1; `text` repeats the "
        "option; `scores` is a list of numbers or truth values, whose largest is at the answer.",
        "letter",
    )
    answer_kind: Literal["choice", "numeric", "text"] = key("Kind of answer.", "choice")
    shared_options: Annotated[list[str], Field(min_length=2)] | None = optional(
        'Options of every question where no column has them, in quotes: `["yes", "no"]`. '
        "With `answer_format: text` a truth value is the answer yes or no, or true or false."
    )
    answer_regex: str | None = optional("A regular expression whose one group is the answer.")


class TableSettings(Table, LimitedSettings):
    """A question set that lies in columns."""

    max_cell_mb: Positive | None = optional(
        "Largest cell, in millions of characters; a row with a larger one goes to the quarantine. "
        "1 if absent."
    )
    max_file_mb: Positive | None = optional(
        "Largest file, in MB, and most that its cells may unpack to. 500 if absent."
    )

    @property
    def limits(self) -> Limits:
        """What is read of its files."""
        default = Limits()
        return Limits(
            self.max_cell_mb or default.max_cell_mb, self.max_file_mb or default.max_file_mb
        )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield what is wrong between the keys."""
        yield from super().problems()
        options, shared = self.columns.options, self.shared_options
        if self.answer_kind == "choice" and options is None and shared is None:
            yield (
                "columns",
                "answer_kind is choice; name the options, or give `shared_options`, or set the "
                "kind to numeric or text.",
            )
        if shared is not None and (options is not None or self.answer_kind != "choice"):
            yield "shared_options", "are for choices without `columns.options`; leave one out."

    @property
    def item_columns(self) -> frozenset[str]:
        """The columns in which its items have something; those that are not mapped are empty."""
        empty = {"category"} - {"category" if self.columns.category else ""}
        return super().item_columns - empty | set(self.columns.more or {})

    @property
    def may_have_validation(self) -> bool:
        """Whether there can be validation items, by a share or by splits of the set's own."""
        return super().may_have_validation or self.columns.split is not None

    @property
    def may_have_rationales(self) -> bool:
        """Whether there can be worked solutions of the data set's own."""
        return self.columns.rationale is not None
