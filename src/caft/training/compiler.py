"""What TRL's head needs of a machine with a GPU: Triton compiles its kernels while a job runs."""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from caft.errors import TrainingError


def check_compiler() -> None:
    """Check that Triton, where it is installed, can compile and keep what it compiles.

    TRL computes the log-probabilities of the targets with kernels of its own
    (`trl.kernels.chunked_logprob`) wherever Triton is installed. Triton needs a C compiler, the
    headers of this Python, and a folder that it can write.

    Raises:
        TrainingError: if one of them is missing, with what to install or set.
    """
    if find_spec("triton") is None:
        return
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("gcc", "clang"))), None)
    if compiler is None or shutil.which(compiler) is None:
        raise TrainingError(
            f"training: Triton needs a C compiler and finds {compiler or 'none'}; install gcc, or "
            "name another one in the variable CC."
        )
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.is_file():
        raise TrainingError(
            f"training: Triton needs the headers of this Python, and {header} is not there; "
            "install them (python3-dev, or a Python of conda or uv, which brings them)."
        )
    if not _is_writable(folder := _cache()):
        raise TrainingError(
            f"training: Triton keeps its kernels in {folder}, which cannot be written; set "
            "TRITON_CACHE_DIR to a folder that can."
        )


def _cache() -> Path:
    """Return where Triton keeps its kernels, as it finds that itself."""
    if own := os.environ.get("TRITON_CACHE_DIR", "").strip():
        return Path(own)
    return Path(os.environ.get("TRITON_HOME") or Path.home(), ".triton", "cache")


def _is_writable(folder: Path) -> bool:
    """Tell whether a folder can be written, or can be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
