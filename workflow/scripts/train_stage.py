"""Train one stage, unless its model already lies complete under its digest.

Inputs    student and, for a later stage, the model it goes on from (models are named by content)
Outputs   model.json; the weights lie beside it
Settings  params.spec (file written with the mixtures), params.engine, params.launcher,
          params.checkpoint_minutes, params.report_to, params.checkpoint_folder (optional)
"""

from pathlib import Path

from caft.mixtures.plan import in_words
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.tables.files import write_json
from caft.training import train_planned

with job(snakemake, in_words(snakemake.wildcards.digest)) as log:
    params, target = snakemake.params, Path(snakemake.output[0])
    engine = Engine.model_validate(params.engine)
    disk = params.get("checkpoint_folder")
    record = train_planned(
        Path(params.spec), target.parent, engine, params.launcher, params.checkpoint_minutes,
        params.report_to, Path(disk) if disk else None,
    )  # fmt: skip
    write_json(target, record)
