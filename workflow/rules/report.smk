rule summarize:
    input:
        FIRST_PLANS,
        summary_inputs,
    output:
        summary=report(layout.SUMMARY, caption="../report/summary.rst", category="Summary"),
        runs=report(layout.RUNS, caption="../report/runs.rst", category="Summary"),
        comparisons=report(
            layout.COMPARISONS,
            caption="../report/comparisons.rst",
            category="Summary",
        ),
        complexity=report(
            layout.COMPLEXITY,
            caption="../report/complexity_table.rst",
            category="Complexity",
        ),
        models=layout.MODEL_INDEX,
        provenance=layout.PROVENANCE,
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
        layout.SUMMARY,
    output:
        markdown=layout.SUMMARY_MARKDOWN,
        latex=layout.SUMMARY_LATEX,
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
        layout.SUMMARY,
    output:
        svg=report(
            layout.at(layout.FIGURE, name="accuracy", suffix="svg"),
            caption="../report/accuracy.rst",
            category="Summary",
        ),
        png=layout.at(layout.FIGURE, name="accuracy", suffix="png"),
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
        svg=report(
            layout.at(layout.FIGURE, name="cost", suffix="svg"),
            caption="../report/cost.rst",
            category="Summary",
        ),
        png=layout.at(layout.FIGURE, name="cost", suffix="png"),
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
            layout.at(layout.FIGURE, name="buckets", suffix="svg"),
            caption="../report/buckets.rst",
            category="Summary",
        ),
        png=layout.at(layout.FIGURE, name="buckets", suffix="png"),
    params:
        figure="buckets",
        code=versions.SUMMARY,
    log:
        "logs/plot_buckets/plot_buckets.log",
    message:
        "Plotting accuracy by bucket and mode"


use rule plot_accuracy as plot_tokens with:
    output:
        svg=report(
            layout.at(layout.FIGURE, name="tokens", suffix="svg"),
            caption="../report/tokens.rst",
            category="Summary",
        ),
        png=layout.at(layout.FIGURE, name="tokens", suffix="png"),
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
            layout.at(layout.FIGURE, name="complexity", suffix="svg"),
            caption="../report/complexity.rst",
            category="Complexity",
        ),
        png=layout.at(layout.FIGURE, name="complexity", suffix="png"),
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
