import json
import os
import shutil

import pytest
from harness import change_weights

from caft.errors import ModelError
from caft.students.folders import prepare_student
from caft.students.settings import Student
from caft.students.whole import check_student, check_weights, is_whole, read_record
from caft.tables.hashing import file_sha256


@pytest.fixture
def project(student, tmp_path, monkeypatch):
    """A folder of a run with a local student in it, prepared."""
    folder = tmp_path / "project"
    shutil.copytree(student, folder / "student")
    monkeypatch.chdir(folder)
    prepare_student(Student(path="student"), folder / "data/models/tiny", folder / "downloads")
    return folder


RECORD = "data/models/tiny/student.json"


def test_a_prepared_student_is_whole_and_what_its_record_names(project):
    assert is_whole(project / RECORD)
    check_student(project / RECORD)


def test_one_that_was_moved_with_its_project_is_whole(project, tmp_path, monkeypatch):
    os.rename(project, tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved")
    assert is_whole(tmp_path / "moved" / RECORD)
    check_student(tmp_path / "moved" / RECORD)


def test_links_out_of_the_project_stay_whole_wherever_the_project_is_moved(
    student, tmp_path, monkeypatch
):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    made = tmp_path / "project/tiny"
    prepare_student(Student(path=str(student)), made, tmp_path / "downloads")
    assert all(os.readlink(path).startswith("/") for path in made.glob("*.safetensors"))


def cut_the_record(project):
    file = project / RECORD
    file.write_text(file.read_text()[:40])


def remove_the_source(project):
    (project / "student/model.safetensors").unlink()


def remove_a_link(project):
    (project / "data/models/tiny/tokenizer.json").unlink()


def cut_the_weights(project):
    file = project / "student/model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    "lose",
    [
        *(cut_the_record, remove_the_source, remove_a_link, cut_the_weights),
        lambda project: (project / RECORD).write_text("[]"),
        lambda project: (project / RECORD).unlink(),
    ],
)
def test_one_of_which_something_is_lost_is_not(project, lose):
    lose(project)
    assert not is_whole(project / RECORD)


def change_a_weight(project):
    change_weights(project / "student")


def change_the_template(project):
    file = project / "student/chat_template.jinja"
    file.write_text(file.read_text() + " ")


@pytest.mark.parametrize("change", [change_a_weight, change_the_template, remove_a_link])
def test_other_content_is_refused_before_anything_is_loaded(project, change):
    change(project)
    with pytest.raises(ModelError, match=r"have changed since .*remove .*tiny/student\.json"):
        check_student(project / RECORD)


def test_the_mend_that_the_message_names_works(project):
    change_a_weight(project)
    (project / RECORD).unlink()
    prepare_student(Student(path="student"), project / "data/models/tiny", project / "downloads")
    check_student(project / RECORD)


def test_weights_are_those_of_the_record_or_the_message_says_which_are_not(tmp_path):
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(b"weights")
    known = {file.name: file_sha256(file)}
    check_weights(tmp_path, known)
    check_weights(tmp_path, None)
    file.write_bytes(b"weighty")
    with pytest.raises(ModelError, match=rf"{file.name} is damaged or another one .*rm -r "):
        check_weights(tmp_path, known)
    file.unlink()
    with pytest.raises(ModelError, match="is missing"):
        check_weights(tmp_path, known)


def test_a_record_of_an_earlier_version_names_no_files(project):
    file = project / RECORD
    record = json.loads(file.read_text())
    file.write_text(json.dumps({key: record[key] for key in record if key != "files"}))
    assert is_whole(file)


@pytest.mark.parametrize("name", ["model.json", "epochs/2/model.json"])
@pytest.mark.parametrize("content", [None, "", '{"epochs": [1', "3"])
def test_a_record_that_is_lost_or_cut_says_to_remove_the_whole_model(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match=f"{name}: is missing or cut .*: rm -r {tmp_path}$"):
        read_record(path)
