"""Let a student think through every item, greedily with statistics per token, or several times.

Inputs    items, student (folder of student.json), trained (model.json, optional)
Outputs   generations: text, answer, entropies per token; run: seconds, tokens, blocks
Settings  params.prompt, params.evaluation, params.sampling (optional), params.engine, params.seed;
          params.writes_with where vLLM draws samples
"""

from pathlib import Path

from caft.complexity.generations import Sampling, generate_with_student
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache, Shard
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.students.settings import Writing
from caft.tables import parquet
from caft.tables.files import write_json

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params = snakemake.params
    prompt = Prompt.model_validate(params.prompt)
    engine = Engine.model_validate(params.engine)
    trained = Path(snakemake.input.trained) if snakemake.input.get("trained") else None
    table, spec, run = generate_with_student(
        Asked(items, prompt, params.seed),
        Subject(Path(snakemake.input.student), trained, engine),
        Writing(**params.evaluation, engine=params.get("writes_with", "transformers")),
        Cache(shard=Shard.named(snakemake.wildcards.shard)),
        Sampling(**params.get("sampling", {})),
    )
    parquet.write("generations", table, snakemake.output.table, spec, params.code)
    write_json(snakemake.output.run, run)
