"""Tell what the teachers still have to be asked for, and what that is expected to cost.

Inputs    items, students (their tokenizers count), buckets; ranking: metrics and answers of the
          students, where a teacher demands that the metrics rank well
Outputs   plan: one row per data set, student, teacher and strategy; nothing is asked or stored
Settings  params.config, params.store
"""

from caft.config import resolve
from caft.config.model import Configuration
from caft.report.purchases import plan_purchases, render, warnings_of
from caft.running.jobs import job
from caft.tables.files import write_csv

with job(snakemake) as log:
    config = Configuration.model_validate(snakemake.params.config)
    plan = plan_purchases(config, snakemake.params.store)
    write_csv(snakemake.output[0], plan, digits=6)
    log.info("\n" + "\n".join([*resolve.ways(config), render(plan)]))
    for line in warnings_of(plan):
        log.warning("WARNING: %s", line)
