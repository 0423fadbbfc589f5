"""Ask one model every item of the reported split, or of the validation split, in one mode.

Inputs    items, model (model.json, or student.json for the untuned student), chosen (best epoch)
Outputs   predictions: item_id, text, parsed, correct, ...; run: seconds, tokens, blocks
Settings  params.prompt, params.evaluation, params.split, params.engine, params.seed;
          params.measured where mode adaptive is asked for
"""

from pathlib import Path

from caft import layout
from caft.config.modes import read_view
from caft.evaluation.evaluate import Way, evaluate_model
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import weights_file
from caft.mixtures.plan import in_words
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache, Shard
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import read_json, write_json

with job(snakemake, f"{in_words(snakemake.wildcards.model)}, {snakemake.wildcards.mode}") as log:
    items = parquet.read("items", snakemake.input.item_table)
    params, wildcards = snakemake.params, snakemake.wildcards
    student = Path(layout.at(layout.STUDENT, **wildcards))
    chosen = filter(None, [snakemake.input.get("chosen")])
    epochs = {Path(file).stem: read_json(file)["epoch"] for file in chosen}
    trained = weights_file(wildcards.model, epochs)
    variant = Prompt.model_validate(params.prompt)
    view = read_view(wildcards.mode, variant.few_shot)
    variant = variant.model_copy(update={"few_shot": view.shots})
    cache = Cache(shard=Shard.named(snakemake.wildcards.shard))
    asked = Asked(items, variant, params.seed)
    subject = Subject(student, trained, Engine.model_validate(params.engine))
    evaluation = Evaluation.model_validate(params.evaluation)
    way = Way(view.split or params.split, view.mode, entropy=bool(params.get("measured")))
    table, spec, run = evaluate_model(asked, way, subject, evaluation, cache)
    parquet.write("predictions", table, snakemake.output.predictions, spec, params.code)
    write_json(snakemake.output.run, run)
