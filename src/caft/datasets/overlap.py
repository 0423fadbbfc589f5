"""Questions that stand in two splits, nearly or in parts."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

GRAM = 13
"""Words of a run that two questions share by no accident (GPT-3, arXiv 2005.14165, appendix C)."""

_CHARACTERS = 1 << 19  # of questions whose words are in memory at once
_MARKS = """.,;:!?"'`()[]{}_"""
_MARK = rf"[\s\x{{0B}}\x{{1C}}-\x{{1F}}\x{{85}}\p{{Z}}{re.escape(_MARKS)}“”‘’«»…]+"
_SPACE = ord(" ")
_MOST_BITS = 26  # of a hash; 67 MB of memory
_BASE = 1_099_511_628_211  # of FNV-1a, odd, so that no word is lost
_MIX = np.uint64(0x9E3779B97F4A7C15)  # of splitmix64


def overlaps(questions: pd.Series, split: pd.Series) -> pd.DataFrame:
    """Compare the questions that are no test with those that are.

    Words are compared in lower case and without punctuation; signs that compute (+, -, *, /, % and
    their like) stay: 7 + 5 and 7 - 5 are two questions. Texts and runs are compared by hashes of 64
    bits.

    Args:
        questions: texts, of shape (n,).
        split: train, validation or test of each, of the same index.

    Returns:
        With the same index: `equal` (a test question has the same words) and `share` (of the runs
        of 13 words, how many are in a test question; 1 where equal, 0 where it has no such run).
        Of a test question both are False and 0.
    """
    test = (split == "test").to_numpy()
    found = pd.DataFrame({"equal": False, "share": 0.0}, index=questions.index)
    if test.all() or not test.any():
        return found
    # A word has a letter at least, and what separates it from the next one.
    words = int(questions.str.len()[test].sum() + test.sum()) // 2
    texts, known = _Known(int(test.sum())), _Known(words)
    for keys, runs, _ in _parts(questions, test):
        texts.add(keys)
        known.add(runs)
    texts.sort()
    known.sort()
    equal, share = [], []
    for keys, own, owner in _parts(questions, ~test):
        counts = np.bincount(owner, minlength=len(keys))
        hits = np.bincount(owner[known.hold(own)], minlength=len(keys))
        same = texts.hold(keys) & (keys != 0)
        of_all = np.divide(hits, counts, out=np.zeros(len(keys)), where=counts > 0)
        equal.append(same)
        share.append(np.where(same, 1.0, of_all))
    found.loc[~test, "equal"] = np.concatenate(equal)
    found.loc[~test, "share"] = np.concatenate(share)
    return found


class _Known:
    """Hashes that others are looked for among.

    Most others are none of them, which the first bits of a hash nearly always tell.
    """

    def __init__(self, most: int):
        """Make room for hashes, which takes memory only as far as it is filled."""
        self._hashes, self._count = np.empty(most, np.uint64), 0
        bits = min(max(most.bit_length() + 1, 8), _MOST_BITS)
        self._shift = np.uint64(64 - bits)
        self._first = np.zeros(1 << bits, bool)

    def add(self, hashes: np.ndarray) -> None:
        """Add hashes; `sort` has to follow the last ones."""
        self._hashes[self._count : self._count + len(hashes)] = hashes
        self._first[hashes >> self._shift] = True
        self._count += len(hashes)

    def sort(self) -> None:
        """Put the hashes in order, in their place."""
        self._hashes = self._hashes[: self._count]
        self._hashes.sort()

    def hold(self, values: np.ndarray) -> np.ndarray:
        """Tell which values are among the hashes."""
        found = np.zeros(len(values), bool)
        maybe = np.flatnonzero(self._first[values >> self._shift])
        maybe = maybe[np.argsort(values[maybe])]  # neighbours are looked for in the same memory
        places = np.searchsorted(self._hashes, values[maybe])
        places = np.minimum(places, len(self._hashes) - 1)
        found[maybe] = self._hashes[places] == values[maybe]
        return found


def _parts(
    questions: pd.Series, wanted: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for some wanted questions at a time, their hashes, runs, and whose each run is.

    The hash of a question without a word is 0.
    """
    block = (questions.str.len().cumsum() // _CHARACTERS).to_numpy()
    edges = [0, *np.flatnonzero(np.diff(block)) + 1, len(block)]
    for edge, next_edge in pairwise(edges):
        some = questions.iloc[edge:next_edge][wanted[edge:next_edge]]
        letters, bounds = _letters(pa.array(some.to_numpy(object), pa.large_string()))
        starts, ends = _words(letters, bounds)
        words = _hashes(letters, starts, ends)
        first = np.searchsorted(starts, bounds)  # the first word of each question
        owner = np.repeat(np.arange(len(some)), np.diff(first))
        run = np.arange(max(0, len(words) - GRAM + 1))
        run = run[owner[run] == owner[run + GRAM - 1]]
        yield _hashes(words, first[:-1], first[1:]), _hashes(words, run, run + GRAM), owner[run]


def _letters(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return texts in UTF-8 one behind the other, in lower case, marks as spaces; and their ends.

    Returns:
        The bytes; and where each text begins, with the end of the last one behind.
    """
    other = pc.invert(pc.string_is_ascii(texts))
    plain = pc.replace_substring_regex(pc.utf8_lower(texts.filter(other)), _MARK, " ")
    texts = pc.replace_with_mask(texts, other, plain)
    _, offsets, letters = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    whole = memoryview(letters or b"")[bounds[0] : bounds[-1]].tobytes()
    return np.frombuffer(whole.translate(_plain_bytes()), np.uint8), bounds - bounds[0]


@cache
def _plain_bytes() -> bytes:
    """Return for each byte what it is in lower case and without marks, as far as it is ASCII.

    None of them is 0, so that words of other lengths have other hashes.
    """
    table = np.arange(256, dtype=np.uint8)
    table[ord("A") : ord("Z") + 1] += ord("a") - ord("A")
    table[[0, *range(9, 14), *range(28, 32), *map(ord, _MARKS)]] = _SPACE
    return table.tobytes()


def _words(letters: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where words begin and end; none goes on in the next text."""
    inside = np.zeros(len(letters) + 2, np.int8)
    inside[1:-1] = letters != _SPACE
    change = np.diff(inside)
    starts, ends = change[:-1] > 0, change[1:] < 0
    first = bounds[:-1][np.diff(bounds) > 0]
    starts[first] |= inside[1:-1][first] > 0
    ends[first[1:] - 1] |= inside[1:-1][first[1:] - 1] > 0
    return np.flatnonzero(starts), np.flatnonzero(ends) + 1


def _hashes(values: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Hash ranges of values by polynomials modulo 2**64; equal ranges are equal wherever they are.

    With p[k] = base**k, the hash of values a[i:j] is sum(a[k] * p[k] for k in i..j-1) / p[i], where
    the sum is the difference of two sums from the beginning (Karp & Rabin 1987). It is mixed, so
    that hashes of hashes are no plain sums; that of an empty range is 0.
    """
    length = 1 << len(values).bit_length()  # so that most parts share their powers
    up, down = _powers(_BASE, length), _powers(pow(_BASE, -1, 1 << 64), length)
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * up[: len(values)], out=sums[1:])
    found = (sums[ends] - sums[starts]) * down[starts]
    found ^= found >> np.uint64(32)
    found *= _MIX
    return found ^ (found >> np.uint64(29))


@cache
def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)
