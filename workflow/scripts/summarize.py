"""Compare the strategies: one row per data set, student, strategy and mode.

Inputs    predictions, models, scores, buckets, rationales
Outputs   summary; runs (per training seed); comparisons (every pair of strategies); complexity (ROC
          AUC of the metric); models (index); provenance
Settings  params.config
"""

from caft.config.model import Configuration
from caft.report.complexity import complexity_table
from caft.report.provenance import provenance
from caft.report.render import render
from caft.report.summary import model_index, summarize
from caft.running.jobs import job
from caft.tables.files import write_csv, write_json

with job(snakemake) as log:
    config = Configuration.model_validate(snakemake.params.config)
    output = snakemake.output
    summary, runs, comparisons = summarize(config)
    models = model_index(config)
    written = (
        (models, output.models),
        (complexity_table(config), output.complexity),
        (runs, output.runs),
        (comparisons, output.comparisons),
        (summary, output.summary),
    )
    for table, path in written:
        write_csv(path, table, digits=6)
    write_json(output.provenance, provenance(config, models["model"]))
    log.info("\n" + render(summary))
