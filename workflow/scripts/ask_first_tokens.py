"""Ask an endpoint for its top log-probabilities at the first token of every item's answer.

Inputs    items, student (its tokenizer counts)
Outputs   topk: one row per item
Settings  params.name, params.teacher, params.prompt, params.engine, params.seed, params.store
"""

from pathlib import Path

from caft.running.jobs import job
from caft.tables import parquet
from caft.teacher.first_tokens import ask_first_tokens

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params = snakemake.params
    table = ask_first_tokens(
        items, params.name, params.teacher, params.prompt, params.engine, params.seed,
        Path(snakemake.input.student), Path(params.store),
    )  # fmt: skip
    spec = {"teacher": params.teacher, "prompt": params.prompt}
    parquet.write("topk", table, snakemake.output[0], spec, params.code)
