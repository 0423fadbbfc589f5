# Which complexity metric to trust: `snakemake --cores all analysis`. Nothing of the comparison depends on it.
rule analyse_metrics:
    input:
        item_table=layout.ITEMS,
        metrics=analysed_tables,
        outcome=outcome_table,
        buckets=analysed_buckets,
    output:
        report(
            analysed("csv", ANALYSIS_TABLES),
            caption="../report/analysis_table.rst",
            category="Metrics",
        ),
        analysed("parquet", ANALYSIS_TABLES),
    params:
        names=resolve.metrics_analysed(CONFIG),
        reads_label=resolve.labelled_metrics(CONFIG),
        analysis=CONFIG.analysis.plain(),
        reference=resolve.compared_metric(CONFIG),
        seed=CONFIG.seed,
        code=versions.ANALYSIS,
    log:
        "logs/analyse_metrics/{dataset}.{student}.log",
    message:
        "Analysing the metrics of {wildcards.dataset} for {wildcards.student}"
    script:
        "../scripts/analyse_metrics.py"


rule plot_analysis:
    input:
        metrics=analysed_tables,
        outcome=outcome_table,
        tables=analysed("parquet", ANALYSIS_TABLES),
    output:
        report(
            analysed("svg", ANALYSIS_FIGURES),
            caption="../report/analysis_figure.rst",
            category="Metrics",
        ),
        analysed("png", ANALYSIS_FIGURES),
    params:
        names=resolve.metrics_analysed(CONFIG),
        reads_label=resolve.labelled_metrics(CONFIG),
        split=CONFIG.analysis.split,
        code=versions.ANALYSIS,
    log:
        "logs/plot_analysis/{dataset}.{student}.log",
    message:
        "Plotting the metrics of {wildcards.dataset} for {wildcards.student}"
    script:
        "../scripts/plot_analysis.py"
