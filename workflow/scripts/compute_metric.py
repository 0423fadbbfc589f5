"""Compute one complexity metric of every item.

Inputs    items; source: what the metric is computed from (a table, or the files of `imported`)
Outputs   metrics: item_id, value, reason; report: counts; problems: rows of a file that fit no item
Settings  params.metric
"""

from pathlib import Path

import pandas as pd

from caft.complexity import METRICS
from caft.complexity.combine import joined
from caft.complexity.compute import compute_metric
from caft.complexity.imported import import_metric
from caft.complexity.settings import MetricSettings
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import write_csv, write_json

with job(snakemake) as log:
    params, output = snakemake.params, snakemake.output
    items = parquet.read("items", snakemake.input.item_table)
    metric = MetricSettings.model_validate(params.metric)
    source = METRICS[metric.metric].source
    problems, counts = pd.DataFrame(columns=["row", "key", "value", "reason"]), {}
    if source == "imported":
        table, problems, counts = import_metric(metric, items)
    elif source == "items":
        table = compute_metric(metric.metric, metric, items, items)
    elif source == "metrics":
        parts = {Path(path).stem: parquet.read(source, path) for path in snakemake.input.source}
        table = compute_metric(metric.metric, metric, joined(parts), items)
    else:
        kind = "generations" if source == "samples" else source
        table = compute_metric(
            metric.metric, metric, parquet.read(kind, snakemake.input.source), items
        )
    report = {"items": len(table), "reasons": table["reason"].value_counts().to_dict(), **counts}
    parquet.write("metrics", table, output.metrics, params.metric, params.code)
    write_csv(output.problems, problems)
    write_json(output.report, report)
    log.info("%s: %s", snakemake.wildcards.metric, report)
