"""Train one stage, unless its model already lies complete under its digest.

Inputs    student and, for a later stage, the model it goes on from (models are named by content)
Outputs   model.json; the weights lie beside it
Settings  params.spec (file written with the mixtures), params.engine
"""

from pathlib import Path

from caft.files import write_json
from caft.jobs import job
from caft.training import train_planned

with job(snakemake) as log:
    target = Path(snakemake.output[0])
    write_json(
        target, train_planned(Path(snakemake.params.spec), target.parent, snakemake.params.engine)
    )
