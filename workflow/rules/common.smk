# Input functions and slices of the config that several rules share.
import os
from glob import escape, glob

from caft.analysis import TABLES as ANALYSIS_TABLES
from caft.figures import ANALYSIS_FIGURES, FIGURES
from caft.report import costs
from caft.mixtures.rows import divisions

# What chains of thought depend on: which engine evaluates says nothing about them.
CHAIN_SETTINGS = {
    name: config["evaluation"][name] for name in ("max_new_tokens", "parser", "batch_size")
}


def model_resources(wildcards, attempt):
    """Memory of a model job, more with every retry of the profile."""
    return config["engine"]["mem_mb"] * attempt


def model_runtime(wildcards, attempt):
    """Minutes of a model job, more with every retry of the profile."""
    return config["engine"]["runtime"] * attempt


def asking_needs(wildcards):
    """Threads, GPUs and memory of a job that asks a judge, a teacher, or the teacher of a metric."""
    if "judge" in wildcards.keys():
        asked = config["judges"][wildcards.judge]
    else:
        asked = config["teachers"][wildcards.get("teacher") or metric_slice(wildcards)["teacher"]]
    return settings.asking_needs(config["engine"], asked["provider"])


def asking_memory(wildcards, attempt):
    return asking_needs(wildcards)["mem_mb"] * attempt


def student_slice(wildcards):
    """A student's source alone: changing its warm-up or licence does not fetch the model again."""
    spec = config["students"][wildcards.student]
    return {key: value for key, value in spec.items() if key not in ("warm_up", "license")}


def files_in(folder, pattern="*"):
    """The files of a local folder, so that a changed one is noticed; none where it is a name on the hub."""
    return sorted(filter(os.path.isfile, glob(f"{escape(folder)}/{pattern}", recursive=True)))


def student_files(wildcards):
    """A local student's weights and config."""
    folder = config["students"][wildcards.student].get("path")
    return files_in(folder) if folder else []


def asked_files(spec):
    """The weights and config of a teacher or judge that is a local folder."""
    return files_in(spec["model"]) if spec["provider"] == "local" else []


def dataset_files(wildcards):
    """The files behind a data set, so that a changed file is noticed."""
    spec = config["datasets"][wildcards.dataset]
    if spec["adapter"] == "hub":
        return files_in(spec["id"], "**")
    if spec["adapter"] != "file":
        return []
    return [spec["path"], *([spec["rationales"]["path"]] if "rationales" in spec else [])]


# Named beside what is read from them: an input function stops at the first that is missing. Not those of later
# rounds: their scores would wait for the plan of the first as for an input, and what follows would run again.
FIRST_PLANS = ancient(
    expand("data/mixtures/{dataset}/{student}/1/plan.json", dataset=DATASETS, student=STUDENTS)
)


def plan(dataset, student, numbers=ROUNDS):
    """The models of a data set and student, read once the mixtures of these rounds are known."""
    from caft.tables.files import read_json

    plans = (
        checkpoints.build_mixtures.get(dataset=dataset, student=student, round=number)
        for number in numbers
    )
    return {name: entry for made in plans for name, entry in read_json(made.output.plan).items()}


def planned_models(dataset, student):
    """Digests of all stages' models, in training order, without repeats."""
    trained = [
        seed for entry in plan(dataset, student).values() for seed in entry["seeds"].values()
    ]
    return list(dict.fromkeys(stage["model"] for seed in trained for stage in seed["stages"]))


def final_models(dataset, student):
    """What is evaluated: the last model of each strategy and seed, `base` for the untuned student."""
    entries = plan(dataset, student).values()
    finals = [seed["final"] for entry in entries for seed in entry["seeds"].values()]
    checkpoints_used = config["run"]["checkpoints"]
    return list(
        dict.fromkeys(
            views.weights_of(final, which) for final in finals for which in checkpoints_used
        )
    )


def models_at_best(dataset, student):
    """The models of which the best epoch is evaluated."""
    finals = final_models(dataset, student)
    return [name.removesuffix(views.BEST) for name in finals if name.endswith(views.BEST)]


def trained_mode(wildcards):
    """The mode that the strategy of a model was trained for."""
    entries = plan(wildcards.dataset, wildcards.student).values()
    return next(
        entry["trained_mode"]
        for entry in entries
        if any(seed["final"] == wildcards.digest for seed in entry["seeds"].values())
    )


def chosen_epoch(wildcards):
    """Which epoch of a model is the best one, where that one is evaluated."""
    if not wildcards.model.endswith(views.BEST):
        return []
    digest = wildcards.model.removesuffix(views.BEST)
    return f"results/selection/{wildcards.dataset}/{wildcards.student}/{digest}.json"


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
        for mode in VIEWS
    ]


def all_models(wildcards):
    return every("results/models/{name}/model.json", planned_models)


def models_of_pair(wildcards):
    digests = planned_models(wildcards.dataset, wildcards.student)
    return [f"results/models/{digest}/model.json" for digest in digests]


def all_results(wildcards):
    all_models(wildcards)
    return [
        "results/summary.csv",
        "results/tables/runs.csv",
        "results/tables/comparisons.csv",
        "results/provenance.json",
        *expand("results/figures/{name}.svg", name=list(FIGURES)),
        "results/tables/summary.md",
        *(["results/figures/complexity.svg"] if settings.plotted_metric(config) else []),
        "results/tables/teacher_spend.csv",
        "results/tables/teacher_acceptance.csv",
        *(
            every_pair("results/training/{dataset}/{student}/{name}", ["losses.svg"])
            if TRAINS
            else []
        ),
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
    number = rounds.round_of(config, strategy)
    trained = plan(wildcards.dataset, wildcards.student, [number])[strategy]["seeds"]
    # One model scores for all seeds: that of the first.
    stages = trained[str(config["run"]["seeds"][0])]["stages"]
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


def planned_strategies(wildcards):
    """The strategies of a round, with everything that decides about their models."""
    resolved = settings.resolved_strategies(config)
    names = rounds.strategies_of_round(config, int(wildcards.round))
    return {name: resolved[name] for name in names}


def asking_strategies(wildcards):
    """What the strategies of a round that train on a teacher's rationales ask of it."""
    of_teacher = settings.strategies_of_teacher(config, wildcards.teacher)
    names = rounds.strategies_of_round(config, int(wildcards.round))
    return {name: settings.asking_part(of_teacher[name]) for name in of_teacher if name in names}


def bucket_files(wildcards, strategies):
    names = sorted({name for strategy in strategies.values() for name in divisions(strategy)})
    folder = f"data/buckets/{wildcards.dataset}/{wildcards.student}"
    return [f"{folder}/{name}.parquet" for name in names]


def buckets_of_teacher(wildcards):
    return bucket_files(wildcards, asking_strategies(wildcards))


def bucket_tables(wildcards):
    return bucket_files(wildcards, planned_strategies(wildcards))


def rationale_tables(wildcards):
    strategies = planned_strategies(wildcards).values()
    teachers = sorted({strategy["teacher"] for strategy in strategies if strategy["teacher"]})
    folder = f"data/rationales/{wildcards.dataset}/{wildcards.student}/{wildcards.round}"
    return [f"{folder}/{teacher}.parquet" for teacher in teachers]


def warm_up_start(wildcards):
    """The warm-up model, where a strategy starts from it."""
    if all(strategy["start"] == "student" for strategy in planned_strategies(wildcards).values()):
        return []
    return f"data/warm_up/{wildcards.dataset}/{wildcards.student}/{config['prompt']}/model.json"


def stage_inputs(wildcards):
    """The student and, for a later stage, the model it goes on from."""
    from caft.tables.files import read_json

    spec = read_json(f"data/mixtures/stages/{wildcards.digest}.json")
    return [spec["student_file"], *([spec["parent_file"]] if spec["parent_file"] else [])]


def evaluated_model(wildcards):
    """The trained model's record, whose name stands for its content; for `base` the student itself."""
    if wildcards.model == "base":
        return f"data/models/{wildcards.student}/student.json"
    digest = wildcards.model.removesuffix(views.BEST)
    return ancient(f"results/models/{digest}/model.json")


def every_pair(pattern, names):
    """Expand a pattern for each data set, student and name."""
    return expand(pattern, dataset=DATASETS, student=STUDENTS, name=names)


def all_buckets(wildcards):
    return every_pair(
        "data/buckets/{dataset}/{student}/{name}.parquet", settings.buckets_used(config)
    )


def first_buckets(wildcards):
    """The buckets that are known before anything is trained."""
    strategies = rounds.strategies_of_round(config, 1).values()
    names = sorted({name for strategy in strategies for name in divisions(strategy)})
    return every_pair("data/buckets/{dataset}/{student}/{name}.parquet", names)


def all_rationales(wildcards):
    return every_pair(
        "data/rationales/{dataset}/{student}/{name}.parquet", rounds.rationale_tables(config)
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


def warm_ups(wildcards):
    """The warm-ups that strategies of this run pay for."""
    files = [
        file
        for dataset in DATASETS
        for student in STUDENTS
        for name in config["run"]["strategies"]
        for file in costs.warm_up_files(config, dataset, student, name)
    ]
    return list(dict.fromkeys(files))


def chosen_epochs(wildcards):
    """What the choice of the best epochs took, where they are evaluated."""
    return every("results/selection/{dataset}/{student}/{name}.json", models_at_best)


def summary_inputs(wildcards):
    """Everything the summary is made of: predictions, and what tells the costs."""
    return [
        *all_predictions(wildcards),
        *all_models(wildcards),
        *bucket_scores(wildcards),
        *warm_ups(wildcards),
        *chosen_epochs(wildcards),
        "results/tables/teacher_spend.csv",
        *all_buckets(wildcards),
        *all_rationales(wildcards),
    ]


def store_state(wildcards):
    """Names and sizes of the stored files: a plan is made again when there are other answers."""
    files = [path for path in Path(STORE).glob("*/*") if path.is_file()]
    return sorted(f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in files)


# What can be divided into shards, and where its whole tables lie.
SHARDED = {
    "scores": "data/scores",
    "generations": "data/(generations|samples|likelihoods)",
    "evaluation": "results/predictions",
}


def shards_of(kind):
    return config["engine"]["shards"][kind]


def shard_pattern(kind):
    """What `{shard}` stands for in the files of a job: nothing, where one job makes a table."""
    count = shards_of(kind)
    return f"[.]shards/[0-9]+-of-{count}" if count > 1 else "()"


def shard_tables(stem, kind):
    count = shards_of(kind)
    return [f"{stem}.shards/{number}-of-{count}.parquet" for number in range(1, count + 1)]


def shards_of_table(wildcards):
    kind = next(kind for kind in SHARDED if re.match(SHARDED[kind], wildcards.whole))
    return shard_tables(wildcards.whole, kind)


def shards_of_rationales(wildcards):
    stem = "data/rationales/{dataset}/{student}/{round}/{teacher}".format(**wildcards)
    return shard_tables(stem, "rationales")
