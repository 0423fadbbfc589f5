"""Say how well each metric finds the items that the student gets wrong, overall and by category.

Inputs    items, metrics (one table each), outcome (scores, or an imported metric), buckets
Outputs   tables as CSV and Parquet: metric_quality, metric_correlation, bucket_composition,
          bucket_accuracy, complexity_accuracy, calibration
Settings  params.names, params.reads_label, params.analysis, params.reference, params.seed
"""

from pathlib import Path

from caft.analysis.metric_tables import Judging
from caft.analysis.study import read_study, render, save_tables, tables_of
from caft.running.jobs import job
from caft.tables import parquet

with job(snakemake) as log:
    inputs, params, spec = snakemake.input, snakemake.params, snakemake.params.analysis
    metrics = dict(zip(params.names, inputs.metrics, strict=True))
    study = read_study(metrics, inputs.outcome, params.reads_label, spec["split"])
    judging = Judging(spec["allow_label"], params.reference, spec["draws"], params.seed)
    items = parquet.read("items", inputs.item_table)
    tables = tables_of(study, items, parquet.read("buckets", inputs.buckets), judging)
    save_tables(tables, Path(snakemake.output[0]).parent, **snakemake.wildcards)
    log.info("\n" + render(tables))
