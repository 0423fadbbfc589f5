"""Build every strategy's training tables, and name each model by what it is made from.

Inputs    items, student, buckets, rationales, warm_up (optional)
Outputs   plan: strategies -> stages -> digests; index: the same as a table; over_long: rows left
          out; beside them, under content hashes: the mixtures and the stages to train
Settings  params.strategies, params.prompt, params.seed (of the data), params.seeds (of training),
          params.precision
"""

from pathlib import Path

from caft.mixtures.building import build_plan
from caft.mixtures.rows import Materials
from caft.mixtures.settings import ResolvedStrategy
from caft.prompting.settings import Prompt
from caft.running.jobs import job
from caft.students.folders import load_chat
from caft.tables import parquet
from caft.tables.files import read_json, write_csv, write_json

with job(snakemake) as log:
    inputs, params = snakemake.input, snakemake.params
    prompt = Prompt.model_validate(params.prompt)
    items = parquet.read("items", inputs.item_table)
    buckets = {Path(path).stem: parquet.read("buckets", path) for path in inputs.buckets}
    rationales = {Path(path).stem: parquet.read("rationales", path) for path in inputs.rationales}
    warm_up = Path(inputs.warm_up) if inputs.get("warm_up") else None
    student = read_json(inputs.student)
    materials = Materials(
        items, prompt, params.seed, load_chat(Path(inputs.student).parent),
        student["revision"], student["context"], params.precision,
    )  # fmt: skip
    resolved = ResolvedStrategy.model_validate
    strategies = {name: resolved(settings) for name, settings in params.strategies.items()}
    plan, index, over_long = build_plan(
        materials, buckets, rationales, strategies, params.seeds,
        Path(inputs.student), warm_up,
    )  # fmt: skip
    for table, path in ((index, snakemake.output.index), (over_long, snakemake.output.over_long)):
        write_csv(path, table)
    write_json(snakemake.output.plan, plan.json())
    log.info("\n" + index.to_string(index=False))
