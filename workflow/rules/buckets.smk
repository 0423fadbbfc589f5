rule assign_buckets:
    input:
        bucket_scores,
    output:
        buckets="data/buckets/{dataset}/{student}/{buckets}.parquet",
        report="data/buckets/{dataset}/{student}/{buckets}.report.json",
    params:
        buckets=lambda wildcards: config["buckets"][wildcards.buckets],
        seed=config["seed"],
        code=versions.BUCKETS,
    log:
        "logs/assign_buckets/{dataset}.{student}.{buckets}.log",
    message:
        "Dividing {wildcards.dataset} into buckets"
    script:
        "../scripts/assign_buckets.py"
