# Paid answers go to data/store, which no rule declares: Snakemake deletes what a rule declares.


rule generate_rationales:
    input:
        item_table="data/items/{dataset}.parquet",
        student="data/models/{student}/student.json",
        buckets=buckets_of_teacher,
    output:
        rationales="data/rationales/{dataset}/{student}/{teacher}.parquet",
        quarantine="data/quarantine/rationales/{dataset}/{student}/{teacher}.csv",
    params:
        teacher=lambda wildcards: config["teachers"][wildcards.teacher],
        strategies=lambda wildcards: settings.strategies_of_teacher(config, wildcards.teacher),
        prompt=lambda wildcards: config["prompts"][config["teachers"][wildcards.teacher]["prompt"]],
        engine=config["engine"],
        seed=config["seed"],
        store="data/store/teacher",
        code=versions.RATIONALES,
    log:
        "logs/generate_rationales/{dataset}.{student}.{teacher}.log",
    threads: config["engine"]["threads"]
    resources:
        gpu=lambda wildcards: config["engine"]["gpus"]
        * (config["teachers"][wildcards.teacher]["provider"] == "local"),
        mem_mb=model_resources,
        runtime=config["engine"]["runtime"],
    message:
        "Collecting rationales of {wildcards.teacher} for {wildcards.dataset}"
    script:
        "../scripts/generate_rationales.py"
