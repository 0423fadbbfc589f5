"""Seconds and energy of a piece of work, with a driver's library that the test plays."""

import sys
from types import SimpleNamespace

import pytest

from caft.running import meter
from caft.running.meter import Meter, add


class NVMLError(Exception):
    pass


@pytest.fixture
def driver(monkeypatch):
    """Two GPUs that have taken so many millijoules, and the names of those a job may use."""
    driver = SimpleNamespace(
        taken={0: 1_000_000, 1: 5_000_000}, names=["1"], uuids={"GPU-one": 1}, seconds=0.0
    )

    def energy(handle):
        if handle not in driver.taken:
            raise NVMLError("not supported")
        return driver.taken[handle]

    pynvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=lambda uuid: driver.uuids.get(uuid, uuid),
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    monkeypatch.setattr(meter, "visible", lambda: driver.names)
    monkeypatch.setattr(meter, "time", SimpleNamespace(monotonic=lambda: driver.seconds))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    meter._devices.cache_clear()
    yield driver
    meter._devices.cache_clear()


@pytest.mark.parametrize(
    ("names", "energy"),
    [
        (["1"], 0.5),
        (["GPU-one"], 0.5),
        (["0", "1"], 1.5),
        ([], None),
        (None, None),
        (["MIG-5"], None),
        (["0", "7"], None),
    ],
)
def test_energy_is_that_of_the_devices_of_the_job(driver, names, energy):
    driver.names = names
    started = Meter("cuda")
    driver.taken = {0: 4_600_000, 1: 6_800_000}
    driver.seconds = 2.5
    assert started.amounts == {"seconds": 2.5, "energy_wh": energy}


def test_work_on_a_cpu_has_no_energy_of_a_gpu(driver):
    assert Meter("cpu").amounts["energy_wh"] is None


def test_work_on_several_machines_has_no_known_energy(driver, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert Meter("cuda").amounts["energy_wh"] is None


def test_what_earlier_parts_took_is_added(driver):
    started = Meter("cuda")
    started.before = {"seconds": 10.0, "energy_wh": 2.0}
    driver.taken[1] += 3_600_000
    driver.seconds = 1.0
    assert started.amounts == {"seconds": 11.0, "energy_wh": 3.0}
    started.before = {"seconds": 10.0, "energy_wh": None}
    assert started.amounts == {"seconds": 11.0, "energy_wh": None}


def test_a_missing_amount_is_nothing_and_an_unknown_one_is_unknown():
    assert add([{"seconds": 1.5, "energy_wh": 2.0}, {"seconds": 0.25, "energy_wh": None}]) == {
        "seconds": 1.75,
        "energy_wh": None,
    }
    assert add([{"seconds": 1.0}, {"seconds": 2.0, "new_tokens": 3}]) == {
        "seconds": 3.0,
        "new_tokens": 3,
    }
    assert add([]) == {}
