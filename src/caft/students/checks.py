"""What a model folder may hold: it comes from elsewhere, so it is data, and none of it runs."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caft.errors import ModelError
from caft.tables.files import write_text
from caft.tables.hashing import file_sha256, remembered_sha256
from caft.tables.links import way_out

ADAPTER_FILE = "adapter_config.json"
SUMS_FILE = "SHA256SUMS"
"""Hashes of a folder's files, as `sha256sum` writes them and `sha256sum -c` compares them."""
_SUM = re.compile(r"([0-9a-f]{64}) [ *]([^/]+\.(?:safetensors|json|jinja|model|txt))")
# Keys whose values transformers or peft import: classes, a decoding loop, a library of layers.
_NAME_CODE = ("auto_map", "auto_mapping", "custom_generate", "megatron_config")
# Of these transformers tells when it loads them whether it needs the code: see `without_code`.
_JUDGED_WHEN_LOADED = ("config.json", "tokenizer_config.json")
_OBJECTS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_OTHER = (".gguf", ".h5", ".msgpack", ".npz", ".onnx")


def check_source(folder: Path) -> None:
    """Check a model folder of somebody else's before anything of it is read or linked.

    Raises:
        ModelError: as `check_folder`; or if a file is missing that the folder lists, something in
            it leads out of it, or what is read of it is no JSON object.
    """
    for path in _sums(folder):
        if not path.is_file():
            raise _not_as_listed(path, "is missing")
    check_folder(folder)
    if problem := way_out(folder):
        raise ModelError(problem)
    for name in _OBJECTS:
        if (folder / name).is_file() and not isinstance(_read(folder / name), dict):
            raise ModelError(f"{folder / name}: holds no JSON object; fetch it again.")


def write_sums(folder: Path) -> None:
    """List the hashes of a model folder's files, so that a damaged copy of it is noticed.

    README.md is left out: people write on in it.
    """
    files = sorted(path for path in folder.iterdir() if path.name != "README.md")
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in files]
    write_text(folder / SUMS_FILE, "".join(lines))


def check_sums(folder: Path) -> None:
    """Read the files whose hashes a folder lists, as one does that `caft export` has made.

    Raises:
        ModelError: if one is missing or another one.
    """
    for path, sha256 in _sums(folder).items():
        if not path.is_file():
            raise _not_as_listed(path, "is missing")
        if (found := remembered_sha256(path)) != sha256:
            other = f"is damaged or another one (sha256 {found[:16]} instead of {sha256[:16]})"
            raise _not_as_listed(path, other)


def _sums(folder: Path) -> dict[Path, str]:
    """Return the hashes that a folder lists of what is read of it; none without a list."""
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = (_SUM.fullmatch(line) for line in lines)
    return {folder / match[2]: match[1] for match in found if match}


def _not_as_listed(path: Path, state: str) -> ModelError:
    sums = path.with_name(SUMS_FILE)
    return ModelError(
        f"{path}: {state}, by the list {sums}. Copy the folder again, or remove it and export it "
        f"again (caft export); if the files that are there are meant, remove {sums}."
    )


def check_folder(folder: Path) -> None:
    """Check that a folder holds a model that can be loaded safely, without loading it.

    Raises:
        ModelError: if it does not exist, has no config, its weights are not safetensors or not
            complete, or a config names code.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; check the path in the config.")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: has no config.json, so it is not a Hugging Face model folder.")
    if (folder / ADAPTER_FILE).exists():
        # transformers would load the model that it names, from wherever that is.
        raise ModelError(
            f"{folder}: has an {ADAPTER_FILE}, so it is an adapter of another model; merge both "
            "and name the merged folder."
        )
    _check_weights(folder)
    _check_configs(folder)


def check_adapter(folder: Path) -> None:
    """Check that a folder holds an adapter that can be loaded safely, without loading it.

    Raises:
        ModelError: if its weights are not safetensors, or its config names code.
    """
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            f"{folder}: has {_others(folder)}, and no adapter_model.safetensors; other files are "
            "not read."
        )
    _check_configs(folder)


def _check_weights(folder: Path) -> None:
    if not any(path.is_file() or path.is_symlink() for path in folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder}: has {_others(folder)}; convert it with save_pretrained to safetensors."
        )
    for index in folder.glob("*.safetensors.index.json"):
        found = _read(index)
        named = found.get("weight_map") if isinstance(found, dict) else None
        if not isinstance(named, dict):
            raise ModelError(f"{index}: has no weight_map; fetch it again.")
        for name in sorted(set(map(str, named.values()))):
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise ModelError(
                    f"{folder}: {index.name} names {name!a}, which is no safetensors file of that "
                    "folder."
                )
            if not (folder / name).is_file():
                shown = ascii(name)[1:-1]
                raise ModelError(
                    f"{folder}: {index.name} names {shown}, which is not there; fetch it."
                )


def _others(folder: Path) -> str:
    """Say what there is in place of safetensors."""
    names = sorted(path.name for path in folder.iterdir())
    if pickles := [name for name in names if name.lower().endswith(_PICKLED)]:
        return f"only pickled weights ({pickles[0]}), which can run code"
    if others := [name for name in names if name.lower().endswith(_OTHER)]:
        return f"only weights in a format that is not read from a folder ({others[0]})"
    return "no weights"


def _check_configs(folder: Path) -> None:
    for path in sorted(folder.glob("*config.json")):
        if path.name not in _JUDGED_WHEN_LOADED and (key := _code_in(path)):
            raise _names_code(folder, path.name, key)


@contextmanager
def without_code(folder: Path | str) -> Iterator[None]:
    """Name the config where transformers cannot load a folder without code of the folder's own.

    A model that transformers knows itself is loaded, whatever code its configs name.

    Raises:
        ModelError: in place of the error of transformers.
    """
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        for name in _JUDGED_WHEN_LOADED:
            path = Path(folder) / name
            if path.is_file() and (key := _code_in(path)):
                raise _names_code(folder, name, key) from error
        raise ModelError(f"{folder}: needs code of its own, which is never run.") from error


def _names_code(folder: Path | str, name: str, key: str) -> ModelError:
    return ModelError(
        f"{folder}: {name} names code of its own ({key}), which is never run; use a model that "
        "transformers knows, or read the code and remove the key."
    )


def _code_in(path: Path) -> str | None:
    """Return a key of a config, wherever it stands, that names code."""
    left = [_read(path)]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            for key in _NAME_CODE:
                if value.get(key):
                    return key
            left += value.values()
        elif isinstance(value, list):
            left += value
    return None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ModelError(f"{path}: is no JSON that can be read ({why}); fetch it again.") from error
