"""Fetch or link a student model and make it a local safetensors folder.

Inputs    the files of a local student (for change detection only)
Outputs   student.json beside the model: source, revision, context, attention
Settings  params.student (package, path or hub), params.attention, params.downloads
"""

from pathlib import Path

from caft.running.jobs import job
from caft.students.folders import prepare_student
from caft.students.settings import Student

with job(snakemake) as log:
    folder = Path(snakemake.output[0]).parent
    spec = Student.model_validate(snakemake.params.student)
    student = prepare_student(
        spec, folder, Path(snakemake.params.downloads), snakemake.params.attention
    )
    log.info(
        "student %s: revision %s, context %d",
        *(folder.name, student["revision"], student["context"]),
    )
