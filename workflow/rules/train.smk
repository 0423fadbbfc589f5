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


rule report_training:
    input:
        plans=expand("data/mixtures/{{dataset}}/{{student}}/{round}/plan.json", round=ROUNDS),
        models=models_of_pair,
        student="data/models/{student}/student.json",
    output:
        losses=report(
            "results/training/{dataset}/{student}/losses.csv",
            caption="../report/losses.rst",
            category="Training",
        ),
        svg=report(
            "results/training/{dataset}/{student}/losses.svg",
            caption="../report/losses.rst",
            category="Training",
        ),
        png="results/training/{dataset}/{student}/losses.png",
        samples=report(
            "results/training/{dataset}/{student}/samples.html",
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
