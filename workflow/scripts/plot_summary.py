"""Draw one figure of the summary or of a table beside it, as `caft.figures.FIGURES` names them.

Inputs    the figure's table
Outputs   svg, png
Settings  params.figure
"""

import pandas as pd

from caft.figures import FIGURES
from caft.figures.style import save
from caft.report.results import as_prompted
from caft.running.jobs import job

with job(snakemake) as log:
    table = as_prompted(pd.read_csv(snakemake.input[0]))
    save(FIGURES[snakemake.params.figure].draw(table), snakemake.output)
