"""Questions that stand in two splits, nearly or in parts."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

GRAM = 13
"""Words of a run that two questions share by no accident (GPT-3, arXiv 2005.14165, appendix C)."""

_MARKS = r"""[\s\p{Z}.,;:!?"'`()\[\]{}_“”‘’«»…]+"""
_PRIME = np.uint64(1_099_511_628_211)  # of FNV-1a, odd, so that no word is lost


def normalised(questions: pd.Series) -> tuple[pa.Array, pa.Array]:
    """Return the words of texts, in lower case and without punctuation; and the words joined.

    Signs that compute (+, -, *, /, % and their like) stay: 7 + 5 and 7 - 5 are two questions.

    Args:
        questions: texts, of shape (n,).
    """
    plain = pc.utf8_lower(pa.array(questions, pa.large_string()))
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, _MARKS, " "))
    return pc.utf8_split_whitespace(plain), plain


def overlaps(questions: pd.Series, split: pd.Series) -> pd.DataFrame:
    """Compare the questions that are no test with those that are.

    Args:
        questions: texts, of shape (n,).
        split: train, validation or test of each, of the same index.

    Returns:
        With the same index: `equal` (a test question has the same words) and `share` (of the runs
        of 13 words, how many are in a test question; 1 where equal, 0 where it has no such run).
        Of a test question both are False and 0.
    """
    test = (split == "test").to_numpy()
    words, joined = normalised(questions)
    found = pd.Series(joined.to_pandas().to_numpy(), index=questions.index, dtype=object)
    equal = found.isin(found[test]).to_numpy() & ~test & (found != "").to_numpy()
    owner, runs = _runs(words)
    of_test = np.unique(runs[test[owner]])
    # Every run of a question that is compared, in the sorted ones of the test.
    place = np.searchsorted(of_test, runs).clip(max=max(0, len(of_test) - 1))
    hit = of_test[place] == runs if len(of_test) else np.zeros(len(runs), bool)
    counts = np.bincount(owner, minlength=len(test))
    hits = np.bincount(owner, weights=hit, minlength=len(test))
    share = np.divide(hits, counts, out=np.zeros(len(test)), where=counts > 0)
    share[equal], share[test] = 1.0, 0.0
    return pd.DataFrame({"equal": equal, "share": share}, index=questions.index)


def _runs(words: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return each run of 13 words as a number, and the place of the text that it is from."""
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = pc.list_flatten(words).dictionary_encode()
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks()
    ids = flat.indices.to_numpy(zero_copy_only=False).astype(np.uint64)
    ids = (ids + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)  # spreads small numbers
    starts = max(0, len(ids) - GRAM + 1)
    runs = np.zeros(starts, np.uint64)
    for offset in range(GRAM):
        runs *= _PRIME
        runs ^= ids[offset : offset + starts]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    whole = owner[:starts] == owner[GRAM - 1 :] if starts else np.zeros(0, bool)
    return owner[:starts][whole], runs[whole]
