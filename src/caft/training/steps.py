"""A step's rows in parts that fit into memory: their gradients add up to those of the step."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from caft.training.rows import IGNORED


def count_parts(lengths: list[int], tokens: int, padded: bool) -> int:
    """Return in how many equal parts the rows of a step have at most so many tokens each.

    Args:
        lengths: of the rows, in their order.
        tokens: most of a part; a single row may have more.
        padded: whether each part is as wide as its longest row.
    """
    for parts in range(1, len(lengths)):
        if all(_size(lengths[part], padded) <= tokens for part in _slices(len(lengths), parts)):
            return parts
    return max(1, len(lengths))


def _size(lengths: list[int], padded: bool) -> int:
    return len(lengths) * max(lengths) if padded else sum(lengths)


def _slices(rows: int, parts: int) -> list[slice]:
    """Cut rows into parts that differ by one row at most."""
    ends = [rows * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def lengths_of(batch: Mapping[str, Any]) -> list[int]:
    """Return the lengths of the rows of a batch, padded or laid end to end.

    Args:
        batch: of TRL's collator: with `attention_mask`, or with `position_ids` that start again.
    """
    if "attention_mask" in batch:
        return [int(length) for length in batch["attention_mask"].sum(1).tolist()]
    return [int(length) for length in batch["cu_seq_lens_q"].diff().tolist()]


def parts_of(batch: Mapping[str, Any], lengths: list[int], parts: int) -> list[dict[str, Any]]:
    """Cut a batch into parts of whole rows.

    Args:
        batch: of TRL's collator; tensors of shape (rows, tokens), or (1, tokens of all rows).
        lengths: from `lengths_of`.
        parts: how many; where there are fewer rows, the others are a row without loss.

    Returns:
        Batches of the same form: without the padding of other parts, or with boundaries of rows of
        their own.
    """
    slices = _slices(len(lengths), parts)
    found = []
    for rows in slices:
        is_empty = rows.start == rows.stop
        part = _part(batch, lengths, slice(0, 1) if is_empty else rows)
        if is_empty:
            part["labels"] = part["labels"].new_full(part["labels"].shape, IGNORED)
        found.append(part)
    return found


def _part(batch: Mapping[str, Any], lengths: list[int], rows: slice) -> dict[str, Any]:
    longest = max(lengths[rows])
    if "attention_mask" in batch:
        return {name: value[rows, :longest] for name, value in batch.items()}
    bounds = batch["cu_seq_lens_q"][rows.start : rows.stop + 1]
    tokens = slice(sum(lengths[: rows.start]), sum(lengths[: rows.stop]))
    return {
        **{name: batch[name][:, tokens] for name in ("input_ids", "labels", "position_ids")},
        "cu_seq_lens_q": bounds - bounds[0],
        "cu_seq_lens_k": bounds - bounds[0],
        "max_length_q": longest,
        "max_length_k": longest,
        "seq_idx": batch["seq_idx"][:, tokens] - batch["seq_idx"][:, tokens.start],
    }
