"""Tabulate and plot the losses of all stages.

Inputs    plans (one per round), models
Outputs   losses, svg, png
"""

from caft.figures.training import plot_losses
from caft.mixtures.plan import read_plan
from caft.report import training as training_report
from caft.running.jobs import job
from caft.tables.files import write_csv

with job(snakemake) as log:
    plan = read_plan(snakemake.input.plans)
    output = snakemake.output
    losses = training_report.losses_of_run(plan)
    write_csv(output.losses, losses, digits=6)
    plot_losses(training_report.curves(losses), output.svg, output.png)
