"""How often the interval of a rank correlation holds the true one, where one side has five levels.

    python benchmarks/correlation/run.py

Pairs are drawn from normal distributions; the second of each pair is cut into five levels of
unequal size, as the levels of a question set are. It takes about half a minute.
"""

import numpy as np
from scipy.stats import spearmanr

from caft.analysis.intervals import rank_correlation

POPULATION, SAMPLES = 1_000_000, 2_000
CUTS = [-1.2, -0.5, 0.1, 0.7]  # 12%, 19%, 23%, 22% and 24% of the questions


def main() -> None:
    """Print a row per strength and number of items."""
    generator = np.random.default_rng(1)
    print("strength  true Spearman  items  intervals that hold it")
    for strength in (0.0, 0.2, 0.5, 0.8):
        pairs = generator.multivariate_normal([0, 0], [[1, strength], [strength, 1]], POPULATION)
        values, levels = pairs[:, 0], np.digitize(pairs[:, 1], CUTS)
        true = spearmanr(values, levels).statistic
        for count in (50, 200, 1_000):
            held = 0
            for _ in range(SAMPLES):
                drawn = generator.integers(0, POPULATION, count)
                found = spearmanr(values[drawn], levels[drawn]).statistic
                interval = rank_correlation(found, count)
                held += interval.low <= true <= interval.high
            print(f"{strength:8.1f}  {true:13.3f}  {count:5d}  {held / SAMPLES:.1%}")


if __name__ == "__main__":
    main()
