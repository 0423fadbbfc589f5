"""Plot the summary: accuracy, accuracy against cost, accuracy by bucket, or tokens.

Inputs    summary
Outputs   svg, png
Settings  params.figure
"""

import pandas as pd

from caft.figures.plots import FIGURES, save
from caft.report.render import as_prompted
from caft.running.jobs import job

with job(snakemake) as log:
    figure = FIGURES[snakemake.params.figure](as_prompted(pd.read_csv(snakemake.input[0])))
    save(figure, snakemake.output)
