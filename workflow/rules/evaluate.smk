rule select_epoch:
    input:
        item_table=layout.ITEMS,
        model=ancient(layout.MODEL),
    output:
        layout.SELECTION,
    params:
        prompt=CONFIG.prompts[CONFIG.prompt].plain(),
        mode=trained_mode,
        evaluation=CONFIG.evaluation.plain(),
        engine=resolve.compute_of(CONFIG),
        seed=CONFIG.seed,
        code=versions.EVALUATION,
    log:
        "logs/select_epoch/{dataset}.{student}.{digest}.log",
    benchmark:
        "benchmarks/jobs/select_epoch/{dataset}.{student}.{digest}.tsv"
    threads: CONFIG.engine.threads
    resources:
        **MODEL_JOB,
    message:
        "Choosing the best epoch of {CAFT_MODEL:{wildcards.digest}} on the validation split"
    script:
        "../scripts/select_epoch.py"


rule evaluate_model:
    input:
        item_table=layout.ITEMS,
        model=evaluated_model,
        chosen=chosen_epoch,
    output:
        predictions=layout.sharded(layout.PREDICTIONS),
        run=layout.run_of(layout.sharded(layout.PREDICTIONS)),
    params:
        **MEASURED,
        prompt=CONFIG.prompts[CONFIG.prompt].plain(),
        evaluation=CONFIG.evaluation.plain(),
        split=CONFIG.run.split,
        engine=resolve.compute_of(CONFIG),
        seed=CONFIG.seed,
        code=versions.EVALUATION,
    log:
        "logs/evaluate_model/{dataset}.{student}.{model}.{mode}{shard}.log",
    benchmark:
        "benchmarks/jobs/evaluate_model/{dataset}.{student}.{model}.{mode}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("evaluation"),
    threads: CONFIG.engine.threads
    resources:
        **MODEL_JOB,
    message:
        "Asking {CAFT_MODEL:{wildcards.model}} about {wildcards.dataset} ({wildcards.mode})"
    script:
        "../scripts/evaluate_model.py"
