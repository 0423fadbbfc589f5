rule train_stage:
    input:
        # The digest in the name already stands for their content.
        ancient(stage_inputs),
    output:
        "results/models/{digest}/model.json",
    params:
        spec="data/mixtures/stages/{digest}.json",
        engine=settings.compute_of(config),
        launcher=config["training"]["launcher"],
        checkpoint_minutes=config["training"]["checkpoint_minutes"],
    log:
        "logs/train_stage/{digest}.log",
    benchmark:
        "benchmarks/jobs/train_stage/{digest}.tsv"
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=model_runtime,
    message:
        "Training model {wildcards.digest}"
    script:
        "../scripts/train_stage.py"
