"""Questions that stand in two splits, nearly or in parts."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

GRAM = 13
"""Words of a run that two questions share by no accident (GPT-3, arXiv 2005.14165, appendix C)."""

_ROWS = 10_000  # questions whose words are in memory at once
_MARKS = r"""[\s\p{Z}.,;:!?"'`()\[\]{}_“”‘’«»…]+"""
_PRIME = np.uint64(1_099_511_628_211)  # of FNV-1a, odd, so that no word is lost


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
    parts = list(_parts(questions[test]))
    texts = np.unique(np.concatenate([keys for keys, _, _ in parts]))
    runs = np.unique(np.concatenate([runs for _, runs, _ in parts]))
    equal, share = [], []
    for keys, own, owner in _parts(questions[~test]):
        counts = np.bincount(owner, minlength=len(keys))
        hits = np.bincount(owner, weights=np.isin(own, runs), minlength=len(keys))
        same = np.isin(keys, texts) & (keys != 0)
        of_all = np.divide(hits, counts, out=np.zeros(len(keys)), where=counts > 0)
        equal.append(same)
        share.append(np.where(same, 1.0, of_all))
    found.loc[~test, "equal"] = np.concatenate(equal)
    found.loc[~test, "share"] = np.concatenate(share)
    return found


def _parts(questions: pd.Series) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for some questions at a time, their hashes, their runs, and whose each run is.

    The hash of a question without a word is 0.
    """
    for start in range(0, len(questions), _ROWS):
        texts = pa.array(questions.iloc[start : start + _ROWS], pa.large_string())
        plain = pc.replace_substring_regex(pc.utf8_lower(texts), _MARKS, " ")
        plain = pc.utf8_trim_whitespace(plain)
        empty = pc.equal(plain, "").to_numpy(zero_copy_only=False)
        keys = np.where(empty, np.uint64(0), _hashes(plain))
        yield keys, *_runs(pc.utf8_split_whitespace(plain))


def _hashes(texts: pa.Array) -> np.ndarray:
    objects = texts.to_numpy(zero_copy_only=False).astype(object)
    return pd.util.hash_array(objects, categorize=False)


def _runs(words: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of each run of 13 words, and the place of the text that it is from."""
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(words).dictionary_encode()
    hashes = _hashes(flat.dictionary)[flat.indices.to_numpy(zero_copy_only=False)]
    starts = max(0, len(hashes) - GRAM + 1)
    runs = np.zeros(starts, np.uint64)
    for offset in range(GRAM):
        runs *= _PRIME
        runs ^= hashes[offset : offset + starts]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    whole = owner[:starts] == owner[GRAM - 1 :] if starts else np.zeros(0, bool)
    return runs[whole], owner[:starts][whole]
