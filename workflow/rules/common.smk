# Input functions and slices of the config that several rules share.


def model_resources(wildcards, attempt):
    """Memory of a model job, more with every retry of the profile."""
    return config["engine"]["mem_mb"] * attempt


def student_slice(wildcards):
    """A student's source, without the warm-up: changing that does not fetch the model again."""
    spec = config["students"][wildcards.student]
    return {key: value for key, value in spec.items() if key != "warm_up"}


def student_files(wildcards):
    """A local student's weights and config, so that a changed model is noticed."""
    folder = config["students"][wildcards.student].get("path")
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file()) if folder else []


def dataset_files(wildcards):
    """The files behind a data set, so that a changed file is noticed."""
    spec = config["datasets"][wildcards.dataset]
    if spec["adapter"] != "file":
        return []
    return [spec["path"], *([spec["rationales"]["path"]] if "rationales" in spec else [])]


def plan(dataset, student):
    """The models of a data set and student, read once the mixtures are known."""
    from caft.files import read_json

    return read_json(checkpoints.build_mixtures.get(dataset=dataset, student=student).output[0])


def planned_models(dataset, student):
    """Digests of all stages' models, in training order, without repeats."""
    stages = [stage for strategy in plan(dataset, student).values() for stage in strategy["stages"]]
    return list(dict.fromkeys(stage["model"] for stage in stages))


def final_models(dataset, student):
    """What is evaluated: the last model of each strategy, `base` for the untuned student."""
    return list(dict.fromkeys(strategy["final"] for strategy in plan(dataset, student).values()))


def every(pattern, function):
    """Expand a pattern with what a function returns for each data set and student."""
    return [
        pattern.format(dataset=dataset, student=student, name=name)
        for dataset in DATASETS
        for student in STUDENTS
        for name in function(dataset, student)
    ]


def all_predictions(wildcards):
    return [
        f"results/predictions/{dataset}/{student}/{model}.{mode}.parquet"
        for dataset in DATASETS
        for student in STUDENTS
        for model in final_models(dataset, student)
        for mode in MODES
    ]


def all_models(wildcards):
    return every("results/models/{name}/model.json", planned_models)


def all_results(wildcards):
    all_models(wildcards)
    return [
        "results/summary.csv",
        "results/provenance.json",
        "results/figures/accuracy.svg",
        "results/figures/complexity.svg",
    ]


def warm_up_model(wildcards):
    """The warm-up model that a weak student is scored with, where the config asks for one."""
    if not config["students"][wildcards.student]["warm_up"]:
        return []
    return "data/warm_up/{dataset}/{student}/{prompt}/model.json"


def bucket_scores(wildcards):
    prompt = config["buckets"][wildcards.buckets]["prompt"]
    return f"data/scores/{wildcards.dataset}/{wildcards.student}/{prompt}.parquet"


def buckets_of_teacher(wildcards):
    strategies = settings.strategies_of_teacher(config, wildcards.teacher)
    names = sorted({strategy["buckets"] for strategy in strategies.values()})
    return [
        f"data/buckets/{wildcards.dataset}/{wildcards.student}/{name}.parquet" for name in names
    ]


def rationale_tables(wildcards):
    folder = f"data/rationales/{wildcards.dataset}/{wildcards.student}"
    return [f"{folder}/{teacher}.parquet" for teacher in settings.teachers_used(config)]


def bucket_tables(wildcards):
    folder = f"data/buckets/{wildcards.dataset}/{wildcards.student}"
    return [f"{folder}/{name}.parquet" for name in settings.buckets_used(config)]


def warm_up_start(wildcards):
    """The warm-up model, where a strategy starts from it."""
    if all(strategy["start"] == "student" for strategy in STRATEGIES.values()):
        return []
    return f"data/warm_up/{wildcards.dataset}/{wildcards.student}/{config['prompt']}/model.json"


def stage_inputs(wildcards):
    """The student and, for a later stage, the model it goes on from."""
    from caft.files import read_json

    spec = read_json(f"data/mixtures/stages/{wildcards.digest}.json")
    return [spec["student_file"], *([spec["parent_file"]] if spec["parent_file"] else [])]


def evaluated_model(wildcards):
    """The trained model's record, whose name stands for its content; for `base` the student itself."""
    if wildcards.model == "base":
        return f"data/models/{wildcards.student}/student.json"
    return ancient(f"results/models/{wildcards.model}/model.json")


def summary_inputs(wildcards):
    """Everything the summary is made of: predictions, and what tells the costs."""
    pairs = [f"{dataset}/{student}" for dataset in DATASETS for student in STUDENTS]
    prompts = settings.prompts_used(config)
    return [
        *all_predictions(wildcards),
        *all_models(wildcards),
        *[f"data/scores/{pair}/{prompt}.parquet" for pair in pairs for prompt in prompts],
        *[
            f"data/buckets/{pair}/{name}.parquet"
            for pair in pairs
            for name in settings.buckets_used(config)
        ],
        *[
            f"data/rationales/{pair}/{name}.parquet"
            for pair in pairs
            for name in settings.teachers_used(config)
        ],
    ]
