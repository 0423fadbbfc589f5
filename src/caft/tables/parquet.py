"""The Parquet tables of the workflow: fixed schemas, deterministic bytes, atomic writes."""

import json
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from caft.errors import CaftError
from caft.tables.files import atomic_path
from caft.tables.hashing import rows_digest

_text, _flag, _count, _number = pa.string(), pa.bool_(), pa.int64(), pa.float64()

SCHEMAS: dict[str, pa.Schema] = {
    "items": pa.schema(
        {
            "item_id": _text,
            "question": _text,
            "options": pa.list_(_text),  # null for open questions
            "answer": _text,  # a letter for choice items, else the short answer
            "answer_kind": _text,  # choice | numeric | text
            "category": _text,
            "reference_rationale": _text,
            "source": _text,
            "source_id": _text,
            "split": _text,  # train | validation | test
        }
    ),
    "quarantined_items": pa.schema(
        {
            "file": _text,
            "row": _count,  # 1-based, as an editor shows it; null where the whole file is meant
            "source_id": _text,
            "reason": _text,
            "detail": _text,
        }
    ),
    "scores": pa.schema(
        {
            "item_id": _text,
            "split": _text,
            "warm_up": _flag,  # the item was in the warm-up sample
            "status": _text,  # ok | non_finite_logits | too_long
            "single_token_entropy": _number,  # nats
            "option_entropy": _number,  # 0..1, null for open questions
            "cross_entropy": _number,  # nats, -ln p(first gold token)
            "answer_entropy": _number,  # nats, mean over the gold answer's tokens
            "margin": _number,  # -(p1 - p2), larger = more complex
            "answer": _text,  # the most probable next token
            "answer_token": _count,
            "answer_valid": _flag,
            "correct": _flag,
            "option_logprobs": pa.list_(_number),
            "prompt_tokens": _count,
        }
    ),
    "generations": pa.schema(  # also of `samples`, whose lists are null
        {
            "item_id": _text,
            "split": _text,
            "warm_up": _flag,  # the item was in the warm-up sample
            "status": _text,  # ok | non_finite_logits | too_long
            "sample": _count,
            "text": _text,
            "parsed": _text,  # [invalid] where the parser found no answer
            "correct": _flag,
            "finish_reason": _text,  # stop | length
            "prompt_tokens": _count,
            "thought_tokens": _count,  # of the tokens, those that stand before the text
            "tokens": pa.list_(pa.int32()),  # without the one that ends the turn
            "entropies": pa.list_(pa.float32()),  # nats, over the full vocabulary, per token
            "logprobs": pa.list_(pa.float32()),  # of the chosen token
            "gaps": pa.list_(pa.float32()),  # p1 - p2
            "answer_start": _count,  # token that the first marked answer begins in; null if none
            "sentence_ends": pa.list_(pa.int32()),  # number of tokens up to the end of each
        }
    ),
    "likelihoods": pa.schema(
        {
            "item_id": _text,
            "split": _text,
            "warm_up": _flag,  # the item was in the warm-up sample
            "status": _text,  # ok | non_finite_logits | too_long
            "target": _text,  # answer | rationale
            "conditioned": _number,  # mean loss in nats per target token, after the prompt
            "unconditioned": _number,  # the same without the question
            "prompt_tokens": _count,
            "target_tokens": _count,
        }
    ),
    "metrics": pa.schema(
        {
            "item_id": _text,
            "split": _text,
            "value": _number,  # larger = more complex; null: could not be computed
            "reason": _text,  # why there is no value
            "warm_up": _flag,  # the item was in the warm-up sample
            "covered_mass": _number,  # of topk_entropy: probability of the listed tokens
        }
    ),
    "buckets": pa.schema(
        {
            "item_id": _text,
            "split": _text,
            "complexity": _number,
            "bucket": _text,  # easy | medium | hard
            "missing": _flag,
            "sampled": _flag,  # a training item that the strategies may use
        }
    ),
    "rationale_likelihoods": pa.schema(
        {
            "item_id": _text,
            "sample": _count,
            "log_likelihood": _number,  # mean of ln p over its tokens; null: too long, not finite
        }
    ),
    "rationales": pa.schema(
        {
            "item_id": _text,
            "sample": _count,
            "key": _text,  # of the stored answer
            "text": _text,
            "reasoning": _text,  # what the teacher thought before, where it shows that
            "parsed": _text,
            "accepted": _flag,
            "selected": _flag,  # the answer that training uses
            "reason": _text,  # why it was not accepted
            "finish_reason": _text,
            "prompt_tokens": _count,
            "completion_tokens": _count,
            "cost_usd": _number,  # null: unknown
            "seconds": _number,
            "imported": _flag,  # not asked for: the answer was there before
            "answered_by": _text,  # the model that the reply names; null if it names none
            "error": _text,  # why nothing came back
        }
    ),
    "judgements": pa.schema(
        {
            "item_id": _text,
            "question": _text,  # education_level | reasoning_steps
            "label": _text,  # the judge's level; null if none could be read
            "label_key": _text,  # of the stored answer
            "rating": _count,  # 1..10, the judge's own rating of the level
            "rating_key": _text,  # null if no rating was asked for
            "status": _text,  # ok | low_rating | unparsed_rating | unparsed_label | error
            "prompt_tokens": _count,  # of both calls
            "completion_tokens": _count,
            "cost_usd": _number,  # null: unknown
            "seconds": _number,
            "error": _text,  # what went wrong where the status is error
        }
    ),
    "topk": pa.schema(
        {
            "item_id": _text,
            "split": _text,
            "key": _text,  # of the stored answer
            "top_logprobs": pa.list_(_number),  # of the first token, null where none came
            "prompt_tokens": _count,
            "completion_tokens": _count,
            "cost_usd": _number,
        }
    ),
    "mixtures": pa.schema(
        {
            "item_id": _text,
            "target": _text,  # answer | rationale | reasoning
            "messages": _text,  # JSON list of chat messages
            "completion": _text,
            "reasoning": _text,  # thought before the completion; null for the other targets
            "prompt_tokens": _count,
            "target_tokens": _count,
        }
    ),
    "predictions": pa.schema(
        {
            "item_id": _text,
            "text": _text,  # what the model wrote, behind its thoughts; empty if one is not closed
            "parsed": _text,  # [invalid] where the parser found no answer, [too_long] if not asked
            "answer": _text,
            "correct": _flag,
            "invalid": _flag,
            "new_tokens": _count,  # the thoughts' included
            "thought": _text,  # null if nothing was thought
            "thought_tokens": _count,
            "finish_reason": _text,  # stop | length | too_long
        }
    ),
}
_OPTIONAL = {
    # The place in the source of each option, from 0, where options were shuffled.
    "items": pa.schema({"source_order": pa.list_(pa.int64())}),
    # In nats, of a direct answer, where mode adaptive asks for it.
    "predictions": pa.schema({"first_token_entropy": _number}),
    # Mean of ln p over the tokens, where the most likely of several answers is chosen.
    "rationales": pa.schema({"log_likelihood": _number}),
}
"""Columns that a table has only where they say something, behind the others."""
_METADATA_KEY = b"caft"
_UNPACKED = 1000  # rows that are objects of Python at once
_HASHED_ROWS = 1 << 15  # put in order at once
_GROUP = 1 << 15  # rows of a row group
_FORM = {"compression": "zstd"}
_OPEN = frozenset({"items"})  # further columns may stand behind the schema's, all of text


def optional_columns(name: str) -> list[str]:
    """Return the columns of a table that it has only where they say something."""
    return pa.schema(_OPTIONAL.get(name, ())).names


def _schema(name: str, columns: Iterable[str]) -> pa.Schema:
    """Return the schema of a table with those of its optional columns that are among `columns`."""
    given = set(columns)
    more = [field for field in _OPTIONAL.get(name, ()) if field.name in given]
    return pa.schema([*SCHEMAS[name], *more])


def write(
    name: str, table: pd.DataFrame, path: str | Path, spec: Any = None, code: int = 0
) -> None:
    """Write a table atomically, sorted by item_id where it has one; equal rows give equal bytes.

    Args:
        name: which schema.
        table: columns of that schema in any order; a column it lacks becomes null, but for the
            optional ones, which are left out where all of it is null. Items may
            have further columns of text.
        path: the Parquet file.
        spec: JSON-like description of what made the table, kept in the footer.
        code: version of the code that made it (`caft.versions`), kept in the footer.

    Raises:
        CaftError: if the table has a column that the schema does not know.
    """
    optional = [one.name for one in _OPTIONAL.get(name, ()) if one.name in table]
    table = table.drop(columns=[one for one in optional if table[one].isna().all()])
    schema = _schema(name, table.columns)
    unknown = [column for column in table.columns if column not in schema.names]
    if name in _OPEN:
        schema = pa.schema([*schema, *(pa.field(column, _text) for column in sorted(unknown))])
    elif unknown:
        raise CaftError(f"{path}: table {name!r} has no column {unknown[0]!r}.")
    absent = [column for column in schema.names if column not in table.columns]
    table = table.assign(**dict.fromkeys(absent))[schema.names]
    rows = pa.Table.from_pandas(table, schema=_wide(schema), preserve_index=False)
    place = _places(table)
    content = content_hash(_in_order(rows, place, schema, _HASHED_ROWS))
    footer = {"table": name, "content": content, "spec": spec, "code": code}
    made_by = {_METADATA_KEY: json.dumps(footer, sort_keys=True, default=str)}
    schema = schema.with_metadata(made_by)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **_FORM) as writer:
        for group in _in_order(rows, place, schema, _GROUP):
            writer.write_table(group)


def _wide(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose texts lie in memory as those of pandas, so that none is copied."""
    wide = [one.with_type(pa.large_string()) if one.type == _text else one for one in schema]
    return pa.schema(wide)


def _places(table: pd.DataFrame) -> np.ndarray:
    """Return the place of each row in the order of the file."""
    place = np.arange(len(table))
    if "item_id" in table:
        keys = ["item_id"] + [key for key in ("sample", "target") if key in table]
        by_key = table[keys].reset_index(drop=True).sort_values(keys, kind="stable")
        place[by_key.index] = np.arange(len(table))
    return place


def _in_order(
    rows: pa.Table, place: np.ndarray, schema: pa.Schema, size: int
) -> Iterator[pa.Table]:
    """Yield rows by their places, some at a time, so that no second copy of all is in memory."""
    for start in range(0, max(len(rows), 1), size):
        wanted = (place >= start) & (place < start + size)
        order = np.argsort(place[wanted])
        yield rows.filter(pa.array(wanted)).take(order).cast(schema)


def is_current(name: str, path: str | Path) -> bool:
    """Tell whether a file is there, is whole and has its table's columns in this version."""
    try:
        return _is_of(name, _read_schema(path).names)
    except CaftError:
        return False


def read(name: str, *paths: str | Path, without: Container[str] = ()) -> pd.DataFrame:
    """Read a table, from several files in order of item_id.

    Args:
        name: which schema.
        paths: of the files.
        without: columns that are not wanted.

    Raises:
        CaftError: if a file is missing, is no Parquet file or has other columns than the schema.
    """
    parts = [_read(name, path, without) for path in paths]
    if len(parts) == 1:
        return parts[0].to_pandas()
    kept = [column for column in SCHEMAS[name].names if column not in without]
    whole = [SCHEMAS[name].empty_table().select(kept), *parts]
    table = pa.concat_tables(whole, promote_options="default").to_pandas()
    return table.sort_values("item_id", kind="stable", ignore_index=True)


def _read(name: str, path: str | Path, without: Container[str] = ()) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            table = file.read([one for one in names if one not in without])
    except (OSError, pa.ArrowInvalid) as error:
        raise CaftError(
            f"{path}: cannot be read as table {name!r} ({error}); delete it and run again."
        ) from error
    if not _is_of(name, names):
        raise CaftError(
            f"{path}: is not a table {name!r} of this version; delete it and run again."
        )
    return table.replace_schema_metadata(None)


def _is_of(name: str, columns: list[str]) -> bool:
    known = _schema(name, columns).names
    return (columns[: len(known)] if name in _OPEN else columns) == known


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts, for the few places that render text row by row.

    A text that is missing is None, not the number NaN, which counts as true.
    """
    names = [str(name) for name in table.columns]
    columns = [
        plain(column) if pd.api.types.is_string_dtype(column.dtype) else column.tolist()
        for column in (table.iloc[:, place] for place in range(len(names)))
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def plain(column: pd.Series) -> list[Any]:
    """Return a column's values as JSON knows them: what is missing is None."""
    return column.astype(object).where(column.notna(), None).tolist()


def footer(path: str | Path) -> dict[str, Any]:
    """Return what made a table: `{table, content, spec, code}` from the file's footer.

    Raises:
        CaftError: if the file is missing or no Parquet file.
    """
    metadata = _read_schema(path).metadata or {}
    return json.loads(metadata.get(_METADATA_KEY, b"{}"))


def _read_schema(path: str | Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise CaftError(f"{path}: cannot be read ({error}); delete it and run again.") from error


def content_hash(parts: Iterable[pa.Table]) -> str:
    """Hash the rows of a table's parts, independent of file layout and library versions."""
    batches = (one for part in parts for one in part.to_batches(max_chunksize=_UNPACKED))
    return rows_digest(row for batch in batches for row in batch.to_pylist())
