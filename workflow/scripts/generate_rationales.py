"""Collect the rationales that this run's strategies need; only what the store lacks is asked for.

Inputs    items, student (its tokenizer counts), buckets; ranking: metrics and answers of the
          student, where the teacher demands that the metrics rank well; trained: the model of the
          student that writes, where it is its own teacher; before: rationales of the teachers
          whose failures this one gets
Outputs   rationales: one row per item and sample; quarantine: answers not accepted, with reasons
          and whether another one of the item was
Settings  params.teacher, params.strategies, params.rankers, params.prompt, params.engine,
          params.seed, params.seeds, params.store; params.writes_with where a student writes
          with vLLM
"""

from pathlib import Path

from caft.analysis.ranking import Ranker, open_gate
from caft.config.resolve import asking_seeds
from caft.mixtures.rows import solved_in, wanted_by
from caft.mixtures.settings import Wanted
from caft.prompting.settings import Prompt
from caft.running.blocks import Shard
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.tables import parquet
from caft.tables.files import write_csv
from caft.teacher.acceptance import quarantine
from caft.teacher.asking import Setup
from caft.teacher.collect import collect_wanted
from caft.teacher.sections import read_teacher

with job(snakemake) as log:
    inputs, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    prompt = Prompt.model_validate(params.prompt)
    engine = Engine.model_validate(params.engine)
    items = parquet.read("items", inputs.item_table)
    buckets = {Path(path).stem: parquet.read("buckets", path) for path in inputs.buckets}
    strategies = {name: Wanted.model_validate(one) for name, one in params.strategies.items()}
    setup = Setup(
        f"teachers.{wildcards.teacher}", read_teacher(params.teacher), engine,
        Path(inputs.student), Path(params.store),
        thoughts=any(strategy.needs_reasoning for strategy in strategies.values()),
        trained_file=Path(inputs.trained) if inputs.get("trained") else None,
        writes_with=params.get("writes_with", "transformers"),
    )  # fmt: skip
    before = {Path(path).stem: parquet.read("rationales", path) for path in inputs.before}
    solved_by = solved_in(before)
    wanted = {
        name: wanted_by(buckets, [one], asking_seeds(params.seeds, [one]), solved_by)
        for name, one in strategies.items()
    }
    rankers = {name: Ranker(**one) for name, one in params.rankers.items()}
    gate = open_gate(setup.path, setup.settings.require_auc, rankers, items, params.seed)
    rationales = collect_wanted(
        items, set().union(*wanted.values()), setup, prompt, params.seed,
        Shard.named(wildcards.shard), gate.checker(strategies, wanted),
    )  # fmt: skip
    spec = {"teacher": params.teacher, "prompt": params.prompt}
    output = snakemake.output
    parquet.write("rationales", rationales, output.rationales, spec, params.code)
    write_csv(output.quarantine, quarantine(parquet.read("rationales", output.rationales)))
