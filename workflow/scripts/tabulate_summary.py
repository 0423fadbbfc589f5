"""Write the summary as tables for a paper.

Inputs    summary
Outputs   markdown, latex
"""

import pandas as pd

from caft.report import paper_tables as paper
from caft.report.results import as_prompted
from caft.running.jobs import job
from caft.tables.files import write_text

with job(snakemake) as log:
    summary = as_prompted(pd.read_csv(snakemake.input[0]))
    write_text(snakemake.output.markdown, paper.markdown(summary))
    write_text(snakemake.output.latex, paper.latex(summary))
