"""What is wrong with strategies, with their teachers, and with which waits for which."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from caft.config.metric_checks import check_scorer, check_warm_ups, stages
from caft.config.model import Configuration
from caft.config.resolve import (
    chosen,
    recipe_of,
    teacher_of,
    warm_up_recipe,
)
from caft.config.rounds import (
    asked_before,
    round_of,
    rounds_used,
    scored_by,
    strategies_of_round,
    teachers_of_round,
    waits_for,
)
from caft.config.section_checks import check_section, known_are
from caft.errors import ConfigError
from caft.mixtures.settings import BOUGHT, DEFAULT, Part, Stage, Strategy, Target
from caft.teacher.settings import TeacherKeys


def check_strategy(path: str, strategy: Strategy, config: Configuration) -> Iterator[str]:
    """Check the stages of a strategy, its buckets and its teachers."""
    if strategy.buckets not in config.buckets:
        yield f"{path}.buckets: no buckets {strategy.buckets!r}{known_are(config.buckets)}"
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
        yield from check_warm_ups(f"{path}.start", "to start from", config)


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
                yield f"{place}.teacher: no teacher {name!r}{known_are(config.teachers)}"
            asked.add((name, part.target))
    targets = {name: {target for one, target in asked if one == name} for name, _ in asked}
    if DEFAULT in targets:
        if problem := teacher_problem(path, strategy.teacher, config):
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
        return f".divided_by: no buckets {stage.divided_by!r}{known_are(config.buckets)}"
    return None


def _check_match(path: str, strategy: Strategy, config: Configuration) -> Iterator[str]:
    if not strategy.match:
        return
    name = strategy.match.strategy
    if name not in config.run.strategies or not stages(config, name):
        yield f"{path}.match.strategy: {name!r} is no trained strategy of run.strategies."
    elif config.strategies[name].match:
        yield f"{path}.match.strategy: {name!r} matches another one itself; name that one."
    elif not strategy.stages:
        yield f"{path}.match: the strategy has no stage whose epochs could change."


def teacher_problem(path: str, named: str | None, config: Configuration) -> str | None:
    """Say what is wrong with the teacher that a part names, or leaves to the top level."""
    name, known = teacher_of(config, named), known_are(config.teachers)
    if name in config.teachers:
        return None
    if not name:
        return f"{path}.teacher: is needed, or a top-level `teacher` for all{known}"
    if named:
        return f"{path}.teacher: no teacher {name!r}{known}"
    return f"teacher: no teacher {name!r}, but {path} leaves its teacher to this key{known}"


def _check_teacher(config: Configuration, name: str) -> Iterator[str]:
    yield from check_prompt_of_teacher(config, name)
    yield from _check_choice(f"teachers.{name}", config.teachers[name])
    yield from check_section(f"teachers.{name}", config.teachers[name])
    if sampler := config.teachers[name].sampler:
        yield from check_scorer(f"teachers.{name}.sampled_with", sampler, config)


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


def check_prompt_of_teacher(config: Configuration, name: str) -> Iterator[str]:
    """Check the prompt that a teacher is asked with."""
    prompt = config.teachers[name].prompt
    if prompt not in config.prompts:
        yield f"teachers.{name}.prompt: no prompt {prompt!r}{known_are(config.prompts)}"
    elif config.prompts[prompt].labels != "upper":
        yield f"teachers.{name}.prompt: {prompt!r} needs upper-case letters (labels: upper)."


def check_rounds(config: Configuration) -> Iterator[str]:
    """Check what needs every name to be known: which strategy waits for which."""
    for name, strategy in chosen(config).items():
        try:
            own = round_of(config, name)
        except ConfigError as error:
            yield str(error)
            return
        if strategy.match and round_of(config, strategy.match.strategy) != own:
            yield _unlike_rounds(config, name, strategy.match.strategy)
    yield from _check_cascades(config)


def _unlike_rounds(config: Configuration, name: str, other: str) -> str:
    """Say why a strategy cannot match another one that is planned before or after it."""
    rounds = {one: round_of(config, one) for one in (name, other)}
    late, early = sorted((name, other), key=lambda one: -rounds[one])
    models = " and ".join(waits_for(config, late))
    possible = [
        one
        for one in strategies_of_round(config, rounds[name])
        if one != name and stages(config, one) and not config.strategies[one].match
    ]
    instead = f"match one that is planned with it ({', '.join(possible)}), or " if possible else ""
    return (
        f"strategies.{name}.match.strategy: {late!r} waits for a model of {models}, which scores "
        f"its buckets or writes its rationales, so it is planned after {early!r}, and their rows "
        f"are not known at one time; {instead}leave match out and set the epochs of the stages."
    )


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


def check_parents(config: Configuration) -> Iterator[str]:
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
