"""Mode `adaptive`: the direct answer, or the chain's where the model is unsure of the direct one.

Nothing is generated for it: its answers are taken from the predictions tables of the other two
modes, which have the same items in the same order. A chain that is not taken costs nothing; the
direct try is always paid. The rule is that of a cascade with the entropy of the first token
(Gupta et al., arXiv 2404.10136), with one model in two modes in place of two models.
"""

import numpy as np
import pandas as pd

from caft.tables.hashing import unit_interval

_DECIMALS = 4  # as of the entropies that draw buckets: the device moves no item


def entropies(direct: pd.DataFrame) -> np.ndarray:
    """Return the entropy of the first answer token in nats, NaN where none was measured."""
    none = pd.Series(np.nan, direct.index)
    return direct.get("first_token_entropy", none).to_numpy(dtype=float).round(_DECIMALS)


def unsure(direct: pd.DataFrame, threshold: float) -> np.ndarray:
    """Tell which direct answers are above a threshold; one without an entropy never is.

    Args:
        direct: predictions in mode `direct`.
        threshold: nats; -inf is below all entropies.

    Returns:
        Booleans, shape (n_items,).
    """
    return entropies(direct) > threshold


def answers(direct: pd.DataFrame, cot: pd.DataFrame, thinks: np.ndarray) -> pd.DataFrame:
    """Return predictions that are the chain's where it is thought, and else the direct ones.

    Args:
        direct: predictions in mode `direct`.
        cot: of the same items in the same order.
        thinks: which items are thought about, booleans of shape (n_items,).

    Returns:
        Predictions; the tokens of the direct try are counted everywhere.
    """
    taken = cot.where(pd.Series(thinks, cot.index), direct)
    for column in ("new_tokens", "thought_tokens"):
        taken[column] = direct[column] + cot[column].where(thinks, 0)
    return taken.assign(first_token_entropy=entropies(direct)).astype(direct.dtypes.to_dict())


def choose_threshold(direct: pd.DataFrame, cot: pd.DataFrame, within: float) -> float:
    """Return the threshold with the fewest tokens whose accuracy is near that of the better mode.

    Args:
        direct: predictions of the validation split in mode `direct`.
        cot: of the same items in the same order.
        within: how much less accurate than the better of never and always thinking, a share.

    Returns:
        Nats: one of the entropies, or -inf to think wherever there is one.
    """
    known = np.flatnonzero(~np.isnan(entropies(direct)))
    known = known[np.argsort(entropies(direct)[known], kind="stable")]
    values = entropies(direct)[known]
    won = cot["correct"].to_numpy(dtype=int) - direct["correct"].to_numpy(dtype=int)
    candidates = np.array([-np.inf, *np.unique(values)])
    first = np.searchsorted(values, candidates, side="right")  # that is thought about
    right = _sums_from(won[known])[first]  # beyond those of direct answers
    written = _sums_from(cot["new_tokens"].to_numpy(dtype=int)[known])[first]
    # `right` is 0 for the last candidate, with which nothing is thought about.
    enough = right >= max(right[0], 0) - within * len(direct) - 1e-9
    cheapest = np.flatnonzero(enough & (written == written[enough].min()))[-1]
    return float(candidates[cheapest])


def _sums_from(values: np.ndarray) -> np.ndarray:
    """Return the sum of the values from each place to the end, and 0 behind it."""
    return np.append(values[::-1].cumsum()[::-1], 0)


def quantile_threshold(direct: pd.DataFrame, quantile: float) -> float:
    """Return a quantile of the entropies of the validation split, a value that occurs.

    Args:
        direct: predictions of the validation split in mode `direct`.
        quantile: 0 to 1; 0 thinks of everything.
    """
    known = entropies(direct)
    known = known[~np.isnan(known)]
    if quantile == 0 or not len(known):
        return -np.inf
    return float(np.quantile(known, quantile, method="lower"))


def threshold_of_count(direct: pd.DataFrame, count: int) -> float:
    """Return the lowest threshold with which at most so many items are thought about."""
    known = np.sort(entropies(direct))  # NaN at the end
    known = known[~np.isnan(known)]
    return float(known[len(known) - 1 - count]) if count < len(known) else -np.inf


def random_ranks(items: pd.Index, seed: int) -> np.ndarray:
    """Return the place of each item in an order drawn at random, from 0.

    The first so many of them are the control for thinking where the model is unsure.

    Args:
        items: their ids.
        seed: of the draw; an item's draw is its own.

    Returns:
        Whole numbers, shape (n_items,).
    """
    draws = np.array([unit_interval("thinks", seed, item) for item in items])
    return draws.argsort(kind="stable").argsort(kind="stable")


def capped(cot: pd.DataFrame, cap: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what chains would give if none were longer than so many tokens.

    An answer that was complete by then is the same. One that was not counts as wrong, though a
    parser might read something in it.

    Args:
        cot: predictions in mode `cot`.
        cap: tokens.

    Returns:
        Whether each answer is right, and the tokens that are written; both of shape (n_items,).
    """
    tokens = cot["new_tokens"].to_numpy(dtype=int)
    return cot["correct"].to_numpy(dtype=bool) & (tokens <= cap), tokens.clip(max=cap)
