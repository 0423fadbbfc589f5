rule assign_buckets:
    input:
        metrics=bucket_metric,
        priced=priced_items,
    output:
        buckets=layout.BUCKETS,
        report=layout.BUCKETS_REPORT,
    params:
        buckets=lambda wildcards: CONFIG.buckets[wildcards.buckets].plain(),
        decimals=lambda wildcards: resolve.decimals_of(CONFIG, wildcards.buckets),
        purchase=lambda wildcards: resolve.purchase_of(CONFIG, wildcards.buckets),
        seed=CONFIG.seed,
        code=versions.BUCKETS,
    log:
        "logs/assign_buckets/{dataset}.{student}.{buckets}.log",
    message:
        "Dividing {wildcards.dataset} into buckets"
    script:
        "../scripts/assign_buckets.py"
