"""The student as its own teacher: who it is for the store, and what it writes."""

import json
import shutil

import pytest
from asking import request

from caft.errors import ConfigError
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables.files import write_json
from caft.tables.hashing import digest
from caft.teacher import Here, make_teacher
from caft.teacher.sections import read_teacher
from caft.teacher.student import identity

ENGINE = Engine(device="cpu")


def itself(folder, trained=None, **keys):
    settings = read_teacher({"provider": "student", "max_new_tokens": 6, **keys})
    return make_teacher(settings, None, Here(folder, ENGINE, folder / "student.json", trained))


def texts(teacher, *names):
    asked = [request(name) for name in names]
    return {one.key: one.text for lot in teacher.answer(iter(asked)) for one in lot}


def test_its_answers_are_named_by_the_hash_of_its_weights(student, tmp_path):
    revision = json.loads((student / "student.json").read_text())["revision"]
    assert itself(student).identify({}) == ("student", revision)
    weights = {"adapter_model.safetensors": "0" * 64}
    write_json(tmp_path / "model.json", {"weights_sha256": weights})
    trained = Subject(student / "student.json", tmp_path / "model.json", ENGINE)
    assert identity(trained) == ("student", digest([revision, weights]))
    write_json(tmp_path / "model.json", {"weights_sha256": {"adapter_model.safetensors": "1" * 64}})
    assert identity(trained) != ("student", digest([revision, weights]))


def test_it_writes_the_same_whatever_is_written_beside(student):
    teacher = itself(student, temperature=1.0, batch_size=2)
    together = texts(teacher, "one", "another", "a third")
    assert together == {key: texts(teacher, key[7:])[key] for key in together}
    assert len(set(together.values())) == 3
    assert teacher.varies and not itself(student, temperature=0).varies
    assert teacher.decoding == {"max_new_tokens": 6, "temperature": 1.0, "top_p": 1.0}


def test_its_answers_are_free_and_counted(student):
    ((answer,),) = itself(student).answer(iter([request("one")]))
    assert (answer.cost_usd, answer.completion_tokens) == (0.0, 6)
    assert answer.prompt_tokens > 0 and answer.seconds > 0


def test_a_prompt_without_room_for_an_answer_is_an_error_that_is_asked_again(student, tmp_path):
    folder = shutil.copytree(student, tmp_path / "short")
    record = json.loads((folder / "student.json").read_text())
    write_json(folder / "student.json", {**record, "context": 40})
    answers = itself(folder).answer(iter([request("one " * 50), request("two")]))
    found = {one.key: (one.finish_reason, one.raw) for lot in answers for one in lot}
    assert found[request("one " * 50).key] == (
        "error",
        {"error": "the prompt leaves no room for max_new_tokens in the student's context"},
    )
    assert found[request("two").key][0] == "length"


def test_without_a_student_at_hand_it_says_how_its_answers_are_named(tmp_path):
    with pytest.raises(ConfigError, match="--model student"):
        make_teacher(read_teacher({"provider": "student"}), None, Here(tmp_path))
