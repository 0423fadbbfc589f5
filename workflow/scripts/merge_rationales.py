"""Join the rationales that several jobs collected; nobody is asked.

Inputs    the shards' tables of rationales
Outputs   rationales, quarantine: as one job would have made them
"""

from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import atomic_path
from caft.teacher.acceptance import quarantine

with job(snakemake) as log:
    rationales = parquet.read("rationales", *snakemake.input)
    made = parquet.footer(snakemake.input[0])
    with atomic_path(snakemake.output.quarantine) as path:
        quarantine(rationales).to_csv(path, index=False)
    parquet.write("rationales", rationales, snakemake.output.rationales, made["spec"], made["code"])
