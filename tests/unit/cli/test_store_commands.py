import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tokenizers import Tokenizer, models, pre_tokenizers

from caft.cli import main
from caft.store import RECORD, Store, answer_key, batches
from caft.store.given_up import Note
from caft.tables import parquet

ROOT = Path(__file__).parents[3]
TEACHER = {
    "provider": "openai",
    "base_url": "http://127.0.0.1:1/v1",
    "model": "big",
    "api_key_env": "A_KEY_THAT_IS_NOT_SET",
    "max_new_tokens": 100,
    "temperature": 0.0,
}


def record(key, **fields):
    return {"key": key, "kind": "rationale", "model_id": "m", "text": f"text of {key}", **fields}


@pytest.fixture
def folder(tmp_path):
    """A store with a segment of two answers and a journal of one."""
    store = Store(tmp_path / "store")
    first = {"prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.25, "revision": "r"}
    store.append([record("a", finish_reason="stop", received_at="2026-01-02", **first)])
    store.append([record("b", finish_reason="length", received_at="2026-01-03", **first)])
    store.fold()
    store.append([record("c", raw='{"imported": true}', cost_usd=0.0, received_at="2026-01-01")])
    store.append([record("d", model_id="n", raw="ü\n")])
    return tmp_path / "store"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_help_names_the_groups_without_importing_them():
    program = (
        "import sys; from caft.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: sys.exit('pyarrow' in sys.modules or 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "store" in done.stdout and "teacher" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["store"], ["nothing"], ["store", "nothing"]])
def test_what_cannot_be_understood_is_refused_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: caft" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "stats", "compact", "drop", "batches"])
def test_a_store_that_is_not_there_is_an_error_in_one_line(tmp_path, capsys, command):
    assert run("store", command, "--store", tmp_path / "none") == 1
    assert capsys.readouterr().err == (
        f"caft: {tmp_path / 'none'}: no such store; name its folder with --store.\n"
    )


def test_verify_of_a_whole_store_exits_with_0(folder, capsys):
    assert run("store", "verify", "--store", folder) == 0
    assert capsys.readouterr().out == (
        f"{folder}: 1 segments, 1 journals; 4 intact answers to 4 requests; "
        "0 damaged, 0 unfinished\n"
    )


def test_verify_reports_an_unfinished_last_line_and_exits_with_0(folder, capsys):
    (journal,) = folder.glob("journals/*")
    journal.write_bytes(journal.read_bytes()[:-9])
    assert run("store", "verify", "--store", folder) == 0
    output = capsys.readouterr().out
    assert f"unfinished: {journal}, line 2, byte " in output
    assert ", key d: was cut off: its writer was stopped or still writes" in output
    assert "An unfinished last line is no damage: it never counted as received." in output


def test_verify_names_every_damaged_answer_and_exits_with_1(folder, capsys):
    (journal,), (segment,) = folder.glob("journals/*"), folder.glob("segments/*")
    for path, at in ((journal, 60), (segment, segment.read_bytes().index(b"\xffcaft") + 50)):
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
    assert run("store", "verify", "--store", folder) == 1
    output = capsys.readouterr().out
    assert f"damaged: {journal}, line 1, byte 0, key c: is damaged" in output
    assert f"damaged: {segment}, row 1, key a: is damaged" in output
    assert "2 intact answers to 2 requests; 2 damaged, 0 unfinished" in output


def test_stats_count_by_model_and_by_file(folder, capsys):
    assert run("store", "stats", "--json", "--store", folder) == 0
    found = json.loads(capsys.readouterr().out)
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "kinds": {"rationale": 1}}
    nobody = {"requests": 0, "tokens": 0, "cost_usd": 0.0, "cost_unknown": 0}
    assert found["models"] == [
        {
            **nothing,
            "model_id": "m",
            "revision": "",
            "answers": 1,
            "imported": 1,
            "cost_usd": 0.0,
            "cost_unknown": 0,
            "tokens_unknown": 1,
            "first_received": "2026-01-01",
            "last_received": "2026-01-01",
            "finish_reasons": {"(none)": 1},
            "answered_by": {"(none)": 1},
            "given_up": nobody,
        },
        {
            "model_id": "m",
            "revision": "r",
            "answers": 2,
            "imported": 0,
            "prompt_tokens": 20,
            "completion_tokens": 10,
            "cost_usd": 0.5,
            "cost_unknown": 0,
            "tokens_unknown": 0,
            "first_received": "2026-01-02",
            "last_received": "2026-01-03",
            "kinds": {"rationale": 2},
            "finish_reasons": {"stop": 1, "length": 1},
            "answered_by": {"(none)": 2},
            "given_up": nobody,
        },
        {
            **nothing,
            "model_id": "n",
            "revision": "",
            "answers": 1,
            "imported": 0,
            "cost_usd": 0,
            "cost_unknown": 1,
            "tokens_unknown": 1,
            "first_received": None,
            "last_received": None,
            "finish_reasons": {"(none)": 1},
            "answered_by": {"(none)": 1},
            "given_up": nobody,
        },
    ]
    assert [(Path(row["file"]).parent.name, row["answers"]) for row in found["files"]] == [
        ("journals", 2),
        ("segments", 2),
    ]
    assert run("store", "stats", "--store", folder) == 0
    output = capsys.readouterr().out
    assert "m, revision r\n  answers     2 (2 rationale; 0 imported)\n" in output
    assert "  tokens      0 prompt, 0 answer and 1 answers of unknown length\n" in output
    assert "  cost        $0.0000 and 1 at unknown cost\n" in output


def test_stats_count_by_the_model_that_answered(tmp_path, capsys):
    named = ["m-2026-11-01", "m-2026-11-01", "other", None, 7]
    with Store(tmp_path) as store:
        raws = [json.dumps({"model": model, "choices": []}) for model in named] + ["no JSON"]
        store.append({"key": str(n), "model_id": "m", "raw": raw} for n, raw in enumerate(raws))
    assert run("store", "stats", "--store", tmp_path) == 0
    assert "  answered by 3 (none), 2 m-2026-11-01, 1 other\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("amounts", "told"),
    [
        (
            (3, 4500, 0.25),
            "3 requests without an answer; may have taken up to 4,500 tokens, $0.25",
        ),
        ((3, 4500, 0.0), "up to 4,500 tokens at unknown cost,"),
        ((3, 0, 0.0), "up to 0 tokens, $0.0000,"),
        ((0, 0, 0.0), None),
    ],
)
def test_stats_tell_what_requests_without_an_answer_may_have_taken(folder, capsys, amounts, told):
    Note(folder, "n", "").write(*amounts)
    assert run("store", "stats", "--store", folder) == 0
    of_m, of_n = capsys.readouterr().out.split("\nn, revision")
    assert "given up" not in of_m
    assert told in of_n if told else "given up" not in of_n


def test_stats_tell_of_a_model_that_has_not_answered_yet(folder, capsys):
    Note(folder, "silent", "").write(2, 10, 0.5)
    assert run("store", "stats", "--json", "--store", folder) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [(row["answers"], row["given_up"]["requests"]) for row in rows][-1] == (0, 2)


def test_export_writes_every_answer_once_with_all_fields(folder, tmp_path, capsys):
    with Store(folder) as store:
        store.append([record("a", text="again", received_at="2027")])
    expected = Store(folder).get("abcd")
    for name in ("out.parquet", "out.jsonl"):
        assert run("store", "export", tmp_path / name, "--store", folder) == 0
    rows = pq.read_table(tmp_path / "out.parquet")
    assert rows.schema == RECORD
    assert {row["key"]: row for row in rows.to_pylist()} == expected
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")
    assert {row["key"]: row for row in map(json.loads, lines[:-1])} == expected
    assert capsys.readouterr().out.endswith("out.jsonl: 4 answers\n")


def test_export_can_be_of_one_model(folder, tmp_path):
    assert run("store", "export", tmp_path / "n.jsonl", "--model", "n", "--store", folder) == 0
    assert json.loads((tmp_path / "n.jsonl").read_text())["key"] == "d"


def test_export_to_another_format_is_refused(folder, tmp_path, capsys):
    assert run("store", "export", tmp_path / "out.csv", "--store", folder) == 1
    assert "name a file that ends in .parquet or .jsonl" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_compact_says_what_it_did(folder, capsys):
    store = Store(folder)
    store.append([record("a", received_at="2027")])
    store.fold()
    assert run("store", "compact", "--store", folder) == 0
    assert capsys.readouterr().out == (
        f"{folder}: 0 journals and 2 segments became 1 segments with 2 answers; "
        "1 duplicates dropped, 0 damaged\n"
        "left alone: 1 journals in use, 0 of other machines (--all)\n"
    )


def test_compact_that_cannot_write_exits_with_1(folder, capsys, monkeypatch):
    Store(folder).append([record("e")])
    store = Store(folder)
    store.append([record("f")])
    store.fold()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert run("store", "compact", "--store", folder) == 1
    assert "no space left on the disk; free some and run again" in capsys.readouterr().err


def rationales(folder, *rows):
    path = folder / "data" / "rationales" / "d" / "s" / "first" / "big.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("item_id", "key", "reason")
    pq.write_table(
        pa.table(
            {
                name: pa.array(column, pa.string())
                for name, column in zip(names, zip(*rows, strict=True), strict=True)
            }
        ),
        path,
    )


def test_drop_lists_with_money_and_changes_nothing(folder, capsys):
    before = sorted(path for path in folder.rglob("*"))
    assert run("store", "drop", "--reason", "LENGTH", "--store", folder) == 0
    output = capsys.readouterr().out
    assert output.startswith("b  m  length  $0.2500\n1 answers (1 length): 15 tokens, $0.2500\n")
    assert "Nothing was changed; with --remove they are dropped." in output
    assert sorted(path for path in folder.rglob("*")) == before


def test_drop_with_remove_lets_answers_be_asked_again_and_keeps_the_bill(folder, capsys):
    assert run("store", "drop", "--model", "m", "--remove", "--store", folder) == 0
    output = capsys.readouterr().out
    assert (
        "3 answers (1 (none), 1 stop, 1 length): 30 tokens and 1 answers of unknown length, "
        "$0.5000\n" in output
    )
    assert "snakemake --forcerun generate_rationales" in output
    assert Store(folder).keys() == {"d"}
    assert run("store", "verify", "--store", folder) == 0
    assert capsys.readouterr().out.endswith("0 damaged, 0 unfinished, 3 dropped\n")
    assert run("store", "stats", "--store", folder) == 0
    output = capsys.readouterr().out
    assert "  cost        $0.5000\n" in output
    assert "3 answers are dropped: they count here and are not used.\n" in output
    assert run("store", "drop", "--model", "m", "--remove", "--store", folder) == 1
    assert "no answer in use is meant. Models there: m, n;" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "dropped"),
    [
        (["--key", "a", "c"], {"a", "c"}),
        (["--reason", "wrong_answer", "stop"], {"a", "b"}),
        (["--item", "i2", "i3"], {"b", "c"}),
        (["--item", "i2", "i3", "--reason", "wrong_answer"], {"b"}),
        (["--item", "i2", "--key", "a"], set()),
        (["--listed", "mine.csv"], {"a", "d"}),
        (["--listed", "mine.csv", "--model", "n"], {"d"}),
        (["--revision", "r", "--kind", "rationale"], {"a", "b"}),
    ],
)
def test_drop_takes_what_all_options_mean(folder, monkeypatch, options, dropped):
    monkeypatch.chdir(folder.parent)
    rationales(folder.parent, ("i1", "a", None), ("i2", "b", "wrong_answer"), ("i3", "c", "error"))
    Path("mine.csv").write_text("item_id,key\ni1,a\ni4,d\n")
    assert run("store", "drop", *options, "--remove", "--store", folder) == (not dropped)
    assert Store(folder).keys() == set("abcd") - dropped


def test_drop_of_a_teacher_takes_the_answers_of_its_model(project, capsys):
    assert bring(project, [{"id": 1, "cot": "So 4. [[B]]"}]) == 0
    with Store(project / "store") as store:
        store.append([record("other", model_id="another")])
    drop = ["store", "drop", "--store", "store", "--configfile", "own.yaml", "--teacher"]
    assert run(*drop, "big", "--remove") == 0
    assert Store(project / "store").keys() == {"other"}
    assert run(*drop, "nobody") == 1
    assert "no teacher 'nobody'; known are big" in capsys.readouterr().err
    assert run(*drop, "big", "--model", "another") == 1
    assert bring(project, [{"id": 1, "cot": "So 4. [[B]]"}]) == 0  # it can be owned again
    assert len(Store(project / "store").keys()) == 2


@pytest.mark.parametrize("options", [[], ["--remove"], ["--listed", "none.csv"]])
def test_drop_without_saying_which_is_refused(folder, capsys, options):
    assert run("store", "drop", *options, "--store", folder) == 1
    assert capsys.readouterr().err.startswith("caft: ")
    assert Store(folder).keys() == set("abcd")


def noted(folder, **fields):
    batch = batches.OpenBatch("http://x/v1", "big", "", ["k1", "k2"], created=1.8e9, **fields)
    batches.write(folder, batch)
    return batch


def test_batches_are_listed_and_forgotten_by_any_name(folder, capsys):
    first, second = noted(folder, batch="batch_1"), noted(folder, file="file-1")
    assert run("store", "batches", "--store", folder) == 0
    output = capsys.readouterr().out
    assert "batch_1  2 requests  2027-01-15 08:00 UTC  open  big at http://x/v1\n" in output
    assert f"{second.uuid}  2 requests" in output and "submitted or not" in output
    assert run("store", "batches", "--store", folder, "--forget", "batch_1") == 0
    assert "its 2 requests are asked again" in capsys.readouterr().out
    assert run("store", "batches", "--store", folder, "--forget", second.uuid) == 0
    assert batches.all_in(folder) == []
    assert run("store", "batches", "--store", folder, "--forget", first.uuid) == 1
    assert "no batch" in capsys.readouterr().err


def test_a_batch_whose_answers_are_here_is_not_forgotten(folder, capsys):
    batch = noted(folder, batch="batch_1", answers={"k1": {}})
    assert run("store", "batches", "--store", folder, "--forget", "batch_1") == 1
    assert "the 1 answers of batch_1 are here already" in capsys.readouterr().err
    assert batches.all_in(folder) == [batch]


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": ["k"]}'])
def test_a_broken_note_of_a_batch_is_named_and_can_be_forgotten(folder, capsys, content):
    path = batches.path_of(folder, "abc")
    path.parent.mkdir()
    path.write_text(content)
    assert run("store", "batches", "--store", folder) == 1
    assert "caft store batches --forget abc" in capsys.readouterr().err
    assert run("store", "batches", "--store", folder, "--forget", "abc") == 0
    assert not path.exists()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a config, a teacher and two items."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    own = {"seed": 7, "teachers": {"big": TEACHER}}
    own["prompts"] = {"letters": {"few_shot": 1}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    rows = [
        ("1", "2 + 2?", "B", "first 3, then [[B]]"),
        ("2", "3 + 3?", "A", "Six. [[A]]"),
        ("2", "3 + 4?", "A", None),
    ]
    items = pd.DataFrame(
        [
            {
                "item_id": f"item{number}",
                "question": question,
                "options": ["6", "4"],
                "answer": answer,
                "answer_kind": "choice",
                "category": "c",
                "reference_rationale": rationale,
                "source": "s",
                "source_id": source_id,
                "split": "train",
            }
            for number, (source_id, question, answer, rationale) in enumerate(rows)
        ]
    )
    parquet.write("items", items, tmp_path / "items.parquet")
    return tmp_path


def bring(project, answers, *options, columns="id=id,text=cot"):
    answers = pd.DataFrame(answers)
    answers.to_json(project / "answers.jsonl", orient="records", lines=True)
    return run(
        *("store", "import", "answers.jsonl", "--teacher", "big", "--model", "big"),
        *("--items", "items.parquet", "--configfile", "own.yaml", "--columns", columns),
        *("--store", "store", *options),
    )


def stored(project):
    store = Store(project / "store")
    return sorted(store.get(store.keys()).values(), key=lambda one: one["raw"])


def test_an_imported_answer_has_the_key_the_teacher_would_ask_with(project, capsys):
    assert bring(project, [{"id": 1, "cot": "So 4. [[B]]"}]) == 0
    system = "Work step by step, then give the letter of the right option as [[letter]]."
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": "3 + 3?\nA) 6\nB) 4"},
        {"role": "assistant", "content": "Six. [[A]]"},
        {"role": "user", "content": "2 + 2?\nA) 6\nB) 4"},
    ]
    decoding = {"max_tokens": 100, "temperature": 0.0, "top_p": 1.0}
    (answer,) = stored(project)
    assert answer["key"] == answer_key("big", "", messages, decoding, 0)
    assert answer["text"] == "So 4. [[B]]"
    assert (answer["kind"], answer["model_id"], answer["revision"]) == ("rationale", "big", "")
    assert json.loads(answer["request"])["messages"] == messages
    assert json.loads(answer["raw"]) == {"file": "answers.jsonl", "imported": True, "row": 1}
    assert (answer["cost_usd"], answer["finish_reason"]) == (0.0, "stop")
    assert (answer["prompt_tokens"], answer["completion_tokens"]) == (None, None)
    assert capsys.readouterr().out == "1 rows = 1 stored + 0 already owned + 0 rejected\n"


def test_every_row_is_stored_or_owned_or_rejected_with_a_reason(project, capsys):
    assert bring(project, [{"id": "1", "cot": "owned"}]) == 0
    rows = [
        {"id": "1", "cot": "again", "n": 3},
        {"id": "1", "cot": "twice", "n": 3},
        {"id": "2", "cot": "of which?", "n": 3},
        {"id": "9", "cot": "unknown", "n": 3},
        {"id": None, "cot": "nameless", "n": 3},
        {"id": "1", "cot": " ", "n": 3},
        {"id": "1", "cot": None, "n": 3},
        {"id": "1", "cot": "x", "n": 3, "s": 1.5},
    ]
    rows = [{"s": None} | row for row in rows]
    columns = "id=id,text=cot,completion_tokens=n,sample=s"
    assert bring(project, rows, "--rejected", "rejected.csv", columns=columns) == 0
    assert capsys.readouterr().out.endswith(
        "8 rows = 0 stored + 1 already owned + 7 rejected (2 no text; "
        "1 an earlier row answers the same item and sample; 1 several items have this id; "
        "1 no item has this id; 1 no id; 1 sample is no count)\n"
    )
    assert (project / "rejected.csv").read_text() == (
        "row,id,reason\n"
        "2,1,an earlier row answers the same item and sample\n"
        "3,2,several items have this id\n"
        "4,9,no item has this id\n"
        "5,,no id\n"
        "6,1,no text\n"
        "7,1,no text\n"
        "8,1,sample is no count\n"
    )
    assert [answer["text"] for answer in stored(project)] == ["owned"]


@pytest.mark.parametrize("reason", ["refused", "too_long"])
def test_a_refusal_is_no_answer_that_is_owned_and_can_be_dropped_for_an_import(
    project, capsys, reason
):
    rows = [{"id": "1", "cot": "So 4. [[B]]"}, {"id": "9", "cot": "unknown"}]
    assert bring(project, rows) == 0
    (answer,) = stored(project)
    (project / "other").mkdir()
    (project / "store").rename(project / "other" / "store")
    with Store(project / "store") as store:
        store.append([answer | {"finish_reason": reason, "text": "", "raw": "{}"}])
    capsys.readouterr()
    assert bring(project, rows) == 1
    assert capsys.readouterr().out == (
        "2 rows = 0 stored + 0 already owned + 2 rejected (1 a refusal is stored for it: `caft "
        "store drop --reason refused too_long` lists it, and with --remove it makes room; 1 no "
        "item has this id)\n"
    )
    dropping = ("--reason", "refused", "too_long", "--remove", "--store", "store")
    assert run("store", "drop", *dropping, "--configfile", "own.yaml") == 0
    assert bring(project, rows) == 0
    assert [answer["text"] for answer in stored(project)] == ["So 4. [[B]]"]


@pytest.mark.parametrize("odd", [3.5, -1, "many", "NaN", [], None])
def test_an_odd_count_of_tokens_is_unknown_and_costs_no_answer(project, odd):
    rows = [{"id": "1", "cot": "So 4. [[B]]", "n": odd}]
    assert bring(project, rows, columns="id=id,text=cot,completion_tokens=n") == 0
    (answer,) = stored(project)
    assert (answer["text"], answer["completion_tokens"]) == ("So 4. [[B]]", None)


@pytest.mark.parametrize(
    ("by", "identity"), [("item_id", "item2"), ("question", " 3 +  4?\n"), ("source_id", 1)]
)
def test_rows_are_joined_by_id_or_question(project, by, identity):
    assert bring(project, [{"id": identity, "cot": "x"}], "--by", by) == 0
    asked = json.loads(stored(project)[0]["request"])["messages"][-1]["content"]
    assert asked.startswith("2 + 2?" if by == "source_id" else "3 + 4?")


def test_all_columns_of_a_file_can_be_used(project):
    rows = [
        {"id": 1, "cot": "x", "why": "a", "end": "length", "p": 9, "c": 4, "k": 0},
        {"id": 1, "cot": "y", "why": None, "end": None, "p": None, "c": None, "k": 1},
    ]
    columns = "id=id,text=cot,reasoning=why,finish_reason=end"
    columns += ",prompt_tokens=p,completion_tokens=c,sample=k"
    assert bring(project, rows, columns=columns) == 0
    names = ["text", "reasoning", "finish_reason", "prompt_tokens", "completion_tokens"]
    assert [[one[name] for name in names] for one in stored(project)] == [
        ["x", "a", "length", 9, 4],
        ["y", None, "stop", None, None],
    ]
    assert [json.loads(one["request"])["sample"] for one in stored(project)] == [0, 1]


def test_tokens_are_counted_with_the_student_where_the_file_has_none(project):
    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.save(str(project / "tokenizer.json"))
    rows = [{"id": 1, "cot": "so it is", "why": "two words", "p": 9}, {"id": 1, "cot": "no"}]
    rows[1]["k"] = 1
    columns = "id=id,text=cot,reasoning=why,prompt_tokens=p,sample=k"
    assert bring(project, rows, "--student", project, columns=columns) == 0
    first, second = stored(project)
    assert (first["prompt_tokens"], first["completion_tokens"]) == (9, 5)
    # 14 + 7 + 2 + 7 words in four messages, and four tokens around each.
    assert (second["prompt_tokens"], second["completion_tokens"]) == (46, 1)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_csv_and_parquet_files_are_imported_too(project, suffix):
    text = 'several\nlines, "quoted" ' + 200_000 * "x"
    answers = pd.DataFrame([{"id": 1, "cot": text}])
    path = project / f"answers{suffix}"
    answers.to_csv(path, index=False) if suffix == ".csv" else answers.to_parquet(path)
    arguments = ["--model", "big", "--items", "items.parquet", "--configfile", "own.yaml"]
    columns = ["--columns", "id=id,text=cot", "--store", "store"]
    assert run("store", "import", path, "--teacher", "big", *arguments, *columns) == 0
    assert stored(project)[0]["text"] == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "other"], "--model: 'other' is not what teachers.big asks, which is 'big'"),
        (["--revision", "r2"], "--revision: 'r2' is not what teachers.big asks, which is ''"),
        (["--prompt", "numbers"], "--prompt: 'numbers' is not what teachers.big asks"),
        (["--teacher", "small"], "no teacher 'small'; known are big, self, worked_solutions"),
        (["--columns", "id=id,text=answer"], "no column 'answer'; it has id, cot"),
        (["--items", "none.parquet"], "none.parquet: cannot be read"),
    ],
)
def test_an_import_that_does_not_fit_the_config_is_refused(project, capsys, options, message):
    assert bring(project, [{"id": 1, "cot": "x"}], *options) == 1
    assert message in capsys.readouterr().err
    assert not (project / "store").exists()


def test_an_import_without_id_and_text_is_refused(project, capsys):
    with pytest.raises(SystemExit):
        bring(project, [{"id": 1, "cot": "x"}], columns="id=id,words=cot")
    assert "give id=COLUMN,text=COLUMN" in capsys.readouterr().err


def test_a_broken_file_is_named_with_its_line(project, capsys):
    assert bring(project, [{"id": 1, "cot": "x"}]) == 0
    (project / "broken.jsonl").write_text('{"id": 1, "cot": "x"}\n{"id"\n')
    arguments = ["--items", "items.parquet", "--configfile", "own.yaml", "--store", "store"]
    teacher = ["--teacher", "big", "--model", "big", "--columns", "id=id,text=cot"]
    assert run("store", "import", "broken.jsonl", *teacher, *arguments) == 1
    assert "broken.jsonl: cannot be read (line 2: " in capsys.readouterr().err


def test_an_import_of_nothing_usable_exits_with_1(project):
    assert bring(project, [{"id": 99, "cot": "x"}]) == 1
