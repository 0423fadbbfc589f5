"""What is wrong between keys of the configuration, which no schema can state."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from caft.config.modes import views
from caft.config.resolve import (
    Config,
    chosen,
    metric_of,
    metrics_analysed,
    recipe_of,
    teacher_of,
)
from caft.config.rounds import round_of
from caft.errors import ConfigError, ModelError


def cross_check(config: Config) -> Iterator[str]:
    """Yield what is wrong between keys: undefined names, thresholds out of order, lost files."""
    problems = list(_check_names(config))
    # Who waits for whom can be told once every name is known.
    yield from problems or [
        problem
        for check in (_check_rounds, _check_validation, _check_examples)
        for problem in check(config)
    ]


def _check_names(config: Config) -> Iterator[str]:
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
    yield from _check_metrics(config)
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
    from caft.students.folders import check_folder

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
    if spec["metric"] not in config["metrics"]:
        yield f"{path}.metric: no metric {spec['metric']!r}{_known(config['metrics'])}"
    if not spec.get("thresholds") and not spec.get("quantiles"):
        yield f"{path}: give quantiles or thresholds."
    for key in ("quantiles", "thresholds"):
        pair = spec.get(key)
        if pair and pair[0] > pair[1]:
            yield f"{path}.{key}: {pair[1]} comes before {pair[0]}; give them in ascending order."
    if "hard" in spec:
        yield from _check_hard(path, spec, config)


def _check_metrics(config: Config) -> Iterator[str]:
    spec = config["analysis"]
    for name in [*(spec["metrics"] or []), spec["outcome"]]:
        if name not in config["metrics"]:
            yield f"analysis: no metric {name!r}{_known(config['metrics'])}"
            return
    used = {bucket["metric"] for bucket in config["buckets"].values()}
    for name in sorted({*metrics_analysed(config), spec["outcome"], *used}):
        if name in config["metrics"]:
            yield from _check_metric(f"metrics.{name}", metric_of(config, name), config)
    yield from _check_analysis(config)


_NEEDED = {"imported": ("path", "column"), "judgements": ("judge",), "topk": ("teacher",)}


def _check_metric(path: str, spec: Mapping[str, Any], config: Config) -> Iterator[str]:
    from caft.complexity import METRICS

    if spec["metric"] not in METRICS:
        yield f"{path}: is no known metric; name one as {path}.metric{_known(METRICS)}"
        return
    # A wrong `prompt` at the top is told there, not once for each metric that takes it.
    if spec["prompt"] not in {*config["prompts"], config["prompt"]}:
        yield f"{path}.prompt: no prompt {spec['prompt']!r}{_known(config['prompts'])}"
    for key in _NEEDED.get(METRICS[spec["metric"]].source, ()):
        if key not in spec:
            yield f"{path}.{key}: is needed for {spec['metric']}."
    if "path" in spec and not Path(spec["path"]).is_file():
        yield f"{path}.path: no file {spec['path']}; paths start in the folder of the run."
    if "judge" in spec:
        yield from _check_judge(path, spec["judge"], config)
    if "teacher" in spec:
        yield from _check_endpoint_of_metric(path, spec["teacher"], config)
    yield from _check_scorer(f"{path}.scored_with", spec["scored_with"], config)


def _check_endpoint_of_metric(path: str, name: str, config: Config) -> Iterator[str]:
    if name not in config["teachers"]:
        yield f"{path}.teacher: no teacher {name!r}{_known(config['teachers'])}"
    elif not config["teachers"][name].get("extra_body", {}).get("logprobs"):
        yield (
            f"{path}.teacher: teachers.{name} does not ask for log-probabilities; give it "
            "extra_body: {logprobs: true, top_logprobs: 20} and max_new_tokens: 1."
        )
    else:
        yield from _check_model(f"teachers.{name}", config["teachers"][name])


def _check_scorer(path: str, scorer: str, config: Config) -> Iterator[str]:
    if scorer in ("default", "base"):
        return
    if scorer == "warm_up":
        for name in config["run"]["students"]:
            if not config["students"].get(name, {}).get("warm_up"):
                yield f"{path}: students.{name} has no warm_up to score with."
        return
    strategy, _, stage = scorer.partition(".")
    if strategy not in config["run"]["strategies"]:
        yield f"{path}: {strategy!r} is no strategy of run.strategies; give base, warm_up or sft.1."
    elif not stage.isdigit() or not 1 <= int(stage) <= len(_stages(config, strategy)):
        count = len(_stages(config, strategy))
        yield f"{path}: {strategy!r} has {count} stages; write {strategy}.1 for its first."


def _stages(config: Config, strategy: str) -> list[Any]:
    return config["strategies"].get(strategy, {"stages": []})["stages"]


def _check_analysis(config: Config) -> Iterator[str]:
    from caft.complexity import METRICS

    spec = config["analysis"]
    outcome = METRICS.get(metric_of(config, spec["outcome"])["metric"])
    if outcome and outcome.source not in ("scores", "imported"):
        yield f"analysis.outcome: {spec['outcome']!r} says of no item whether it is wrong."
    staged = [
        name for name in metrics_analysed(config) if "." in config["metrics"][name]["scored_with"]
    ]
    if staged and spec["split"] != "test":
        yield (
            f"analysis.split: {staged[0]!r} is scored with a trained model, which knows its "
            "training items; set test."
        )


def _check_hard(path: str, spec: dict[str, Any], config: Config) -> Iterator[str]:
    if problem := _teacher_problem(f"{path}.hard", spec["hard"], config):
        yield problem
        return
    name = teacher_of(config, spec["hard"])
    if not config["teachers"][name].get("prices"):
        yield f"{path}.hard: needs teachers.{name}.prices to know what the money pays for."
    if spec["on_missing"] == "hard":
        yield f"{path}.on_missing: hard would buy beyond hard.budget_usd; choose another bucket."
    yield from _check_prompt_of_teacher(config, name)


def _check_strategy(path: str, strategy: dict[str, Any], config: Config) -> Iterator[str]:
    from caft.mixtures.rows import needs_rationales

    if strategy["buckets"] not in config["buckets"]:
        yield f"{path}.buckets: no buckets {strategy['buckets']!r}{_known(config['buckets'])}"
    for number, stage in enumerate(strategy["stages"]):
        given = {"buckets", "target", "parts"} & set(stage)
        if given not in ({"buckets", "target"}, {"parts"}):
            yield f"{path}.stages.{number}: give either buckets and target, or parts."
            return
        if (name := stage.get("divided_by")) and name not in config["buckets"]:
            where = f"{path}.stages.{number}.divided_by"
            yield f"{where}: no buckets {name!r}{_known(config['buckets'])}"
            return
    yield from _check_match(path, strategy, config)
    if needs_rationales(strategy):
        if not config["teachers"]:
            yield f"{path}: trains on rationales, but teachers defines no teacher."
        elif not (problem := _teacher_problem(path, strategy, config)):
            yield from _check_teacher(config, teacher_of(config, strategy))
        else:
            yield problem
    if strategy["start"] == "warm_up":
        for name in config["run"]["students"]:
            if not config["students"].get(name, {}).get("warm_up"):
                yield f"{path}.start: students.{name} has no warm_up to start from."


def _teacher_problem(path: str, part: Mapping[str, Any], config: Config) -> str | None:
    """Say what is wrong with the teacher that a part names, or leaves to the top level."""
    name = teacher_of(config, part)
    if name in config["teachers"]:
        return None
    known = _known(config["teachers"])
    if not name:
        return f"{path}.teacher: is needed, or a top-level `teacher` for all{known}"
    return (
        f"{path}.teacher: no teacher {name!r}{known}"
        if part["teacher"]
        else (f"teacher: no teacher {name!r}, but {path} leaves its teacher to this key{known}")
    )


def _check_validation(config: Config) -> Iterator[str]:
    """Check that the validation split is there where it is used, and not used twice."""
    run = config["run"]
    recipes = {
        name: recipe_of(config, strategy)
        for name, strategy in chosen(config).items()
        if strategy["stages"]
    }
    stopping = [name for name, recipe in recipes.items() if recipe["early_stopping"]]
    users = [f"training.early_stopping of {', '.join(stopping)}"] if stopping else []
    if "best" in run["checkpoints"]:
        users.append("run.checkpoints: best")
        for name in [name for name, recipe in recipes.items() if not recipe["keep_epochs"]]:
            yield f"run.checkpoints: best needs training.keep_epochs: true for strategies.{name}."
    if run["split"] == "validation":
        for user in users:
            yield f"run.split: {user} chooses epochs by the validation split; report test."
        users.append("run.split: validation")
    for name in run["datasets"] if users else []:
        if not _may_have_validation(config["datasets"][name]):
            yield f"datasets.{name}.splits: {users[0]} needs a share of validation."


def _may_have_validation(spec: Mapping[str, Any]) -> bool:
    """Tell whether a data set can have validation items, by a share or by splits of its own."""
    official = spec.get("official_splits") and "validation" in spec["parts"]
    return bool(spec["splits"]["validation"] or official or "split" in spec.get("columns", {}))


def _check_examples(config: Config) -> Iterator[str]:
    """Check that a data set that is to show worked chains of thought names some."""
    shots = max((view.shots for view in views(config) if view.mode == "cot"), default=0)
    where = "run.shots" if config["run"]["shots"] else f"prompts.{config['prompt']}.few_shot"
    for name in config["run"]["datasets"] if shots else []:
        spec = config["datasets"][name]
        if "columns" in spec and "rationale" not in spec["columns"] and "rationales" not in spec:
            yield (
                f"{where}: {shots} examples in mode cot need rationales of the data set's own; "
                f"name them as datasets.{name}.columns.rationale, or set 0."
            )


def _check_match(path: str, strategy: dict[str, Any], config: Config) -> Iterator[str]:
    if not strategy["match"]:
        return
    name = strategy["match"]["strategy"]
    if name not in config["run"]["strategies"] or not _stages(config, name):
        yield f"{path}.match.strategy: {name!r} is no trained strategy of run.strategies."
    elif config["strategies"][name]["match"]:
        yield f"{path}.match.strategy: {name!r} matches another one itself; name that one."
    elif not strategy["stages"]:
        yield f"{path}.match: the strategy has no stage whose epochs could change."


def _check_rounds(config: Config) -> Iterator[str]:
    """Check what needs every name to be known: which strategy waits for which."""
    for name, strategy in chosen(config).items():
        try:
            own = round_of(config, name)
        except ConfigError as error:
            yield str(error)
            return
        match = strategy["match"]
        if match and round_of(config, match["strategy"]) != own:
            yield (
                f"strategies.{name}.match.strategy: {match['strategy']!r} has buckets from another "
                "model; both must be planned together."
            )


def _check_teacher(config: Config, name: str) -> Iterator[str]:
    yield from _check_prompt_of_teacher(config, name)
    yield from _check_model(f"teachers.{name}", config["teachers"][name])


def _check_judge(path: str, name: str, config: Config) -> Iterator[str]:
    """Check a judge that a metric names."""
    if name not in config["judges"]:
        yield f"{path}.judge: no judge {name!r}{_known(config['judges'])}"
    else:
        yield from _check_model(f"judges.{name}", config["judges"][name])


def _check_model(path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """Check who is asked, a teacher or a judge."""
    if (
        spec["provider"] == "local"
        and not spec.get("revision")
        and not Path(spec["model"]).is_dir()
    ):
        yield (
            f"{path}.model: no folder {spec['model']}; "
            "for a hub id give its revision as well, for a folder check the path."
        )
    if spec["provider"] in ("openai", "vllm_server"):
        yield from check_endpoint(path, spec)


_SET_ELSEWHERE = {
    "model": "model",
    "messages": "prompt",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "seed": "seed",
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
}


def check_endpoint(path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a model behind an OpenAI-compatible endpoint; no key is repeated.

    Args:
        path: of the section in the config.
        spec: the section, with its defaults.
    """
    if spec["provider"] == "openai":
        yield from _check_address(path, spec)
    elif not any("{port}" in part for part in spec["command"]):
        yield f"{path}.command: {{port}} is missing; write it where the server takes its port."
    for field in spec["extra_body"]:
        if field in _SET_ELSEWHERE:
            yield f"{path}.extra_body.{field}: is set by {path}.{_SET_ELSEWHERE[field]}."
        elif field in ("stream", "n"):
            yield f"{path}.extra_body.{field}: leave it out; a request has one whole answer."
    prices = spec["prices"]
    if prices and not _is_day(prices.get("entered", "")):
        yield f"{path}.prices.entered: say on which day they were looked up (YYYY-MM-DD)."
    if not prices and spec["budget"]["max_cost_usd"] is not None and spec["provider"] == "openai":
        yield f"{path}.budget.max_cost_usd: needs {path}.prices, or nobody knows what is spent."


def _check_address(path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    from caft.teacher.endpoint.connection import base_url_problem

    if problem := base_url_problem(spec["base_url"]):
        yield f"{path}.base_url: {problem}"
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", spec["api_key_env"] or "NONE"):
        yield (
            f"{path}.api_key_env: is no name of an environment variable; put the key into one, "
            "never into the config."
        )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _check_prompt_of_teacher(config: Config, name: str) -> Iterator[str]:
    prompt = config["teachers"][name]["prompt"]
    if prompt not in config["prompts"]:
        yield f"teachers.{name}.prompt: no prompt {prompt!r}{_known(config['prompts'])}"
    elif config["prompts"][prompt]["labels"] != "upper":
        yield f"teachers.{name}.prompt: {prompt!r} needs upper-case letters (labels: upper)."
