"""Measure how likely every item's target is after its prompt, and after nothing.

Inputs    items, student (folder of student.json), trained (model.json, optional)
Outputs   likelihoods: mean losses with and without the prompt; run: seconds, counts, blocks
Settings  params.prompt, params.engine, params.seed, cache
"""

from pathlib import Path

from caft.complexity.likelihoods import likelihoods_with_student
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache, Shard
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import write_json

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params = snakemake.params
    prompt = Prompt.model_validate(params.prompt)
    engine = Engine.model_validate(params.engine)
    trained = Path(snakemake.input.trained) if snakemake.input.get("trained") else None
    table, spec, run = likelihoods_with_student(
        Asked(items, prompt, params.seed),
        Subject(Path(snakemake.input.student), trained, engine),
        Cache(shard=Shard.named(snakemake.wildcards.shard)),
    )
    parquet.write("likelihoods", table, snakemake.output.table, spec, params.code)
    write_json(snakemake.output.run, run)
