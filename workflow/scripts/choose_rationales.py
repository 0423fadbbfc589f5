"""Choose, of each item's accepted rationales, the one that the student finds most likely.

Inputs    items, student (folder of student.json), shards: tables of rationales
Outputs   rationales: all of them with their likelihoods, one selected per item; quarantine; run
Settings  params.prompt, params.engine, params.seed, params.thoughts, cache
"""

from pathlib import Path

from caft.prompting.asked import Asked
from caft.prompting.settings import Prompt
from caft.running.blocks import Cache
from caft.running.jobs import job
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables import parquet
from caft.tables.files import write_csv, write_json
from caft.teacher.acceptance import quarantine
from caft.teacher.choosing import choose_likely

with job(snakemake) as log:
    inputs, params, output = snakemake.input, snakemake.params, snakemake.output
    items = parquet.read("items", inputs.item_table)
    asked = Asked(items, Prompt.model_validate(params.prompt), params.seed)
    subject = Subject(Path(inputs.student), None, Engine.model_validate(params.engine))
    written = parquet.read("rationales", *inputs.shards)
    table, run = choose_likely(written, asked, subject, Cache(), params.thoughts)
    spec = {**parquet.footer(inputs.shards[0])["spec"], "chosen_with": params.prompt}
    parquet.write("rationales", table, output.rationales, spec, params.code)
    write_csv(output.quarantine, quarantine(table))
    write_json(output.run, run)
