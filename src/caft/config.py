"""The configuration: schema with defaults, and the checks that no schema can state."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from caft.errors import ConfigError, ModelError

Config = dict[str, Any]


def prepare(config: Config, schema_path: str | Path) -> Config:
    """Fill defaults into a configuration in place and check it.

    Args:
        config: as read from YAML.
        schema_path: the JSON schema in YAML.

    Returns:
        The same dict.

    Raises:
        ConfigError: naming every problem with its config path and what to do.
    """
    import yaml

    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    # Strategies that share a teacher share its problems: each is told once.
    problems = list(_schema_problems(config, schema)) or list(dict.fromkeys(cross_check(config)))
    if problems:
        raise ConfigError("\n".join(f"config: {problem}" for problem in problems))
    return config


def _schema_problems(config: Config, schema: dict[str, Any]) -> Iterator[str]:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    check_properties = Draft202012Validator.VALIDATORS["properties"]

    def fill_defaults(validator: Any, properties: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            for key, part in properties.items():
                target = (
                    validator._resolver.lookup(part["$ref"]).contents if "$ref" in part else part
                )
                if "default" in target:
                    default = target["default"]
                    instance.setdefault(
                        key, dict(default) if isinstance(default, dict) else default
                    )
        yield from check_properties(validator, properties, instance, schema)

    validator = extend(Draft202012Validator, {"properties": fill_defaults})(schema)
    for error in validator.iter_errors(config):
        path = ".".join(str(part) for part in error.absolute_path) or "top level"
        if error.validator == "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            unknown = sorted(set(error.instance) - set(known))
            yield f"{path}: unknown key {unknown[0]!r}; known keys are {', '.join(known)}."
        else:
            yield f"{path}: {error.message}."


def cross_check(config: Config) -> Iterator[str]:
    """Yield what is wrong between keys: undefined names, thresholds out of order, lost files."""
    run = config["run"]
    for kind in ("datasets", "students", "strategies"):
        for name in run[kind]:
            if name not in config[kind]:
                yield f"run.{kind}: {name!r} is not defined{_known(config[kind])}"
    if config["prompt"] not in config["prompts"]:
        yield f"prompt: no prompt {config['prompt']!r}{_known(config['prompts'])}"
    for name in run["datasets"]:
        yield from _check_dataset(f"datasets.{name}", config["datasets"].get(name))
    for name in run["students"]:
        yield from _check_student(f"students.{name}", config["students"].get(name))
    for name, spec in config["buckets"].items():
        yield from _check_buckets(f"buckets.{name}", spec, config)
    for name in run["strategies"]:
        if name in config["strategies"]:
            yield from _check_strategy(f"strategies.{name}", config["strategies"][name], config)


def _known(section: Mapping[str, Any]) -> str:
    return f"; known are {', '.join(section) or 'none'}."


def _check_dataset(path: str, spec: dict[str, Any] | None) -> Iterator[str]:
    if spec is None:
        return
    total = sum(spec["splits"].values())
    if abs(total - 1) > 1e-6:
        yield f"{path}.splits: the shares add up to {total:g}; make them add up to 1."
    if spec["adapter"] == "file":
        files = {"path": spec["path"]}
        if "rationales" in spec:
            files["rationales.path"] = spec["rationales"]["path"]
        for key, file in files.items():
            if not Path(file).is_file():
                yield f"{path}.{key}: no file {file}; paths start in the folder of the run."
        if spec.get("rationales") and "id" not in spec["columns"]:
            yield f"{path}.columns: rationales are joined by id; name the id column."
        if spec["answer_kind"] == "choice" and "options" not in spec["columns"]:
            yield f"{path}.columns: answer_kind is choice; name the options, or set the kind."
    if spec["adapter"] == "hub" and not spec.get("revision") and not Path(spec["id"]).is_dir():
        yield f"{path}.revision: pin the data set to a commit, or results cannot be repeated."


def _check_student(path: str, spec: dict[str, Any] | None) -> Iterator[str]:
    from caft.models import check_folder

    if spec is None:
        return
    given = [key for key in ("package", "path", "hub") if key in spec]
    if len(given) != 1:
        found = ", ".join(given) or "none"
        yield f"{path}: give exactly one of package, path and hub (found {found})."
        return
    for key in {"package": ("member", "sha256"), "hub": ("revision",), "path": ()}[given[0]]:
        if key not in spec:
            yield f"{path}.{key}: is needed with {given[0]}, so that everybody gets the same model."
    if "path" in spec:
        try:
            check_folder(Path(spec["path"]))
        except ModelError as error:
            yield f"{path}.path: {error}"


def _check_buckets(path: str, spec: dict[str, Any], config: Config) -> Iterator[str]:
    if spec["prompt"] not in config["prompts"]:
        yield f"{path}.prompt: no prompt {spec['prompt']!r}{_known(config['prompts'])}"
    if not spec.get("thresholds") and not spec.get("quantiles"):
        yield f"{path}: give quantiles or thresholds."
    for key in ("quantiles", "thresholds"):
        pair = spec.get(key)
        if pair and pair[0] > pair[1]:
            yield f"{path}.{key}: {pair[1]} comes before {pair[0]}; give them in ascending order."


def _check_strategy(path: str, strategy: dict[str, Any], config: Config) -> Iterator[str]:
    from caft.mixtures import needs_rationales

    if strategy["buckets"] not in config["buckets"]:
        yield f"{path}.buckets: no buckets {strategy['buckets']!r}{_known(config['buckets'])}"
    for number, stage in enumerate(strategy["stages"]):
        given = {"buckets", "target", "parts"} & set(stage)
        if given not in ({"buckets", "target"}, {"parts"}):
            yield f"{path}.stages.{number}: give either buckets and target, or parts."
            return
    for where, own, known in (
        ("training", strategy["training"], config["training"]),
        ("training.lora", strategy["training"].get("lora", {}), config["training"]["lora"]),
    ):
        unknown = sorted(set(own) - set(known))
        if unknown:
            yield f"{path}.{where}: unknown key {unknown[0]!r}{_known(known)}"
    if needs_rationales(strategy):
        if not config["teachers"]:
            yield f"{path}: trains on rationales, but teachers defines no teacher."
        elif strategy["teacher"] and strategy["teacher"] not in config["teachers"]:
            yield f"{path}.teacher: no teacher {strategy['teacher']!r}{_known(config['teachers'])}"
        else:
            yield from _check_teacher(config, teacher_of(config, strategy))
    if strategy["start"] == "warm_up":
        for name in config["run"]["students"]:
            if not config["students"].get(name, {}).get("warm_up"):
                yield f"{path}.start: students.{name} has no warm_up to start from."


def _check_teacher(config: Config, name: str) -> Iterator[str]:
    spec = config["teachers"][name]
    yield from _check_prompt_of_teacher(config, name)
    if (
        spec["provider"] == "local"
        and not spec.get("revision")
        and not Path(spec["model"]).is_dir()
    ):
        yield (
            f"teachers.{name}.model: no folder {spec['model']}; "
            "for a hub id give its revision as well, for a folder check the path."
        )


def _check_prompt_of_teacher(config: Config, name: str) -> Iterator[str]:
    prompt = config["teachers"][name]["prompt"]
    if prompt not in config["prompts"]:
        yield f"teachers.{name}.prompt: no prompt {prompt!r}{_known(config['prompts'])}"
    elif config["prompts"][prompt]["labels"] != "upper":
        yield f"teachers.{name}.prompt: {prompt!r} needs upper-case letters (labels: upper)."


def teacher_of(config: Config, strategy: Mapping[str, Any]) -> str:
    """Return the name of a strategy's teacher: its own, or the first one defined."""
    return strategy["teacher"] or next(iter(config["teachers"]))


def recipe_of(config: Config, strategy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a strategy's training recipe: the common one with its own overrides."""
    common, own = config["training"], strategy["training"]
    adapters = {**common["lora"], **own.get("lora", {})}
    return {**common, **own, "lora": adapters}


def chosen(config: Config) -> dict[str, dict[str, Any]]:
    """Return the strategies of this run, by name, in the order of `run.strategies`."""
    return {name: config["strategies"][name] for name in config["run"]["strategies"]}


def strategies_of_teacher(config: Config, teacher: str) -> dict[str, dict[str, Any]]:
    """Return the strategies of this run that train on a teacher's rationales, by name."""
    from caft.mixtures import needs_rationales

    return {
        name: strategy
        for name, strategy in chosen(config).items()
        if needs_rationales(strategy) and teacher_of(config, strategy) == teacher
    }


def resolved_strategies(config: Config) -> dict[str, dict[str, Any]]:
    """Return the strategies of this run with teacher, fallback policy and recipe filled in."""
    resolved = {
        name: {
            **strategy,
            "recipe": recipe_of(config, strategy),
            "teacher": None,
            "fallback": "drop",
        }
        for name, strategy in chosen(config).items()
    }
    for teacher in teachers_used(config):
        for name in strategies_of_teacher(config, teacher):
            resolved[name]["teacher"] = teacher
            resolved[name]["fallback"] = config["teachers"][teacher]["fallback"]
    return resolved


def teachers_used(config: Config) -> list[str]:
    """Return the teachers that this run's strategies need."""
    from caft.mixtures import needs_rationales

    return sorted(
        {
            teacher_of(config, strategy)
            for strategy in chosen(config).values()
            if needs_rationales(strategy)
        }
    )


def prompts_used(config: Config) -> list[str]:
    """Return the prompt variants that items are scored with in this run."""
    return sorted({config["buckets"][name]["prompt"] for name in buckets_used(config)})


def buckets_used(config: Config) -> list[str]:
    """Return the bucket definitions that this run's strategies use."""
    return sorted({strategy["buckets"] for strategy in chosen(config).values()})
