rule warm_up_student:
    input:
        item_table="data/items/{dataset}.parquet",
        student="data/models/{student}/student.json",
    output:
        "data/warm_up/{dataset}/{student}/{prompt}/model.json",
    params:
        warm_up=lambda wildcards: config["students"][wildcards.student]["warm_up"],
        prompt=lambda wildcards: config["prompts"][wildcards.prompt],
        recipe=config["training"],
        engine=config["engine"],
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
        runtime=config["engine"]["runtime"],
    message:
        "Warming up {wildcards.student} on {wildcards.dataset}"
    script:
        "../scripts/warm_up_student.py"


rule score_items:
    input:
        item_table="data/items/{dataset}.parquet",
        student="data/models/{student}/student.json",
        warm_up=warm_up_model,
    output:
        scores="data/scores/{dataset}/{student}/{prompt}.parquet",
        run="data/scores/{dataset}/{student}/{prompt}.run.json",
    params:
        prompt=lambda wildcards: config["prompts"][wildcards.prompt],
        engine=config["engine"],
        seed=config["seed"],
        code=versions.SCORES,
    log:
        "logs/score_items/{dataset}.{student}.{prompt}.log",
    benchmark:
        "benchmarks/jobs/score_items/{dataset}.{student}.{prompt}.tsv"
    threads: config["engine"]["threads"]
    resources:
        gpu=config["engine"]["gpus"],
        mem_mb=model_resources,
        runtime=config["engine"]["runtime"],
    message:
        "Scoring {wildcards.dataset} with {wildcards.student}"
    script:
        "../scripts/score_items.py"
