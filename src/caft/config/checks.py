"""What is wrong between keys of the configuration, which no single section can tell."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from caft.complexity import METRICS
from caft.complexity.settings import MetricSettings
from caft.config.model import Configuration
from caft.config.modes import ADAPTIVE, views
from caft.config.resolve import (
    STUDENTS_TABLES,
    chosen,
    kind_of,
    metric_of,
    metrics_analysed,
    parts_of,
    prompts_used,
    recipe_of,
    student_needs,
    students_used,
    teacher_of,
    teachers_used,
    warm_up_recipe,
)
from caft.config.rounds import (
    asked_before,
    round_of,
    rounds_used,
    scored_by,
    teachers_of_round,
)
from caft.datasets.settings import DatasetSettings
from caft.errors import ConfigError, ModelError
from caft.mixtures.recipe import absent
from caft.mixtures.settings import BOUGHT, DEFAULT, Buckets, Part, Stage, Strategy, Target
from caft.running.launchers import started_processes
from caft.settings import Section
from caft.shown import line
from caft.students.checks import check_source
from caft.students.settings import Student
from caft.tables.files import files_in
from caft.tables.items import GOLD_COLUMNS, ITEM_COLUMNS
from caft.teacher.settings import Asked, TeacherKeys


def cross_check(config: Configuration) -> Iterator[str]:
    """Yield what is wrong between keys: undefined names, thresholds out of order, lost files."""
    problems = [*_check_names(config), *_check_file_names(config)]
    # Who waits for whom can be told once every name is known.
    yield from problems or [problem for check in _BETWEEN_SECTIONS for problem in check(config)]


def lacking(config: Configuration) -> Iterator[str]:
    """Yield what has to be there before anything runs, though a run can be planned without it."""
    metrics = config.metrics.values()
    teachers = {*teachers_used(config), *(one.teacher for one in metrics if one.teacher)}
    asked: dict[str, Asked] = {
        **{f"teachers.{name}": config.teachers[name] for name in sorted(teachers)},
        **{f"judges.{one.judge}": config.judges[one.judge] for one in metrics if one.judge},
    }
    for name in students_used(config):
        folder = config.students[name].path
        if folder is not None and not Path(folder).is_dir():
            yield from _check_folder(f"students.{name}", folder)
    for path, section in asked.items():
        for key, problem in section.lacks():
            yield f"{path}.{key}: {problem}"


def _check_names(config: Configuration) -> Iterator[str]:
    run = config.run
    sections: dict[str, tuple[list[str], Mapping[str, Section]]] = {
        "datasets": (run.datasets, config.datasets),
        "students": (run.students, config.students),
        "strategies": (run.strategies, config.strategies),
    }
    for kind, (names, defined) in sections.items():
        for name in names:
            if name not in defined:
                yield f"run.{kind}: {name!r} is not defined{_known(defined)}"
    if config.prompt not in config.prompts:
        yield f"prompt: no prompt {config.prompt!r}{_known(config.prompts)}"
    for name in run.datasets:
        if name in config.datasets:
            yield from _check_section(f"datasets.{name}", config.datasets[name])
    for name in run.students:
        if name in config.students:
            yield from _check_student(f"students.{name}", config.students[name])
    for name, buckets in config.buckets.items():
        yield from _check_buckets(f"buckets.{name}", buckets, config)
    yield from _check_metrics(config)
    for name in run.strategies:
        if name in config.strategies:
            yield from _check_strategy(f"strategies.{name}", config.strategies[name], config)
    if missing := absent(config.training.report_to):
        yield missing
    yield from _check_engine(config)


def _check_engine(config: Configuration) -> Iterator[str]:
    """Check what the device cannot do, whichever machine the jobs run on."""
    engine, training = config.engine, config.training
    recipes = {"training": recipe_of(config, {})}
    for name in config.run.strategies:
        if name in config.strategies and config.strategies[name].training:
            own = config.strategies[name].training
            recipes[f"strategies.{name}.training"] = recipe_of(config, own)
    for path, recipe in recipes.items():
        if problem := recipe.batch_problem:
            yield f"{path}.{problem}"
    if engine.attention == "flash_attention_2" and engine.dtype == "float32":
        yield (
            "engine.attention: flash_attention_2 computes in bfloat16 alone; set engine.dtype: "
            "bfloat16 (or auto), or engine.attention: sdpa."
        )
    elif engine.attention == "flash_attention_2" and engine.device == "cpu":
        yield "engine.attention: flash_attention_2 needs a GPU; set engine.attention: sdpa."
    for kind in ("students", "teachers", "judges"):
        defined = getattr(config, kind)
        for name in getattr(engine.own, kind).keys() - defined.keys():
            yield f"engine.resources.{kind}.{name}: is not defined{_known(defined)}"
    divided = engine.vllm.tensor_parallel_size if engine.vllm else 1
    started = started_processes(training.launcher or []) if engine.device != "cpu" else None
    for student in config.run.students:
        asking = student_needs(config, student, "evaluation")["gpus"]
        if divided > asking > 0:
            yield (
                f"engine.vllm.tensor_parallel_size: {divided} is more than the {asking} GPUs that "
                f"a job of {student} gets (engine.gpus); make both the same number."
            )
        gpus = student_needs(config, student, "training")["gpus"]
        if started and started > gpus > 0:
            yield (
                f"training.launcher: starts {started} processes, and a job of {student} gets "
                f"{gpus} GPUs (engine.gpus); make both the same number, for trainings alone with "
                "engine.resources.training.gpus."
            )


def _check_file_names(config: Configuration) -> Iterator[str]:
    """Refuse names of files that Snakemake, which prints them as they are, could not show."""
    read: dict[str, list[str]] = {
        **{f"datasets.{name}": one.files() for name, one in config.datasets.items()},
        **{
            f"students.{name}": files_in(one.path)
            for name, one in config.students.items()
            if one.path
        },
        **{f"metrics.{name}": one.files() for name, one in config.metrics.items()},
        **{f"teachers.{name}": one.files() for name, one in config.teachers.items()},
        **{f"judges.{name}": one.files() for name, one in config.judges.items()},
    }
    for path, files in read.items():
        for file in files:
            if line(file) != file:
                yield f"{path}: {file!r} has a character in its name that nobody sees; rename it."


def _known(names: Iterable[str]) -> str:
    return f"; known are {', '.join(sorted(names)) or 'none'}."


def _check_section(path: str, section: DatasetSettings | Asked) -> Iterator[str]:
    """Pass on what an adapter or a provider says of its own section."""
    for key, problem in section.problems():
        yield f"{path}.{key}: {problem}"


def _check_student(path: str, student: Student) -> Iterator[str]:
    sources = {
        "package": (student.package, {"member": student.member, "sha256": student.sha256}),
        "path": (student.path, {}),
        "hub": (student.hub, {"revision": student.revision}),
    }
    given = [name for name, (value, _) in sources.items() if value is not None]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        yield f"{path}: give exactly one of package, path and hub (found {found})."
        return
    for key, value in sources[given[0]][1].items():
        if value is None:
            yield f"{path}.{key}: is needed with {given[0]}, so that everybody gets the same model."
    if student.path is not None and Path(student.path).is_dir():
        yield from _check_folder(path, student.path)


def _check_folder(path: str, folder: str) -> Iterator[str]:
    try:
        check_source(Path(folder))
    except ModelError as error:
        yield f"{path}.path: {error}"


def _check_buckets(path: str, buckets: Buckets, config: Configuration) -> Iterator[str]:
    if buckets.metric not in config.metrics:
        yield f"{path}.metric: no metric {buckets.metric!r}{_known(config.metrics)}"
    if not buckets.thresholds and not buckets.quantiles:
        yield f"{path}: give quantiles or thresholds."
    for key, pair in (("quantiles", buckets.quantiles), ("thresholds", buckets.thresholds)):
        if pair and pair[0] > pair[1]:
            yield f"{path}.{key}: {pair[1]} comes before {pair[0]}; give them in ascending order."
    if buckets.hard:
        yield from _check_hard(path, buckets, config)


def _check_hard(path: str, buckets: Buckets, config: Configuration) -> Iterator[str]:
    named = buckets.hard.teacher if buckets.hard else None
    if problem := _teacher_problem(f"{path}.hard", named, config):
        yield problem
        return
    name = teacher_of(config, named)
    if not getattr(config.teachers[name], "prices", None):
        yield f"{path}.hard: needs teachers.{name}.prices to know what the money pays for."
    if buckets.on_missing == "hard":
        yield f"{path}.on_missing: hard would buy beyond hard.budget_usd; choose another bucket."
    yield from _check_prompt_of_teacher(config, name)


def _check_metrics(config: Configuration) -> Iterator[str]:
    analysis = config.analysis
    for name in [*(analysis.metrics or []), analysis.outcome]:
        if name not in config.metrics:
            yield f"analysis: no metric {name!r}{_known(config.metrics)}"
            return
    used = {buckets.metric for buckets in config.buckets.values()}
    named = {*metrics_analysed(config), analysis.outcome, *used}.intersection(config.metrics)
    # What is wrong with a part is told as well; an undefined one is told with its combination.
    parts = {part for name in named for part in parts_of(config, name) if part in config.metrics}
    for name in sorted(named | parts):
        yield from _check_metric(f"metrics.{name}", metric_of(config, name), config)
    yield from _check_analysis(config)


_NEEDED = {
    "imported": ("column",),
    "items": ("column",),
    "judgements": ("judge",),
    "topk": ("teacher",),
}


def _check_metric(path: str, metric: MetricSettings, config: Configuration) -> Iterator[str]:
    kind = str(metric.metric)
    if kind not in METRICS:
        yield f"{path}: is no known metric; name one as {path}.metric{_known(METRICS)}"
        return
    # A wrong `prompt` at the top is told there, not once for each metric that takes it.
    if metric.prompt not in {*config.prompts, config.prompt}:
        yield f"{path}.prompt: no prompt {metric.prompt!r}{_known(config.prompts)}"
    if METRICS[kind].source == "imported":
        for key, problem in metric.problems():
            yield f"{path}.{key}: {problem}"
    for key in _NEEDED.get(METRICS[kind].source, ()):
        if getattr(metric, key) is None:
            yield f"{path}.{key}: is needed for {kind}."
    if METRICS[kind].source == "items" and metric.column is not None:
        yield from _check_item_column(path, metric.column, config)
    if metric.judge is not None:
        yield from _check_judge(path, metric.judge, config)
    if metric.teacher is not None:
        yield from _check_endpoint_of_metric(path, metric.teacher, config)
    yield from _check_combination(path, metric, config)
    if metric.model is None:
        yield from _check_scorer(f"{path}.scored_with", metric.scored_with, config)
    else:
        yield from _check_other_model(path, metric, config)


def _check_combination(path: str, metric: MetricSettings, config: Configuration) -> Iterator[str]:
    if (metric.combine is None) != (metric.metric != "combine"):
        what = (
            "is needed for metric: combine" if metric.combine is None else "is of no other metric"
        )
        yield f"{path}.combine: {what}; give combine: {{metrics: {{NAME: WEIGHT}}}} without metric."
    for name in metric.combine.metrics if metric.combine else []:
        if name not in config.metrics:
            yield f"{path}.combine.metrics: no metric {name!r}{_known(config.metrics)}"
        elif config.metrics[name].combine:
            yield f"{path}.combine.metrics: {name!r} is a combination itself; name its metrics."


def _check_other_model(path: str, metric: MetricSettings, config: Configuration) -> Iterator[str]:
    """Check a metric that another student's model scores."""
    name = str(metric.model)
    if METRICS[str(metric.metric)].source not in STUDENTS_TABLES:
        yield f"{path}.model: no model scores {metric.metric}; leave the key out."
    elif name not in config.students:
        yield f"{path}.model: no student {name!r}{_known(config.students)}"
    elif metric.scored_with not in ("default", "base", "warm_up"):
        yield f"{path}.scored_with: {name!r} is trained in no stage; give base or warm_up."
    elif metric.scored_with == "warm_up" and not config.students[name].warm_up:
        yield f"{path}.scored_with: students.{name} has no warm_up to score with."
    elif name not in config.run.students:
        yield from _check_student(f"students.{name}", config.students[name])


def _check_item_column(path: str, column: str, config: Configuration) -> Iterator[str]:
    for name in config.run.datasets:
        if name in config.datasets and column not in config.datasets[name].item_columns:
            yield (
                f"{path}.column: items of {name!r} have no column {column!r}; keep it as "
                f"datasets.{name}.columns.more: {{{column}: COLUMN OF THE SOURCE}}."
            )


def _check_judge(path: str, name: str, config: Configuration) -> Iterator[str]:
    """Check a judge that a metric names."""
    if name not in config.judges:
        yield f"{path}.judge: no judge {name!r}{_known(config.judges)}"
    else:
        yield from _check_section(f"judges.{name}", config.judges[name])


def _check_endpoint_of_metric(path: str, name: str, config: Configuration) -> Iterator[str]:
    if name not in config.teachers:
        yield f"{path}.teacher: no teacher {name!r}{_known(config.teachers)}"
    elif not getattr(config.teachers[name], "extra_body", {}).get("logprobs"):
        yield (
            f"{path}.teacher: teachers.{name} does not ask for log-probabilities; give it "
            "extra_body: {logprobs: true, top_logprobs: 20} and max_new_tokens: 1."
        )
    else:
        yield from _check_section(f"teachers.{name}", config.teachers[name])


def _check_scorer(path: str, scorer: str, config: Configuration) -> Iterator[str]:
    if scorer in ("default", "base"):
        return
    if scorer == "warm_up":
        yield from _check_warm_ups(path, "to score with", config)
        return
    strategy, _, stage = scorer.partition(".")
    if strategy not in config.run.strategies:
        yield f"{path}: {strategy!r} is no strategy of run.strategies; give base, warm_up or sft.1."
    elif not stage.isdigit() or not 1 <= int(stage) <= len(_stages(config, strategy)):
        count = len(_stages(config, strategy))
        yield f"{path}: {strategy!r} has {count} stages; write {strategy}.1 for its first."


def _check_warm_ups(path: str, purpose: str, config: Configuration) -> Iterator[str]:
    for name in config.run.students:
        if name in config.students and not config.students[name].warm_up:
            yield f"{path}: students.{name} has no warm_up {purpose}."


def _stages(config: Configuration, strategy: str) -> list[Stage]:
    return config.strategies[strategy].stages if strategy in config.strategies else []


def _check_analysis(config: Configuration) -> Iterator[str]:
    outcome = METRICS.get(kind_of(config, config.analysis.outcome))
    if outcome and outcome.source not in ("scores", "imported"):
        yield f"analysis.outcome: {config.analysis.outcome!r} says of no item whether it is wrong."
    if outcome and config.metrics[config.analysis.outcome].model:
        yield (
            f"analysis.outcome: {config.analysis.outcome!r} says what another model answers; name "
            "a metric without `model`."
        )
    staged = [
        name
        for name in metrics_analysed(config)
        for part in parts_of(config, name)
        if part in config.metrics and "." in config.metrics[part].scored_with
    ]
    if staged and config.analysis.split != "test":
        yield (
            f"analysis.split: {staged[0]!r} is scored with a trained model, which knows its "
            "training items; set test."
        )


def _check_strategy(path: str, strategy: Strategy, config: Configuration) -> Iterator[str]:
    if strategy.buckets not in config.buckets:
        yield f"{path}.buckets: no buckets {strategy.buckets!r}{_known(config.buckets)}"
    for number, stage in enumerate(strategy.stages):
        if problem := _stage_problem(stage, config):
            yield f"{path}.stages.{number}{problem}"
            return
        if stage.replay and not number:
            yield (
                f"{path}.stages.{number}.replay: no stage before it has items to replay; train on "
                "bare answers with a part: parts: [{buckets, target: answer}, …]."
            )
    if strategy.drawn.uniform and strategy.is_random:
        yield f"{path}.membership.uniform: a random draw takes all at random; leave the key out."
    yield from _check_match(path, strategy, config)
    if strategy.needs_rationales and not config.teachers:
        yield f"{path}: trains on rationales, but teachers defines no teacher."
    else:
        yield from _check_teachers(path, strategy, config)
    if strategy.start == "warm_up":
        yield from _check_warm_ups(f"{path}.start", "to start from", config)


def _check_teachers(path: str, strategy: Strategy, config: Configuration) -> Iterator[str]:
    """Check the teachers of a strategy: its own, and those that its stages name."""
    common = teacher_of(config, strategy.teacher)
    asked: set[tuple[str, Target]] = set()
    for place, part in _parts(path, strategy):
        if part.teacher and part.target not in BOUGHT:
            yield (
                f"{place}.teacher: bare answers have no teacher; leave it out, or set target: "
                "rationale."
            )
        for name in part.teachers(DEFAULT):
            if name != DEFAULT and name not in config.teachers:
                yield f"{place}.teacher: no teacher {name!r}{_known(config.teachers)}"
            asked.add((name, part.target))
    targets = {name: {target for one, target in asked if one == name} for name, _ in asked}
    if DEFAULT in targets:
        if problem := _teacher_problem(path, strategy.teacher, config):
            yield problem
            return
        targets[common] = targets.pop(DEFAULT) | targets.get(common, set())
    for name in sorted(targets.keys() & config.teachers.keys()):
        yield from _check_teacher(config, name)
        if "reasoning" in targets[name] and config.teachers[name].own_solutions:
            yield (
                f"{path}: trains on reasoning, but teachers.{name} gives worked solutions, "
                "which have none; use target: rationale, or a teacher that thinks."
            )


def _parts(path: str, strategy: Strategy) -> Iterator[tuple[str, Part]]:
    """Yield the parts of a strategy's stages, and where they stand."""
    for number, stage in enumerate(strategy.stages):
        for place, part in enumerate(stage.parts_or_itself):
            yield f"{path}.stages.{number}" + (f".parts.{place}" if stage.parts else ""), part


def _stage_problem(stage: Stage, config: Configuration) -> str | None:
    whole = (stage.buckets is not None, stage.target is not None, stage.parts is not None)
    if whole not in ((True, True, False), (False, False, True)):
        return ": give either buckets and target, or parts."
    if stage.parts and stage.teacher is not None:
        return ".teacher: the stage has parts; name the teacher in each part that it is for."
    if stage.divided_by is not None and stage.divided_by not in config.buckets:
        return f".divided_by: no buckets {stage.divided_by!r}{_known(config.buckets)}"
    return None


def _check_match(path: str, strategy: Strategy, config: Configuration) -> Iterator[str]:
    if not strategy.match:
        return
    name = strategy.match.strategy
    if name not in config.run.strategies or not _stages(config, name):
        yield f"{path}.match.strategy: {name!r} is no trained strategy of run.strategies."
    elif config.strategies[name].match:
        yield f"{path}.match.strategy: {name!r} matches another one itself; name that one."
    elif not strategy.stages:
        yield f"{path}.match: the strategy has no stage whose epochs could change."


def _teacher_problem(path: str, named: str | None, config: Configuration) -> str | None:
    """Say what is wrong with the teacher that a part names, or leaves to the top level."""
    name, known = teacher_of(config, named), _known(config.teachers)
    if name in config.teachers:
        return None
    if not name:
        return f"{path}.teacher: is needed, or a top-level `teacher` for all{known}"
    if named:
        return f"{path}.teacher: no teacher {name!r}{known}"
    return f"teacher: no teacher {name!r}, but {path} leaves its teacher to this key{known}"


def _check_teacher(config: Configuration, name: str) -> Iterator[str]:
    yield from _check_prompt_of_teacher(config, name)
    yield from _check_choice(f"teachers.{name}", config.teachers[name])
    yield from _check_section(f"teachers.{name}", config.teachers[name])
    if sampler := config.teachers[name].sampler:
        yield from _check_scorer(f"teachers.{name}.sampled_with", sampler, config)


def _check_choice(path: str, teacher: TeacherKeys) -> Iterator[str]:
    if teacher.keep == "first":
        if teacher.choose != "first":
            yield f"{path}.choose: there is one answer only; set keep: all and samples: 4."
    elif teacher.own_solutions:
        yield f"{path}.keep: there is one worked solution of an item; leave the key out."
    elif teacher.samples == 1:
        yield f"{path}.samples: is 1, so that keep: all keeps one answer; set 4."
    elif getattr(teacher, "temperature", None) == 0:
        yield f"{path}.temperature: 0 gives the same answer each time; set 0.7, or keep: first."


def _check_prompt_of_teacher(config: Configuration, name: str) -> Iterator[str]:
    prompt = config.teachers[name].prompt
    if prompt not in config.prompts:
        yield f"teachers.{name}.prompt: no prompt {prompt!r}{_known(config.prompts)}"
    elif config.prompts[prompt].labels != "upper":
        yield f"teachers.{name}.prompt: {prompt!r} needs upper-case letters (labels: upper)."


def _check_rounds(config: Configuration) -> Iterator[str]:
    """Check what needs every name to be known: which strategy waits for which."""
    for name, strategy in chosen(config).items():
        try:
            own = round_of(config, name)
        except ConfigError as error:
            yield str(error)
            return
        match = strategy.match
        if match and round_of(config, match.strategy) != own:
            yield (
                f"strategies.{name}.match.strategy: {match.strategy!r} has buckets from another "
                "model; both must be planned together."
            )
    yield from _check_cascades(config)


def _check_cascades(config: Configuration) -> Iterator[str]:
    """Check that teachers are not asked in a circle: one table holds what each of them wrote."""
    for number in rounds_used(config):
        names = teachers_of_round(config, number)
        before = {name: asked_before(config, name, number) for name in names}
        try:
            TopologicalSorter(before).prepare()
        except CycleError as error:
            circle = " before ".join(error.args[1])
            yield (
                f"strategies: stages ask teachers in a circle ({circle}). Name a copy of one of "
                f"them in one of the lists: teachers.{error.args[1][0]}-again with the same keys; "
                "they share their answers, so nothing is bought twice."
            )


def _check_parents(config: Configuration) -> Iterator[str]:
    """Check that what a stage goes on from has the weights that its strategy trains."""
    for name, strategy in chosen(config).items():
        recipe, path = recipe_of(config, strategy.training), f"strategies.{name}"
        unlike = recipe.unlike(warm_up_recipe(config)) if strategy.start == "warm_up" else ""
        if unlike:
            yield (
                f"{path}.start: the warm-up trains other weights than this strategy: "
                f"training.{unlike}; give both the same keys, or set start: student."
            )
        for number, stage in enumerate(strategy.stages):
            scorers = scored_by(config, stage.divided_by) if stage.divided_by else set()
            for scorer in sorted(scorers):
                unlike = recipe.unlike(recipe_of(config, config.strategies[scorer].training))
                if not unlike:
                    continue
                yield (
                    f"{path}.stages.{number}.divided_by: the buckets {stage.divided_by!r} come "
                    f"from a model of {scorer!r} with other weights than this strategy trains: "
                    f"training.{unlike}; give both strategies the same keys."
                )


def _check_validation(config: Configuration) -> Iterator[str]:
    """Check that the validation split is there where it is used, and not used twice."""
    run = config.run
    recipes = {
        name: recipe_of(config, strategy.training)
        for name, strategy in chosen(config).items()
        if strategy.stages
    }
    stopping = [name for name, recipe in recipes.items() if recipe.early_stopping]
    users = [f"training.early_stopping of {', '.join(stopping)}"] if stopping else []
    if "best" in run.checkpoints:
        users.append("run.checkpoints: best")
        for name in [name for name, recipe in recipes.items() if not recipe.keep_epochs]:
            yield f"run.checkpoints: best needs training.keep_epochs: true for strategies.{name}."
    if ADAPTIVE in run.modes:
        users.append("run.modes: adaptive")
    if run.split == "validation":
        for user in users:
            yield f"run.split: {user} chooses by the validation split; report test."
        users.append("run.split: validation")
    for name in run.datasets if users else []:
        if not config.datasets[name].may_have_validation:
            yield f"datasets.{name}.splits: {users[0]} needs a share of validation."


def _check_adaptive(config: Configuration) -> Iterator[str]:
    """Check that what mode `adaptive` is taken from is there."""
    run = config.run
    if ADAPTIVE not in run.modes:
        if run.adaptive:
            yield "run.adaptive: is of mode adaptive, which run.modes does not name."
        return
    if lacking := {"direct", "cot"}.difference(run.modes):
        yield (
            "run.modes: adaptive takes its answers from those of direct and cot; "
            f"add {' and '.join(sorted(lacking))}."
        )
    if config.evaluation.engine != "transformers":
        yield (
            "run.modes: adaptive needs entropies over the whole vocabulary, which "
            "evaluation.engine: vllm does not give; set evaluation.engine: transformers."
        )


def _check_examples(config: Configuration) -> Iterator[str]:
    """Check that a data set that is to show worked chains of thought names some."""
    shots = max((view.shots for view in views(config) if view.mode == "cot"), default=0)
    where = "run.shots" if config.run.shots else f"prompts.{config.prompt}.few_shot"
    for name in config.run.datasets if shots else []:
        if not config.datasets[name].may_have_rationales:
            yield (
                f"{where}: {shots} examples in mode cot need rationales of the data set's own; "
                f"name them as datasets.{name}.columns.rationale, or set 0."
            )


def _check_placeholders(config: Configuration) -> Iterator[str]:
    """Check that what prompts show of an item is there, and is not its answer."""
    columns = {name: config.datasets[name].item_columns for name in config.run.datasets}
    known = {*ITEM_COLUMNS, *(column for names in columns.values() for column in names)}
    for prompt in sorted(prompts_used(config)):
        for path, word in dict.fromkeys(config.prompts[prompt].placeholders()):
            where = f"prompts.{prompt}.{path}: {{{word}}}"
            if word in GOLD_COLUMNS:
                yield f"{where} would show the answer with the question; leave it out."
            elif word in known:
                yield from _check_shown(where, word, columns)
            elif like := get_close_matches(word, known - GOLD_COLUMNS, 1, 0.8):
                yield f"{where} is no column of the items; did you mean {{{like[0]}}}?"


def _check_shown(where: str, word: str, columns: Mapping[str, frozenset[str]]) -> Iterator[str]:
    key = "category: COLUMN" if word == "category" else f"more: {{{word}: COLUMN}}"
    for name, filled in columns.items():
        if word not in filled:
            yield (
                f"{where} is empty for the items of {name!r}; name its column as "
                f"datasets.{name}.columns: {{{key}}}, or leave it out."
            )


_BETWEEN_SECTIONS = (
    _check_rounds,
    _check_parents,
    _check_validation,
    _check_adaptive,
    _check_examples,
    _check_placeholders,
)
