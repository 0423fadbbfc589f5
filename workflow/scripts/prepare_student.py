"""Fetch or link a student model and make it a local safetensors folder.

Inputs    the files of a local student (for change detection only)
Outputs   student.json beside the model: source, revision, context, attention, chat template
Settings  params.student (package, path or hub), params.attention, params.downloads,
          params.thoughts
"""

from pathlib import Path

from caft.running.jobs import job
from caft.students.folders import prepare_student
from caft.students.settings import Student

with job(snakemake) as log:
    folder = Path(snakemake.output[0]).parent
    spec = Student.model_validate(snakemake.params.student)
    params = snakemake.params
    downloads = Path(params.downloads)
    student = prepare_student(spec, folder, downloads, params.attention, params.thoughts)
    log.info(
        "student %s: revision %s, context %d",
        *(folder.name, student["revision"], student["context"]),
    )
