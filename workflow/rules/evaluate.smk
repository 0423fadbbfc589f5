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
        engine=resolve.compute_of(CONFIG, "vllm"),
        seed=CONFIG.seed,
        code=versions.EVALUATION,
    log:
        "logs/select_epoch/{dataset}.{student}.{digest}.log",
    benchmark:
        "benchmarks/jobs/select_epoch/{dataset}.{student}.{digest}.tsv"
    threads: EVALUATION.threads
    resources:
        **EVALUATION.resources,
    message:
        "Choosing the best epoch of {CAFT_MODEL:{wildcards.digest}} on the validation split"
    script:
        "../scripts/select_epoch.py"


# With vLLM, whose start takes a minute or two, one job makes the answers of all models and modes of a student; the
# jobs of `evaluate_model` find them, and start an engine for models with weights of their own alone.
if ONE_ENGINE:

    rule answer_student:
        input:
            item_table=layout.ITEMS,
            student=layout.STUDENT,
            models=lambda wildcards: ancient(final_records(wildcards)),
            chosen=chosen_epochs_of_pair,
        output:
            layout.ANSWERED,
        params:
            models=lambda wildcards: final_models(wildcards.dataset, wildcards.student),
            views=VIEWS,
            prompt=CONFIG.prompts[CONFIG.prompt].plain(),
            evaluation=CONFIG.evaluation.plain(),
            split=CONFIG.run.split,
            engine=resolve.compute_of(CONFIG, "vllm"),
            seed=CONFIG.seed,
            code=versions.EVALUATION,
        log:
            "logs/answer_student/{dataset}.{student}.log",
        benchmark:
            "benchmarks/jobs/answer_student/{dataset}.{student}.tsv"
        threads: EVALUATION.threads
        resources:
            **EVALUATION.resources,
        message:
            "Asking {wildcards.student} and its models about {wildcards.dataset}"
        script:
            "../scripts/answer_student.py"


rule evaluate_model:
    input:
        item_table=layout.ITEMS,
        model=evaluated_model,
        chosen=chosen_epoch,
        answered=layout.ANSWERED if ONE_ENGINE else [],
    output:
        predictions=layout.sharded(layout.PREDICTIONS),
        run=layout.run_of(layout.sharded(layout.PREDICTIONS)),
    params:
        **MEASURED,
        prompt=CONFIG.prompts[CONFIG.prompt].plain(),
        evaluation=CONFIG.evaluation.plain(),
        split=CONFIG.run.split,
        engine=resolve.compute_of(CONFIG, "vllm"),
        seed=CONFIG.seed,
        code=versions.EVALUATION,
    log:
        "logs/evaluate_model/{dataset}.{student}.{model}.{mode}{shard}.log",
    benchmark:
        "benchmarks/jobs/evaluate_model/{dataset}.{student}.{model}.{mode}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("evaluation"),
    threads: EVALUATION.threads
    resources:
        **EVALUATION.resources,
    message:
        "Asking {CAFT_MODEL:{wildcards.model}} about {wildcards.dataset} ({wildcards.mode})"
    script:
        "../scripts/evaluate_model.py"
