"""Join the rationales that several jobs collected; nobody is asked.

Inputs    the shards' tables of rationales
Outputs   rationales, quarantine: as one job would have made them
"""

from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import write_csv
from caft.teacher.acceptance import quarantine

with job(snakemake) as log:
    rationales = parquet.read("rationales", *snakemake.input.shards)
    made = parquet.footer(snakemake.input.shards[0])
    write_csv(snakemake.output.quarantine, quarantine(rationales))
    parquet.write("rationales", rationales, snakemake.output.rationales, made["spec"], made["code"])
