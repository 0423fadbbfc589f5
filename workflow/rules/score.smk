rule warm_up_student:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
    output:
        layout.WARM_UP,
    params:
        warm_up=lambda wildcards: config["students"][wildcards.student]["warm_up"],
        prompt=lambda wildcards: config["prompts"][wildcards.prompt],
        recipe=settings.warm_up_recipe(config),
        engine=settings.compute_of(config),
        seed=config["seed"],
        code=versions.TRAINING,
    log:
        "logs/warm_up_student/{dataset}.{student}.{prompt}.log",
    benchmark:
        "benchmarks/jobs/warm_up_student/{dataset}.{student}.{prompt}.tsv"
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
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
        prompt=lambda wildcards: config["prompts"][wildcards.prompt],
        engine=settings.compute_of(config, "token_budget"),
        seed=config["seed"],
        code=versions.SCORES,
    log:
        "logs/score_items/{dataset}.{student}.{scorer}.{prompt}{shard}.log",
    benchmark:
        "benchmarks/jobs/score_items/{dataset}.{student}.{scorer}.{prompt}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("scores"),
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
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
        prompt=lambda wildcards: config["prompts"][wildcards.prompt],
        evaluation=CHAIN_SETTINGS,
        engine=settings.compute_of(config),
        seed=config["seed"],
        code=versions.GENERATIONS,
    log:
        "logs/generate_chains/{dataset}.{student}.{scorer}.{prompt}{shard}.log",
    benchmark:
        "benchmarks/jobs/generate_chains/{dataset}.{student}.{scorer}.{prompt}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("generations"),
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
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
        prompt=lambda wildcards: config["prompts"][wildcards.prompt],
        engine=settings.compute_of(config),
        seed=config["seed"],
        code=versions.LIKELIHOODS,
    log:
        "logs/measure_likelihoods/{dataset}.{student}.{scorer}.{prompt}{shard}.log",
    benchmark:
        "benchmarks/jobs/measure_likelihoods/{dataset}.{student}.{scorer}.{prompt}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("generations"),
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
    message:
        "Measuring the targets of {wildcards.dataset} with {wildcards.student}, {wildcards.scorer}"
    script:
        "../scripts/measure_likelihoods.py"


rule sample_chains:
    input:
        item_table=layout.ITEMS,
        student=layout.STUDENT,
        trained=scoring_model,
    output:
        table=layout.sharded(layout.SAMPLES),
        run=layout.run_of(layout.sharded(layout.SAMPLES)),
    params:
        prompt=lambda wildcards: config["prompts"][metric_slice(wildcards)["prompt"]],
        evaluation=CHAIN_SETTINGS,
        sampling=lambda wildcards: settings.sampling_of(config, wildcards.metric),
        engine=settings.compute_of(config),
        seed=config["seed"],
        code=versions.GENERATIONS,
    log:
        "logs/sample_chains/{dataset}.{student}.{scorer}.{metric}{shard}.log",
    benchmark:
        "benchmarks/jobs/sample_chains/{dataset}.{student}.{scorer}.{metric}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("generations"),
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
    message:
        "Drawing chains of thought for {wildcards.dataset} with {wildcards.student}, {wildcards.scorer}"
    script:
        "../scripts/generate_chains.py"


rule compute_metric:
    input:
        item_table=layout.ITEMS,
        source=metric_inputs,
    output:
        metrics=layout.METRICS,
        report=layout.METRICS_REPORT,
        problems=layout.UNUSED_VALUES,
    params:
        metric=metric_slice,
        code=versions.METRICS,
    log:
        "logs/compute_metric/{dataset}.{student}.{metric}.log",
    message:
        "Computing {wildcards.metric} of {wildcards.dataset} for {wildcards.student}"
    script:
        "../scripts/compute_metric.py"
