"""Which rows of the summary a figure shows."""

import pandas as pd


def as_trained(summary: pd.DataFrame) -> pd.DataFrame:
    """Return each strategy in the mode it was trained for, the untuned student in all modes.

    A strategy that was not asked in its own mode is kept in the modes that it was asked in.
    """
    own = summary["mode"] == summary["trained_mode"]
    asked = own.groupby([summary[name] for name in ("dataset", "student", "strategy")])
    return summary[own | (summary["strategy"] == "base") | ~asked.transform("any")]
