rule train_stage:
    input:
        # The digest in the name already stands for their content.
        ancient(stage_inputs),
    output:
        layout.MODEL,
    params:
        spec=layout.PLANNED_STAGE,
        engine=resolve.compute_of(CONFIG),
        launcher=CONFIG.training.launcher,
        checkpoint_minutes=CONFIG.training.checkpoint_minutes,
    log:
        "logs/train_stage/{digest}.log",
    benchmark:
        "benchmarks/jobs/train_stage/{digest}.tsv"
    threads: CONFIG.engine.threads
    resources:
        **MODEL_JOB,
    message:
        "Training {CAFT_MODEL:{wildcards.digest}}"
    script:
        "../scripts/train_stage.py"


rule report_training:
    input:
        plans=expand(layout.PLAN, round=ROUNDS, allow_missing=True),
        models=models_of_pair,
        student=layout.STUDENT,
    output:
        losses=report(
            layout.LOSSES,
            caption="../report/losses.rst",
            category="Training",
        ),
        svg=report(
            layout.LOSSES_SVG,
            caption="../report/losses.rst",
            category="Training",
        ),
        png=layout.LOSSES_PNG,
        samples=report(
            layout.TRAINING_SAMPLES,
            caption="../report/samples.rst",
            category="Training",
        ),
    params:
        code=versions.SUMMARY,
    log:
        "logs/report_training/{dataset}.{student}.log",
    message:
        "Showing what {wildcards.student} trained on and how the losses fell"
    script:
        "../scripts/report_training.py"
