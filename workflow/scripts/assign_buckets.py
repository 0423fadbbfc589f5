"""Divide the items into easy, medium and hard.

Inputs    scores
Outputs   buckets: item_id, complexity, bucket, sampled; report: thresholds and counts
Settings  params.buckets, params.seed
"""

from caft import tables
from caft.buckets import build_buckets
from caft.files import write_json
from caft.jobs import job

with job(snakemake) as log:
    scores = tables.read("scores", snakemake.input[0])
    params = snakemake.params
    buckets, report = build_buckets(scores, params.buckets, params.seed)
    tables.write(
        "buckets", buckets, snakemake.output.buckets, {"buckets": params.buckets}, params.code
    )
    write_json(snakemake.output.report, report)
    log.info("buckets: %s", report)
