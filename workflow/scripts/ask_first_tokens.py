"""Ask an endpoint for its top log-probabilities at the first token of every item's answer.

Inputs    items, student (its tokenizer counts)
Outputs   topk: one row per item
Settings  params.name, params.teacher, params.prompt, params.engine, params.seed, params.store
"""

from pathlib import Path

from caft.prompting.settings import Prompt
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.tables import parquet
from caft.teacher.asking import Setup
from caft.teacher.first_tokens import ask_first_tokens
from caft.teacher.sections import read_teacher

with job(snakemake) as log:
    inputs, params = snakemake.input, snakemake.params
    prompt = Prompt.model_validate(params.prompt)
    engine = Engine.model_validate(params.engine)
    items = parquet.read("items", inputs.item_table)
    setup = Setup(
        f"teachers.{params.name}", read_teacher(params.teacher), engine,
        Path(inputs.student), Path(params.store),
    )  # fmt: skip
    table = ask_first_tokens(items, setup, prompt, params.seed)
    spec = {"teacher": params.teacher, "prompt": params.prompt}
    parquet.write("topk", table, snakemake.output[0], spec, params.code)
