"""Tabulate and plot the losses of all stages, and show samples of what they train on.

Inputs    plans (one per round), models, student (its chat template)
Outputs   losses, svg, png, samples (a page)
"""

from pathlib import Path

from caft.figures.training import plot_losses
from caft.mixtures.plan import read_plan
from caft.report import training as training_report
from caft.running.jobs import job
from caft.students.folders import load_chat
from caft.tables.files import write_csv, write_text

with job(snakemake) as log:
    plan = read_plan(snakemake.input.plans)
    output = snakemake.output
    losses = training_report.losses_of_run(plan)
    write_csv(output.losses, losses, digits=6)
    plot_losses(training_report.curves(losses), output.svg, output.png)
    chat = load_chat(Path(snakemake.input.student).parent)
    write_text(output.samples, training_report.sample_page(plan, chat))
