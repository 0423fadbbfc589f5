# What can be asked for by name. Everything behind the mixtures goes through the checkpoint, rule all too:
# a bucket change that moves no item then runs nothing else.


# Light work stays on the machine that runs Snakemake, a cluster's login node.
localrules:
    all,
    downloads,
    data,
    scores,
    buckets,
    rationales,
    compute_metric,
    assign_buckets,
    build_mixtures,
    plan,
    plan_run,
    show_mixtures,
    teacher_plan,
    plan_teacher,
    tabulate_teacher,
    mixtures,
    models,
    predictions,
    summary,
    summarize,
    write_overview,
    tabulate_summary,
    plot_complexity,
    report_training,
    analysis,
    analyse_metrics,
    plot_analysis,


# Everything that is fetched but a teacher's model: what runs behind it needs no network for students and questions.
rule downloads:
    input:
        expand(layout.STUDENT, student=STUDENTS),
        expand(layout.ITEMS, dataset=DATASETS),


rule data:
    input:
        expand(layout.ITEMS, dataset=DATASETS),


rule scores:
    input:
        bucket_scores,


rule buckets:
    input:
        all_buckets,


rule rationales:
    input:
        all_rationales,


rule plan:
    input:
        layout.RUN_PLAN,


rule teacher_plan:
    input:
        layout.TEACHER_PLAN,


rule mixtures:
    input:
        every_pair(layout.PLAN, round=ROUNDS),
        every_pair(layout.SAMPLES_PAGE, round=ROUNDS),


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
        every_pair(layout.ANALYSIS, name="metric_quality", suffix="csv"),
        every_pair(layout.ANALYSIS, name=ANALYSIS_FIGURES, suffix="svg"),
