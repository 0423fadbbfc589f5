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


# plot_accuracy, plot_cost …: what each is, it says in its file.
for drawn, figure in FIGURES.items():

    rule:
        name:
            f"plot_{drawn}"
        input:
            "results/summary.csv",
        output:
            svg=report(
                f"results/figures/{drawn}.svg",
                caption=f"../report/{figure.caption}",
                category=figure.category,
            ),
            png=f"results/figures/{drawn}.png",
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
