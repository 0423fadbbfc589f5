"""Tell what the whole run will take: jobs, models, tokens, money, disk and hours.

Inputs    none is needed: what is there already is counted from
Outputs   table: one row per kind of jobs; text: the same for people, its last line is the sum
Settings  params.config
"""

from caft.config.model import Configuration
from caft.report.ahead.outlook import as_table, plan_run, render
from caft.running.jobs import job
from caft.tables.files import write_csv, write_text

with job(snakemake) as log:
    config = Configuration.model_validate(snakemake.params.config)
    work = plan_run(config)
    text = render(work, config)
    write_csv(snakemake.output.table, as_table(work), digits=6)
    write_text(snakemake.output.text, text + "\n")
    log.info("\n" + text)
