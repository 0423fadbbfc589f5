# Input functions and slices of the config that several rules share.
ANALYSIS_TABLES = [
    "metric_quality",
    "metric_correlation",
    "bucket_composition",
    "bucket_accuracy",
    "complexity_accuracy",
    "calibration",
]
ANALYSIS_FIGURES = [
    "distributions",
    "roc",
    "category_auc",
    "correlation",
    "complexity_accuracy",
    "calibration",
]


def model_resources(wildcards, attempt):
    """Memory of a model job, more with every retry of the profile."""
    return config["engine"]["mem_mb"] * attempt


def model_runtime(wildcards, attempt):
    """Minutes of a model job, more with every retry of the profile."""
    return config["engine"]["runtime"] * attempt


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
        *(["results/figures/complexity.svg"] if settings.plotted_metric(config) else []),
        "results/tables/teacher_spend.csv",
        "results/tables/teacher_acceptance.csv",
    ]


def scoring_model(wildcards):
    """The record of the model that scores; none for the untuned student."""
    if wildcards.scorer == "base":
        return []
    if wildcards.scorer == "warm_up":
        # Drawn chains are named by their metric, which knows the prompt.
        prompt = wildcards.get("prompt") or metric_slice(wildcards)["prompt"]
        return f"data/warm_up/{wildcards.dataset}/{wildcards.student}/{prompt}/model.json"
    strategy, stage = wildcards.scorer.split(".")
    stages = plan(wildcards.dataset, wildcards.student)[strategy]["stages"]
    return ancient(f"results/models/{stages[int(stage) - 1]['model']}/model.json")


def metric_source(dataset, student, metric):
    """The table that a metric is computed from; an imported one comes from the user's own file."""
    if table := settings.metric_table(config, dataset, student, metric):
        return str(table)
    spec = settings.metric_of(config, metric)
    return {
        "judgements": f"data/judgements/{dataset}/{spec.get('judge')}.parquet",
        "topk": f"data/topk/{dataset}/{metric}.parquet",
        "imported": spec.get("path"),
    }[settings.source_of(config, metric)]


def metric_inputs(wildcards):
    return metric_source(wildcards.dataset, wildcards.student, wildcards.metric)


def metric_slice(wildcards):
    return settings.metric_of(config, wildcards.metric)


def bucket_metric(wildcards):
    metric = config["buckets"][wildcards.buckets]["metric"]
    return f"data/metrics/{wildcards.dataset}/{wildcards.student}/{metric}.parquet"


def priced_items(wildcards):
    """Items and student, where a budget draws the threshold: prompts are counted then."""
    if not config["buckets"][wildcards.buckets].get("hard"):
        return []
    return ["data/items/{dataset}.parquet", "data/models/{student}/student.json"]


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


def every_pair(pattern, names):
    """Expand a pattern for each data set, student and name."""
    return expand(pattern, dataset=DATASETS, student=STUDENTS, name=names)


def all_buckets(wildcards):
    return every_pair(
        "data/buckets/{dataset}/{student}/{name}.parquet", settings.buckets_used(config)
    )


def all_rationales(wildcards):
    return every_pair(
        "data/rationales/{dataset}/{student}/{name}.parquet", settings.teachers_used(config)
    )


def bucket_scores(wildcards):
    """What the metrics of this run's buckets are computed from."""
    return [
        metric_source(dataset, student, metric)
        for dataset in DATASETS
        for student in STUDENTS
        for metric in settings.metrics_used(config)
        if settings.source_of(config, metric) != "imported"
    ]


def plotted_scores(wildcards):
    metric = config["buckets"][settings.buckets_used(config)[0]]["metric"]
    return [metric_source(dataset, student, metric) for dataset in DATASETS for student in STUDENTS]


def analysed_tables(wildcards):
    """The metrics tables of one data set and student, in the order of the config."""
    return [
        f"data/metrics/{wildcards.dataset}/{wildcards.student}/{metric}.parquet"
        for metric in settings.metrics_analysed(config)
    ]


def outcome_table(wildcards):
    """What says which items are wrong: the student's own answers, or an imported column."""
    outcome = config["analysis"]["outcome"]
    if settings.source_of(config, outcome) == "imported":
        return f"data/metrics/{wildcards.dataset}/{wildcards.student}/{outcome}.parquet"
    return metric_source(wildcards.dataset, wildcards.student, outcome)


def analysed_buckets(wildcards):
    name = settings.buckets_used(config)[0]
    return f"data/buckets/{wildcards.dataset}/{wildcards.student}/{name}.parquet"


def summary_inputs(wildcards):
    """Everything the summary is made of: predictions, and what tells the costs."""
    return [
        *all_predictions(wildcards),
        *all_models(wildcards),
        *bucket_scores(wildcards),
        "results/tables/teacher_spend.csv",
        *all_buckets(wildcards),
        *all_rationales(wildcards),
    ]


def store_state(wildcards):
    """Names and sizes of the stored files: a plan is made again when there are other answers."""
    files = [path for path in Path(STORE).glob("*/*") if path.is_file()]
    return sorted(f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in files)
