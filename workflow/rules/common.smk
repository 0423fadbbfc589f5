# Input functions and slices of the config that several rules share.
from dataclasses import asdict
from math import log1p

from caft.analysis import TABLES as ANALYSIS_TABLES
from caft.figures import ANALYSIS_FIGURES, FIGURES
from caft.report import costs
from caft.mixtures import plan as plans
from caft.running import settings_file
from caft.students import whole
from caft.tables.files import files_in
from caft.tables.hashing import fingerprints

# What chains of thought depend on: greedy ones are always written with transformers.
CHAIN_SETTINGS = CONFIG.evaluation.plain("max_new_tokens", "parser", "batch_size")

# Params of samples, and of a student that is its own teacher, where vLLM writes: other runs' jobs are as they were.
VLLM = CONFIG.evaluation.engine == "vllm"
WRITER = {"writes_with": CONFIG.evaluation.engine} if VLLM else {}
WRITING_ENGINE = resolve.compute_of(CONFIG, *(["vllm"] if VLLM else []))

# A param of evaluation in runs with mode adaptive alone: other runs' jobs are as they were.
MEASURED = {"measured": "first_token_entropy"} if modes.ADAPTIVE in CONFIG.run.modes else {}


# Messages are formatted with the names of the workflow that was started, perhaps one with caft as a module.
started = workflow.modifier
while started.parent_modifier:
    started = started.parent_modifier
started.globals["CAFT_MODEL"] = plans.InWords()


ONE_ENGINE = resolve.one_engine(CONFIG)


def plain(sections):
    """Sections by name as plain values, for params."""
    return {name: section.plain() for name, section in sections.items()}


class JobNeeds:
    """Threads and resources of a rule, from an input function; `resolve` says what they depend on."""

    def __init__(self, needs):
        self.needs = needs

    def threads(self, wildcards):
        return self.needs(wildcards)["threads"]

    @property
    def resources(self):
        """GPUs, and memory and minutes, of which there are more with every retry of the profile."""
        return {
            "gpu": lambda wildcards: self.needs(wildcards)["gpus"],
            "mem_mb": lambda wildcards, attempt: self.needs(wildcards)["mem_mb"] * attempt,
            "runtime": lambda wildcards, attempt: self.needs(wildcards)["runtime"] * attempt,
        }


def running_student(part=None):
    """What a job takes that runs a student; of `training` and `evaluation` perhaps something else."""

    def needs(wildcards):
        # Of a training the plan knows the student, which has to be looked up only where students differ.
        student = wildcards.get("student") or (
            student_of_model(wildcards) if CONFIG.engine.own.students else ""
        )
        return resolve.student_needs(CONFIG, student, part)

    return JobNeeds(needs)


def asking(wildcards):
    """What a job takes that asks a judge, a teacher, or the teacher of a metric."""
    if "judge" in wildcards.keys():
        return resolve.asking_needs(CONFIG, "judges", wildcards.judge)
    teacher = wildcards.get("teacher") or metric_slice(wildcards).teacher
    return resolve.asking_needs(CONFIG, "teachers", teacher)


# The rules whose jobs run a student.
RUN_STUDENTS = (
    *("warm_up_student", "score_items", "generate_chains", "sample_chains", "measure_likelihoods"),
    *("train_stage", "select_epoch", "answer_student", "evaluate_model", "choose_rationales"),
)
SCORING, TRAINING, EVALUATION = (
    running_student(),
    running_student("training"),
    running_student("evaluation"),
)
ASKING = JobNeeds(asking)


def asks_for_gpu(job):
    """Whether a job cannot do without a GPU: it asks for one, or runs a student where the device is `cuda`."""
    runs_student = job.rule.name.endswith(RUN_STUDENTS)
    return job.resources.get("gpu") or (runs_student and CONFIG.engine.device == "cuda")


def student_slice(wildcards):
    """A student's source alone: changing its warm-up or licence does not fetch the model again."""
    given = CONFIG.students[wildcards.student].plain()
    others = ("warm_up", "license", "usd_per_million_tokens")
    return {key: value for key, value in given.items() if key not in others}


def student_files(wildcards):
    """A local student's weights and config."""
    folder = CONFIG.students[wildcards.student].path
    return files_in(folder) if folder else []


def dataset_slice(wildcards):
    """What decides a data set's items: its terms are for cards."""
    given = CONFIG.datasets[wildcards.dataset].plain()
    return {key: value for key, value in given.items() if key != "terms"}


def dataset_files(wildcards):
    """The files behind a data set, so that a changed file is noticed."""
    return CONFIG.datasets[wildcards.dataset].files()


def teacher_files(wildcards):
    """The files of a local teacher's model."""
    return CONFIG.teachers[wildcards.teacher].files()


def judge_files(wildcards):
    """The files of a local judge's model."""
    return CONFIG.judges[wildcards.judge].files()


def imported_files(wildcards):
    """The user's own files that a metric is read from, if it is."""
    return metric_slice(wildcards).files()


def every_pair(pattern, **names):
    """Fill a pattern for each data set and student, and each of what else is named."""
    return expand(pattern, dataset=DATASETS, student=STUDENTS, **names)


def analysed(suffix, names):
    """The files of the analysis of one data set and student."""
    return expand(layout.ANALYSIS, name=names, suffix=suffix, allow_missing=True)


# Named beside what is read from them: an input function stops at the first that is missing. Not those of later
# rounds: their scores would wait for the plan of the first as for an input, and what follows would run again.
FIRST_PLANS = ancient(every_pair(layout.PLAN, round=1))


def plan(dataset, student, numbers=ROUNDS):
    """The models of a data set and student, read once the mixtures of these rounds are known."""
    made = [
        checkpoints.build_mixtures.get(dataset=dataset, student=student, round=number)
        for number in numbers
    ]
    return plans.read_plan(one.output.plan for one in made)


def planned_models(dataset, student):
    """Digests of all stages' models, in training order, without repeats."""
    return plan(dataset, student).models()


def final_models(dataset, student):
    """What is evaluated: the last model of each strategy and seed, `base` for the untuned student."""
    finals = plan(dataset, student).finals()
    names = [
        layout.weights_of(final, which) for final in finals for which in CONFIG.run.checkpoints
    ]
    return list(dict.fromkeys(names))


def final_records(wildcards):
    """The records of the trained models that are evaluated."""
    names = final_models(wildcards.dataset, wildcards.student)
    digests = {name.removesuffix(layout.BEST) for name in names} - {"base"}
    return [layout.at(layout.MODEL, digest=digest) for digest in sorted(digests)]


def chosen_epochs_of_pair(wildcards):
    """Which epochs of the models of a data set and student are the best ones, where they are evaluated."""
    digests = models_at_best(wildcards.dataset, wildcards.student)
    return [layout.at(layout.SELECTION, **wildcards, digest=digest) for digest in digests]


def models_at_best(dataset, student):
    """The models of which the best epoch is evaluated."""
    finals = final_models(dataset, student)
    return [name.removesuffix(layout.BEST) for name in finals if name.endswith(layout.BEST)]


def trained_mode(wildcards):
    """The mode that the strategy of a model was trained for."""
    strategies = plan(wildcards.dataset, wildcards.student).strategies.values()
    return next(
        strategy.trained_mode
        for strategy in strategies
        if any(seed.final == wildcards.digest for seed in strategy.seeds.values())
    )


def chosen_epoch(wildcards):
    """Which epoch of a model is the best one, where that one is evaluated."""
    if not wildcards.model.endswith(layout.BEST):
        return []
    digest = wildcards.model.removesuffix(layout.BEST)
    return layout.at(layout.SELECTION, **wildcards, digest=digest)


def every_model(pattern, models_of):
    """Fill a pattern with the digests of the models of each data set and student."""
    return [
        layout.at(pattern, dataset=dataset, student=student, digest=digest)
        for dataset in DATASETS
        for student in STUDENTS
        for digest in models_of(dataset, student)
    ]


def all_predictions(wildcards):
    return [
        layout.at(layout.PREDICTIONS, dataset=dataset, student=student, model=model, mode=mode)
        for dataset in DATASETS
        for student in STUDENTS
        for model in final_models(dataset, student)
        for mode in VIEWS
    ]


def all_models(wildcards):
    return every_model(layout.MODEL, planned_models)


def models_of_pair(wildcards):
    digests = planned_models(wildcards.dataset, wildcards.student)
    return [layout.at(layout.MODEL, digest=digest) for digest in digests]


def wait_for_plans():
    """Stop here until the mixtures of all rounds are known; what follows is asked for again then."""
    for dataset in DATASETS:
        for student in STUDENTS:
            plan(dataset, student)


def all_results(wildcards):
    # Else the summary stood in the graph from the start, and ran again whenever a plan is written again,
    # though it says the same.
    wait_for_plans()
    return [
        layout.OVERVIEW,
        layout.SUMMARY,
        layout.RUNS,
        layout.COMPARISONS,
        layout.PROVENANCE,
        layout.SUMMARY_MARKDOWN,
        layout.TEACHER_SPEND,
        layout.TEACHER_ACCEPTANCE,
        *(picture["path"] for picture in PICTURES),
        *(every_pair(layout.SAMPLES_PAGE, round=ROUNDS) if TRAINS else []),
    ]


# Of this file, not of a workflow that has taken caft as a module.
REPORT = Path(str(workflow.current_basedir)).parent / "report"


def overview_inputs(wildcards):
    """The tables and figures of the overview, once the plans are known, as for all results."""
    wait_for_plans()
    return {
        "tables": [
            layout.SUMMARY,
            layout.COMPARISONS,
            layout.COMPLEXITY,
            layout.THRESHOLDS,
            layout.PROVENANCE,
        ],
        "pictures": [picture["path"] for picture in PICTURES],
    }


def picture(title, caption, pattern, **names):
    """A figure of the results, with the caption that the report has for it."""
    text = (REPORT / caption).read_text(encoding="utf-8")
    return {"title": title, "caption": text, "path": layout.at(pattern, **names)}


def pictures():
    """The figures of this run, in the order of the overview."""
    captions = {name: figure.caption for name, figure in FIGURES.items()}
    if resolve.plotted_metric(CONFIG):
        captions["complexity"] = "complexity.rst"
    shown = [
        picture(name.capitalize(), caption, layout.FIGURE, name=name, suffix="svg")
        for name, caption in captions.items()
    ]
    if not TRAINS:
        return shown
    return shown + [
        picture(
            f"Losses of {student} on {dataset}",
            "losses.rst",
            layout.LOSSES_SVG,
            dataset=dataset,
            student=student,
        )
        for dataset in DATASETS
        for student in STUDENTS
    ]


PICTURES = pictures()


def scoring_model(wildcards):
    """The record of the model that scores; none for the untuned student."""
    # Drawn chains are named by their metric, which knows the prompt.
    prompt = wildcards.get("prompt") or metric_slice(wildcards).prompt
    return trained_model(wildcards, wildcards.scorer, prompt)


def sampled_model(wildcards):
    """The record of the model that writes where the student is its own teacher; none for others."""
    sampler = CONFIG.teachers[wildcards.teacher].sampler
    return trained_model(wildcards, sampler, CONFIG.prompt) if sampler else []


def trained_model(wildcards, model, prompt):
    """The record of `warm_up`, or of a stage such as `sft.1`; none for the untuned student."""
    if model == "base":
        return []
    if model == "warm_up":
        return layout.at(layout.WARM_UP, **{**wildcards, "prompt": prompt})
    strategy, stage = model.split(".")
    number = rounds.round_of(CONFIG, strategy)
    planned = plan(wildcards.dataset, wildcards.student, [number]).strategies[strategy]
    # One model scores, or writes, for all seeds: that of the first.
    stages = planned.seeds[CONFIG.run.seeds[0]].stages
    return ancient(layout.at(layout.MODEL, digest=stages[int(stage) - 1].model))


def metric_source(dataset, student, metric):
    """What a metric is computed from: a table of the run, or of an imported one the user's own files."""
    if table := resolve.metric_table(CONFIG, dataset, student, metric):
        return table
    asked = resolve.metric_of(CONFIG, metric)
    return {
        "judgements": layout.at(layout.JUDGEMENTS, dataset=dataset, judge=asked.judge),
        "topk": layout.at(layout.FIRST_TOKENS, dataset=dataset, metric=metric),
        "imported": asked.files(),
        "items": layout.at(layout.ITEMS, dataset=dataset),
        "metrics": [
            layout.at(layout.METRICS, dataset=dataset, student=student, metric=part)
            for part in resolve.parts_of(CONFIG, metric)
        ],
    }[resolve.source_of(CONFIG, metric)]


def metric_inputs(wildcards):
    return metric_source(wildcards.dataset, wildcards.student, wildcards.metric)


def metric_slice(wildcards):
    return resolve.metric_of(CONFIG, wildcards.metric)


def bucket_metric(wildcards):
    metric = CONFIG.buckets[wildcards.buckets].metric
    return layout.at(layout.METRICS, **wildcards, metric=metric)


def priced_items(wildcards):
    """Items and student, where a budget draws the threshold: prompts are counted then."""
    if not CONFIG.buckets[wildcards.buckets].hard:
        return []
    return [layout.ITEMS, layout.STUDENT]


def planned_strategies(wildcards):
    """The strategies of a round, with everything that decides about their models."""
    resolved = resolve.resolved_strategies(CONFIG)
    names = rounds.strategies_of_round(CONFIG, int(wildcards.round))
    return {name: resolved[name] for name in names}


def asking_strategies(wildcards):
    """What the strategies of a round that train on a teacher's rationales ask of it."""
    return rounds.asked_in_round(CONFIG, wildcards.teacher, int(wildcards.round))


def rationales_before(wildcards):
    """What those have written who are asked before a teacher, which gets what they failed."""
    names = rounds.asked_before(CONFIG, wildcards.teacher, int(wildcards.round))
    return [layout.at(layout.RATIONALES, **{**wildcards, "teacher": name}) for name in names]


def bucket_files(wildcards, strategies):
    names = sorted({name for strategy in strategies.values() for name in strategy.divisions()})
    return [layout.at(layout.BUCKETS, **wildcards, buckets=name) for name in names]


def buckets_of_teacher(wildcards):
    return bucket_files(wildcards, asking_strategies(wildcards))


def rankers(wildcards):
    """Who ranks what is bought, where the teacher demands that they rank well."""
    found = rounds.demanded(
        CONFIG,
        wildcards.teacher,
        int(wildcards.round),
        wildcards.dataset,
        wildcards.student,
    )
    return {name: asdict(ranker) for name, ranker in found.items()}


def ranking_tables(wildcards):
    return ranked_by(rankers(wildcards).values())


def ranked_by(found):
    """The metrics that rank, and what says which answers are wrong."""
    return list(dict.fromkeys(one[table] for one in found for table in ("values", "outcome")))


def bucket_tables(wildcards):
    return bucket_files(wildcards, planned_strategies(wildcards))


def rationale_tables(wildcards):
    teachers = rounds.teachers_of_round(CONFIG, int(wildcards.round))
    return [layout.at(layout.RATIONALES, **wildcards, teacher=teacher) for teacher in teachers]


def warm_up_start(wildcards):
    """The warm-up model, where a strategy starts from it."""
    if all(strategy.start == "student" for strategy in planned_strategies(wildcards).values()):
        return []
    return layout.at(layout.WARM_UP, **wildcards, prompt=CONFIG.prompt)


def stage_inputs(wildcards):
    """The student and, for a later stage, the model it goes on from."""
    from caft.tables.files import read_json

    spec = read_json(layout.at(layout.PLANNED_STAGE, **wildcards))
    return [spec["student_file"], *([spec["parent_file"]] if spec["parent_file"] else [])]


def student_of_model(wildcards):
    """Name the student that a planned stage trains."""
    return Path(stage_inputs(wildcards)[0]).parent.name


def evaluated_model(wildcards):
    """The trained model's record, whose name stands for its content; for `base` the student itself."""
    if wildcards.model == "base":
        return layout.at(layout.STUDENT, **wildcards)
    digest = wildcards.model.removesuffix(layout.BEST)
    return ancient(layout.at(layout.MODEL, digest=digest))


def all_buckets(wildcards):
    return every_pair(layout.BUCKETS, buckets=resolve.buckets_used(CONFIG))


def first_buckets(wildcards):
    """The buckets that are known before anything is trained."""
    strategies = rounds.strategies_of_round(CONFIG, 1).values()
    names = sorted({name for strategy in strategies for name in strategy.divisions()})
    return every_pair(layout.BUCKETS, buckets=names)


def first_samplers(wildcards):
    """The warm-ups that are teachers of the first round: what they wrote is known by their weights."""
    files = [
        resolve.sampler_file(CONFIG, dataset, student, teacher)
        for teacher in rounds.teachers_of_round(CONFIG, 1)
        for dataset in DATASETS
        for student in STUDENTS
    ]
    return [file for file in files if file]


def first_rankings(wildcards):
    """What demanding teachers ask to be ranked by, as far as it is known before anything is trained."""
    return ranked_by(
        asdict(ranker)
        for teacher in resolve.teachers_used(CONFIG)
        for dataset in DATASETS
        for student in STUDENTS
        for ranker in rounds.demanded(CONFIG, teacher, 1, dataset, student).values()
    )


def all_rationales(wildcards):
    return [
        path
        for asked in rounds.taught(CONFIG)
        for path in every_pair(layout.RATIONALES, round=asked.rounds, teacher=asked.teacher)
    ]


def bucket_scores(wildcards):
    """What the metrics of this run's buckets are computed from."""
    return [
        metric_source(dataset, student, metric)
        for dataset in DATASETS
        for student in STUDENTS
        for metric in resolve.metrics_used(CONFIG)
        if resolve.source_of(CONFIG, metric) not in {*resolve.GIVEN, "metrics"}
    ]


def plotted_scores(wildcards):
    metric = CONFIG.buckets[resolve.buckets_used(CONFIG)[0]].metric
    return [metric_source(dataset, student, metric) for dataset in DATASETS for student in STUDENTS]


def plotted_buckets(wildcards):
    """The thresholds that are shown with these scores."""
    return every_pair(layout.BUCKETS_REPORT, buckets=resolve.buckets_used(CONFIG)[0])


def plotted_by_stage():
    """Whether these scores come from a model that a stage has trained, for each data set and student."""
    metric = CONFIG.buckets[resolve.buckets_used(CONFIG)[0]].metric
    scorers = [resolve.scorer_of(CONFIG, student, metric) for _ in DATASETS for student in STUDENTS]
    return ["." in scorer for scorer in scorers]


def analysed_tables(wildcards):
    """The metrics tables of one data set and student, in the order of the config."""
    return [
        layout.at(layout.METRICS, **wildcards, metric=metric)
        for metric in resolve.metrics_analysed(CONFIG)
    ]


def outcome_table(wildcards):
    return resolve.outcome_table(CONFIG, wildcards.dataset, wildcards.student)


def analysed_buckets(wildcards):
    name = resolve.buckets_used(CONFIG)[0]
    return layout.at(layout.BUCKETS, **wildcards, buckets=name)


def warm_ups(wildcards):
    """The warm-ups that strategies of this run pay for."""
    files = [
        file
        for dataset in DATASETS
        for student in STUDENTS
        for name in CONFIG.run.strategies
        for file in costs.warm_up_files(CONFIG, dataset, student, name)
    ]
    return list(dict.fromkeys(files))


def chosen_epochs(wildcards):
    """What the choice of the best epochs took, where they are evaluated."""
    return every_model(layout.SELECTION, models_at_best)


def summary_inputs(wildcards):
    """Everything the summary is made of: predictions, what tells the costs, what provenance says."""
    return [
        *expand([layout.ITEMS, layout.ITEMS_REPORT], dataset=DATASETS),
        *expand(layout.STUDENT, student=STUDENTS),
        *all_predictions(wildcards),
        *all_models(wildcards),
        *bucket_scores(wildcards),
        *warm_ups(wildcards),
        *chosen_epochs(wildcards),
        layout.TEACHER_SPEND,
        *all_buckets(wildcards),
        *every_pair(layout.METRICS, metric=resolve.metrics_used(CONFIG)),
        *all_rationales(wildcards),
    ]


def explorer(wildcards):
    """The page of all items, as a part of the whole run."""
    wait_for_plans()
    return layout.EXPLORER


def explored_tables(wildcards):
    """Everything that is known of single items."""
    return [
        *expand(layout.ITEMS, dataset=DATASETS),
        *every_pair(layout.METRICS, metric=resolve.metrics_used(CONFIG)),
        *bucket_scores(wildcards),
        *all_buckets(wildcards),
        *all_rationales(wildcards),
        *all_predictions(wildcards),
    ]


def planned_from(wildcards):
    """Return what the plan of a whole run is made from."""
    from caft.report.ahead import outlook  # of use to no other job

    return outlook.state()


def store_state(wildcards):
    """Names and sizes of the stored files: a plan is made again when there are other answers."""
    files = [path for path in Path(layout.TEACHER_STORE).glob("*/*") if path.is_file()]
    return sorted(f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in files)


def shards_of(kind):
    """How many jobs share a table of this kind."""
    return getattr(CONFIG.engine.shards, kind)


def shard_pattern(kind):
    return layout.shard_pattern(shards_of(kind))


def shards_of_table(wildcards):
    return layout.shards_of(wildcards.whole, shards_of(layout.shared_kind(wildcards.whole)))


def shards_of_rationales(wildcards):
    stem = layout.at(layout.RATIONALES, **wildcards).removesuffix(".parquet")
    return layout.shards_of(stem, shards_of("rationales"))


def settings_of(made):
    """Return an input function: the settings file of a rule's job, written anew when they changed."""
    beside = {"prepare_student": whole.is_whole, "build_mixtures": plans.is_whole}
    # A workflow that takes caft as a module may put something before the names.
    found = (check for name, check in beside.items() if made.name.endswith(name))
    whole_beside = next(found, lambda path: True)

    def settings(wildcards):
        path = layout.job_settings(made.name, wildcards)
        # Jobs read the file that the run has written; a second look would come too early or too late.
        if not workflow.is_main_process:
            return path
        with surely():
            values = {
                name: value(wildcards) if callable(value) else value
                for name, value in made.params.items()
            }
            targets = [Path(one.apply_wildcards(wildcards)) for one in made.output]
            lost = settings_file.has_lost(Path(path), targets)
            lost = lost or (targets[0].exists() and not whole_beside(targets[0]))
            settings_file.keep(Path(path), values, lost, targets)
        return path

    return settings
