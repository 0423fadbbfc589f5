"""What is wrong with metrics and with what the analysis compares."""

from collections.abc import Iterator

from caft.complexity import METRICS
from caft.complexity.settings import MetricSettings
from caft.config.model import Configuration
from caft.config.resolve import (
    STUDENTS_TABLES,
    kind_of,
    metric_of,
    metrics_analysed,
    parts_of,
)
from caft.config.section_checks import check_section, check_student, known_are
from caft.mixtures.settings import Stage


def check_metrics(config: Configuration) -> Iterator[str]:
    """Check the metrics that buckets and the analysis name, and their parts."""
    analysis = config.analysis
    for name in [*(analysis.metrics or []), analysis.outcome]:
        if name not in config.metrics:
            yield f"analysis: no metric {name!r}{known_are(config.metrics)}"
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
        yield f"{path}: is no known metric; name one as {path}.metric{known_are(METRICS)}"
        return
    # A wrong `prompt` at the top is told there, not once for each metric that takes it.
    if metric.prompt not in {*config.prompts, config.prompt}:
        yield f"{path}.prompt: no prompt {metric.prompt!r}{known_are(config.prompts)}"
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
        yield from check_scorer(f"{path}.scored_with", metric.scored_with, config)
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
            yield f"{path}.combine.metrics: no metric {name!r}{known_are(config.metrics)}"
        elif config.metrics[name].combine:
            yield f"{path}.combine.metrics: {name!r} is a combination itself; name its metrics."


def _check_other_model(path: str, metric: MetricSettings, config: Configuration) -> Iterator[str]:
    """Check a metric that another student's model scores."""
    name = str(metric.model)
    if METRICS[str(metric.metric)].source not in STUDENTS_TABLES:
        yield f"{path}.model: no model scores {metric.metric}; leave the key out."
    elif name not in config.students:
        yield f"{path}.model: no student {name!r}{known_are(config.students)}"
    elif metric.scored_with not in ("default", "base", "warm_up"):
        yield f"{path}.scored_with: {name!r} is trained in no stage; give base or warm_up."
    elif metric.scored_with == "warm_up" and not config.students[name].warm_up:
        yield f"{path}.scored_with: students.{name} has no warm_up to score with."
    elif name not in config.run.students:
        yield from check_student(f"students.{name}", config.students[name])


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
        yield f"{path}.judge: no judge {name!r}{known_are(config.judges)}"
    else:
        yield from check_section(f"judges.{name}", config.judges[name])


def _check_endpoint_of_metric(path: str, name: str, config: Configuration) -> Iterator[str]:
    if name not in config.teachers:
        yield f"{path}.teacher: no teacher {name!r}{known_are(config.teachers)}"
    elif not getattr(config.teachers[name], "extra_body", {}).get("logprobs"):
        yield (
            f"{path}.teacher: teachers.{name} does not ask for log-probabilities; give it "
            "extra_body: {logprobs: true, top_logprobs: 20} and max_new_tokens: 1."
        )
    else:
        yield from check_section(f"teachers.{name}", config.teachers[name])


def check_scorer(path: str, scorer: str, config: Configuration) -> Iterator[str]:
    """Check which model scores, or writes: `base`, `warm_up`, or a stage such as `sft.1`."""
    if scorer in ("default", "base"):
        return
    if scorer == "warm_up":
        yield from check_warm_ups(path, "to score with", config)
        return
    strategy, _, stage = scorer.partition(".")
    if strategy not in config.run.strategies:
        yield f"{path}: {strategy!r} is no strategy of run.strategies; give base, warm_up or sft.1."
    elif not stage.isdigit() or not 1 <= int(stage) <= len(stages(config, strategy)):
        count = len(stages(config, strategy))
        yield f"{path}: {strategy!r} has {count} stages; write {strategy}.1 for its first."


def check_warm_ups(path: str, purpose: str, config: Configuration) -> Iterator[str]:
    """Check that every student of the run has a warm-up."""
    for name in config.run.students:
        if name in config.students and not config.students[name].warm_up:
            yield f"{path}: students.{name} has no warm_up {purpose}."


def stages(config: Configuration, strategy: str) -> list[Stage]:
    """Return the stages of a strategy; none of one that is not defined."""
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
