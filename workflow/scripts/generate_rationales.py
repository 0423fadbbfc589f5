"""Collect the rationales that this run's strategies need; only what the store lacks is asked for.

Inputs    items, student (its tokenizer counts), buckets
Outputs   rationales: one row per item and sample; quarantine: answers not accepted, with reasons
          and whether another one of the item was
Settings  params.teacher, params.strategies, params.prompt, params.engine, params.seed,
          params.seeds, params.store
"""

from pathlib import Path

from caft.running.blocks import Shard
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import atomic_path
from caft.teacher.acceptance import quarantine
from caft.teacher.collect import collect_for_strategies

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    buckets = {Path(path).stem: parquet.read("buckets", path) for path in snakemake.input.buckets}
    params = snakemake.params
    shard = Shard.named(snakemake.wildcards.shard)
    rationales = collect_for_strategies(
        items, buckets, params.strategies, snakemake.wildcards.teacher, params.teacher,
        params.prompt, params.engine, params.seed, params.seeds, Path(snakemake.input.student),
        Path(params.store), shard,
    )  # fmt: skip
    spec = {"teacher": params.teacher, "prompt": params.prompt}
    output = snakemake.output
    parquet.write("rationales", rationales, output.rationales, spec, params.code)
    with atomic_path(output.quarantine) as path:
        quarantine(parquet.read("rationales", output.rationales)).to_csv(path, index=False)
