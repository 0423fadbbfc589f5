import pandas as pd
import pytest

from caft.errors import TrainingError
from caft.evaluation import best_epoch as selection
from caft.evaluation.settings import Evaluation
from caft.prompting.asked import Asked
from caft.running.blocks import Cache
from caft.running.settings import Engine
from caft.students.opened import Subject
from caft.tables.files import write_json

ITEMS = pd.DataFrame(
    {
        "item_id": [f"i{number}" for number in range(8)],
        "split": ["train"] * 3 + ["validation"] * 3 + ["test"] * 2,
    }
)


@pytest.fixture
def seen(monkeypatch):
    """Items and splits that were asked about; epoch 2 and 3 answer two of three rightly."""
    asked = []
    right = {"1": 1, "2": 2, "3": 2}

    def evaluate_model(questions, way, subject, *settings):
        epoch = subject.trained_file.parent.name
        asked.append((set(questions.items["item_id"]), way.split, epoch))
        correct = [place < right[epoch] for place in range(3)]
        run = {"seconds": 1.0, "blocks": [f"of_{epoch}"]}
        return pd.DataFrame({"correct": correct}), {}, run

    monkeypatch.setattr(selection, "evaluate_model", evaluate_model)
    return asked


def choose(folder, items=ITEMS, epochs=(1, 2, 3)):
    write_json(folder / "model.json", {"epochs": list(epochs)})
    asked, student = Asked(items, {}, 1), Subject(folder / "student.json", None, Engine())
    return selection.choose_epoch(
        asked, student, folder / "model.json", "direct", Evaluation(), Cache(folder)
    )


def test_the_first_of_the_most_accurate_epochs_is_chosen(seen, tmp_path):
    epoch, table, blocks = choose(tmp_path)
    assert epoch == 2
    assert blocks == ["of_1", "of_2", "of_3"]
    assert table[["epoch", "n", "correct"]].values.tolist() == [[1, 3, 1], [2, 3, 2], [3, 3, 2]]


def test_no_item_of_the_test_split_enters_the_choice(seen, tmp_path):
    choose(tmp_path)
    assert [(split, epoch) for _, split, epoch in seen] == [
        ("validation", "1"),
        ("validation", "2"),
        ("validation", "3"),
    ]
    test = set(ITEMS.loc[ITEMS["split"] == "test", "item_id"])
    assert all(not items & test for items, _, _ in seen)


def test_a_model_without_kept_epochs_and_data_without_validation_items_are_refused(seen, tmp_path):
    with pytest.raises(TrainingError, match=r"training\.keep_epochs: true"):
        choose(tmp_path, epochs=())
    with pytest.raises(TrainingError, match="no validation items"):
        choose(tmp_path, items=ITEMS[ITEMS["split"] != "validation"])
