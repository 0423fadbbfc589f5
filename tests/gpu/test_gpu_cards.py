"""Which card a job gets, what it says of it, and where it gets none; elsewhere skipped."""

import os

import pytest
import talking_jobs

from caft.running import devices

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

JOB = """
import logging, sys
from caft.errors import ModelError
from caft.running.settings import Engine
from caft.students.folders import pick_device
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
try:
    print("computes on", *pick_device(Engine(device=sys.argv[1])), flush=True)
except ModelError as error:
    print("refused:", error, flush=True)
sys.stdin.read()
"""
# What a process above may have been given; a job of these tests begins without.
GIVEN = ("CAFT_GPUS", "WORLD_SIZE", "SLURM_JOB_ID", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS")


@pytest.fixture
def start(tmp_path):
    """Start jobs that may see the first card alone, with locks of their own."""
    card = next(iter(devices.visible() or {}), None)
    if card is None:
        pytest.skip("nvidia-smi lists no GPU")
    own = {name: value for name, value in os.environ.items() if name not in GIVEN}

    def start(device, visible=card):
        return start_job(
            JOB, device, env={**own, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": visible}
        )

    with talking_jobs.starter() as start_job:
        yield start


def said(job):
    """Return the next thing that a job says of its device."""
    words = ("computes on", "refused:", "Waiting", "Using")
    return next(line.strip() for line in job.stdout if line.startswith(words))


def test_jobs_that_ask_for_none_share_no_card_and_the_cpu_is_a_setting(start):
    first = start("auto")
    assert [said(first), said(first)][1] == "computes on cuda bfloat16"
    second = start("auto")
    assert said(second).startswith("Waiting for 1 free of the GPUs")
    assert said(start("cpu")) == "computes on cpu float32"
    first.kill()
    assert said(second).startswith("Using GPU")
    assert said(second) == "computes on cuda bfloat16"


def test_a_gpu_that_torch_does_not_see_is_an_error_with_versions_and_mend(start):
    hidden = said(start("cuda", visible=""))
    assert f"torch {torch.__version__}, built for" in hidden and devices.driver() in hidden
    assert "unset CUDA_VISIBLE_DEVICES, which names none, or set engine: {gpus: 0" in hidden
    assert said(start("auto", visible="")) == "computes on cpu float32", "nobody asked for a GPU"


def test_gpus_that_are_there_are_missed_only_where_they_are_hidden(monkeypatch):
    if not devices.visible():
        pytest.skip("nvidia-smi lists no GPU")
    assert devices.missing(1) is None
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES names none" in devices.missing(1)


def test_a_table_names_the_card_that_made_it(student, letters, choices, cache):
    from caft.complexity.score import score_with_student
    from caft.prompting.asked import Asked
    from caft.running.settings import Engine
    from caft.students.opened import Subject

    subject = Subject(student / "student.json", None, Engine(device="cuda"))
    _, spec, run = score_with_student(Asked(choices(8), letters, 1), subject, cache)
    assert (spec["device"], spec["dtype"]) == ("cuda", "bfloat16")
    (card,) = run["gpus"]
    assert card.startswith(f"{torch.cuda.get_device_name()}, ") and devices.driver() in card
