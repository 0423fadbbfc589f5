import logging
import os
import tempfile
import time

import pytest
import talking_jobs

from caft.errors import ConfigError
from caft.running import devices

JOB = """
import logging, os, sys
from caft.running.devices import held
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
with held(int(sys.argv[1]), logging.getLogger()):
    print("has", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""
FOUR = "".join(f"GPU {number}: NVIDIA H200 (UUID: GPU-{number}aaa-1)\n" for number in range(4))
SLICED = (
    "GPU 0: NVIDIA H200 (UUID: GPU-0aaa-1)\n"
    "  MIG 1g.18gb     Device  0: (UUID: MIG-1-2)\n"
    "  MIG 1g.18gb     Device  1: (UUID: MIG-3-4)\n"
    "GPU 1: NVIDIA H200 (UUID: GPU-1aaa-1)\n"
)


@pytest.fixture
def no_card_is_held():
    """Here cards are taken, those of a machine that is made up."""


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with the devices that `nvidia-smi -L` is made to print."""
    slurm = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_JOB_ID")
    others = ("CAFT_GPUS", "WORLD_SIZE")
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", *others, *slurm):
        monkeypatch.setenv(name, "")  # so that what a test sets is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    def lists(text, status=0):
        program = tmp_path / "bin/nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {status}\n")
        program.chmod(0o755)

    lists(FOUR)
    return lists


@pytest.fixture
def start():
    """Start jobs in processes of their own."""
    with talking_jobs.starter() as start_job:
        yield lambda count=1: start_job(JOB, str(count))


def devices_of(job):
    """Return the devices that a job has at last, and what it said before."""
    said = []
    for line in job.stdout:
        if line.startswith("has "):
            return line.split()[1], said
        said.append(line.strip())
    raise AssertionError(f"the job ended: {said}")


def test_four_jobs_get_four_devices_and_a_fifth_waits_for_a_killed_one(start):
    jobs = {devices_of(job)[0]: job for job in [start() for _ in range(4)]}
    assert sorted(jobs) == ["0", "1", "2", "3"]
    fifth = start()
    assert fifth.stdout.readline() == "Waiting for 1 free of the GPUs 0, 1, 2, 3\n"
    time.sleep(1.5)
    assert fifth.poll() is None
    jobs["2"].kill()
    assert devices_of(fifth) == ("2", ["Using GPU 2"])


def test_jobs_of_two_devices_take_both_or_none(start, machine):
    first = devices_of(start(3))[0]
    assert first == "0,1,2"
    second = start(2)
    assert second.stdout.readline().startswith("Waiting for 2")
    assert devices_of(start(1))[0] == "3", "a job that waits for two holds none"


def taken(count=1, environ=None):
    os.environ.update(environ or {})
    with devices.held(count, logging.getLogger()):
        return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_only_devices_that_are_visible_already_are_taken():
    assert taken(2, {"CUDA_VISIBLE_DEVICES": "3, GPU-1aaa-1,0"}) == "3,GPU-1aaa-1"
    assert "CUDA_DEVICE_ORDER" not in os.environ, "the numbers mean what they meant"


def test_a_device_has_one_lock_whatever_it_is_called(start):
    os.environ["CUDA_VISIBLE_DEVICES"] = "1"
    assert devices_of(start())[0] == "1"
    assert taken(1, {"CUDA_VISIBLE_DEVICES": "GPU-1aaa-1,GPU-2aaa-1"}) == "GPU-2aaa-1"


def test_numbers_count_in_the_order_of_nvidia_smi():
    assert taken() == "0"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_slices_are_called_by_their_uuid_and_the_sliced_gpu_is_none(machine):
    machine(SLICED)
    assert taken(3) == "MIG-1-2,MIG-3-4,1"


@pytest.mark.parametrize("name", ["SLURM_JOB_GPUS", "SLURM_STEP_GPUS"])
def test_devices_that_slurm_assigned_are_left_alone(name):
    assert taken(2, {name: "0,1", "CUDA_VISIBLE_DEVICES": "0,1"}) == "0,1"
    assert taken(4) == "0,1"


def test_jobs_of_a_run_inside_one_slurm_job_share_its_devices_out(start):
    allocation = {"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7"}
    os.environ.update(allocation)
    assert {devices_of(start())[0], devices_of(start())[0]} == {"0", "1"}
    os.environ["SLURM_JOB_ID"] = "8"
    assert devices_of(start())[0] == "0", "the first device of another allocation"


def test_a_job_that_asks_for_none_gets_no_setting():
    assert taken(0) is None


def test_more_than_there_are_is_an_error_that_names_the_setting():
    with pytest.raises(ConfigError, match=r"engine\.gpus: 5 asked for and 4 here \(0, 1, 2, 3\)"):
        taken(5)
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES names none"):
        taken(1, {"CUDA_VISIBLE_DEVICES": "-1,0"})


def test_without_a_list_nothing_is_reserved_and_the_log_says_so(machine, caplog, monkeypatch):
    monkeypatch.setattr(devices, "_DEVICE_FILES", ("/dev/nul[l]",))
    machine("", status=9)
    caplog.set_level(logging.INFO)
    assert taken() is None
    assert "none is reserved" in caplog.text


@pytest.mark.parametrize("count", [1, 4])
def test_a_gpu_that_is_asked_for_where_there_is_none_is_an_error(machine, monkeypatch, count):
    monkeypatch.setattr(devices, "_DEVICE_FILES", ("/nowhere/nvidia*",))
    machine("", status=9)
    with pytest.raises(ConfigError, match=rf"engine\.gpus: {count} asks for a GPU .* none"):
        taken(count)
    assert devices.missing(0).startswith("engine.device: cuda asks for a GPU")


def test_a_machine_that_lists_its_gpus_misses_none(machine):
    assert devices.missing(1) is None


@pytest.mark.parametrize("named", ["", "-1,0"])
def test_gpus_that_are_hidden_are_an_error_that_names_the_variable(monkeypatch, named):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert devices.missing(2).startswith(
        "engine.gpus: 2 asks for a GPU and CUDA_VISIBLE_DEVICES names none; unset it, or set"
    )


ONE = """
import logging, os, sys
from caft.running import devices
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
devices.take()
devices.take()
print("has", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


def test_jobs_that_ask_for_none_take_one_each_and_share_no_card(monkeypatch, start):
    monkeypatch.setitem(globals(), "JOB", ONE)
    jobs = [start() for _ in range(4)]
    assert sorted(devices_of(job)[0] for job in jobs) == ["0", "1", "2", "3"]
    fifth = start()
    assert fifth.stdout.readline() == "Waiting for 1 free of the GPUs 0, 1, 2, 3\n"
    jobs[0].kill()
    assert devices_of(fifth)[0] in "0123"


@pytest.mark.parametrize(
    ("environ", "left"),
    [
        ({"CAFT_GPUS": "2", "CUDA_VISIBLE_DEVICES": "1,3"}, "1,3"),  # asked for, and held
        ({"WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": "0,1"}, "0,1"),  # of a launcher
        ({"SLURM_JOB_ID": "7"}, None),  # no GPU was asked of Slurm
    ],
)
def test_who_has_devices_already_or_none_of_slurm_takes_no_other(environ, left):
    os.environ.update(environ)
    devices.take()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == left


def test_a_launcher_takes_a_device_for_each_process_that_it_starts(monkeypatch, start):
    monkeypatch.setitem(globals(), "JOB", ONE.replace("take()", "take(2)"))
    assert devices_of(start())[0] == "0,1"
    assert devices_of(start())[0] == "2,3"
    with pytest.raises(ConfigError, match="processes of training.launcher"):
        taken(5)


def test_without_a_gpu_none_is_taken(machine):
    machine("", status=9)
    devices.take()
    assert devices.asked() == 0


def test_the_driver_is_told_as_nvidia_smi_tells_it(machine):
    machine("550.54.15\\n")
    assert devices.driver() == "driver 550.54.15"
    machine("NVIDIA-SMI has failed\\n", status=9)
    assert devices.driver() == "nvidia-smi says: NVIDIA-SMI has failed"


def test_a_card_is_named_with_its_cuda_and_driver(machine, monkeypatch):
    import torch

    machine("550.54.15\\n550.54.15\\n")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    devices.card.cache_clear()
    assert devices.card() == "NVIDIA H100 80GB HBM3, CUDA 12.8, driver 550.54.15"
    devices.card.cache_clear()
