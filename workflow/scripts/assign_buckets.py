"""Divide the items into easy, medium and hard.

Inputs    metrics; where a budget draws the threshold: priced, the items and the student
Outputs   buckets: item_id, complexity, bucket, sampled; report: thresholds and counts
Settings  params.buckets, params.decimals, params.purchase, params.seed
"""

from pathlib import Path

from caft.mixtures.buckets import build_buckets
from caft.mixtures.settings import Buckets
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import write_json
from caft.teacher.money.estimate import Purchase, item_prices

with job(snakemake) as log:
    metrics = parquet.read("metrics", snakemake.input.metrics)
    params, prices = snakemake.params, None
    if snakemake.input.priced:
        items, student = snakemake.input.priced
        purchase, folder = Purchase.model_validate(params.purchase), Path(student).parent
        prices = item_prices(parquet.read("items", items), purchase, folder, params.seed)
    settings = Buckets.model_validate(params.buckets)
    buckets, report = build_buckets(metrics, settings, params.seed, params.decimals, prices)
    parquet.write(
        "buckets", buckets, snakemake.output.buckets, {"buckets": params.buckets}, params.code
    )
    write_json(snakemake.output.report, report)
    log.info("buckets: %s", report)
