"""Write the overview: answer, verdicts, figures and costs of the run on one page.

Inputs    tables, pictures
Outputs   the page
Settings  params.titles and params.captions, of the pictures
"""

from pathlib import Path

from caft import layout
from caft.report.answer import answers
from caft.report.overview import Picture, overview_page
from caft.report.render import tell
from caft.report.results import Tables
from caft.running.jobs import job
from caft.tables.files import read_json, write_text

with job(snakemake) as log:
    tables, given = Tables.read(), snakemake.params
    drawings = [Path(path).read_bytes() for path in snakemake.input.pictures]
    told = zip(given.titles, given.captions, drawings, strict=True)
    pictures = [Picture(*one) for one in told]
    page = overview_page(tables, read_json(layout.PROVENANCE), pictures)
    write_text(snakemake.output[0], page)
    log.info("\n%s\n\nAll of it on one page: %s", tell(answers(tables)), snakemake.output[0])
