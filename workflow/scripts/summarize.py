"""Compare the strategies: one row per data set, student, strategy and mode.

Inputs    predictions, models, scores, buckets, rationales
Outputs   summary; runs (per training seed); comparisons (every pair of strategies); complexity (ROC
          AUC of the metric); thresholds (what they come from); answering (accuracy against tokens
          written); models (index); provenance
Settings  params.config
"""

from caft.config.model import Configuration
from caft.report.answer import answers
from caft.report.answering import answering_table
from caft.report.complexity import complexity_table, thresholds_table
from caft.report.provenance import provenance
from caft.report.render import render, tell
from caft.report.results import Tables
from caft.report.summary import model_index, read_all, summarize
from caft.running.jobs import job
from caft.tables.files import write_csv, write_json

with job(snakemake) as log:
    config = Configuration.model_validate(snakemake.params.config)
    output = snakemake.output
    results = read_all(config)
    summary, runs, comparisons = summarize(config, results)
    models = model_index(config)
    written = (
        (models, output.models),
        (complexity_table(config), output.complexity),
        (thresholds_table(config), output.thresholds),
        (runs, output.runs),
        (answering_table(config, results), output.answering),
        (comparisons, output.comparisons),
        (summary, output.summary),
    )
    for table, path in written:
        write_csv(path, table, digits=6)
    write_json(output.provenance, provenance(config, models["model"]))
    tables = Tables.read()
    log.info(f"\n{render(tables)}\n\n{tell(answers(tables))}")
