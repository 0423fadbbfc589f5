rule prepare_student:
    input:
        student_files,
    output:
        "data/models/{student}/student.json",
    params:
        student=student_slice,
        downloads="data/downloads",
        code=versions.MODELS,
    log:
        "logs/prepare_student/{student}.log",
    benchmark:
        "benchmarks/jobs/prepare_student/{student}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
    message:
        "Preparing student {wildcards.student}"
    script:
        "../scripts/prepare_student.py"


rule ingest_items:
    input:
        dataset_files,
    output:
        item_table="data/items/{dataset}.parquet",
        quarantine="data/quarantine/items/{dataset}.parquet",
        report="data/items/{dataset}.report.json",
    params:
        dataset=lambda wildcards: config["datasets"][wildcards.dataset],
        seed=config["seed"],
        downloads="data/downloads",
        code=versions.ITEMS,
    log:
        "logs/ingest_items/{dataset}.log",
    message:
        "Reading question set {wildcards.dataset}"
    script:
        "../scripts/ingest_items.py"
