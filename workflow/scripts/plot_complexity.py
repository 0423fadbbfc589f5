"""Plot how complexity is distributed over right and wrong answers of the student.

Inputs    scores and buckets (a report with thresholds), one each per data set and student
Outputs   svg, png
Settings  params.titles, params.metric, params.trained (whether a stage has made the scoring model),
          params.seed (of the interval)
"""

from caft.analysis.intervals import Estimate
from caft.analysis.ranking import rank_metrics, unseen
from caft.figures.complexity import Scored, plot_complexity
from caft.figures.style import save
from caft.running.jobs import job
from caft.tables import parquet
from caft.tables.files import read_json

with job(snakemake) as log:
    inputs, params, panels = snakemake.input, snakemake.params, {}
    for title, trained, path, buckets in zip(
        params.titles, params.trained, inputs.scores, inputs.buckets, strict=True
    ):
        scores, report = unseen(parquet.read("scores", path), trained), read_json(buckets)
        areas = [
            Estimate(row["roc_auc"], row["roc_auc_low"], row["roc_auc_high"])
            for row in rank_metrics(scores, params.seed)
            if row["metric"] == params.metric
        ]
        thresholds = report["lower"], report["upper"]
        panels[title] = Scored(scores, thresholds, areas[0] if areas else None)
    save(plot_complexity(panels, params.metric), snakemake.output)
