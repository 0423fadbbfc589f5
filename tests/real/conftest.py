"""Real parts: the embedded student, and reference data where it lies beside the checkout."""

import os
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT.parent / "shared" / "reference_data"


@pytest.fixture(scope="session")
def shipped():
    """The shipped configuration with all defaults."""
    from caft.config.prepare import prepare

    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    return prepare(config).plain()


@pytest.fixture(scope="session")
def real_student(shipped, tmp_path_factory):
    """Folder of the embedded student: the one a run has prepared, else fetched and converted."""
    from caft.students.folders import prepare_student
    from caft.students.settings import Student

    prepared = ROOT / "data/models/smollm2-135m"
    if (prepared / "student.json").is_file():
        return prepared
    # One worker of the suite prepares it for all.
    shared = tmp_path_factory.getbasetemp()
    shared = (shared.parent if os.environ.get("PYTEST_XDIST_WORKER") else shared) / "real"
    shared.mkdir(exist_ok=True)
    with FileLock(shared / "lock"):
        if not (shared / "student/student.json").is_file():
            spec = Student.model_validate(shipped["students"]["smollm2-135m"])
            prepare_student(spec, shared / "student", shared / "downloads")
    return shared / "student"


@pytest.fixture(scope="session")
def reference_data():
    """Folder of reference data; tests that use it are skipped where there is none."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference data at {REFERENCE}")
    return REFERENCE
