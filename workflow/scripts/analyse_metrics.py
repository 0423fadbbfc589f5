"""Say how well each metric finds the items that the student gets wrong, overall and by category.

Inputs    items, metrics (one table each), outcome (scores, or an imported metric), buckets
Outputs   tables as CSV and Parquet: metric_quality, metric_correlation, bucket_composition,
          bucket_accuracy, complexity_accuracy, calibration
Settings  params.names, params.reads_label, params.analysis, params.reference, params.seed
"""

from pathlib import Path

from caft.analysis import metric_tables as analysis
from caft.analysis.outcomes import read_calibration, read_outcome
from caft.running.jobs import job
from caft.tables import parquet

with job(snakemake) as log:
    inputs, params = snakemake.input, snakemake.params
    spec, labelled = params.analysis, params.reads_label
    items, buckets = (
        parquet.read("items", inputs.item_table),
        parquet.read("buckets", inputs.buckets),
    )
    metrics = {
        name: parquet.read("metrics", path)
        for name, path in zip(params.names, inputs.metrics, strict=True)
    }
    wrong = read_outcome(inputs.outcome)
    seen, split = analysis.warm_up_items(metrics), spec["split"]
    made = {
        "metric_quality": analysis.metric_quality(
            metrics, items, wrong, reads_label=labelled, allow_label=spec["allow_label"],
            reference=params.reference, split=split, draws=spec["draws"], seed=params.seed,
        ),
        "metric_correlation": analysis.metric_correlation(metrics, split),
        "bucket_composition": analysis.bucket_composition(buckets, items),
        "bucket_accuracy": analysis.bucket_accuracy(buckets, wrong, seen),
        "complexity_accuracy": analysis.complexity_accuracy(
            metrics, wrong, reads_label=labelled, split=split
        ),
        "calibration": read_calibration(inputs.outcome, items, seen, split),
    }  # fmt: skip
    folder = Path(snakemake.output[0]).parent
    for name, table in made.items():
        named = analysis.name_rows(table, **snakemake.wildcards)
        analysis.save_table(named, folder / f"{name}.csv", folder / f"{name}.parquet")
    overall = made["metric_quality"].query("category == '(all)'")
    shown = ["metric", "n", "n_missing", "reads_label", "roc_auc", "roc_auc_low", "roc_auc_high"]
    log.info("\n%s", overall[shown].to_string(index=False, float_format="%.3f"))
