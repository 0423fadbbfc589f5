rule summarize:
    input:
        summary_inputs,
    output:
        summary=report("results/summary.csv", caption="../report/summary.rst", category="Summary"),
        runs=report(
            "results/tables/runs.csv", caption="../report/runs.rst", category="Summary"
        ),
        comparisons=report(
            "results/tables/comparisons.csv",
            caption="../report/comparisons.rst",
            category="Summary",
        ),
        complexity=report(
            "results/tables/complexity.csv",
            caption="../report/complexity_table.rst",
            category="Complexity",
        ),
        models="results/models/index.csv",
        provenance="results/provenance.json",
    params:
        config=config,
        code=versions.SUMMARY,
    log:
        "logs/summarize/summarize.log",
    message:
        "Comparing the strategies"
    script:
        "../scripts/summarize.py"


rule plot_accuracy:
    input:
        "results/summary.csv",
    output:
        svg=report(
            "results/figures/accuracy.svg", caption="../report/accuracy.rst", category="Summary"
        ),
        png="results/figures/accuracy.png",
    params:
        code=versions.SUMMARY,
    log:
        "logs/plot_accuracy/plot_accuracy.log",
    message:
        "Plotting accuracy by strategy and bucket"
    script:
        "../scripts/plot_accuracy.py"


rule plot_complexity:
    input:
        scores=plotted_scores,
    output:
        svg=report(
            "results/figures/complexity.svg",
            caption="../report/complexity.rst",
            category="Complexity",
        ),
        png="results/figures/complexity.png",
    params:
        titles=[f"{dataset}, {student}" for dataset in DATASETS for student in STUDENTS],
        metric=settings.plotted_metric(config),
        code=versions.SUMMARY,
    log:
        "logs/plot_complexity/plot_complexity.log",
    message:
        "Plotting complexity of right and wrong answers"
    script:
        "../scripts/plot_complexity.py"
