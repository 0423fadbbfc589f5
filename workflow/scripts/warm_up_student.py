"""Tune a weak student briefly on answers alone, so that its scores mean something.

Inputs    items, student
Outputs   model.json: the sample's item ids and the training record; the adapter lies beside it
Settings  params.warm_up, params.prompt, params.recipe, params.engine, params.seed
"""

from pathlib import Path

from caft.mixtures.recipe import Recipe
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.settings import WarmUp
from caft.tables import parquet
from caft.tables.files import write_json
from caft.training import warm_up

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params = snakemake.params
    asked = Asked(items, Prompt.model_validate(params.prompt), params.seed)
    settings, recipe = WarmUp.model_validate(params.warm_up), Recipe.model_validate(params.recipe)
    record = warm_up(
        asked, Path(snakemake.input.student), Path(snakemake.output[0]).parent,
        settings, recipe, Engine.model_validate(params.engine),
    )  # fmt: skip
    write_json(snakemake.output[0], record)
