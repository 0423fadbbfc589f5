# Made again whenever there is more to count from. It reads what is there and waits for nothing.
rule plan_run:
    output:
        table=report(layout.RUN_PLAN, caption="../report/plan.rst", category="Plan"),
        text=layout.RUN_PLAN_TEXT,
    params:
        config=CONFIG.plain(),
        made_from=planned_from,
        code=versions.SUMMARY,
    log:
        "logs/plan_run/plan_run.log",
    message:
        "Planning the whole run"
    script:
        "../scripts/plan_run.py"


rule prepare_student:
    input:
        student_files,
    output:
        layout.STUDENT,
    params:
        student=student_slice,
        files=lambda wildcards: fingerprints(student_files(wildcards)),
        attention=CONFIG.engine.attention,
        downloads=layout.DOWNLOADS,
        thoughts=resolve.trains_on_thoughts(CONFIG),
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
        item_table=layout.ITEMS,
        quarantine=layout.REJECTED_ROWS,
        report=layout.ITEMS_REPORT,
        table=layout.ITEMS_REPORT_TABLE,
    params:
        dataset=dataset_slice,
        files=lambda wildcards: fingerprints(dataset_files(wildcards)),
        seed=CONFIG.seed,
        downloads=layout.DOWNLOADS,
        code=versions.ITEMS,
    log:
        "logs/ingest_items/{dataset}.log",
    message:
        "Reading question set {wildcards.dataset}"
    script:
        "../scripts/ingest_items.py"
