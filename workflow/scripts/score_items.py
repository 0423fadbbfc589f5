"""Score every item with the student's next-token distribution.

Inputs    items, student (folder of student.json), warm_up (model.json, optional)
Outputs   scores: item_id, single_token_entropy, option_entropy, answer, answer_valid, status, ...
          run: seconds and device of this run
Settings  params.prompt, params.engine, params.seed
"""

from pathlib import Path

from caft import tables
from caft.complexity.score import score_with_student
from caft.files import write_json
from caft.jobs import job

with job(snakemake) as log:
    items = tables.read("items", snakemake.input.item_table)
    params = snakemake.params
    warm_up = Path(snakemake.input.warm_up) if snakemake.input.get("warm_up") else None
    student = Path(snakemake.input.student)
    scores, spec, run = score_with_student(
        items, student, warm_up, params.prompt, params.engine, params.seed
    )
    tables.write("scores", scores, snakemake.output.scores, spec, params.code)
    write_json(snakemake.output.run, run)
