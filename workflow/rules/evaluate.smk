rule evaluate_model:
    input:
        item_table="data/items/{dataset}.parquet",
        model=evaluated_model,
    output:
        predictions="results/predictions/{dataset}/{student}/{model}.{mode}{shard}.parquet",
        run="results/predictions/{dataset}/{student}/{model}.{mode}{shard}.run.json",
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
