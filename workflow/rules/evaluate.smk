rule select_epoch:
    input:
        item_table=layout.ITEMS,
        model=ancient(layout.MODEL),
    output:
        layout.SELECTION,
    params:
        prompt=config["prompts"][config["prompt"]],
        mode=trained_mode,
        evaluation=config["evaluation"],
        engine=settings.compute_of(config),
        seed=config["seed"],
        code=versions.EVALUATION,
    log:
        "logs/select_epoch/{dataset}.{student}.{digest}.log",
    benchmark:
        "benchmarks/jobs/select_epoch/{dataset}.{student}.{digest}.tsv"
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
    message:
        "Choosing the best epoch of model {wildcards.digest} on the validation split"
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
        prompt=config["prompts"][config["prompt"]],
        evaluation=config["evaluation"],
        split=config["run"]["split"],
        engine=settings.compute_of(config),
        seed=config["seed"],
        code=versions.EVALUATION,
    log:
        "logs/evaluate_model/{dataset}.{student}.{model}.{mode}{shard}.log",
    benchmark:
        "benchmarks/jobs/evaluate_model/{dataset}.{student}.{model}.{mode}{shard}.tsv"
    wildcard_constraints:
        shard=shard_pattern("evaluation"),
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
    message:
        "Asking model {wildcards.model} about {wildcards.dataset} ({wildcards.mode})"
    script:
        "../scripts/evaluate_model.py"
