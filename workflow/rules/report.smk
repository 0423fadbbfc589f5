rule summarize:
    input:
        FIRST_PLANS,
        summary_inputs,
    output:
        summary=report("results/summary.csv", caption="../report/summary.rst", category="Summary"),
        runs=report("results/tables/runs.csv", caption="../report/runs.rst", category="Summary"),
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


rule tabulate_summary:
    input:
        "results/summary.csv",
    output:
        markdown="results/tables/summary.md",
        latex="results/tables/summary.tex",
    params:
        code=versions.SUMMARY,
    log:
        "logs/tabulate_summary/tabulate_summary.log",
    message:
        "Writing the summary as tables for a paper"
    script:
        "../scripts/tabulate_summary.py"


rule plot_accuracy:
    input:
        "results/summary.csv",
    output:
        svg=report(
            "results/figures/accuracy.svg", caption="../report/accuracy.rst", category="Summary"
        ),
        png="results/figures/accuracy.png",
    params:
        figure="accuracy",
        code=versions.SUMMARY,
    log:
        "logs/plot_accuracy/plot_accuracy.log",
    message:
        "Plotting accuracy by strategy and bucket"
    script:
        "../scripts/plot_summary.py"


use rule plot_accuracy as plot_cost with:
    output:
        svg=report("results/figures/cost.svg", caption="../report/cost.rst", category="Summary"),
        png="results/figures/cost.png",
    params:
        figure="cost",
        code=versions.SUMMARY,
    log:
        "logs/plot_cost/plot_cost.log",
    message:
        "Plotting accuracy against the teacher's cost"


use rule plot_accuracy as plot_buckets with:
    output:
        svg=report(
            "results/figures/buckets.svg", caption="../report/buckets.rst", category="Summary"
        ),
        png="results/figures/buckets.png",
    params:
        figure="buckets",
        code=versions.SUMMARY,
    log:
        "logs/plot_buckets/plot_buckets.log",
    message:
        "Plotting accuracy by bucket and mode"


use rule plot_accuracy as plot_tokens with:
    output:
        svg=report("results/figures/tokens.svg", caption="../report/tokens.rst", category="Summary"),
        png="results/figures/tokens.png",
    params:
        figure="tokens",
        code=versions.SUMMARY,
    log:
        "logs/plot_tokens/plot_tokens.log",
    message:
        "Plotting tokens of training and teacher"


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
