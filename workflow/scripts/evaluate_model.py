"""Ask one model every item of the reported split in one mode.

Inputs    items, model (model.json, or student.json for the untuned student)
Outputs   predictions: item_id, text, parsed, correct, ...; run: seconds, tokens, blocks
Settings  params.prompt, params.evaluation, params.split, params.engine, params.seed
"""

from pathlib import Path

from caft import tables
from caft.blocks import Cache, Shard
from caft.evaluation import evaluate_model
from caft.files import write_json
from caft.jobs import job

with job(snakemake) as log:
    items = tables.read("items", snakemake.input.item_table)
    params, wildcards = snakemake.params, snakemake.wildcards
    student = Path("data/models") / wildcards.student
    trained = None if wildcards.model == "base" else Path(snakemake.input.model)
    cache = Cache(shard=Shard.named(snakemake.wildcards.shard))
    predictions, spec, run = evaluate_model(
        items, params.split, student, trained, params.prompt, wildcards.mode,
        params.evaluation, params.engine, params.seed, cache,
    )  # fmt: skip
    tables.write("predictions", predictions, snakemake.output.predictions, spec, params.code)
    write_json(snakemake.output.run, run)
