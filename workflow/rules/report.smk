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
        answering=report(
            layout.ANSWERING,
            caption="../report/answering_table.rst",
            category="Summary",
        ),
        complexity=report(
            layout.COMPLEXITY,
            caption="../report/complexity_table.rst",
            category="Complexity",
        ),
        thresholds=report(
            layout.THRESHOLDS,
            caption="../report/thresholds.rst",
            category="Complexity",
        ),
        models=layout.MODEL_INDEX,
        provenance=layout.PROVENANCE,
    params:
        config=CONFIG.plain(),
        code=versions.SUMMARY,
    log:
        "logs/summarize/summarize.log",
    message:
        "Comparing the strategies"
    script:
        "../scripts/summarize.py"


rule write_overview:
    input:
        FIRST_PLANS,
        unpack(overview_inputs),
    output:
        report(layout.OVERVIEW, caption="../report/overview.rst", category="Answer"),
    params:
        titles=[picture["title"] for picture in PICTURES],
        captions=[picture["caption"] for picture in PICTURES],
        code=versions.OVERVIEW,
    log:
        "logs/write_overview/write_overview.log",
    message:
        "Writing the answer on one page"
    script:
        "../scripts/write_overview.py"


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


# plot_accuracy, plot_cost …: what each is, it says in its file.
for drawn, figure in FIGURES.items():

    rule:
        name:
            f"plot_{drawn}"
        input:
            figure.table,
        output:
            svg=report(
                layout.at(layout.FIGURE, name=drawn, suffix="svg"),
                caption=f"../report/{figure.caption}",
                category=figure.category,
            ),
            png=layout.at(layout.FIGURE, name=drawn, suffix="png"),
        params:
            figure=drawn,
            code=versions.SUMMARY,
        log:
            f"logs/plot_{drawn}/plot_{drawn}.log",
        localrule: True
        message:
            figure.message
        script:
            "../scripts/plot_summary.py"


rule plot_complexity:
    input:
        scores=plotted_scores,
        buckets=plotted_buckets,
    output:
        svg=report(
            layout.at(layout.FIGURE, name="complexity", suffix="svg"),
            caption="../report/complexity.rst",
            category="Complexity",
        ),
        png=layout.at(layout.FIGURE, name="complexity", suffix="png"),
    params:
        titles=[f"{dataset}, {student}" for dataset in DATASETS for student in STUDENTS],
        metric=resolve.plotted_metric(CONFIG),
        trained=plotted_by_stage(),
        seed=CONFIG.seed,
        code=versions.SUMMARY,
    log:
        "logs/plot_complexity/plot_complexity.log",
    message:
        "Plotting complexity of right and wrong answers"
    script:
        "../scripts/plot_complexity.py"
