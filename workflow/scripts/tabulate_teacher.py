"""Count what the teachers' answers took, and how many were accepted.

Inputs    items, buckets, rationales
Outputs   spend: one row per data set, student and teacher; acceptance: by bucket and category
Settings  params.pairs, params.taught
"""

from caft.config.rounds import Taught
from caft.report.spend import acceptance_table, spend_table
from caft.running.jobs import job
from caft.tables.files import write_csv

with job(snakemake) as log:
    params, output = snakemake.params, snakemake.output
    taught = [Taught(**asked) for asked in params.taught]
    for table, path in (
        (spend_table(params.pairs, taught), output.spend),
        (acceptance_table(params.pairs, taught), output.acceptance),
    ):
        write_csv(path, table, digits=6)
