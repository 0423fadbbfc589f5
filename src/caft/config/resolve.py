"""What follows from the configuration."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from caft.complexity import METRICS
from caft.mixtures.recipe import Recipe

Config = dict[str, Any]

# Of a warm-up, whatever the stages do: it is short, and no validation rows are at hand.
_WARM_UP = {"method": "lora", "early_stopping": None, "keep_epochs": False}


def teacher_of(config: Config, part: Mapping[str, Any]) -> str:
    """Return the teacher that a part of the config names, or else the top-level one."""
    return part["teacher"] or config["teacher"] or ""


def recipe_of(config: Config, strategy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a strategy's training recipe: the common one with its own overrides."""
    common, own = config["training"], strategy["training"]
    recipe = {**common, **own, "lora": {**common["lora"], **own.get("lora", {})}}
    return Recipe.model_validate({name: recipe[name] for name in Recipe.model_fields}).plain()


def warm_up_recipe(config: Config) -> dict[str, Any]:
    """Return the training recipe of warm-ups, which no strategy changes."""
    return recipe_of(config, {"training": _WARM_UP})


def chosen(config: Config) -> dict[str, dict[str, Any]]:
    """Return the strategies of this run, by name, in the order of `run.strategies`."""
    return {name: config["strategies"][name] for name in config["run"]["strategies"]}


def strategies_of_teacher(config: Config, teacher: str) -> dict[str, dict[str, Any]]:
    """Return the strategies of this run that train on a teacher's rationales, by name."""
    from caft.mixtures.rows import needs_rationales

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
    from caft.mixtures.rows import needs_rationales

    return sorted(
        {
            teacher_of(config, strategy)
            for strategy in chosen(config).values()
            if needs_rationales(strategy)
        }
    )


def asking_part(strategy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a strategy that decides which items its teacher is asked for."""
    stages = [
        {key: value for key, value in stage.items() if key != "epochs"}
        for stage in strategy["stages"]
    ]
    return {**{key: strategy[key] for key in ("buckets", "membership")}, "stages": stages}


def asked_slice(config: Config) -> Config:
    """Return the part of the config that says who is asked for which strategies' items."""
    strategies = {
        name: {**asking_part(strategy), "teacher": strategy["teacher"]}
        for name, strategy in chosen(config).items()
    }
    buckets = {name: {"metric": config["buckets"][name]["metric"]} for name in buckets_used(config)}
    keys = ("metric", "prompt", "scored_with")
    metrics = {
        name: {key: config["metrics"][name][key] for key in keys} for name in metrics_used(config)
    }
    return {
        "run": {key: config["run"][key] for key in ("datasets", "students", "strategies")},
        "strategies": strategies,
        "teachers": dict.fromkeys(config["teachers"]),
        "teacher": config["teacher"],
        "buckets": buckets,
        "metrics": metrics,
        "prompt": config["prompt"],
    }


def asking_seeds(seeds: list[int], strategies: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the training seeds that decide what strategies ask of a teacher.

    Only a random membership differs from seed to seed: without one the first stands for all, so
    that a further seed asks nothing again.
    """
    drawn = any(strategy["membership"] == "random" for strategy in strategies)
    return seeds if drawn else seeds[:1]


def metric_of(config: Config, name: str) -> dict[str, Any]:
    """Return a metric's settings with its kind and prompt filled in."""
    spec = config["metrics"][name]
    return {
        **spec,
        "metric": spec["metric"] or name,
        "prompt": spec["prompt"] or config["prompt"],
    }


def source_of(config: Config, metric: str) -> str:
    """Return which table a metric is computed from."""
    return METRICS[metric_of(config, metric)["metric"]].source


def scorer_of(config: Config, student: str, metric: str) -> str:
    """Return which model scores a metric: `base`, `warm_up`, or a stage such as `sft.1`."""
    scorer = metric_of(config, metric)["scored_with"]
    if scorer != "default":
        return scorer
    return "warm_up" if config["students"][student]["warm_up"] else "base"


def metric_table(config: Config, dataset: str, student: str, name: str) -> Path | None:
    """Return the table of a student that a metric is computed from; None if no student makes it."""
    source = source_of(config, name)
    if source not in ("scores", "generations", "samples", "likelihoods"):
        return None
    table = name if source == "samples" else metric_of(config, name)["prompt"]
    scorer = scorer_of(config, student, name)
    return Path(f"data/{source}/{dataset}/{student}/{scorer}/{table}.parquet")


def sampling_of(config: Config, metric: str) -> dict[str, Any]:
    """Return how a metric's chains of thought are drawn."""
    spec = config["metrics"][metric]
    return {name: spec[name] for name in ("samples", "temperature", "top_p")}


def decimals_of(config: Config, buckets: str) -> int | None:
    """Return how many decimals count for a bucket definition; None for all of them.

    What a model computes is rounded above the noise of float32 batching; a value from a file is
    what it is.
    """
    return None if source_of(config, config["buckets"][buckets]["metric"]) == "imported" else 4


def metrics_analysed(config: Config) -> list[str]:
    """Return the names of the metrics that the analysis compares.

    The outcome is one of them, unless it comes from a file and only says what was right.
    """
    spec, outcome = config["analysis"], config["analysis"]["outcome"]
    known = sorted(config["metrics"], key=lambda name: (_place(config, name), name))
    names = dict.fromkeys([*(spec["metrics"] or known), outcome])
    if metric_of(config, outcome)["metric"] == "imported":
        del names[outcome]
    return list(names)


def _place(config: Config, metric: str) -> int:
    """Return the place of a metric's kind in the registry, since keys have no order."""
    kinds = list(METRICS)
    kind = metric_of(config, metric)["metric"]
    return kinds.index(kind) if kind in kinds else len(kinds)


def compared_metric(config: Config) -> str:
    """Return the metric that all others are compared with: the buckets' own, if it is analysed."""
    names = metrics_analysed(config)
    metric = str(config["buckets"][buckets_used(config)[0]]["metric"])
    return metric if metric in names else names[0]


def labelled_metrics(config: Config) -> list[str]:
    """Return the analysed metrics that read the gold answer."""
    return [
        name
        for name in metrics_analysed(config)
        if config["metrics"][name]["reads_label"]
        or "label" in METRICS[metric_of(config, name)["metric"]].needs
    ]


def plotted_metric(config: Config) -> str | None:
    """Return the first bucket metric if a forward pass makes it: its column of the scores table."""
    metric = config["buckets"][buckets_used(config)[0]]["metric"]
    kind = metric_of(config, metric)["metric"]
    return kind if METRICS[kind].in_pass else None


def metrics_used(config: Config) -> list[str]:
    """Return the names of the metrics that this run's buckets are drawn by."""
    return sorted({config["buckets"][name]["metric"] for name in buckets_used(config)})


def purchase_of(config: Config, buckets: str) -> dict[str, Any] | None:
    """Return what the prices of a budget-driven threshold follow from; None where there is none."""
    hard = config["buckets"][buckets].get("hard")
    if not hard:
        return None
    teacher = config["teachers"][teacher_of(config, hard)]
    return {
        "provider": teacher["provider"],
        "prices": {name: value for name, value in teacher["prices"].items() if name != "entered"},
        "batch": teacher.get("batch", False),
        "expected_completion_tokens": teacher["expected_completion_tokens"],
        "prompt": config["prompts"][teacher["prompt"]],
    }


def buckets_used(config: Config) -> list[str]:
    """Return the bucket definitions that this run's strategies use."""
    from caft.mixtures.rows import divisions

    return sorted({name for strategy in chosen(config).values() for name in divisions(strategy)})


def compute_of(config: Config, *more: str) -> dict[str, Any]:
    """Return the engine's settings that change results; `more` are further ones of a stage.

    What only says how much a job may take is left out, so that changing it runs nothing again.
    So are threads: they can change the last digit, and nobody wants to pay for that.
    """
    return {name: config["engine"][name] for name in ("device", "dtype", "attention", *more)}


def asking_needs(engine: Mapping[str, Any], provider: str) -> dict[str, int]:
    """Return what a job that asks a provider takes: little, unless the model runs in the job."""
    if provider not in ("local", "vllm_server"):
        return {"threads": 1, "gpus": 0, "mem_mb": 2000}
    return {name: engine[name] for name in ("threads", "gpus", "mem_mb")}
