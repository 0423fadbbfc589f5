"""What is wrong between keys of the configuration, which no single section can tell."""

import os
import shlex
import time
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from caft.config.metric_checks import check_metrics
from caft.config.model import Configuration
from caft.config.modes import ADAPTIVE, views
from caft.config.resolve import (
    asking_needs,
    chosen,
    metrics_used,
    prompts_used,
    recipe_of,
    source_of,
    student_needs,
    students_used,
    teacher_of,
    teachers_used,
)
from caft.config.section_checks import check_folder, check_section, check_student, known_are
from caft.config.strategy_checks import (
    check_parents,
    check_prompt_of_teacher,
    check_rounds,
    check_strategy,
    teacher_problem,
)
from caft.mixtures.recipe import absent
from caft.mixtures.settings import DEFAULT, Buckets
from caft.running import places
from caft.running.launchers import started_processes
from caft.settings import Section
from caft.shown import line
from caft.students import vllm
from caft.tables.files import files_in
from caft.tables.items import GOLD_COLUMNS, ITEM_COLUMNS
from caft.teacher.settings import Asked


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
            yield from check_folder(f"students.{name}", folder)
    for path, section in asked.items():
        for key, problem in section.lacks():
            yield f"{path}.{key}: {problem}"
    if config.evaluation.engine == "vllm" and (missing := vllm.missing()):
        yield missing
    yield from _dated_ahead(config)


def _dated_ahead(config: Configuration) -> Iterator[str]:
    """Refuse files of the future: nothing that is made from them would be newer than they are."""
    latest = time.time() + places.SECONDS_AHEAD
    for path, files in _files_read(config).items():
        times = {file: os.stat(file).st_mtime for file in files if os.path.isfile(file)}
        if dated := [file for file, changed in times.items() if changed > latest]:
            yield (
                f"{path}: {dated[0]} was last changed in the future "
                f"({time.ctime(times[dated[0]])}), and nothing that is made from it would count as "
                "newer; set the clock of this machine, or give such files today's time: touch "
                f"{shlex.join(dated)}"
            )


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
                yield f"run.{kind}: {name!r} is not defined{known_are(defined)}"
    if config.prompt not in config.prompts:
        yield f"prompt: no prompt {config.prompt!r}{known_are(config.prompts)}"
    for name in run.datasets:
        if name in config.datasets:
            yield from check_section(f"datasets.{name}", config.datasets[name])
    for name in run.students:
        if name in config.students:
            yield from check_student(f"students.{name}", config.students[name])
    if DEFAULT in config.teachers:
        yield (
            f"teachers.{DEFAULT}: in a stage this word stands for the teacher of its strategy; "
            "give this teacher another name."
        )
    for name, buckets in config.buckets.items():
        yield from _check_buckets(f"buckets.{name}", buckets, config)
    yield from check_metrics(config)
    for name in run.strategies:
        if name in config.strategies:
            yield from check_strategy(f"strategies.{name}", config.strategies[name], config)
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
            yield f"engine.resources.{kind}.{name}: is not defined{known_are(defined)}"
    divided = engine.vllm.tensor_parallel_size if engine.vllm else 1
    started = started_processes(training.launcher or []) if engine.device != "cpu" else None
    for student in config.run.students:
        asking = student_needs(config, student, "evaluation")["gpus"]
        if divided > asking > 0:
            yield _too_divided(divided, asking, student)
        gpus = student_needs(config, student, "training")["gpus"]
        if started and started > gpus > 0:
            yield (
                f"training.launcher: starts {started} processes, and a job of {student} gets "
                f"{gpus} GPUs (engine.gpus); make both the same number, for trainings alone with "
                "engine.resources.training.gpus."
            )


def _too_divided(divided: int, gpus: int, who: str) -> str:
    return (
        f"engine.vllm.tensor_parallel_size: {divided} is more than the {gpus} GPUs that a job of "
        f"{who} gets (engine.gpus); make both the same number."
    )


def _check_vllm(config: Configuration) -> Iterator[str]:
    """Check that vLLM can write with all that is trained, sampled and its own teacher."""
    if config.evaluation.engine != "vllm":
        return
    recipes = {
        f"strategies.{name}.training.lora" if "lora" in one.training else "training.lora": recipe
        for name, one in chosen(config).items()
        if one.stages and (recipe := recipe_of(config, one.training)).method == "lora"
    }
    for path, recipe in recipes.items():
        if problem := vllm.adapter_problem(recipe.lora.r, recipe.lora.variant == "dora"):
            yield f"{path}: {problem}"
    divided = config.engine.vllm.tensor_parallel_size if config.engine.vllm else 1
    writers = {
        name: asking_needs(config, "teachers", name)["gpus"]
        for name in teachers_used(config)
        if config.teachers[name].is_student
    }
    if any(source_of(config, name) == "samples" for name in metrics_used(config)):
        writers |= {name: student_needs(config, name)["gpus"] for name in config.run.students}
    for name, gpus in writers.items():
        if divided > gpus > 0:
            yield _too_divided(divided, gpus, name)


def _check_file_names(config: Configuration) -> Iterator[str]:
    """Refuse names of files that Snakemake, which prints them as they are, could not show."""
    for path, files in _files_read(config).items():
        for file in files:
            if line(file) != file:
                yield f"{path}: {file!r} has a character in its name that nobody sees; rename it."


def _files_read(config: Configuration) -> dict[str, list[str]]:
    """Return the user's own files, by the config path that names them."""
    return {
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


def _check_buckets(path: str, buckets: Buckets, config: Configuration) -> Iterator[str]:
    if buckets.metric not in config.metrics:
        yield f"{path}.metric: no metric {buckets.metric!r}{known_are(config.metrics)}"
    if not buckets.thresholds and not buckets.quantiles:
        yield f"{path}: give quantiles or thresholds."
    for key, pair in (("quantiles", buckets.quantiles), ("thresholds", buckets.thresholds)):
        if pair and pair[0] > pair[1]:
            yield f"{path}.{key}: {pair[1]} comes before {pair[0]}; give them in ascending order."
    if buckets.hard:
        yield from _check_hard(path, buckets, config)


def _check_hard(path: str, buckets: Buckets, config: Configuration) -> Iterator[str]:
    named = buckets.hard.teacher if buckets.hard else None
    if problem := teacher_problem(f"{path}.hard", named, config):
        yield problem
        return
    name = teacher_of(config, named)
    if not getattr(config.teachers[name], "prices", None):
        yield f"{path}.hard: needs teachers.{name}.prices to know what the money pays for."
    if buckets.on_missing == "hard":
        yield f"{path}.on_missing: hard would buy beyond hard.budget_usd; choose another bucket."
    yield from check_prompt_of_teacher(config, name)


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
    check_rounds,
    check_parents,
    _check_validation,
    _check_adaptive,
    _check_vllm,
    _check_examples,
    _check_placeholders,
)
