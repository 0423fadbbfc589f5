"""Draw one figure of the summary, as `caft.figures.FIGURES` names them.

Inputs    summary
Outputs   svg, png
Settings  params.figure
"""

import pandas as pd

from caft.figures import FIGURES
from caft.figures.style import save
from caft.report.results import as_prompted
from caft.running.jobs import job

with job(snakemake) as log:
    summary = as_prompted(pd.read_csv(snakemake.input[0]))
    save(FIGURES[snakemake.params.figure].draw(summary), snakemake.output)
