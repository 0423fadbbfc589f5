"""Draw what the analysis of the metrics found.

Inputs    metrics (one table each), outcome, tables of the analysis
Outputs   figures as SVG and PNG: distributions, roc, category_auc, correlation,
          complexity_accuracy, calibration
Settings  params.names, params.reads_label, params.split
"""

from pathlib import Path
from types import SimpleNamespace

from caft.analysis.study import read_study, read_tables
from caft.figures.analysis import draw
from caft.figures.style import save
from caft.running.jobs import job

with job(snakemake) as log:
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    metrics = dict(zip(params.names, inputs.metrics, strict=True))
    study = read_study(metrics, inputs.outcome, params.reads_label, params.split)
    title = f"{wildcards.dataset}, {wildcards.student}"
    folder = Path(snakemake.output[0]).parent
    for name, figure in draw(study, read_tables(inputs.tables), title).items():
        save(figure, SimpleNamespace(svg=folder / f"{name}.svg", png=folder / f"{name}.png"))
