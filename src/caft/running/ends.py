"""Ends that can be foreseen: no memory, no room, no rights, a file in the way. Each in one line."""

import errno
import os
import re
import shutil

from caft.errors import CaftError
from caft.running import private

ROOM = {
    errno.ENOSPC: ("no space is left", "free some"),
    errno.EDQUOT: ("the quota is used up", "free some, or ask for more"),
    errno.EFBIG: ("files may not be so large", "raise the limit (ulimit -f), or use another disk"),
}
_MENDS = {
    **ROOM,
    errno.EROFS: ("the file system is read-only", "work in a folder that can be written"),
    errno.EACCES: ("there is no right to do so", "check the rights"),
    errno.EPERM: ("there is no right to do so", "check the rights"),
    errno.ENOTDIR: ("a file is where a folder should be", "move it away"),
    errno.EEXIST: ("a file is in the way", "move it away"),
    errno.EISDIR: ("a folder is where a file should be", "move it away"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
    errno.EIO: ("the disk or its network fails", "look at it"),
    errno.ESTALE: ("its network disk has lost it", "mount it anew"),
    errno.ENOTCONN: ("its network disk is gone", "mount it anew"),
    errno.ELOOP: ("links lead in a circle", "remove one"),
    errno.ENAMETOOLONG: ("its name is too long", "use shorter names"),
}
_NO_MEMORY = re.compile("out of memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)
# Libraries that are not written in Python name the number of an error in its text alone.
_NUMBER = re.compile(r"(?:os error|\[?errno) (\d+)", re.IGNORECASE)
# What torch says of a file that could not be written whole; it does not say why.
_CUT = re.compile("PytorchStreamWriter failed writing|inline_container.* unexpected pos")
_PATH = re.compile(r"'(/[^']+)'")
_ROWS = (
    "training.batch_size (and raise training.gradient_accumulation as much; in place of auto set "
    "numbers), set training.gradient_checkpointing: true"
)
_BATCHES = {
    "score_items": "engine.token_budget",
    "measure_likelihoods": "engine.token_budget",
    "train_stage": _ROWS,
    "warm_up_student": _ROWS,
    "generate_rationales": "teachers.<name>.batch_size",
    "judge_items": "judges.<name>.batch_size",
}
_AGAIN = "run again: what is complete is kept"


def told(error: BaseException) -> str | None:
    """Say in a line what is wrong in the user's files or with his disks; None for anything else."""
    return str(error) if isinstance(error, CaftError) else foreseen(error)


def foreseen(error: BaseException, rule: str = "") -> str | None:
    """Say in a line what ended a job and what mends it; None for what nobody could foresee.

    Args:
        error: what ended it.
        rule: of the job, which decides the key that saves memory.
    """
    if isinstance(error, KeyboardInterrupt):
        said = str(error) or "what is complete is kept; the same command goes on"
        return f"Interrupted: {said}"
    cause: BaseException | None = error
    while cause is not None:
        if found := _of_memory(cause, rule) or _of_files(cause):
            return found
        cause = cause.__cause__
    return None


def _of_memory(error: BaseException, rule: str) -> str | None:
    text = " ".join(str(error).split())
    is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not is_memory and not (isinstance(error, RuntimeError) and _NO_MEMORY.search(text)):
        return None
    on_device = "CUDA" in text or "HIP" in text
    where = "the memory of the GPU" if on_device else "the memory"
    said = f" ({text.partition('. ')[0]})" if text else ""
    fewer = "free the GPU of other programs" if on_device else "run fewer jobs at once (--cores)"
    key = _BATCHES.get(rule, "evaluation.batch_size")
    return f"{where} is used up{said}; lower {key}, or {fewer}, and {_AGAIN}."


def _of_files(error: BaseException) -> str | None:
    text = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError) and "temporary directory" in text:
        return f"cannot write temporary files: {text}; set TMPDIR to a folder with room, {_AGAIN}."
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (named := _NUMBER.search(text)):
        number = int(named[1])
    is_full = os.strerror(errno.ENOSPC).lower() in text.lower() or _CUT.search(text)
    if number is None and is_full:
        number = errno.ENOSPC
    if number not in _MENDS:
        return None
    what, mend = _MENDS[number]
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    quoted = _PATH.search(text)
    if path is None and quoted:
        path = quoted[1]
    if path is None:
        path = fullest() if number in ROOM else os.getcwd()
    return f"cannot write or open {os.fsdecode(path)}: {what}; {mend}, and {_AGAIN}."


def fullest() -> str:
    """Name the folder with the least room of those that every job writes to."""
    try:
        folders = [os.getcwd(), private.shared_folder()]
        return min(folders, key=lambda folder: shutil.disk_usage(folder).free)
    except OSError:
        return f"{os.getcwd()} or the folder for temporary files"
