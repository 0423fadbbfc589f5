"""Plot accuracy per strategy, over all items and by bucket.

Inputs    summary
Outputs   svg, png
"""

import pandas as pd

from caft.jobs import job
from caft.plots import plot_accuracy, save

with job(snakemake) as log:
    save(plot_accuracy(pd.read_csv(snakemake.input[0])), snakemake.output)
