"""Divide the items into easy, medium and hard.

Inputs    metrics; where a budget draws the threshold: priced, the items and the student
Outputs   buckets: item_id, complexity, bucket, sampled; report: thresholds and counts
Settings  params.buckets, params.decimals, params.purchase, params.seed
"""

from pathlib import Path

from caft.mixtures.buckets import build_buckets
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import write_json
from caft.teacher.money.estimate import item_prices

with job(snakemake) as log:
    metrics = parquet.read("metrics", snakemake.input.metrics)
    params, prices = snakemake.params, None
    if snakemake.input.priced:
        items, student = snakemake.input.priced
        prices = item_prices(
            parquet.read("items", items), params.purchase, Path(student).parent, params.seed
        )
    buckets, report = build_buckets(metrics, params.buckets, params.seed, params.decimals, prices)
    parquet.write(
        "buckets", buckets, snakemake.output.buckets, {"buckets": params.buckets}, params.code
    )
    write_json(snakemake.output.report, report)
    log.info("buckets: %s", report)
