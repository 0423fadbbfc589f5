"""Let one vLLM engine answer for all models and modes of a student.

Inputs    items, student, models (model.json of each that was trained), chosen (best epochs)
Outputs   which blocks of answers there are; `evaluate_model` makes its tables of them
Settings  params.models, params.views, params.prompt, params.evaluation, params.split,
          params.engine, params.seed
"""

from pathlib import Path

from caft.config.modes import read_view
from caft.evaluation.settings import Evaluation
from caft.evaluation.together import Question, answer_together, weights_file
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import read_json, write_json

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params, wildcards = snakemake.params, snakemake.wildcards
    engine = Engine.model_validate(params.engine)
    variant = Prompt.model_validate(params.prompt)
    epochs = {Path(file).stem: read_json(file)["epoch"] for file in snakemake.input.chosen}
    subjects = [
        Subject(Path(snakemake.input.student), weights_file(model, epochs), engine)
        for model in params.models
    ]
    questions = []
    for name in params.views:
        view = read_view(name, variant.few_shot)
        shown = variant.model_copy(update={"few_shot": view.shots})
        questions.append(Question(Asked(items, shown, params.seed), view.mode))
    evaluation = Evaluation.model_validate(params.evaluation)
    answered = answer_together(questions, params.split, subjects, evaluation, Cache())
    write_json(snakemake.output[0], answered)
