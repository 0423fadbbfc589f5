"""Show every item of the run on one page: question, complexity, teacher, training, all answers.

Inputs    items, metrics, scores, buckets, rationales, predictions; mixtures by their digests
Outputs   the page
Settings  params.config
"""

from itertools import product

from caft.config.model import Configuration
from caft.report.explorer import explorer_page
from caft.report.items import read_sources
from caft.running.jobs import job
from caft.tables.files import write_text

with job(snakemake) as log:
    config = Configuration.model_validate(snakemake.params.config)
    pairs = product(config.run.datasets, config.run.students)
    page = explorer_page(read_sources(config, dataset, student) for dataset, student in pairs)
    write_text(snakemake.output[0], page)
    log.info("%s: %.1f MB", snakemake.output[0], len(page) / 1e6)
