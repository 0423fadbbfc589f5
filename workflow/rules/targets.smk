# What can be asked for by name. Everything behind the mixtures goes through the checkpoint, rule all too:
# a bucket change that moves no item then runs nothing else.


# Light work stays on the machine that runs Snakemake, a cluster's login node.
localrules:
    all,
    data,
    scores,
    buckets,
    rationales,
    compute_metric,
    assign_buckets,
    build_mixtures,
    teacher_plan,
    plan_teacher,
    tabulate_teacher,
    mixtures,
    models,
    predictions,
    summary,
    summarize,
    tabulate_summary,
    plot_complexity,
    report_training,
    analysis,
    analyse_metrics,
    plot_analysis,


rule data:
    input:
        expand("data/items/{dataset}.parquet", dataset=DATASETS),


rule scores:
    input:
        bucket_scores,


rule buckets:
    input:
        all_buckets,


rule rationales:
    input:
        all_rationales,


rule teacher_plan:
    input:
        "results/tables/teacher_plan.csv",


rule mixtures:
    input:
        expand(
            "data/mixtures/{dataset}/{student}/{round}/plan.json",
            dataset=DATASETS,
            student=STUDENTS,
            round=ROUNDS,
        ),


rule models:
    input:
        FIRST_PLANS,
        all_models,


rule predictions:
    input:
        FIRST_PLANS,
        all_predictions,


rule summary:
    input:
        FIRST_PLANS,
        all_results,


rule analysis:
    input:
        expand(
            "results/analysis/{dataset}/{student}/metric_quality.csv",
            dataset=DATASETS,
            student=STUDENTS,
        ),
        expand(
            "results/analysis/{dataset}/{student}/{figure}.svg",
            dataset=DATASETS,
            student=STUDENTS,
            figure=ANALYSIS_FIGURES,
        ),
