"""Text from outside reaches people escaped; what programs read stays as it is."""

import ast
import io
import json
import logging
import sys
from pathlib import Path

import pandas as pd
import pytest

from caft import cli
from caft.shown import Formatter, block, cell, escaped, line, streams_shown
from caft.tables.files import write_csv

ROOT = Path(__file__).parents[2]
HOSTILE = {
    "clears the screen": "a\x1b[2Jb",
    "sets the title": "\x1b]0;owned\x07",
    "C1 control": "a\x9b31mb",
    "overwrites the line": "error\rdone",
    "erases": "abc\x08\x08\x7f",
    "runs backwards": "a\u202egnp.exe",
    "isolates": "\u2066a\u2069\u2068",
    "line separators": "a\u2028b\u2029c\x85d",
    "lone surrogate": "a\ud83db\udcff",
    "invisible": "a\u200b\ufeff\u2060b",
    "tags": "a\U000e0041\U000e007f",
    "no XML": "a\x00\x0b\ufffe\uffff",
}
UNSEEN = [chr(code) for code in (*range(9), *range(11, 32), *range(127, 160), 0xD800, 0xDFFF)]


def seen(text):
    return text.isprintable() or all(char.isprintable() or char in "\n\t" for char in text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_nobody_sees_is_escaped_everywhere(text):
    for shown in (escaped(text), line(text), block(text), cell(text)):
        assert seen(shown)
        shown.encode()  # a lone surrogate could not be


def test_the_escape_is_that_of_json_so_that_printed_json_stays_json():
    for text in [*HOSTILE.values(), *UNSEEN]:
        assert json.loads(escaped(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize(
    "text",
    ["naïve 数学 ∑x²", "می‌خواهم", "👩‍🔬", "a\tb\nc", "C:\\u001b", "e\u0301", "a\xa0b\u3000c"],
)
def test_text_in_any_script_stays_as_it_is(text):
    assert escaped(text) == text


def test_a_text_with_line_breaks_is_one_line_or_an_indented_block():
    forged = "no\n2026-11-27 ERROR all is lost\r\n\r\tcaft: done"
    assert "\n" not in line(forged) and line("  a  b\nc") == "  a  b c"
    assert block("one\ntwo\nthree") == "one\n    two\n    three"
    assert all(part.startswith("    ") for part in block(forged).splitlines()[1:])


def logged(write):
    """Return what a log and its terminal show of what a function writes."""
    log, stream = logging.Logger("test"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    write(log)
    return stream.getvalue()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_log_shows_no_text_raw(text):
    for write in (
        lambda log: log.info("said %s", text),
        lambda log: log.info("%d of %s: %g %s", 1, Path(text.replace("\0", "")), 0.5, {text: text}),
        lambda log: log.error("%s", ValueError(text)),
        lambda log: log.warning(text.replace("%", "")),
    ):
        assert seen(logged(write))


def test_a_text_in_a_log_forges_no_line():
    told = logged(lambda log: log.info("%s: %s", "x", "bad\nERROR all is lost"))
    assert told == "INFO x: bad\n    ERROR all is lost\n"
    assert logged(lambda log: log.info("\na  b\n1  2")) == "INFO \na  b\n1  2\n"


def test_a_traceback_in_a_log_is_escaped_and_keeps_its_lines():
    def write(log):
        try:
            raise ValueError("\x1b[31mred")
        except ValueError:
            log.exception("it failed")

    told = logged(write)
    assert seen(told) and told.count("\n") >= 3 and "\\u001b[31mred" in told


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_is_printed_meanwhile_is_escaped(text, capsys):
    with streams_shown():
        print(text)
        print(text, file=sys.stderr)
        sys.stderr.writelines([text, "\n"])
        logging.lastResort.handle(logging.LogRecord("x", 40, "", 1, text, None, None))
    out, err = capsys.readouterr()
    assert seen(out) and seen(err) and err.count(escaped(text)) == 3
    assert type(sys.stdout).__name__ != "_Shown"


@pytest.mark.parametrize("given", ["\x1b[2J", "a\rb", "\u202e", "\udcff"])
def test_what_the_command_repeats_of_its_arguments_is_escaped(given, capsys):
    assert cli.main(["store", "stats", "--store", f"no{given}where"]) == 1
    with pytest.raises(SystemExit):
        cli.main(["store", given])
    out, err = capsys.readouterr()
    assert seen(out + err) and escaped(given) in err


def test_a_fault_of_a_command_is_told_without_what_it_quotes_raw(monkeypatch, capsys):
    def failing(_):
        raise KeyError("\x1b[2J")

    monkeypatch.setattr("caft.cli.store._existing", lambda folder: failing(folder))
    assert cli.main(["store", "stats"]) == 1
    assert "KeyError" in (err := capsys.readouterr().err) and seen(err)


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3+cmd|' /C calc'!A0",
        "- 1",
        "@SUM(1)",
        "\tx",
        "\t=1",
        " =1",
        "\n=1",
        "\r=1",
        "\u200b=1",
        "＝1",
        "-1\n=2",
    ],
)
def test_no_cell_starts_a_formula(text):
    shown = cell(text)
    assert shown.startswith(("'", "\\u", " '", "\n'", "\t'"))
    assert shown.replace("'", "") == escaped(text).replace("'", "")
    assert shown.lstrip()[0] not in "=+-@＝＋－＠"


@pytest.mark.parametrize("text", ["a;=1+1", "a\t=1+1", "a\n@x", "a; +1+2", "a\r\n=2"])
def test_no_part_that_a_spreadsheet_takes_for_a_cell_starts_a_formula(text):
    assert cell(text).lstrip("a;\t\n ").startswith("'")


def test_a_cell_is_read_once_however_much_space_it_has():
    text = ("\n" * 200_000 + " " * 200_000 + ";" * 200_000 + "\t \n" * 100_000) + "=1"
    assert cell(text).endswith("'=1")  # quadratic reading would take hours


@pytest.mark.parametrize("text", ["-0.1", "+3", "-5", "-1e-7", "-.5", "a=b", "x-1", "1-2", "a@b"])
def test_numbers_and_inner_signs_stay(text):
    assert cell(text) == text


def test_a_table_for_people_is_safe_and_its_numbers_stay(tmp_path):
    table = pd.DataFrame(
        {
            "=name": ["=1+1", "plain", None],
            "kind": pd.Categorical(["@a", "b", "@a"]),
            "value": [-0.123456789, float("nan"), 2.0],
            "count": [-3, 4, 5],
            "text\x1b[31m": ["a\rb", "-5", "two\nlines"],
            "flag": [True, False, True],
            "mixed": ["=x", -1, None],
        }
    )
    before = table.copy()
    write_csv(tmp_path / "t.csv", table, digits=3)
    made = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert seen(made) and "\r" not in made
    read = pd.read_csv(io.StringIO(made))
    assert list(read) == ["'=name", "kind", "value", "count", "text\\u001b[31m", "flag", "mixed"]
    assert list(read["'=name"][:2]) == ["'=1+1", "plain"] and pd.isna(read["'=name"][2])
    assert list(read["kind"]) == ["'@a", "b", "'@a"]
    assert list(read["value"].dropna()) == [-0.123, 2.0] and list(read["count"]) == [-3, 4, 5]
    assert list(read["text\\u001b[31m"]) == ["a\\u000db", "-5", "two\nlines"]
    assert list(read["flag"]) == [True, False, True]
    assert list(read["mixed"][:2]) == ["'=x", "-1"]
    pd.testing.assert_frame_equal(table, before)


FILES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("workflow/**/*.py")])
HERE = {
    "to_csv": "files.py",
    "writer": "files.py",
    "DictWriter": "files.py",
    "Formatter": "shown.py",
    "basicConfig": "shown.py",
}


def test_tables_and_logs_are_written_in_one_place_each():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and path.name != HERE.get(node.attr, path.name)
    ]
    assert found == []
