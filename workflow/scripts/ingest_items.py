"""Read a question set, check every row, give each item its id and its split.

Inputs    the files behind the data set, if any
Outputs   items, quarantine (rejected rows with reasons), report (figures), table (the same)
Settings  params.dataset, params.seed, params.downloads
"""

from pathlib import Path

from caft.datasets import load, read_section
from caft.datasets.ingest import ingest_as, require_splits
from caft.datasets.looks import as_table
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import write_csv, write_json

with job(snakemake) as log:
    spec, seed = snakemake.params.dataset, snakemake.params.seed
    name = snakemake.wildcards.dataset
    settings = read_section(spec)
    # Nothing else holds the raw rows, which take more memory than the items.
    result = ingest_as(settings, load(settings, seed, Path(snakemake.params.downloads)), seed, name)
    require_splits(result.items, settings.splits, name)
    made_by = {"dataset": spec, "seed": seed}
    parquet.write(
        "quarantined_items",
        result.quarantine,
        snakemake.output.quarantine,
        made_by,
        snakemake.params.code,
    )
    parquet.write(
        "items", result.items, snakemake.output.item_table, made_by, snakemake.params.code
    )
    write_json(snakemake.output.report, result.report)
    write_csv(snakemake.output.table, as_table(result.report))
    log.info("%s: %s", name, result.report)
    for warning in result.report["warnings"]:
        log.warning("%s: %s", name, warning)
