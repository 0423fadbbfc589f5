# Beside its declared plan the job writes the mixtures and the specifications of the models to make, under names
# that are hashes of their content: models have no input edge from a table that is merely written again.
checkpoint build_mixtures:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
        buckets=bucket_tables,
        rationales=rationale_tables,
        warm_up=warm_up_start,
    output:
        plan=layout.PLAN,
        index=layout.PLAN_INDEX,
        over_long=layout.OVER_LONG,
    params:
        strategies=lambda wildcards: plain(planned_strategies(wildcards)),
        prompt=CONFIG.prompts[CONFIG.prompt].plain(),
        seed=CONFIG.seed,
        seeds=CONFIG.run.seeds,
        precision=CONFIG.engine.precision,
        code=versions.MIXTURES,
        training_code=versions.TRAINING,
        short_training_code=versions.SHORT_TRAINING,
    log:
        "logs/build_mixtures/{dataset}.{student}.{round}.log",
    message:
        "Building the training mixtures of {wildcards.dataset} for {wildcards.student}"
    script:
        "../scripts/build_mixtures.py"


rule show_mixtures:
    input:
        plan=layout.PLAN,
        student=layout.STUDENT,
    output:
        report(layout.SAMPLES_PAGE, caption="../report/samples.rst", category="Training"),
    params:
        title=lambda wildcards: f"{wildcards.dataset}, {wildcards.student}, round {wildcards.round}",
        code=versions.SAMPLES_PAGE,
    log:
        "logs/show_mixtures/{dataset}.{student}.{round}.log",
    priority: 1  # people look at it before the training starts
    message:
        "Showing what {wildcards.student} trains on in {wildcards.dataset}"
    script:
        "../scripts/show_mixtures.py"
