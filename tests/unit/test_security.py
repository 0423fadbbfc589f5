"""What the code never does, whatever it is given: this reads the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("workflow/**/*.py")])
# Their classes read no configuration that could name code.
FORMATS = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}  # that run code when they are read
HARMLESS = {"PeftModel", "GenerationConfig", "ModelCard", "DatasetCard"}


def calls(path):
    """Yield each call of a file as (the name that is called, the call)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call, name):
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def faults(path):
    """Yield what a file does that no file may."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            if {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & {
                n.split(".")[0] for n in named
            }:
                yield f"{node.lineno}: imports a format that runs code"
    for name, call in calls(path):
        owner, _, method = name.rpartition(".")
        loads = method == "from_pretrained" and owner.split(".")[-1] not in HARMLESS
        if (loads or method == "from_config") and keyword(call, "trust_remote_code") != "False":
            yield f"{call.lineno}: {name} without trust_remote_code=False"
        if name in ("torch.load", "joblib.load") and keyword(call, "weights_only") != "True":
            yield f"{call.lineno}: {name} without weights_only=True"
        if keyword(call, "shell") not in (None, "False") or name in ("os.system", "os.popen"):
            yield f"{call.lineno}: {name} starts a shell"
        if name in ("eval", "exec", "yaml.load", "yaml.unsafe_load"):
            yield f"{call.lineno}: {name}"
        if method in ("gettempdir", "mktemp") and path.name != "private.py":
            yield f"{call.lineno}: {name}: the temporary folder is others' too"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_runs_what_it_reads(path):
    assert list(faults(path)) == []


@pytest.mark.parametrize(
    "code",
    [
        "AutoTokenizer.from_pretrained(folder)",
        "transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)",
        "AutoConfig.from_pretrained(folder, trust_remote_code=asked)",
        "torch.load(path)",
        "import pickle",
        "from dill import loads",
        "subprocess.run('ls', shell=True)",
        "os.system('ls')",
        "Path(tempfile.gettempdir()) / 'x'",
        "yaml.load(text)",
        "eval(text)",
    ],
)
def test_the_reader_finds_what_it_is_for(code, tmp_path):
    (tmp_path / "code.py").write_text(code)
    assert len(list(faults(tmp_path / "code.py"))) == 1
