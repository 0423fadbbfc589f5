"""Write the summary as tables for a paper.

Inputs    summary
Outputs   markdown, latex
"""

import pandas as pd

from caft import paper
from caft.files import write_text
from caft.jobs import job
from caft.summary import as_prompted

with job(snakemake) as log:
    summary = as_prompted(pd.read_csv(snakemake.input[0]))
    write_text(snakemake.output.markdown, paper.markdown(summary))
    write_text(snakemake.output.latex, paper.latex(summary))
