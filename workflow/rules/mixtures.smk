def rationale_tables(wildcards):
    folder = f"data/rationales/{wildcards.dataset}/{wildcards.student}"
    return [f"{folder}/{teacher}.parquet" for teacher in settings.teachers_used(config)]


def bucket_tables(wildcards):
    folder = f"data/buckets/{wildcards.dataset}/{wildcards.student}"
    return [f"{folder}/{name}.parquet" for name in settings.buckets_used(config)]


def strategy_slices(wildcards):
    """Each strategy of the run with what it resolves to: teacher, fallback policy and training recipe."""
    return {
        name: {
            **strategy,
            "recipe": settings.recipe_of(config, strategy),
            "teacher": settings.teacher_of(config, strategy) if mixtures.needs_rationales(strategy) else None,
            "fallback": (
                config["teachers"][settings.teacher_of(config, strategy)]["fallback"]
                if mixtures.needs_rationales(strategy)
                else "drop"
            ),
        }
        for name, strategy in STRATEGIES.items()
    }


def warm_up_start(wildcards):
    """The warm-up model, where a strategy starts from it."""
    if all(strategy["start"] == "student" for strategy in STRATEGIES.values()):
        return []
    return f"data/warm_up/{wildcards.dataset}/{wildcards.student}/{config['prompt']}/model.json"


# Beside its declared plan the job writes the mixtures and the specifications of the models to make, under names
# that are hashes of their content: models have no input edge from a table that is merely written again.
checkpoint build_mixtures:
    input:
        item_table="data/items/{dataset}.parquet",
        student="data/models/{student}/student.json",
        buckets=bucket_tables,
        rationales=rationale_tables,
        warm_up=warm_up_start,
    output:
        plan="data/mixtures/{dataset}/{student}/plan.json",
        index="data/mixtures/{dataset}/{student}/index.csv",
        over_long="data/quarantine/mixtures/{dataset}/{student}.csv",
    params:
        strategies=strategy_slices,
        prompt=config["prompts"][config["prompt"]],
        seed=config["seed"],
        code=versions.MIXTURES,
        training_code=versions.TRAINING,
        folder="data/mixtures",
    log:
        "logs/build_mixtures/{dataset}.{student}.log",
    message:
        "Building the training mixtures of {wildcards.dataset} for {wildcards.student}"
    script:
        "../scripts/build_mixtures.py"
