rule warm_up_student:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
    output:
        layout.WARM_UP,
    params:
        warm_up=lambda wildcards: CONFIG.students[wildcards.student].warm_up.plain(),
        prompt=lambda wildcards: CONFIG.prompts[wildcards.prompt].plain(),
        recipe=resolve.warm_up_recipe(CONFIG).plain(),
        engine=resolve.compute_of(CONFIG),
        seed=CONFIG.seed,
        code=versions.TRAINING,
        short_code=versions.SHORT_TRAINING,
    log:
        "logs/warm_up_student/{dataset}.{student}.{prompt}.log",
    benchmark:
        "benchmarks/jobs/warm_up_student/{dataset}.{student}.{prompt}.tsv"
    threads: TRAINING.threads
    resources:
        **TRAINING.resources,
    message:
        "Warming up {wildcards.student} on {wildcards.dataset}"
    script:
        "../scripts/warm_up_student.py"


rule score_items:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
        trained=scoring_model,
    output:
        table=layout.sharded(layout.SCORES),
        run=layout.run_of(layout.sharded(layout.SCORES)),
    params:
        prompt=lambda wildcards: CONFIG.prompts[wildcards.prompt].plain(),
        engine=resolve.compute_of(CONFIG, "token_budget"),
        seed=CONFIG.seed,
        code=versions.SCORES,
    log:
        "logs/score_items/{dataset}.{student}.{scorer}.{prompt}{shard}.log",
    benchmark:
        "benchmarks/jobs/score_items/{dataset}.{student}.{scorer}.{prompt}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("scores"),
    threads: SCORING.threads
    resources:
        **SCORING.resources,
    message:
        "Scoring {wildcards.dataset} with {wildcards.student}, {wildcards.scorer}"
    script:
        "../scripts/score_items.py"


rule generate_chains:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
        trained=scoring_model,
    output:
        table=layout.sharded(layout.GENERATIONS),
        run=layout.run_of(layout.sharded(layout.GENERATIONS)),
    params:
        prompt=lambda wildcards: CONFIG.prompts[wildcards.prompt].plain(),
        evaluation=CHAIN_SETTINGS,
        engine=resolve.compute_of(CONFIG),
        seed=CONFIG.seed,
        code=versions.GENERATIONS,
    log:
        "logs/generate_chains/{dataset}.{student}.{scorer}.{prompt}{shard}.log",
    benchmark:
        "benchmarks/jobs/generate_chains/{dataset}.{student}.{scorer}.{prompt}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("generations"),
    threads: SCORING.threads
    resources:
        **SCORING.resources,
    message:
        "Thinking through {wildcards.dataset} with {wildcards.student}, {wildcards.scorer}"
    script:
        "../scripts/generate_chains.py"


rule measure_likelihoods:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
        trained=scoring_model,
    output:
        table=layout.sharded(layout.LIKELIHOODS),
        run=layout.run_of(layout.sharded(layout.LIKELIHOODS)),
    params:
        prompt=lambda wildcards: CONFIG.prompts[wildcards.prompt].plain(),
        engine=resolve.compute_of(CONFIG),
        seed=CONFIG.seed,
        code=versions.LIKELIHOODS,
    log:
        "logs/measure_likelihoods/{dataset}.{student}.{scorer}.{prompt}{shard}.log",
    benchmark:
        "benchmarks/jobs/measure_likelihoods/{dataset}.{student}.{scorer}.{prompt}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("generations"),
    threads: SCORING.threads
    resources:
        **SCORING.resources,
    message:
        "Measuring the targets of {wildcards.dataset} with {wildcards.student}, {wildcards.scorer}"
    script:
        "../scripts/measure_likelihoods.py"


use rule generate_chains as sample_chains with:
    output:
        table=layout.sharded(layout.SAMPLES),
        run=layout.run_of(layout.sharded(layout.SAMPLES)),
    params:
        **WRITER,
        prompt=lambda wildcards: CONFIG.prompts[metric_slice(wildcards).prompt].plain(),
        evaluation=CHAIN_SETTINGS,
        sampling=lambda wildcards: resolve.sampling_of(CONFIG, wildcards.metric),
        engine=WRITING_ENGINE,
        seed=CONFIG.seed,
        code=versions.SAMPLES,
    log:
        "logs/sample_chains/{dataset}.{student}.{scorer}.{metric}{shard}.log",
    benchmark:
        "benchmarks/jobs/sample_chains/{dataset}.{student}.{scorer}.{metric}{shard}.tsv"
    message:
        "Drawing chains of thought for {wildcards.dataset} with {wildcards.student}, {wildcards.scorer}"


rule compute_metric:
    input:
        item_table=layout.ITEMS,
        source=metric_inputs,
    output:
        metrics=layout.METRICS,
        report=layout.METRICS_REPORT,
        problems=layout.UNUSED_VALUES,
    params:
        metric=lambda wildcards: metric_slice(wildcards).plain(),
        files=lambda wildcards: fingerprints(imported_files(wildcards)),
        code=versions.METRICS,
    log:
        "logs/compute_metric/{dataset}.{student}.{metric}.log",
    message:
        "Computing {wildcards.metric} of {wildcards.dataset} for {wildcards.student}"
    script:
        "../scripts/compute_metric.py"
