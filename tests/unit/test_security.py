"""What the code never does, whatever it is given: this reads the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "workflow", "benchmarks", "docs", "config", "profiles")
SCRIPTS = [path for path in ROOT.glob(".ci/*") if "python" in path.read_text().partition("\n")[0]]
FILES = sorted([*(path for name in FOLDERS for path in ROOT.glob(f"{name}/**/*.py")), *SCRIPTS])
HELPER = ROOT / "src/caft/running/private.py"  # alone looks into the temporary folder

RUN_CODE = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}  # when read
# Their classes read no configuration that could name code.
HARMLESS = {"PeftModel", "GenerationConfig", "ModelCard", "DatasetCard"}
LOADERS = {"from_pretrained", "from_config", "pipeline", "LLM"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
          "asyncio.create_subprocess_shell", "pty.spawn"}  # fmt: skip
PROGRAMS = {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")}
EVALUATE = {"eval", "exec", "compile", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
SHARED = {"tempfile.gettempdir", "tempfile.gettempdirb", "tempfile.mktemp"}
ANYWHERE = {"tempfile.mkstemp", "tempfile.NamedTemporaryFile", "tempfile.TemporaryFile",
            "tempfile.SpooledTemporaryFile"}  # fmt: skip
PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def faults(source, path=ROOT / "code.py"):
    """Yield what a file does that no file may."""
    tree = ast.parse(source)
    known = imported(tree)
    for node in ast.walk(tree):
        for fault in (*of_import(node), *of_call(node, known), *of_place(node, known, path)):
            yield f"{getattr(node, 'lineno', 0)}: {fault}"


def imported(tree):
    """Return the full name behind each name that a file imports."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.asname or one.name: one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return names


def name_of(node, known):
    first, dot, rest = ast.unparse(node).partition(".")
    return f"{known.get(first, first)}{dot}{rest}"


def of_import(node):
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = (
            [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module]
        )
        if RUN_CODE & {(module or "").split(".")[0] for module in modules}:
            yield "imports a format that runs code"


def keyword(call, name):
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def of_call(node, known):
    if not isinstance(node, ast.Call):
        return
    name = name_of(node.func, known)
    owner, _, method = name.rpartition(".")
    if method in LOADERS and owner.split(".")[-1] not in HARMLESS:
        if keyword(node, "trust_remote_code") != "False":
            yield f"{name} without trust_remote_code=False"
    elif keyword(node, "trust_remote_code") not in (None, "False"):
        yield f"{name} trusts remote code"
    if name == "torch.load" and keyword(node, "weights_only") != "True":
        yield f"{name} without weights_only=True"
    if method in ("read_pickle", "to_pickle") or keyword(node, "allow_pickle") not in (
        None,
        "False",
    ):
        yield f"{name} reads a format that runs code"
    if keyword(node, "shell") not in (None, "False") or name in SHELLS:
        yield f"{name} starts a shell"
    if name in PROGRAMS and node.args and is_text(node.args[0]):
        yield f"{name} takes its command from a text"
    if name in EVALUATE:
        yield f"{name} runs a text"
    if name in ANYWHERE and not (keyword(node, "dir") or len(node.args) > 2):
        yield f"{name} without dir: the temporary folder is others' too"


def is_text(node):
    joins = isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".join", ".format"))
    adds = isinstance(node, ast.BinOp) and (is_text(node.left) or is_text(node.right))
    written = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return joins or adds or written or isinstance(node, ast.JoinedStr)


def of_place(node, known, path):
    if path == HELPER:
        return
    if isinstance(node, ast.Attribute | ast.Name) and name_of(node, known) in SHARED:
        yield "looks for the temporary folder, which is others' too"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if node.value in ("TMPDIR", "TEMP", "TMP"):
            yield "looks for the temporary folder, which is others' too"
        if node.value in PLACES or node.value.startswith(tuple(f"{place}/" for place in PLACES)):
            yield "names a folder that is others' too"
        if "--trust-remote-code" in node.value:
            yield "trusts remote code"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_runs_what_it_reads_or_trusts_a_folder_of_all(path):
    assert list(faults(path.read_text(encoding="utf-8"), path)) == []


def test_all_folders_with_code_are_read():
    folders = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert folders >= {"src", "workflow", "benchmarks", "docs", ".ci"}
    assert HELPER in FILES and len(SCRIPTS) >= 4


BAD = [
    "AutoTokenizer.from_pretrained(folder)",
    "transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)",
    "AutoConfig.from_pretrained(folder, trust_remote_code=asked)",
    "AutoModelForCausalLM.from_config(config)",
    "vllm.LLM(model=folder)",
    "from transformers import pipeline\npipeline('text-generation', model=folder)",
    "datasets.load_dataset(name, trust_remote_code=True)",
    "command = ['vllm', 'serve', '--trust-remote-code']",
    "torch.load(path)",
    "torch.load(path, weights_only=False)",
    "from torch import load\nload(path)",
    "import torch as t\nt.load(path, weights_only=maybe)",
    "import pickle",
    "import numpy, pickle as p",
    "from dill import loads",
    "import joblib",
    "pandas.read_pickle(path)",
    "numpy.load(path, allow_pickle=True)",
    "subprocess.run('ls', shell=True)".replace("'ls'", "command"),
    "os.system('ls')",
    "from os import system\nsystem('ls')",
    "subprocess.getoutput('ls')",
    "asyncio.create_subprocess_shell('ls')",
    "subprocess.run('ls -l')",
    "import subprocess as s\ns.Popen(f'ls {path}')",
    "from subprocess import check_output\ncheck_output(' '.join(words))",
    "subprocess.call('ls ' + path)",
    "tempfile.gettempdir()",
    "from tempfile import gettempdir as where\nPath(where()) / 'x'",
    "tempfile.mktemp()",
    "tempfile.mkstemp(prefix='x')",
    "from tempfile import NamedTemporaryFile\nNamedTemporaryFile('w')",
    "open('/tmp/lock', 'w')",
    "Path('/tmp') / 'x'",
    "Path('/dev/shm/x')",
    "os.environ['TMPDIR']",
    "os.environ.get('TMPDIR', here)",
    "yaml.load(text)",
    "eval(text)",
    "exec(text)",
]
GOOD = [
    "AutoTokenizer.from_pretrained(folder, trust_remote_code=False)",
    "PeftModel.from_pretrained(model, folder)",
    "torch.load(path, weights_only=True)",
    "subprocess.run(['ls', path])",
    "subprocess.run(command, shell=False)",
    "numpy.load(path)",
    "yaml.safe_load(text)",
    "re.compile(text)",
    "ast.literal_eval(text)",
    "tempfile.TemporaryDirectory()",
    "tempfile.mkdtemp(prefix='x')",
    "tempfile.mkstemp(dir=folder)",
    "'/tmpfoo'",
    "'set TMPDIR to a folder'",
]


@pytest.mark.parametrize("code", BAD)
def test_the_reader_finds_what_it_is_for(code):
    assert len(list(faults(code))) == 1


@pytest.mark.parametrize("code", GOOD)
def test_the_reader_leaves_alone_what_is_no_harm(code):
    assert list(faults(code)) == []
