"""What torch and the driver see, and with which versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from machine import Machine

EXPECTED: dict[str, Any] = {}
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "vllm", "flash-attn", "triton")


def check(machine: Machine) -> dict[str, Any]:
    """Name the card, CUDA, driver and libraries; a GPU that is not seen is the error of a job."""
    from caft.running import devices
    from caft.students.folders import pick_device

    device, dtype = pick_device(machine.engine())
    found = {"python": platform.python_version(), "device": device, "dtype": dtype}
    if device == "cuda":
        import torch

        found["card"] = devices.card()
        found["memory_gb"] = round(torch.cuda.mem_get_info()[1] / 1e9, 1)
    return found | {name: _version(name) for name in _LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"
