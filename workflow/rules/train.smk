rule train_stage:
    input:
        # The digest in the name already stands for their content.
        ancient(stage_inputs),
    output:
        layout.MODEL,
    params:
        **CONFIG.training.plain("checkpoint_folder"),
        spec=layout.PLANNED_STAGE,
        engine=resolve.compute_of(CONFIG),
        launcher=CONFIG.training.launcher,
        checkpoint_minutes=CONFIG.training.checkpoint_minutes,
        # No parameter where there is none, so that no training job of before runs again.
        report_to=CONFIG.training.report_to,
    log:
        "logs/train_stage/{digest}.log",
    benchmark:
        "benchmarks/jobs/train_stage/{digest}.tsv"
    priority: lambda wildcards: log1p(plans.tokens_ahead(wildcards.digest))
    threads: TRAINING.threads
    resources:
        **TRAINING.resources,
    message:
        "Training {CAFT_MODEL:{wildcards.digest}}"
    script:
        "../scripts/train_stage.py"


rule report_training:
    input:
        plans=expand(layout.PLAN, round=ROUNDS, allow_missing=True),
        models=models_of_pair,
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
    params:
        code=versions.SUMMARY,
    log:
        "logs/report_training/{dataset}.{student}.log",
    message:
        "Showing how the losses of {wildcards.student} on {wildcards.dataset} fell"
    script:
        "../scripts/report_training.py"
