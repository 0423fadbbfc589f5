"""Join what several jobs made of one question set; no model runs.

Inputs    the shards' tables, each with its run.json beside it
Outputs   the whole table, as one job would have made it; run: seconds and counts of all shards
"""

from pathlib import Path

from caft.running.blocks import merge_shards
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import write_json

with job(snakemake) as log:
    table, made, run = merge_shards([Path(path) for path in snakemake.input.shards])
    parquet.write(made["table"], table, snakemake.output.table, made["spec"], made["code"])
    write_json(snakemake.output.run, run)
