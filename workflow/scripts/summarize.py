"""Compare the strategies: one row per data set, student, strategy and mode.

Inputs    predictions, models, scores, buckets, rationales
Outputs   summary, complexity (ROC AUC of the metric), models (index), provenance
Settings  params.config
"""

from caft.files import atomic_path, write_json
from caft.jobs import job
from caft.summary import complexity_table, model_index, provenance, render, summarize

with job(snakemake) as log:
    config, output = snakemake.params.config, snakemake.output
    summary = summarize(config)
    written = (
        (model_index(config), output.models),
        (complexity_table(config), output.complexity),
        (summary, output.summary),
    )
    for table, path in written:
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    write_json(output.provenance, provenance(config))
    log.info("\n%s", render(summary))
