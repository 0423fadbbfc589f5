"""The plan of a whole run as a table, as a text, and as one line."""

from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from glob import glob
from pathlib import Path

import pandas as pd

from caft import layout
from caft.config import resolve
from caft.config.model import Configuration
from caft.config.rounds import asked_before, rounds_used, strategies_of_round, teachers_of_round
from caft.report.ahead.known import Known
from caft.report.ahead.rates import HERE, Rates
from caft.report.ahead.sizes import card_bytes
from caft.report.ahead.work import Work
from caft.report.ahead.workload import count_work
from caft.report.purchases import ALL, plan_purchases

# What the plan of a run follows from, beside the configuration.
_READ = (
    layout.ITEMS, layout.STUDENT, layout.WARM_UP, layout.BUCKETS, layout.RATIONALES, layout.PLAN,
    layout.MODEL, layout.SELECTION, layout.SUMMARY,
    *(layout.run_of(table) for tables in layout.SHARDED.values() for table in tables),
)  # fmt: skip
_COUNTS = ("jobs", "left", "rows", "updates", "tokens", "requests", "gpus", "mem_mb")


def plan_run(config: Configuration, reads_sources: bool = True) -> list[Work]:
    """Plan everything that a run does, before any of it.

    Args:
        config: the prepared configuration.
        reads_sources: whether question sets that need no network are read where their items
            tables are not there yet, which can take minutes; else only those that are small.
    """
    work = count_work(Known(config, reads_sources), Rates(config))
    return _with_purchases(work, config) if reads_sources else work


def state() -> list[str]:
    """Return names, sizes and times of the files that a plan reads: others make another plan."""
    files = [Path(path) for pattern in _READ for path in glob(layout.any_of(pattern))]
    files += [path for path in Path(layout.TEACHER_STORE).glob("*/*") if path.is_file()]
    facts = ((path, path.stat()) for path in files)
    return sorted(f"{path} {fact.st_size} {fact.st_mtime_ns}" for path, fact in facts)


def _with_purchases(work: list[Work], config: Configuration) -> list[Work]:
    """Count what is bought from the items and the store, where all buckets are known."""
    if len(rounds_used(config)) > 1 or not _is_divided(config):
        return work
    plan = plan_purchases(config)
    found = {row["teacher"]: row for row in plan[plan["dataset"] == ALL].to_dict("records")}
    return [
        replace(
            one,
            # The next teacher of a list is asked for less than what is known of those before it.
            bound="at most" if asked_before(config, one.what or "", 1) else "about",
            rows=found[one.what]["wanted"],
            requests=found[one.what]["requests"],
            tokens=found[one.what]["prompt_tokens"] + found[one.what]["completion_tokens_middle"],
            usd=_known(found[one.what]["cost_usd_middle"]),
        )
        if one.step == "generate_rationales" and one.what in found
        else one
        for one in work
    ]


def _is_divided(config: Configuration) -> bool:
    names = {
        name
        for strategy in strategies_of_round(config, 1).values()
        for name in strategy.divisions()
    }
    teachers = teachers_of_round(config, 1)
    files = [
        path
        for dataset in config.run.datasets
        for student in config.run.students
        for path in (
            layout.at(layout.ITEMS, dataset=dataset),
            layout.at(layout.STUDENT, student=student),
            *(
                layout.at(layout.BUCKETS, dataset=dataset, student=student, buckets=name)
                for name in names
            ),
            *filter(
                None, (resolve.sampler_file(config, dataset, student, one) for one in teachers)
            ),
        )
    ]
    return all(Path(file).is_file() for file in files)


def _known(value: float | None) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def as_table(work: Iterable[Work]) -> pd.DataFrame:
    """Return a row per kind of jobs, with the columns that docs/plan.md describes."""
    columns = [field.name for field in fields(Work)]
    table = pd.DataFrame([asdict(one) for one in work], columns=columns)
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def render(work: list[Work], config: Configuration) -> str:
    """Render a plan for people: a line per step, what it rests on, and the sum as the last line."""
    lines = ["step                  jobs   left  rows      updates  tokens      hours     disk MB"]
    for step in dict.fromkeys(one.step for one in work):
        several = [one for one in work if one.step == step]
        lines.append(
            f"{step:20} {sum(one.jobs for one in several):5} {sum(one.left for one in several):6}  "
            f"{_sum_of(several, 'rows', '{:.0f}'):9} {_sum_of(several, 'updates', '{:.0f}'):8} "
            f"{_sum_of(several, 'tokens', '{:.0f}'):11} {_sum_of(several, 'hours', '{:.2f}'):9} "
            f"{_sum_of(several, 'disk_mb', '{:.0f}')}".rstrip()
        )
    bounds = {one.bound for one in work}
    lines += [
        f"memory of a job that runs a model: {_range_of(work, 'mem_mb')} MB, "
        f"GPUs: {_range_of(work, 'gpus')}",
        *_of_cards(work, config),
        f"on the disk while models are trained: {_most(work)}",
        *resolve.ways(config),
        *(f"hours: {basis}" for basis in _bases(work)),
    ]
    if "at most" in bounds:
        lines.append("An amount is an upper bound where plan.csv says `at most`.")
    return "\n".join([*lines, last_line(work)])


def _range_of(work: list[Work], what: str) -> str:
    """Return what jobs ask for that run a model: one number, or the least and the most."""
    asked = {getattr(one, what) for one in work if one.device}
    return " to ".join(f"{number}" for number in sorted({min(asked), max(asked)}))


def _of_cards(work: list[Work], config: Configuration) -> list[str]:
    """Say what trainings take on a GPU, where they run on one and the student's shape is known."""
    if not any(one.step == "train_stage" and one.device == "gpu" for one in work):
        return []
    needed = [
        card_bytes(resolve.recipe_of(config, strategy.training), name, config.students[name])
        for strategy in resolve.chosen(config).values()
        for name in config.run.students
        if strategy.stages
    ]
    known = [found for found in needed if found is not None]
    said = f"up to {max(known) / 1e9:.1f} GB, by arithmetic" if known else "unknown"
    return [f"memory of a GPU while models are trained: {said} (docs/training.md)"]


def last_line(work: list[Work]) -> str:
    """Return the sum of a plan: jobs, hours, money and what is fetched and kept."""
    jobs, left = sum(one.jobs for one in work), sum(one.left for one in work)
    to_do = [one for one in work if one.left]
    device = " and ".join(sorted({one.device for one in work if one.device})) or "cpu"
    timed = [one for one in to_do if one.device and _takes_hours(one)]
    hours = _total([one.hours_left for one in timed])
    most = "at most " if not hours[1] and any(one.bound == "at most" for one in timed) else ""
    usd = _total([one.usd for one in to_do if one.step in _BUYING])
    disk = _total([one.disk_mb for one in work if one.step in _KEEPING])
    fetched = _total([one.download_mb for one in to_do if one.step in _FETCHING])
    return (
        f"plan: {left} of {jobs} jobs left, {most}{_said(hours, '{:.2f}')} hours of {device} jobs, "
        f"{_said(usd, '{:.2f}')} USD, {_said(disk, '{:.2f}', 1e3)} GB of models, "
        f"{_said(fetched, '{:.2f}', 1e3)} GB to fetch"
    )


_BUYING = ("generate_rationales", "judge_items", "ask_first_tokens")
_KEEPING = ("prepare_student", "warm_up_student", "train_stage")
_FETCHING = ("ingest_items", "prepare_student", *_BUYING)


def _takes_hours(one: Work) -> bool:
    """Tell whether the hours of a step are counted: those of answers that are bought are not."""
    return one.step not in _BUYING


def _total(values: Iterable[float | None]) -> tuple[float, int]:
    """Return the sum of what is known, and of how many values nothing is."""
    listed = list(values)
    return sum(value for value in listed if value is not None), listed.count(None)


def _said(total: tuple[float, int], form: str, unit: float = 1.0) -> str:
    known, unknown = total
    if unknown:
        return f"at least {form.format(known / unit)} (more is unknown)" if known else "unknown"
    return form.format(known / unit)


def _sum_of(several: list[Work], name: str, form: str) -> str:
    values = [getattr(one, name) for one in several]
    if not any(value is not None for value in values):
        return "-"
    known, unknown = _total(values)
    return form.format(known) + ("+?" if unknown else "")


def _most(work: list[Work]) -> str:
    known = [one.work_mb for one in work if one.work_mb is not None]
    trains = [one for one in work if one.step == "train_stage"]
    if not known:
        return "unknown" if trains else "nothing"
    return f"up to {max(known):.0f} MB for each of them that runs at once, and removed at its end"


def _bases(work: list[Work]) -> list[str]:
    """Return what the hours rest on, each with the steps that it is for."""
    found: dict[str, list[str]] = {}
    for one in work:
        if one.device and one.basis and one.step not in _BUYING:
            basis = HERE if one.basis.startswith(f"{HERE} (") else one.basis
            found.setdefault(basis, []).append(one.step)
    return [f"{basis}: {', '.join(dict.fromkeys(steps))}" for basis, steps in found.items()]
