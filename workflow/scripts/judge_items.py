"""Let a judge say what each item demands; only what the store lacks is asked for.

Inputs    items, student (its tokenizer counts)
Outputs   judgements: one row per item and question
Settings  params.judge, params.engine, params.store
"""

from pathlib import Path

from caft.running.jobs import job
from caft.running.settings import Engine
from caft.tables import parquet
from caft.teacher.asking import Setup
from caft.teacher.judge import judge_dataset
from caft.teacher.sections import read_judge

with job(snakemake) as log:
    inputs, params = snakemake.input, snakemake.params
    engine = Engine.model_validate(params.engine)
    items = parquet.read("items", inputs.item_table)
    setup = Setup(
        f"judges.{snakemake.wildcards.judge}", read_judge(params.judge), engine,
        Path(inputs.student), Path(params.store),
    )  # fmt: skip
    spec = {"judge": params.judge}
    parquet.write("judgements", judge_dataset(items, setup), snakemake.output[0], spec, params.code)
