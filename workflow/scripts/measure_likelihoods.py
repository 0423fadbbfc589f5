"""Measure how likely every item's target is after its prompt, and after nothing.

Inputs    items, student (folder of student.json), trained (model.json, optional)
Outputs   likelihoods: mean losses with and without the prompt; run: seconds, counts, blocks
Settings  params.prompt, params.engine, params.seed, cache
"""

from pathlib import Path

from caft import tables
from caft.blocks import Cache, Shard
from caft.complexity.likelihoods import likelihoods_with_student
from caft.files import write_json
from caft.jobs import job

with job(snakemake) as log:
    items = tables.read("items", snakemake.input.item_table)
    params = snakemake.params
    trained = Path(snakemake.input.trained) if snakemake.input.get("trained") else None
    student = Path(snakemake.input.student)
    cache = Cache(shard=Shard.named(snakemake.wildcards.shard))
    table, spec, run = likelihoods_with_student(
        items, student, trained, params.prompt, params.engine, params.seed, cache
    )
    tables.write("likelihoods", table, snakemake.output.table, spec, params.code)
    write_json(snakemake.output.run, run)
