"""Where everything of a run lies: one map of paths, relative to the folder of the run.

A path is a pattern with the wildcards of the workflow. Rules take patterns as they are; input
functions and the package fill them with `at`. Logs and benchmarks of jobs are named by their rules.
"""

import re
from collections.abc import Iterable

# Question sets and students
ITEMS = "data/items/{dataset}.parquet"
ITEMS_REPORT = "data/items/{dataset}.report.json"
ITEMS_REPORT_TABLE = "data/items/{dataset}.report.csv"
REJECTED_ROWS = "data/quarantine/items/{dataset}.parquet"
STUDENT = "data/models/{student}/student.json"
WARM_UP = "data/warm_up/{dataset}/{student}/{prompt}/model.json"
DOWNLOADS = "data/downloads"

# What makes the output of each job beside its inputs; see `caft.running.settings_file`
JOB_SETTINGS = "data/settings/{rule}/{job}.json"

# What models, judges and endpoints say about items
SCORES = "data/scores/{dataset}/{student}/{scorer}/{prompt}.parquet"
GENERATIONS = "data/generations/{dataset}/{student}/{scorer}/{prompt}.parquet"
LIKELIHOODS = "data/likelihoods/{dataset}/{student}/{scorer}/{prompt}.parquet"
SAMPLES = "data/samples/{dataset}/{student}/{scorer}/{metric}.parquet"
JUDGEMENTS = "data/judgements/{dataset}/{judge}.parquet"
FIRST_TOKENS = "data/topk/{dataset}/{metric}.parquet"

# From complexity to training tables
METRICS = "data/metrics/{dataset}/{student}/{metric}.parquet"
METRICS_REPORT = "data/metrics/{dataset}/{student}/{metric}.report.json"
UNUSED_VALUES = "data/quarantine/metrics/{dataset}/{student}/{metric}.csv"
BUCKETS = "data/buckets/{dataset}/{student}/{buckets}.parquet"
BUCKETS_REPORT = "data/buckets/{dataset}/{student}/{buckets}.report.json"
RATIONALES = "data/rationales/{dataset}/{student}/{round}/{teacher}.parquet"
REJECTED_ANSWERS = "data/quarantine/rationales/{dataset}/{student}/{round}/{teacher}.csv"
PLAN = "data/mixtures/{dataset}/{student}/{round}/plan.json"
PLAN_INDEX = "data/mixtures/{dataset}/{student}/{round}/index.csv"
SAMPLES_PAGE = "data/mixtures/{dataset}/{student}/{round}/samples.html"
OVER_LONG = "data/quarantine/mixtures/{dataset}/{student}/{round}.csv"

# Named by content, and not declared by any rule: Snakemake deletes what a rule declares
MIXTURE = "data/mixtures/rows/{mixture}.parquet"
PLANNED_STAGE = "data/mixtures/stages/{digest}.json"
BLOCKS = "data/blocks"
TEACHER_STORE = "data/store/teacher"
JUDGE_STORE = "data/store/judge"

HASHES = "data/hashes"  # of large files, by what tells that nobody wrote them

# Trained models and their answers
MODEL = "results/models/{digest}/model.json"
SELECTION = "results/selection/{dataset}/{student}/{digest}.json"
PREDICTIONS = "results/predictions/{dataset}/{student}/{model}.{mode}.parquet"
ANSWERED = "data/answered/{dataset}/{student}.json"  # that blocks of predictions are there
LIVE_LOSSES = "losses.jsonl"  # in the work folder of a training
TENSORBOARD = "results/tensorboard"
LOSSES = "results/training/{dataset}/{student}/losses.csv"
LOSSES_SVG = "results/training/{dataset}/{student}/losses.svg"
LOSSES_PNG = "results/training/{dataset}/{student}/losses.png"

# What a run is summed up in
SUMMARY = "results/summary.csv"
OVERVIEW = "results/overview.html"
SUMMARY_MARKDOWN = "results/tables/summary.md"
SUMMARY_LATEX = "results/tables/summary.tex"
RUNS = "results/tables/runs.csv"
COMPARISONS = "results/tables/comparisons.csv"
ANSWERING = "results/tables/answering.csv"
COMPLEXITY = "results/tables/complexity.csv"
THRESHOLDS = "results/tables/thresholds.csv"
RUN_PLAN = "results/tables/plan.csv"
RUN_PLAN_TEXT = "results/tables/plan.txt"
TEACHER_PLAN = "results/tables/teacher_plan.csv"
TEACHER_SPEND = "results/tables/teacher_spend.csv"
TEACHER_ACCEPTANCE = "results/tables/teacher_acceptance.csv"
MODEL_INDEX = "results/models/index.csv"
PROVENANCE = "results/provenance.json"
EXPLORER = "results/explorer.html"
FIGURE = "results/figures/{name}.{suffix}"
ANALYSIS = "results/analysis/{dataset}/{student}/{name}.{suffix}"

# The tables that each setting of `engine.shards` divides; rationales have a rule of their own.
SHARDED = {
    "scores": [SCORES],
    "generations": [GENERATIONS, SAMPLES, LIKELIHOODS],
    "evaluation": [PREDICTIONS],
}
NO_SHARD = "()"  # matches no text at all; Snakemake takes an empty pattern for none

BEST = "-best"  # after a digest: the epoch that answers the validation split best


def at(pattern: str, **names: object) -> str:
    """Fill the wildcards of a pattern; names that it does not have are left aside.

    Raises:
        KeyError: if a wildcard is not named.
    """
    return pattern.format(**names)


def patterns() -> dict[str, str]:
    """Return all patterns by their names."""
    found = {name: value for name, value in globals().items() if name.isupper()}
    return {name: value for name, value in found.items() if "/" in value and type(value) is str}


def any_of(pattern: str) -> str:
    """Return what matches all paths of a pattern, for `glob`."""
    return re.sub(r"{\w+}", "*", pattern)


def root_of(pattern: str) -> str:
    """Return the folder that all paths of a pattern lie in."""
    return pattern.partition("{")[0].rpartition("/")[0]


def job_settings(rule: str, wildcards: Iterable[str]) -> str:
    """Return the settings file of the job of a rule that has these wildcards."""
    return at(JOB_SETTINGS, rule=rule, job=".".join(wildcards).replace("/", ".") or rule)


def run_of(table: str) -> str:
    """Return where a job that computes a table writes what that took: beside it."""
    return table.removesuffix(".parquet") + ".run.json"


def sharded(table: str) -> str:
    """Return the pattern of a file that one job of several makes, or a single one the whole of."""
    stem, dot, suffix = table.rpartition(".")
    return f"{stem}{{shard}}{dot}{suffix}"


def shard_pattern(count: int) -> str:
    """Return what `{shard}` stands for where so many jobs share a table: nothing for a single one.

    `caft.running.blocks.Shard` reads it.
    """
    return f"[.]shards/[0-9]+-of-{count}" if count > 1 else NO_SHARD


def shards_of(stem: str, count: int) -> list[str]:
    """Return the tables of so many jobs that share the table `<stem>.parquet`."""
    return [f"{stem}.shards/{number}-of-{count}.parquet" for number in range(1, count + 1)]


def shared_kind(path: str) -> str:
    """Return which setting of `engine.shards` divides a table."""
    roots = {root_of(table): kind for kind, tables in SHARDED.items() for table in tables}
    return next(kind for root, kind in roots.items() if path.startswith(f"{root}/"))


def weights_of(final: str, checkpoint: str) -> str:
    """Return the name of a model at a checkpoint, `last` or `best`; the untuned student has one."""
    return final + BEST if checkpoint == "best" and final != "base" else final
