"""Join the rationales that several jobs collected; nobody is asked.

Inputs    the shards' tables of rationales
Outputs   rationales, quarantine: as one job would have made them
"""

from caft import tables
from caft.files import atomic_path
from caft.jobs import job
from caft.teacher.acceptance import quarantine

with job(snakemake) as log:
    rationales = tables.read("rationales", *snakemake.input)
    made = tables.footer(snakemake.input[0])
    with atomic_path(snakemake.output.quarantine) as path:
        quarantine(rationales).to_csv(path, index=False)
    tables.write("rationales", rationales, snakemake.output.rationales, made["spec"], made["code"])
