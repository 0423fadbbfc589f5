"""Count what the teachers' answers took, and how many were accepted.

Inputs    items, buckets, rationales
Outputs   spend: one row per data set, student and teacher; acceptance: by bucket and category
Settings  params.config
"""

from caft.report.spend import acceptance_table, spend_table
from caft.running.jobs import job
from caft.tables.files import atomic_path

with job(snakemake) as log:
    config, output = snakemake.params.config, snakemake.output
    for table, path in (
        (spend_table(config), output.spend),
        (acceptance_table(config), output.acceptance),
    ):
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
