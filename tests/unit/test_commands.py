"""Every command line of the pages is one that its program takes, each word where it belongs."""

import re
import shlex
import subprocess
from functools import cache
from itertools import dropwhile

import pytest
import yaml
from commands import ROOT, command_lines, lines_of
from snakemake.cli import get_argument_parser

from caft import cli
from caft.errors import ConfigError
from caft.report.provenance import check_same
from caft.tables.files import write_json

RULES = {
    name
    for file in (ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk"))
    for name in re.findall(r"^rule (\w+):", file.read_text(encoding="utf-8"), re.MULTILINE)
}
NEEDS_NO_CORES = ("dryrun", "unlock", "rulegraph", "report", "profile")
MADE_BY_THE_PAGE = ("my.yaml", "small.yaml")


def ids(lines):
    return [f"{page}: {' '.join(words)}" for page, words in lines]


@cache
def parser():
    return get_argument_parser()


def faults(words):
    """Yield what is wrong with the words behind `snakemake`."""
    try:
        given = parser().parse_args(words)
    except (SystemExit, ValueError) as error:
        yield f"not understood: {error}"
        return
    for target in given.targets:
        if target not in RULES and "/" not in target:
            yield f"{target} is no target"
    for file in map(str, given.configfile):
        if file not in MADE_BY_THE_PAGE and not (ROOT / file).is_file():
            yield f"{file} is no configuration"
    for profile in given.profile or ():
        if not (ROOT / profile).is_dir():
            yield f"{profile} is no profile"
    if not (given.cores or any(getattr(given, name, None) for name in NEEDS_NO_CORES)):
        yield "needs --cores"
    if given.targets and words[0].startswith("-"):
        yield "the target does not come first"


SNAKEMAKE = lines_of("snakemake")


@pytest.mark.parametrize("line", SNAKEMAKE, ids=ids(SNAKEMAKE))
def test_snakemake_takes_the_words_as_they_are_meant(line):
    assert list(faults(line[1])) == []


@pytest.mark.parametrize(
    "words",
    [
        "--cores all --configfile my.yaml results/summary.csv",
        "--cores all --resources gpu=4 results/summary.csv",
        "summary --cores all --configfile lost.yaml",
        "sumary --cores all",
        "--cores all summary",
        "analysis",
        "summary --cors all",
        "summary --profile nowhere",
    ],
)
def test_the_reader_of_command_lines_finds_what_it_is_for(words):
    assert len(list(faults(words.split()))) == 1


def test_command_lines_are_found_wherever_they_stand_on_a_page():
    page = """
    make report     # a page
Type `snakemake TARGET --cores all` or `caft store
export FILE`.

```
caft store drop --key a \\
    --remove
```
    """
    assert list(command_lines(page)) == [
        ["make", "report"],
        ["caft", "store", "drop", "--key", "a", "--remove"],
        ["snakemake", "summary", "--cores", "all"],
        ["caft", "store", "export", "FILE"],
    ]
    assert len(SNAKEMAKE) > 30


CAFT = lines_of("caft", spans=False)


@pytest.mark.parametrize("line", CAFT, ids=ids(CAFT))
def test_caft_takes_the_words_and_says_what_is_missing_where_nothing_was_run(
    line, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("config.yaml", "my.yaml"):
        (tmp_path / name).write_text((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert cli.main(line[1]) == 1
    assert capsys.readouterr().err.startswith("caft: ")


MENTIONED = [line for line in lines_of("caft") if line not in CAFT]


@pytest.mark.parametrize("line", MENTIONED, ids=ids(MENTIONED))
def test_the_commands_of_caft_that_a_page_names_are_there(line, capsys):
    words = [word for word in line[1] if not word.startswith("-")]
    with pytest.raises(SystemExit) as stopped:
        cli.parse([*words, "--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in line[1] if word.startswith("--"))


PYTHON = [line for line in lines_of("python") if line[1][0] != "-m"] + lines_of("pytest")


@pytest.mark.parametrize("line", PYTHON, ids=ids(PYTHON))
def test_the_scripts_and_tests_that_a_page_names_are_there(line):
    assert (ROOT / line[1][0]).exists()


def made(*words):
    """Return what `make` would do without the environment, a line each."""
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.installed", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if " PATH=" in line]


MAKE = [(page, words) for page, words in lines_of("make") if "CONFIG=my.yaml" not in words]


@pytest.mark.parametrize("words", sorted({tuple(words) for _, words in MAKE}), ids=" ".join)
def test_make_knows_the_targets_that_a_page_names(words):
    made(*words)


@pytest.mark.parametrize("target", ["summary", "report"])
def test_whatever_make_runs_of_the_workflow_has_the_users_configuration(target):
    lines = [shlex.split(line) for line in made(target, "CONFIG=config/examples/smoke.yaml")]
    commands = [list(dropwhile(lambda word: "=" in word, words)) for words in lines]
    runs = [words[1:] for words in commands if words[0] == "snakemake"]
    assert runs
    for words in runs:
        assert list(faults(words)) == []
        given = parser().parse_args(words)
        assert set(given.targets) == ({"summary"} if target == "summary" else set())
        assert [str(file) for file in given.configfile] == ["config/examples/smoke.yaml"]
    own = ["config/examples/study.yaml", "config/examples/smoke.yaml"]
    for line in made(target, f"CONFIG={' '.join(own)}"):
        assert line.endswith(" ".join(own))


def test_make_names_a_configuration_that_is_not_there():
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.installed", "summary", "CONFIG=lost.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "lost.yaml" in line


def test_a_report_is_not_made_of_results_of_another_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    shipped, own = ROOT / "config.yaml", tmp_path / "my.yaml"
    own.write_text(yaml.safe_dump({"seed": 2}))
    recorded = tmp_path / "provenance.json"
    check_same(recorded, [shipped])  # nothing was run
    from caft.config.prepare import prepare
    from caft.config.reading import read_files

    write_json(recorded, {"config": prepare(read_files([shipped, own])).plain()})
    check_same(recorded, [shipped, own])
    for files in ([shipped], [shipped, ROOT / "config/examples/smoke.yaml"]):
        with pytest.raises(ConfigError, match="another configuration"):
            check_same(recorded, files)
