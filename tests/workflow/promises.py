"""What runs again after a change: each promise is tested, and docs/reruns.md is made from them."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import yaml
from harness import Project, change_weights, questions, write_questions

Edit = Callable[[Project], None]
PRICES = {"prompt": 1.0, "completion": 2.0, "entered": "2026-11-01"}


@dataclass(frozen=True)
class Promise:
    """A change to a finished run.

    Attributes:
        change: what the user does.
        edit: does it.
        runs: how many jobs of each rule the same command runs then.
        bought: answers that the teacher is asked for then.
        after: changes that were made and run before.
        note: what else there is to say.
    """

    change: str
    edit: Edit
    runs: dict[str, int]
    bought: int = 0
    after: tuple[Edit, ...] = ()
    note: str = ""


def setting(*path: str, value) -> Edit:
    """Return an edit that sets one key of the config."""

    def edit(project: Project) -> None:
        part = project.config
        for key in path[:-1]:
            part = part.setdefault(key, {})
        part[path[-1]] = value
        project.write(project.config)

    return edit


def complexities(project: Project) -> list[float]:
    table = pd.read_parquet(project.folder / "data/buckets/mine/tiny/default.parquet")
    return sorted(table.query("split == 'train'")["complexity"])


def thresholds(project: Project, moved: int) -> None:
    """Write the quantiles out as thresholds; `moved` items more are hard."""
    file = project.folder / "data/buckets/mine/tiny/default.report.json"
    lower, upper = (json.loads(file.read_text())[name] for name in ("lower", "upper"))
    medium = [value for value in complexities(project) if value <= upper]
    above = min(value for value in complexities(project) if value > upper)
    pair = [lower, (upper + above) / 2 if not moved else medium[-1 - moved]]
    setting("buckets", value={"default": {"thresholds": pair}})(project)


def same_thresholds(project: Project) -> None:
    thresholds(project, 0)


def one_more_hard(project: Project) -> None:
    thresholds(project, 1)


def first_quantiles(project: Project) -> None:
    setting("buckets", value={"default": {"quantiles": [0.25, 0.75]}})(project)


def edit_file(name: str, pattern: str, replacement: str) -> Edit:
    """Return an edit of a file of the checkout that the project runs with."""

    def edit(project: Project) -> None:
        file = project.folder / "checkout" / name
        text, count = re.subn(pattern, replacement, file.read_text(), count=1)
        assert count == 1, f"{pattern} is not in {name}"
        file.write_text(text)

    return edit


def a_further_item(project: Project) -> None:
    write_questions(project.folder / "sums.jsonl", [*questions(24), *questions(61)[60:]])


def an_edited_item(project: Project) -> None:
    rows = questions(24)
    rows[5]["question"] += " Take your time."
    write_questions(project.folder / "sums.jsonl", rows)


def another_student(project: Project) -> None:
    change_weights(project.folder / "student")


def restored(edit: Edit, name: str) -> Edit:
    """Return the same edit of a file, which is older than everything made from it afterwards."""

    def restore(project: Project) -> None:
        edit(project)
        os.utime(project.folder / name, (1e9, 1e9))

    return restore


def a_swapped_student(project: Project) -> None:
    """Move another student, older by its files, to the place of this one."""
    folder, other = project.folder / "student", project.folder / "other"
    shutil.copytree(folder, other)
    change_weights(other)
    for path in other.iterdir():
        os.utime(path, (1e9, 1e9))
    shutil.rmtree(folder)
    os.rename(other, folder)


def moved(project: Project) -> None:
    """Move the whole project, with a link to a folder within it."""
    there = project.folder.with_name("moved")
    os.rename(project.folder, there)
    project.folder, project.checkout = there, there / "checkout"


def kept_in_a_backup(project: Project) -> None:
    for name in ("data", "results"):
        shutil.copytree(project.folder / name, project.folder / "backup" / name)


def restored_from_the_backup(project: Project) -> None:
    """Lay the files of an earlier run, with their times, over those of this one."""
    shutil.copytree(project.folder / "backup", project.folder, dirs_exist_ok=True)


def removed(*names: str) -> Edit:
    """Return an edit that removes files or folders."""

    def remove(project: Project) -> None:
        for path in (path for name in names for path in project.folder.glob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def both(*edits: Edit) -> Edit:
    """Return all these edits as one."""

    def edit(project: Project) -> None:
        for one in edits:
            one(project)

    return edit


def cut(pattern: str) -> Edit:
    """Return an edit that leaves half of each file, as a full disk or a broken copy does."""

    def edit(project: Project) -> None:
        for path in project.folder.glob(pattern):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return edit


def without_a_model(project: Project) -> None:
    shutil.rmtree(project.folder / f"results/models/{project.models('sft')['final']}")


def without_results(project: Project) -> None:
    shutil.rmtree(project.folder / "results")


def a_config_comment(project: Project) -> None:
    file = project.folder / "run.yaml"
    file.write_text("# a comment\n" + file.read_text())


def upside_down(part):
    """The same section with its keys the other way round."""
    if isinstance(part, dict):
        return {key: upside_down(value) for key, value in reversed(part.items())}
    return part


def _otherwise(value):
    """The same number: a whole one with a point, another one as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return float(value) if isinstance(value, int) else f"{value:e}"


def the_same_in_other_words(project: Project) -> None:
    """Reverse the keys, write defaults out, write numbers as text or with a point."""
    written = upside_down(project.config)
    written["prompts"] = {"letters": {"direct": {"numeric": "Give only the final number."}}}
    for section in ("engine", "training"):
        written[section] = {key: _otherwise(value) for key, value in written[section].items()}
    file = project.folder / "run.yaml"
    file.write_text(yaml.safe_dump(written, sort_keys=False))


SETTINGS = [  # of the config
    Promise("nothing, or a comment in the config", a_config_comment, {}),
    Promise(
        "the order of keys, a default that is written out, `1.0` instead of `1`",
        the_same_in_other_words,
        {},
    ),
    Promise(
        "thresholds, the same items in each bucket",
        same_thresholds,
        {
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
    ),
    Promise(
        "thresholds, one item more is hard",
        one_more_hard,
        {
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 2,
            "evaluate_model": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=1,
    ),
    Promise(
        "back to the first thresholds",
        first_quantiles,
        {
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        after=(one_more_hard,),
        note="the models are still there",
    ),
    Promise(
        "another metric of the same forward pass, with other quantiles, draws the buckets",
        setting("buckets", value={"default": {"metric": "margin", "quantiles": [0.25, 0.6]}}),
        {
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 2,
            "evaluate_model": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=2,
    ),
    Promise(
        "a training seed added",
        setting("run", "seeds", value=[1, 2]),
        {
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 2,
            "summarize": 1,
        },
    ),
    Promise(
        "a strategy added (`distill`)",
        setting("run", "strategies", value=["base", "sft", "complexity_aware", "distill"]),
        {
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 1,
            "evaluate_model": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=10,
    ),
    Promise(
        "the training recipe of one strategy",
        setting("strategies", "sft", value={"training": {"learning_rate": 0.02}}),
        {
            "build_mixtures": 1,
            "train_stage": 1,
            "evaluate_model": 1,
            "summarize": 1,
        },
    ),
    Promise(
        "the share of over-long rows that stops a run",
        setting("training", "max_overlong_share", value=0.5),
        {
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "summarize": 1,
        },
        note="the warm-up finds its model, and the scoring finds its blocks",
    ),
    Promise(
        "the training recipe of a strategy with a teacher",
        setting("strategies", "complexity_aware", "training", value={"learning_rate": 0.02}),
        {
            "build_mixtures": 1,
            "train_stage": 2,
            "evaluate_model": 1,
            "summarize": 1,
        },
    ),
    Promise(
        "a sampling parameter of the teacher",
        setting("teachers", "big", "temperature", value=0.5),
        {"generate_rationales": 1, "build_mixtures": 1, "tabulate_teacher": 1, "summarize": 1},
        bought=4,
        note="the new answers say the same here, so nothing is trained",
    ),
    Promise(
        "the parser of the teacher's answers",
        setting("teachers", "big", "parser", value="marked"),
        {"generate_rationales": 1, "build_mixtures": 1, "tabulate_teacher": 1, "summarize": 1},
    ),
    Promise(
        "what becomes of items without an accepted rationale",
        setting("teachers", "big", "fallback", value="train_on_answer"),
        {"generate_rationales": 1, "build_mixtures": 1, "tabulate_teacher": 1, "summarize": 1},
    ),
    Promise(
        "how well the student has to rank (`require_auc`)",
        setting("teachers", "big", "require_auc", value=0.6),
        {
            "generate_rationales": 1,
            "build_mixtures": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        note="what the store has is used, however well it was chosen",
    ),
    Promise(
        "the prices of the teacher",
        setting("teachers", "big", "prices", value=PRICES),
        {"generate_rationales": 1, "build_mixtures": 1, "tabulate_teacher": 1, "summarize": 1},
    ),
    Promise(
        "the prompt variant",
        setting("prompt", value="alternative"),
        {
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=3,
    ),
    Promise(
        "an evaluation mode added",
        setting("run", "modes", value=["direct", "cot"]),
        {"evaluate_model": 3, "summarize": 1},
    ),
    Promise(
        "the precision (`engine.dtype`)",
        setting("engine", "dtype", value="float32"),
        {
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "summarize": 1,
        },
        note="written out as what `auto` stands for here, so the scores stay the same",
    ),
    Promise(
        "memory and time of a job",
        setting("engine", "mem_mb", value=1500),
        {"summarize": 1},
    ),
]

CONTENT = [  # data, models, files and code
    Promise(
        "one item added to the data",
        a_further_item,
        {
            "ingest_items": 1,
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=1,
        note="a training item, and hard; only its block of items is scored",
    ),
    Promise(
        "one item's text edited",
        an_edited_item,
        {
            "ingest_items": 1,
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
    ),
    Promise(
        "the student's weights",
        another_student,
        {
            "prepare_student": 1,
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=2,
    ),
    Promise(
        "a report caption",
        edit_file("workflow/report/summary.rst", "One row", "A row"),
        {},
    ),
    Promise(
        "a comment in a script",
        edit_file("workflow/scripts/score_items.py", "(?m)^with job", "# A comment.\nwith job"),
        {
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
        },
        note="the job finds its finished blocks and computes nothing",
    ),
    Promise(
        "`versions.BUCKETS` raised",
        edit_file("src/caft/versions.py", r"(?m)^BUCKETS = \d+", "BUCKETS = 99"),
        {
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
    ),
    Promise(
        "`versions.TRAINING` raised",
        edit_file("src/caft/versions.py", r"(?m)^TRAINING = \d+", "TRAINING = 99"),
        {
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 2,
            "summarize": 1,
        },
    ),
    Promise(
        "a model's folder deleted",
        without_a_model,
        {},
        note="asked for by name, `snakemake models --cores all`, it is trained again",
    ),
    Promise(
        "a question file restored from a backup: one item's text is another, the file is older",
        restored(an_edited_item, "sums.jsonl"),
        {
            "ingest_items": 1,
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
    ),
    Promise(
        "another student moved to the place of this one (`mv`), its files older",
        a_swapped_student,
        {
            "prepare_student": 1,
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 3,
            "evaluate_model": 3,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=2,
    ),
    Promise(
        "a file of the student touched, its content the same",
        lambda project: (project.folder / "student/model.safetensors").touch(),
        {},
    ),
    Promise("the whole folder moved", moved, {}),
    Promise(
        "Snakemake's records deleted (`rm -r .snakemake`)",
        removed(".snakemake"),
        {},
    ),
    Promise(
        "the same, and one item more is hard",
        both(removed(".snakemake"), one_more_hard),
        {
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "train_stage": 2,
            "evaluate_model": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        bought=1,
    ),
    Promise(
        "the settings files beside the data deleted (`rm -r data/settings`)",
        removed("data/settings"),
        {},
    ),
    Promise(
        "a backup of `data/` and `results/`, made with other thresholds, laid over the run",
        restored_from_the_backup,
        {
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
            "tabulate_teacher": 1,
            "summarize": 1,
        },
        after=(both(kept_in_a_backup, one_more_hard),),
        note="models and answers are still there",
    ),
    Promise(
        "what lies beside a plan lost: stages, or rows of mixtures",
        removed("data/mixtures/stages", "data/mixtures/rows"),
        {"build_mixtures": 1},
    ),
    Promise(
        "a plan cut in the middle", cut("data/mixtures/*/*/*/plan.json"), {"build_mixtures": 1}
    ),
    Promise(
        "the summary cut in the middle, or a table beside it lost",
        both(cut("results/summary.csv"), removed("results/tables/runs.csv")),
        {"summarize": 1},
    ),
    Promise(
        "what an evaluation took (`*.run.json`) lost",
        removed("results/predictions/*/*/*.run.json"),
        {"evaluate_model": 3, "summarize": 1},
        note="the answers are read from their blocks",
    ),
    Promise("finished blocks cut in the middle", cut("data/blocks/*/*.parquet"), {}),
    Promise(
        "a file of the prepared student lost",
        removed("data/models/tiny/tokenizer.json"),
        {
            "prepare_student": 1,
            "warm_up_student": 1,
            "score_items": 1,
            "compute_metric": 1,
            "assign_buckets": 1,
            "generate_rationales": 1,
            "build_mixtures": 1,
        },
        note="the jobs find their models, blocks and answers",
    ),
    Promise(
        "`results/` deleted, the store intact",
        without_results,
        {"train_stage": 3, "evaluate_model": 3, "tabulate_teacher": 1, "summarize": 1},
    ),
]

PROMISES = [*SETTINGS, *CONTENT]
