"""Draw what the analysis of the metrics found.

Inputs    metrics (one table each), outcome, tables of the analysis
Outputs   figures as SVG and PNG: distributions, roc, category_auc, correlation,
          complexity_accuracy, calibration
Settings  params.names, params.reads_label, params.split
"""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from caft.analysis.outcomes import read_outcome
from caft.figures import analysis as analysis_plots
from caft.figures.style import save
from caft.running.jobs import job
from caft.tables import parquet

with job(snakemake) as log:
    inputs, params = snakemake.input, snakemake.params
    metrics = {
        name: parquet.read("metrics", path)
        for name, path in zip(params.names, inputs.metrics, strict=True)
    }
    wrong = read_outcome(inputs.outcome)
    read = {Path(path).stem: pd.read_parquet(path) for path in inputs.tables}
    quality = read["metric_quality"]
    title = f"{snakemake.wildcards.dataset}, {snakemake.wildcards.student}"
    figures = {
        "distributions": analysis_plots.plot_distributions(
            metrics, wrong, quality, title, params.split
        ),
        "roc": analysis_plots.plot_roc(metrics, wrong, quality, title, params.split),
        "category_auc": analysis_plots.plot_category_auc(quality, title),
        "correlation": analysis_plots.plot_correlation(
            read["metric_correlation"], title, params.reads_label
        ),
        "complexity_accuracy": analysis_plots.plot_complexity_accuracy(
            read["complexity_accuracy"], title
        ),
        "calibration": analysis_plots.plot_calibration(read["calibration"], title),
    }
    folder = Path(snakemake.output[0]).parent
    for name, figure in figures.items():
        save(figure, SimpleNamespace(svg=folder / f"{name}.svg", png=folder / f"{name}.png"))
