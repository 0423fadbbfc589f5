"""What a piece of work takes: seconds, and the energy of its GPUs where the driver reports it."""

import os
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

from caft.running.devices import visible

Amounts = dict[str, float | None]

_JOULES_PER_WH = 3600.0


class Meter:
    """Counts from its making on.

    Energy is that of the whole devices that the job may use, on this machine, whoever else uses
    them (NVML's `nvmlDeviceGetTotalEnergyConsumption`, mJ, Volta and later). It is unknown (None)
    for work on a CPU or a slice of a GPU (MIG), and where the processes of a training run on
    several machines.
    """

    def __init__(self, device: str):
        """Start counting.

        Args:
            device: `cpu` or `cuda`.
        """
        self._devices = _devices() if device == "cuda" else []
        self._joules, self._started = self._read(), time.monotonic()
        self.before: Amounts = {"seconds": 0, "energy_wh": 0}

    def _read(self) -> float | None:
        return _joules(self._devices) if self._devices else None

    @property
    def amounts(self) -> Amounts:
        """What was taken since the start and, as far as `before` says, before: seconds, Wh."""
        now, energy = self._read(), None
        if now is not None and self._joules is not None:
            energy = (now - self._joules) / _JOULES_PER_WH
        seconds = time.monotonic() - self._started
        return add([self.before, {"seconds": seconds, "energy_wh": energy}])


def add(amounts: Iterable[Amounts]) -> Amounts:
    """Add up amounts by name; what is unknown (None) in one of them is unknown."""
    listed = list(amounts)
    names = dict.fromkeys(name for found in listed for name in found)
    return {name: _sum([found[name] for found in listed if name in found]) for name in names}


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 3) if len(known) == len(values) else None


@cache
def _devices() -> list[Any]:
    """Return NVML's handles of the devices this job may use; none where they are not all known."""
    if os.environ.get("WORLD_SIZE", "1") != os.environ.get("LOCAL_WORLD_SIZE", "1"):
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
        return [_handle(pynvml, name) for name in visible() or ()]
    except pynvml.NVMLError:
        return []


def _handle(pynvml: Any, name: str) -> Any:
    if name.isdecimal():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)


def _joules(handles: list[Any]) -> float | None:
    """Return what the devices have taken since their driver was loaded, None if one keeps quiet."""
    import pynvml

    try:
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(one) for one in handles) / 1000
    except pynvml.NVMLError:
        return None
