"""Score every item with the next-token distribution of the student, or of a model trained from it.

Inputs    items, student (folder of student.json), trained (model.json, optional)
Outputs   scores: item_id, single_token_entropy, option_entropy, answer, answer_valid, status, ...
          run: seconds, counts, blocks
Settings  params.prompt, params.engine, params.seed, cache
"""

from pathlib import Path

from caft.analysis.ranking import mend, tell_of_scores, unseen, warning
from caft.complexity.score import score_with_student
from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache, Shard
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import write_json

with job(snakemake) as log:
    items = parquet.read("items", snakemake.input.item_table)
    params, wildcards = snakemake.params, snakemake.wildcards
    prompt = Prompt.model_validate(params.prompt)
    engine = Engine.model_validate(params.engine)
    trained = Path(snakemake.input.trained) if snakemake.input.get("trained") else None
    scores, spec, run = score_with_student(
        Asked(items, prompt, params.seed),
        Subject(Path(snakemake.input.student), trained, engine),
        Cache(shard=Shard.named(wildcards.shard)),
    )
    parquet.write("scores", scores, snakemake.output.table, spec, params.code)
    write_json(snakemake.output.run, run)
    known = unseen(scores, "." in wildcards.scorer)
    found, doubts = tell_of_scores(known, items, params.seed)
    log.info("%s: %s", wildcards.student, found)
    if told := warning(doubts, mend(wildcards.student, wildcards.scorer)):
        log.warning(
            "WARNING: %s may not be able to rank %s: %s", wildcards.student, wildcards.dataset, told
        )
