"""Show what is trained on, before anything is: rows, lengths, and what of them carries loss.

Inputs    plan, student (its chat template)
Outputs   a page
Settings  params.title
"""

from pathlib import Path

from caft.mixtures.plan import read_plan
from caft.report.samples import samples_page
from caft.running.jobs import job
from caft.students.folders import load_chat
from caft.tables.files import write_text

with job(snakemake) as log:
    page = snakemake.output[0]
    chat = load_chat(Path(snakemake.input.student).parent)
    write_text(page, samples_page(read_plan([snakemake.input.plan]), chat, snakemake.params.title))
    log.info("what is trained on, and where it carries loss: %s", page)
