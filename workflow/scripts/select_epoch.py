"""Choose the epoch of a trained model that answers the validation split best.

Inputs    items, model (model.json; the epochs lie beside it)
Outputs   chosen: the epoch, the accuracy of all, the blocks of answers
Settings  params.prompt, params.mode, params.evaluation, params.engine, params.seed
"""

from pathlib import Path

from caft import layout
from caft.evaluation.best_epoch import choose_epoch
from caft.evaluation.settings import Evaluation
from caft.mixtures.plan import in_words
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import write_json

with job(snakemake, in_words(snakemake.wildcards.digest)) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params = snakemake.params
    prompt = Prompt.model_validate(params.prompt)
    engine = Engine.model_validate(params.engine)
    evaluation = Evaluation.model_validate(params.evaluation)
    student = Path(layout.at(layout.STUDENT, **snakemake.wildcards))
    epoch, table, blocks = choose_epoch(
        Asked(items, prompt, params.seed), Subject(student, None, engine),
        Path(snakemake.input.model), params.mode, evaluation, Cache(),
    )  # fmt: skip
    chosen = {"epoch": epoch, "mode": params.mode, "epochs": table.to_dict("records")}
    write_json(snakemake.output[0], {**chosen, "blocks": blocks})
    log.info(f"\n{table.to_string(index=False)}\nchosen: epoch {epoch}")
