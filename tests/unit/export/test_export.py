import json
import re
import shutil
import subprocess
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import outcomes
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import constants

from caft.cli import main
from caft.errors import ExportError, MergeError, ModelError
from caft.export import export_model, find
from caft.export.hub import push
from caft.export.merging import compare
from caft.prompting.chat import Chat
from caft.students.checks import check_source
from caft.students.folders import folder_revision, load_model, load_tokenizer, prepare_student
from caft.students.generation import Decoding, generate
from caft.students.settings import Student
from caft.tables import parquet
from caft.tables.files import read_json, write_json
from caft.training.records import weights_sha256

ADAPTED, FIRST, WHOLE = "aaaa000000000001", "aaaa000000000002", "bbbb000000000003"
MESSAGES = [
    {"role": "system", "content": "Number only."},
    {"role": "user", "content": "7 + 5 ?"},
]
SECRET = "hf_averysecrettoken"
CANARY = "canary-of-a-home"


def adapt(student, folder, scale):
    """An adapter with fixed random weights."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32)
    model.name_or_path = "data/models/tiny"
    torch.manual_seed(1)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=scale)
    adapted.save_pretrained(folder)


def name_again(student):
    """Write the revision of a student whose files a test has changed into its record."""
    record = read_json(student / "student.json")
    write_json(student / "student.json", {**record, "revision": folder_revision(student)})


def entry(student, strategy, stage, model, seed=1, **other):
    rows = {"answer_rows": 2, "rationale_rows": 0, "epochs": 1, "parent": None}
    where = {"dataset": "sums", "student": student, "strategy": strategy, "seed": seed}
    return {**where, "stage": stage, "model": model, **rows, **other}


def item(number, split):
    return {
        "item_id": f"i{number}",
        "question": f"{number} + 5 ?",
        "answer": str(number + 5),
        "answer_kind": "numeric",
        "split": split,
    }


@pytest.fixture
def tmp_path(tmp_path):
    """A folder whose name nobody else is to read."""
    folder = tmp_path / CANARY
    folder.mkdir()
    return folder


@pytest.fixture
def run(student, letters, engine, recipe, tmp_path, monkeypatch):
    """A finished run: an adapter after two stages, its first stage, and a whole model."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(student, "data/models/tiny")
    items = pd.DataFrame([item(number, "test" if number > 2 else "train") for number in range(9)])
    parquet.write("items", items, "data/items/sums.parquet")
    models = {ADAPTED: ("lora", 1), FIRST: ("lora", 1), WHOLE: ("full", 2)}
    for model, (method, seed) in models.items():
        folder = tmp_path / "results/models" / model
        if method == "lora":
            adapt(student, folder, 0.3)
        else:
            shutil.copytree(student, folder)
        spec = {"seed": seed, "recipe": {**recipe.of_the_model(), "method": method}}
        record = {"method": method, "steps": 1, "dtype": "float32", "libraries": {}, "spec": spec}
        record["weights_sha256"] = weights_sha256(folder)
        write_json(folder / "model.json", record)
        rows = pd.DataFrame(
            {"item_id": ["i0"], "target": ["answer"], "messages": ["[]"], "completion": ["5"]}
        )
        parquet.write("mixtures", rows, f"data/mixtures/rows/{model}.parquet")
        planned = {"mixture_file": f"data/mixtures/rows/{model}.parquet"}
        write_json(f"data/mixtures/stages/{model}.json", planned)
    index = pd.DataFrame(
        [
            entry("tiny", "two_stages", 1, FIRST),
            entry("tiny", "two_stages", 2, ADAPTED),
            entry("tiny", "whole", 1, WHOLE, seed=2),
        ]
    )
    index.to_csv("results/models/index.csv", index=False)
    accuracy = {"accuracy": 0.5, "accuracy_low": 0.2, "accuracy_high": 0.8}
    buckets = {f"accuracy_{name}": 0.5 for name in ("easy", "medium", "hard")}
    summary = [
        {"dataset": "sums", "student": "tiny", "strategy": name, "seed": seed, "mode": mode, "n": 6}
        for name, seed in (("two_stages", 1), ("whole", 2))
        for mode in ("direct", "cot")
    ]
    table = pd.DataFrame(summary).assign(trained_mode="cot", shots=0, **accuracy, **buckets)
    table = pd.concat([table.assign(checkpoint=name) for name in ("last", "best")])
    (tmp_path / "results/tables").mkdir()
    table.to_csv("results/tables/runs.csv", index=False)
    config = {
        "seed": 1,
        "run": {"split": "test", "modes": ["direct", "cot"]},
        "datasets": {"sums": {"adapter": "file"}},
        "students": {"tiny": {"path": "x"}},
        "strategies": {"two_stages": {"teacher": None}, "whole": {"teacher": None}},
        "teachers": {},
        "prompts": {"letters": letters.plain()},
        "prompt": "letters",
        "evaluation": {
            "max_new_tokens": {"direct": 8, "cot": 24},
            "parser": {"direct": "leading", "cot": "any"},
            "batch_size": 4,
            "engine": "transformers",
        },
        "engine": engine.plain(),
    }
    students = {"tiny": read_json("data/models/tiny/student.json")}
    students["tiny"]["source"] = {"path": "x"}
    write_json(
        "results/provenance.json",
        {"caft": "0", "commit": None, "config": config, "students": students},
    )
    return tmp_path


def caft(*arguments):
    return main(["export", *map(str, arguments)])


def ours(tokenizer, adapter):
    """What the evaluation would get out of the trained model."""
    model = load_model("data/models/tiny", adapter=adapter)
    ((answer,),) = generate(model, Chat(tokenizer), [MESSAGES], Decoding(256))
    return answer.text


def code_of_card(folder):
    """What a user copies from the model card, with questions and folder filled in."""
    (code,) = re.findall(r"(?s)```python\n(.*?)\n```", (folder / "README.md").read_text())
    asked = {"SYSTEM": MESSAGES[0]["content"], "QUESTION": MESSAGES[1]["content"]}
    given = "".join(f"{name} = {text!r}\n" for name, text in asked.items())
    return given + code.replace("FOLDER", str(folder))


def follow_card(folder, capsys):
    """What a user gets who runs the code on the model card; a warning is an error."""
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(code_of_card(folder), {})
    return capsys.readouterr().out.removesuffix("\n")


@pytest.mark.parametrize("name", ["two_stages", "whole"])
def test_the_code_on_a_card_runs_without_a_warning_or_a_word_of_a_library(run, name):
    assert caft(name, "--to", "out") == 0
    command = [sys.executable, "-W", "error", "-c", code_of_card(run / "out")]
    done = subprocess.run(command, capture_output=True)
    said = [line for line in done.stderr.decode().splitlines() if "Loading weights" not in line]
    assert (done.returncode, said) == (0, [])


def test_the_code_on_the_card_of_an_adapter_gives_the_answers_of_the_evaluation(
    run, tokenizer, capsys
):
    assert caft("two_stages", "--to", "out/adapter") == 0
    text = follow_card(run / "out/adapter", capsys)
    assert text == ours(tokenizer, f"results/models/{ADAPTED}")
    assert text != ours(tokenizer, None), "the adapter must show"


@pytest.mark.parametrize("system", ["of its own", "left out"])
def test_the_code_on_a_card_asks_as_a_family_that_thinks_is_asked(run, capsys, system):
    chosen = " if m.role != 'system'" if system == "left out" else ""
    template = (
        "{% for m in messages" + chosen + " %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' and loop.last %}<think>{{ '\n' }}</think>{% endif %}"
        "{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is false %}<think>{% endif %}{% endif %}"
    )
    Path("data/models/tiny/chat_template.jinja").write_text(template)
    name_again(Path("data/models/tiny"))
    tokenizer = load_tokenizer("data/models/tiny")
    found = Chat(tokenizer).shape.for_people()
    provenance = read_json("results/provenance.json")
    provenance["students"]["tiny"]["template"] = {"settings": {}, "found": found}
    write_json("results/provenance.json", provenance)
    assert caft("two_stages", "--to", "out/adapter") == 0
    text = follow_card(run / "out/adapter", capsys)
    assert text == ours(tokenizer, f"results/models/{ADAPTED}")
    card = (run / "out/adapter/README.md").read_text()
    assert "enable_thinking=False" in card and repr("\n</think>") in card
    assert ("SYSTEM + " in card) == (system == "left out")


def test_the_code_on_the_card_of_a_merged_model_gives_them_too(run, tokenizer, capsys):
    assert caft("two_stages", "--to", "out/merged", "--merge", "--check-items", "4") == 0
    assert "saved in float32: 0 of 8 greedy answers differ" in capsys.readouterr().out
    text = follow_card(run / "out/merged", capsys)
    assert text == ours(tokenizer, f"results/models/{ADAPTED}")
    assert "0 of 8 greedy answers differ" in (run / "out/merged/README.md").read_text()
    modes = {path.stat().st_mode & 0o777 for path in (run / "out/merged").iterdir()}
    assert modes == {(run / "out/merged").stat().st_mode & 0o666}, "as the umask says"


def test_a_merge_is_checked_with_transformers_in_float32_wherever_the_run_was(run, capsys):
    provenance = read_json("results/provenance.json")
    provenance["config"]["evaluation"]["engine"] = "vllm"
    provenance["config"]["engine"] |= {"device": "cuda", "attention": "flash_attention_2"}
    write_json("results/provenance.json", provenance)
    assert caft("two_stages", "--to", "out/merged", "--merge", "--check-items", "2") == 0
    assert "0 of 4 greedy answers differ" in capsys.readouterr().out


def test_a_whole_model_is_copied_and_cannot_be_merged(run, capsys):
    assert caft("whole", "--to", "out/whole") == 0
    assert read_json("out/whole/generation_config.json")["do_sample"] is False
    names = {path.name for path in (run / "out/whole").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= names
    assert "model.json" not in names
    assert caft("whole", "--to", "out/merged", "--merge") == 1
    assert "is a whole model already" in capsys.readouterr().err


@pytest.fixture
def rounded(run):
    """The same run with a student in bfloat16."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained("data/models/tiny", dtype=torch.bfloat16)
    model.save_pretrained("data/models/tiny")
    name_again(Path("data/models/tiny"))
    # Questions enough that rounding tips some of the random model's close choices.
    items = pd.DataFrame([item(number, "test") for number in range(60)])
    parquet.write("items", items, "data/items/sums.parquet")
    provenance = read_json("results/provenance.json")
    provenance["config"]["evaluation"]["max_new_tokens"] = {"direct": 8, "cot": 60}
    write_json("results/provenance.json", provenance)
    return run


def test_a_merge_that_changes_answers_fails_and_leaves_nothing(rounded):
    with pytest.raises(MergeError, match=r"changed \d+ of 120 greedy .* saved in bfloat16"):
        export_model(find("two_stages"), rounded / "out/merged", merged=True)
    assert list((rounded / "out").iterdir()) == []


def test_a_merge_is_saved_in_the_precision_of_the_student_within_a_tolerance(rounded):
    from transformers import AutoModelForCausalLM

    found = export_model(find("two_stages"), rounded / "out", merged=True, tolerance=1.0)
    assert found["dtype"] == "bfloat16" and 0 < found["changed"] <= found["answers"] == 120
    assert AutoModelForCausalLM.from_pretrained(rounded / "out").dtype == torch.bfloat16


def test_answers_that_differ_are_counted_by_what_is_read_and_by_their_text():
    read = {"parsed": ["1", "2", "3"], "text": ["1", "so 2", "3"], "invalid": False}
    one, other = pd.DataFrame(read), pd.DataFrame({**read, "text": ["1", "2", "3"]})
    assert compare(one, other) == {"answers": 3, "changed": 0, "reworded": 1}
    other["parsed"] = ["1", "2", "4"]
    assert compare(one, other) == {"answers": 3, "changed": 1, "reworded": 1}


def test_an_answer_that_cannot_be_read_has_changed_if_its_text_has():
    unread = {"parsed": ["[invalid]", "[invalid]"], "invalid": True}
    one, other = (pd.DataFrame({**unread, "text": ["a", text]}) for text in ("b", "c"))
    assert compare(one, other)["changed"] == 1


def test_a_folder_that_holds_something_is_refused_and_kept(run, capsys):
    (run / "out").mkdir()
    (run / "out/mine.txt").write_text("mine")
    assert caft("two_stages", "--to", "out") == 1
    assert "out: is not empty" in capsys.readouterr().err
    assert [path.name for path in (run / "out").iterdir()] == ["mine.txt"]
    assert caft("two_stages", "--to", "out/mine.txt") == 1
    assert "is not a folder" in capsys.readouterr().err


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_damaged_weights_are_not_exported(run, capsys):
    damage(run / f"results/models/{ADAPTED}/adapter_model.safetensors")
    assert caft("two_stages", "--to", "out") == 1
    assert f"rm -r results/models/{ADAPTED}" in capsys.readouterr().err
    damage(run / "data/models/tiny/model.safetensors")
    assert caft("whole", "--to", "out") == 1
    assert "data/models/tiny: the model's files have changed" in capsys.readouterr().err
    assert not (run / "out").exists()


@pytest.fixture
def exported(run):
    assert caft("whole", "--to", "out") == 0
    return run / "out"


def prepare(exported):
    target = exported.parent / "data/models/again"
    return prepare_student(Student(path=str(exported)), target, exported.parent / "downloads")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("model.safetensors", r"is damaged .* remove \S+/SHA256SUMS"),
        ("tokenizer.json", "is (damaged|no JSON that can be read)"),
    ],
)
def test_an_exported_model_that_was_damaged_is_no_student(exported, name, told):
    damage(exported / name)
    with pytest.raises(ModelError, match=f"out/{name}: {told}"):
        prepare(exported)
    (exported / "SHA256SUMS").unlink()
    if name == "model.safetensors":
        prepare(exported)


def test_a_file_of_an_exported_model_that_is_lost_is_told_at_once(exported):
    (exported / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="model.safetensors: is missing, by the list"):
        check_source(exported)


def test_the_list_of_an_export_is_that_of_sha256sum_and_no_part_of_the_student(exported):
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=exported, check=True)
    (exported / "README.md").write_text("my own words")
    known = prepare(exported)["revision"]
    (exported / "SHA256SUMS").unlink()
    assert prepare(exported)["revision"] == known


def test_an_export_that_fails_half_way_leaves_nothing(run, monkeypatch):
    monkeypatch.setattr("caft.export.cards.model_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_model(find("two_stages"), run / "out/model")
    assert list((run / "out").iterdir()) == []


def test_the_card_has_the_sentences_of_the_run_that_the_model_is_from(run):
    pairs = {"whole": 0.3, "two_stages": 0.6}
    rows = {name: outcomes.row(name, value) for name, value in pairs.items()}
    outcomes.write(outcomes.outcome(rows, {}))
    assert find("two_stages").answer.result[0].startswith("Strategy two_stages is best: 0.60")
    assert caft("two_stages", "--to", "out") == 0
    assert "Strategy two\\_stages is best: 0.60" in (run / "out/README.md").read_text()


def test_a_run_without_these_tables_is_exported_all_the_same(run):
    assert find("two_stages").answer is None


def test_a_strategy_means_its_last_model_and_a_digest_may_be_short(run):
    assert find("two_stages").model == find("aaaa000000000001").model == ADAPTED
    assert [stage["model"] for stage in find("two_stages").stages] == [FIRST, ADAPTED]
    rows = find("two_stages").rows
    assert rows[["mode", "checkpoint"]].values.tolist() == [["direct", "last"], ["cot", "last"]]
    first = find(FIRST)
    assert [stage["stage"] for stage in first.stages] == [1]
    assert first.rows.empty, "an intermediate stage was not evaluated"
    assert find("bb").model == WHOLE


def test_a_model_that_is_not_known_or_not_the_only_one_is_an_error(run):
    with pytest.raises(ExportError, match="with a model are: two_stages, whole"):
        find("sft")
    with pytest.raises(ExportError, match=r"several models fit.*--dataset sums"):
        find("aaaa")
    with pytest.raises(ExportError, match="no trained model"):
        find("two_stages", student="other")
    (run / "results/models/index.csv").unlink()
    with pytest.raises(ExportError, match="call this in the folder of a run"):
        find("two_stages")


def test_data_set_student_and_seed_tell_models_of_one_strategy_apart(run):
    index = pd.read_csv("results/models/index.csv")
    more = index.assign(dataset="more", strategy="two_stages")[index["strategy"] == "whole"]
    pd.concat([index, more]).to_csv("results/models/index.csv", index=False)
    with pytest.raises(ExportError, match=rf"several.*{ADAPTED}.*{WHOLE} .*--seed 2"):
        find("two_stages")
    assert find("two_stages", dataset="more").model == WHOLE
    assert find("two_stages", seed=1).model == ADAPTED


def test_a_student_of_the_hub_is_named_by_its_id_and_commit(run):
    provenance = read_json("results/provenance.json")
    provenance["students"]["tiny"]["source"] = {"hub": "org/small", "revision": "5e5e"}
    write_json("results/provenance.json", provenance)
    assert caft("two_stages", "--to", "out") == 0
    config = read_json("out/adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/small", "5e5e")


def test_training_rows_are_exported_per_stage(run):
    assert caft("two_stages", "--to", "out", "--data") == 0
    names = sorted(path.name for path in (run / "out").iterdir())
    assert names == ["README.md", "stage-1.parquet", "stage-2.parquet"]
    assert parquet.read("mixtures", "out/stage-2.parquet")["completion"].tolist() == ["5"]


def read_all(folder):
    """Return the bytes of all files, and what is in compressed tables."""
    for path in sorted(folder.rglob("*")):
        yield path.name, path.name.encode()
        if path.is_file():
            yield path.name, path.read_bytes()
        if path.suffix == ".parquet":
            yield path.name, str(pq.read_table(path).to_pylist()).encode()


@pytest.mark.parametrize(
    "arguments",
    [("two_stages",), ("two_stages", "--merge"), ("whole",), ("two_stages", "--data")],
    ids=["adapter", "merged", "whole", "data"],
)
def test_no_name_of_this_machine_is_exported(run, monkeypatch, arguments):
    for number, variable in enumerate(("HOSTNAME", "USER", "LOGNAME", "HOME")):
        monkeypatch.setenv(variable, f"/canary-{number}")
    monkeypatch.setattr("socket.gethostname", lambda: "canary-of-a-host")
    monkeypatch.setattr("platform.node", lambda: "canary-of-a-host")
    for check in ("check_student", "check_weights"):  # the files below are changed on purpose
        monkeypatch.setattr(f"caft.export.folder.{check}", lambda *_: None)
    named = {"name_or_path": "canary/x", "_name_or_path": f"{run}/x", "vocab_file": f"{run}/v"}
    for student in (run / "data/models/tiny", *(run / "results/models").iterdir()):
        for name in ("config.json", "tokenizer_config.json", "adapter_config.json"):
            if (student / name).exists():
                write_json(student / name, {**read_json(student / name), **named})
    for path in run.glob("results/models/*/adapter_config.json"):
        base = {"base_model_name_or_path": f"{run}/data/models/tiny"}
        write_json(path, {**read_json(path), **base})
    provenance = read_json("results/provenance.json")
    provenance["students"]["tiny"]["source"] = {"path": f"{run}/models/own/"}
    config = provenance["config"]
    config["students"]["tiny"] = {"path": f"{run}/models/own/"}
    config["datasets"]["sums"] = {"adapter": "hub", "id": f"{run}/questions"}
    config["teachers"]["big"] = {
        "provider": "local", "model": f"{run}/models/big", "fallback": "drop"
    }  # fmt: skip
    for strategy in config["strategies"].values():
        strategy |= {"teacher": "big", "stages": [{"buckets": ["hard"], "target": "rationale"}] * 2}
    write_json("results/provenance.json", provenance)
    index = pd.read_csv("results/models/index.csv").assign(rationale_rows=2)
    index.to_csv("results/models/index.csv", index=False)
    spend = {"dataset": "sums", "student": "tiny", "teacher": "big", "items": 2, "accepted": 1}
    spend |= {"answered_by": f"{run}/models/other, /srv/canary/another"}
    pd.DataFrame([spend]).to_csv("results/tables/teacher_spend.csv", index=False)
    assert caft(*arguments, "--to", "out", "--check-items", "1") == 0
    found = [name for name, text in read_all(run / "out") if b"canary" in text]
    assert found == []
    card = (run / "out/README.md").read_text()
    assert "`own`" in card or "`other`" in card
    assert "`hub questions`" in card


@pytest.fixture
def hub(monkeypatch):
    """A hub on loopback that keeps what is committed; its status can be set."""
    state = {"status": 200, "files": {}, "repos": [], "tokens": set(), "private": None}

    class Hub(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            state["tokens"].add(self.headers["authorization"])
            if "/repos/create" in self.path:
                state["repos"].append(json.loads(body))
                answer = {"url": f"{constants.ENDPOINT}/me/model", "name": "me/model"}
            elif "/preupload/" in self.path:
                files = json.loads(body)["files"]
                mode = {"uploadMode": "regular", "shouldIgnore": False}
                answer = {"files": [{**one, **mode} for one in files]}
            elif "/commit/" in self.path:
                lines = [json.loads(line) for line in body.splitlines()]
                state["files"].update(
                    {one["value"]["path"]: one["value"] for one in lines if one["key"] == "file"}
                )
                answer = {"commitUrl": f"{constants.ENDPOINT}/me/model/commit/1", "commitOid": "1"}
            else:
                answer = {"errors": [], "warnings": []}
            self.reply(answer)

        def do_GET(self):
            if state["private"] is None and not state["repos"]:
                self.send_response(404)
                self.send_header("x-error-code", "RepoNotFound")
                self.send_header("content-length", "0")
                self.end_headers()
                return
            private = state["private"] is not False
            self.reply({"id": "me/model", "siblings": [], "private": private})

        def reply(self, answer):
            if state["status"] != 200:
                answer = {"error": f"refused {self.headers['authorization']}"}
            body = json.dumps(answer).encode()
            self.send_response(state["status"])
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    yield state
    server.shutdown()
    server.server_close()


def test_a_push_uploads_the_folder_to_a_private_repository(run, hub, capsys):
    assert caft("whole", "--to", "out", "--push", "me/model") == 0
    assert "/me/model/commit/1" in capsys.readouterr().out
    assert set(hub["files"]) == {path.name for path in (run / "out").iterdir()}
    assert hub["repos"][0]["visibility"] == "private"
    assert hub["tokens"] == {f"Bearer {SECRET}"}


@pytest.mark.parametrize("what", [["whole"], ["two_stages", "--data"]])
def test_a_push_to_a_public_repository_is_asked_for(run, hub, capsys, what):
    hub["private"] = False
    assert caft(*what, "--to", "out", "--push", "me/model") == 1
    assert "me/model: is public, so everybody could read" in capsys.readouterr().err
    assert hub["files"] == {} and hub["repos"] == [] and not (run / "out").exists()
    assert caft(*what, "--to", "out", "--push", "me/model", "--yes") == 0
    assert set(hub["files"]) == {path.name for path in (run / "out").iterdir()}


def test_a_push_to_a_private_repository_is_not_asked_for(run, hub):
    hub["private"] = True
    assert caft("whole", "--to", "out", "--push", "me/model") == 0
    assert hub["files"]


def test_a_repository_that_became_public_meanwhile_gets_nothing(run, hub):
    hub["private"] = False
    (run / "out").mkdir()
    with pytest.raises(ExportError, match="is public"):
        push(run / "out", "me/model", "model")
    assert hub["files"] == {}


def test_a_refused_push_keeps_the_folder_and_the_secret(run, hub, capsys):
    hub["status"] = 403
    assert caft("two_stages", "--to", "out", "--data", "--push", "me/rows") == 1
    captured = capsys.readouterr()
    assert "me/rows: could not be uploaded" in captured.err
    assert SECRET not in captured.out + captured.err
    assert (run / "out/stage-1.parquet").is_file()


def test_nothing_is_pushed_without_a_token_or_an_adapter_without_a_base(
    run, hub, monkeypatch, capsys
):
    assert caft("two_stages", "--to", "out", "--push", "me/model") == 1
    assert "push it with --merge" in capsys.readouterr().err
    monkeypatch.delenv("HF_TOKEN")
    assert caft("whole", "--to", "out", "--push", "me/model") == 1
    assert "environment variable HF_TOKEN" in capsys.readouterr().err
    assert hub["tokens"] == set() and not (run / "out").exists()


def test_without_push_nothing_is_sent(run, hub):
    assert caft("whole", "--to", "out") == 0
    assert hub["tokens"] == set()
