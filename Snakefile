"""Complexity-aware fine-tuning: from a question set to a table of which method is best, and at what cost."""

import logging
import shlex
import sys
from pathlib import Path

from snakemake.cli import get_argument_parser
from snakemake.utils import min_version

from caft import layout, versions
from caft.config import modes, reading, resolve, rounds
from caft.config.prepare import prepare
from caft.errors import CaftError
from caft.running import controller, devices, locks, machine, places, stops
from caft.shown import escaped

min_version("9.0")
logging.raiseExceptions = False  # Snakemake's log on a full disk: the run says what is wrong
shell.prefix(stops.shell_prefix())


include: "workflow/rules/ends.smk"


# Snakemake puts it into command lines as it is, and a space in its path would end it there.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)
BEFORE = set(workflow.rules)  # of a workflow that takes caft as a module
# A folder without a configuration of its own runs the one that lies beside this file.
BASE = next(
    filter(Path.exists, [Path("config.yaml"), Path(workflow.current_basedir) / "config.yaml"])
)

with plainly():
    moved = workflow.modifier.path_modifier.replace_prefix
    if any(moved(path) != path for path in layout.patterns().values()):
        raise CaftError(
            "module: caft cannot run with `prefix` or `replace_prefix`, as its jobs know where its "
            "files lie. Leave it out, or give caft a folder of its own: snakemake --snakefile "
            f"{workflow.current_basedir}/Snakefile --directory FOLDER"
        )
    if workflow.is_main_process:
        reading.read_files([BASE])  # Snakemake would not say what is wrong with it


configfile: str(BASE)


with plainly():
    reading.lay_over(config, reading.read_words(workflow.config_settings.config))
    COMMAND = get_argument_parser().parse_known_args()[0]
    CONFIG = prepare(config, plans_only=COMMAND.targets == ["plan"])
    if workflow.is_main_process:
        places.check_folders([*CONFIG.run.datasets, *CONFIG.run.students], locks.acts(COMMAND))
        for line in resolve.ways(CONFIG):
            print(line, file=sys.stderr)
        RUNS_HERE = workflow.global_resources["_nodes"].value is None  # as the scheduler tells
        if RUNS_HERE and not {"mem", "mem_mb", "mem_mib"} & set(workflow.global_resources):
            workflow.register_resource("mem_mb", machine.memory_mb())
        if COMMAND.dryrun:
            # Jobs read this file too, and have no use for what a plan needs.
            from caft.report.ahead import outlook

            print(outlook.last_line(outlook.plan_run(CONFIG, reads_sources=False)), file=sys.stderr)
    if workflow.is_main_process and locks.acts(COMMAND):
        if locks.remove_stale_lock(Path.cwd()):
            print("Removed the lock of an earlier run that was killed.", file=sys.stderr)
        if (dated := places.dated_ahead(Path.cwd())) and not locks.is_locked(Path.cwd()):
            places.date_back(dated)
            print(
                f"{len(dated)} files in data and results were dated in the future, as by a fast "
                "clock; they have times up to now.",
                file=sys.stderr,
            )

DATASETS, STUDENTS = CONFIG.run.datasets, CONFIG.run.students
VIEWS = [view.name for view in modes.asked_views(CONFIG)]
ROUNDS = rounds.rounds_used(CONFIG)
TRAINS = any(strategy.stages for strategy in resolve.chosen(CONFIG).values())


wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    student="[A-Za-z0-9_-]+",
    prompt="[A-Za-z0-9_-]+",
    metric="[A-Za-z0-9_-]+",
    scorer="base|warm_up|[A-Za-z0-9_-]+[.][0-9]+",
    judge="[A-Za-z0-9_-]+",
    buckets="[A-Za-z0-9_-]+",
    teacher="[A-Za-z0-9_-]+",
    round="[0-9]+",
    model="base|[0-9a-f]{16}(-best)?",
    digest="[0-9a-f]{16}",
    mode="(direct|cot)(-[0-9]+shot)?(-validation)?",


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/targets.smk"


rule all:
    input:
        FIRST_PLANS,
        all_results,
        explorer,


include: "workflow/rules/data.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/buckets.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/mixtures.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/shards.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/explorer.smk"
include: "workflow/rules/analysis.smk"


for made in workflow.rules:
    if made.output and made not in BEFORE:
        made.set_input(settings=settings_of(made))


onstart:
    stops.pass_on(locks.is_job)
    if workflow.executor_plugin.name == "slurm":
        controller.watch()
    gpus = [
        job.resources.get("gpu") or 0
        for job in workflow.dag.needrun_jobs()
        if asks_for_gpu(job)
    ]
    if RUNS_HERE and gpus and (problem := devices.missing(max(gpus))):
        raise CannotRun(problem)


onerror:
    try:
        locks.cancel_left_over(Path.cwd())
    except CaftError as error:
        print(escaped(str(error)), file=sys.stderr)
    print(
        f"The run stopped. The failing job's own line above says what to do; the whole log is {log}"
    )
