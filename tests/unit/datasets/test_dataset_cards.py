"""What a data set's card may name: files of the data set alone."""

import os
import random
import shutil
import time
import types
from pathlib import Path

import pytest
import yaml
from test_datasets_hub import CARD, folder, read  # noqa: F401 - a fixture

from caft.datasets import cards
from caft.errors import ItemError

ELSEWHERE = [
    "/etc/passwd",
    "//host/share/x.parquet",
    "../secret.parquet",
    "data/../../secret.parquet",
    "data/..",
    "..",
    "C:\\secret.parquet",
    "..\\secret.parquet",
    "https://example.org/x.parquet",
    "hf://datasets/someone/else@main/x.parquet",
    "file:///etc/passwd",
    "zip://*.parquet::https://example.org/x.zip",
    "zip://x.parquet::data/x.zip",
    "/**/*.parquet",
    "../*/train-*",
]


def card(tmp_path, said, name="README.md"):
    path = tmp_path / name
    text = said if isinstance(said, str) else yaml.safe_dump(said)
    path.write_text(text if name.endswith("yaml") else f"---\n{text}---\n\n# A data set\n")
    return path


def forms(pattern):
    """Return the ways in which a card can name files."""
    first = {"config_name": "other", "data_files": "data/*"}
    named = [
        {"data_files": pattern},
        {"data_files": ["data/train-*", pattern]},
        {"data_files": [{"split": "train", "path": pattern}]},
        {"data_files": [{"split": "train", "path": ["data/train-*", pattern]}]},
        {"data_dir": pattern},
    ]
    return [{"configs": [first, {"config_name": "default", **one}]} for one in named]


@pytest.mark.parametrize("pattern", ELSEWHERE)
@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
def test_a_card_that_names_files_elsewhere_is_refused(tmp_path, pattern, name):
    for said in forms(pattern):
        problem = cards.card_problem(card(tmp_path, said, name))
        assert problem.startswith(f"names {pattern!a}") and "no file of the data set" in problem


@pytest.mark.parametrize(
    "pattern", ["data/train-*", "**/*.csv", "a..b/c.csv", "x.zip", "data/", "..data/x.csv", "."]
)
def test_a_card_may_name_what_lies_below_its_folder(tmp_path, pattern):
    for said in forms(pattern):
        assert cards.card_problem(card(tmp_path, said)) is None


@pytest.mark.parametrize("pattern", ["/etc/*", "../hub/data/train-*"])
def test_the_folder_of_such_a_card_is_not_read(folder, tmp_path, monkeypatch, pattern):  # noqa: F811
    monkeypatch.setattr("datasets.load_dataset_builder", lambda *_, **__: 1 / 0)
    (folder / "README.md").write_text(CARD.replace("data/test-*", pattern))
    with pytest.raises(ItemError, match=r"hub: its card README.md names '.*' \(data_files\)"):
        read(folder, tmp_path)
    (folder / "README.md").write_text(CARD)
    card(folder, {"configs": [{"config_name": "a", "data_dir": pattern}]}, ".huggingface.yaml")
    with pytest.raises(ItemError, match=r"its card .huggingface.yaml names '.*' \(data_dir\)"):
        read(folder, tmp_path)


@pytest.mark.parametrize("at", ["data/train-00001-of-00001.parquet", "data/more", "notes"])
def test_links_out_of_a_data_set_are_refused(folder, tmp_path, at):  # noqa: F811
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(folder / "data/test-00000-of-00001.parquet", outside / "test-1.parquet")
    (folder / at).symlink_to(outside if at == "data/more" else outside / "test-1.parquet")
    with pytest.raises(ItemError, match=f"{at}: is a link out of"):
        read(folder, tmp_path)


def test_a_dangling_link_and_a_card_that_is_no_file_are_refused(folder, tmp_path):  # noqa: F811
    (folder / "data/train-1.parquet").symlink_to("lost.parquet")
    with pytest.raises(ItemError, match="train-1.parquet: leads to no file"):
        read(folder, tmp_path)
    (folder / "data/train-1.parquet").unlink()
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")
    with pytest.raises(ItemError, match="README.md: leads to no file"):
        read(folder, tmp_path)


def test_a_data_set_in_a_hub_cache_is_read_through_its_links(folder, tmp_path):  # noqa: F811
    cached = tmp_path / "cache/datasets--a--b"
    shutil.copytree(folder, cached / "snapshots/0")
    (cached / "blobs").mkdir()
    for path in [path for path in cached.rglob("snapshots/0/**/*") if path.is_file()]:
        path.rename(cached / "blobs" / path.name)
        up = "../" * (len(path.relative_to(cached).parts) - 1)
        path.symlink_to(f"{up}blobs/{path.name}")
    assert len(read(cached / "snapshots/0", tmp_path).rows) == 3


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub whose card and whose files a test names; nothing else of it can be asked."""
    from huggingface_hub.errors import EntryNotFoundError

    hub = types.SimpleNamespace(card=None, files=[], asked=[], fetched=False)

    def download(self, name, file, repo_type, revision):
        hub.asked.append((name, file, repo_type, revision))
        if file != "README.md" or hub.card is None:
            raise EntryNotFoundError("there is none")
        return str(card(tmp_path, hub.card))

    class Builder:
        base_path = "hf://datasets/a/b@c0ffee"
        config = property(lambda _: types.SimpleNamespace(data_files={"train": hub.files}))

        def download_and_prepare(self):
            hub.fetched = True
            raise OSError("no network in a test")

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", download)
    monkeypatch.setattr("datasets.load_dataset_builder", lambda *_, **__: Builder())
    return hub


@pytest.mark.parametrize(
    "pattern", ["hf://datasets/c/d@main/x.csv", "https://e.org/x.csv", "/etc/*"]
)
def test_the_card_is_read_at_the_pinned_revision_before_anything_else(hub, tmp_path, pattern):
    hub.card = forms(pattern)[2]
    with pytest.raises(ItemError, match=r"a/b: its card README.md names '.*' \(data_files\)"):
        read("a/b", tmp_path, revision="c0ffee")
    assert hub.asked == [("a/b", "README.md", "dataset", "c0ffee")]
    assert not hub.fetched


@pytest.mark.parametrize(
    "file", ["hf://datasets/c/d@c0ffee/x.csv", "https://e.org/x.csv", "/etc/x.csv",
             "hf://datasets/a/b@c0ffee0/x.csv"]
)  # fmt: skip
def test_what_a_card_led_to_after_all_is_not_fetched(hub, tmp_path, file):
    hub.files = ["hf://datasets/a/b@c0ffee/train.csv", file]
    with pytest.raises(ItemError, match="its card leads to .* which is not its own"):
        read("a/b", tmp_path, revision="c0ffee")
    assert not hub.fetched
    hub.files = hub.files[:1]
    with pytest.raises(ItemError, match=r"cannot be loaded \(OSError: no network"):
        read("a/b", tmp_path, revision="c0ffee")
    assert hub.fetched


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
            for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
        ), "repeats itself"),
        ("configs: &a [*a]\n", "repeats itself"),
        ("x: " + "y" * 2**20 + "\n", "has more than 1 MB"),
    ],
    ids=["bomb", "circle", "large"],
)  # fmt: skip
def test_a_card_that_would_take_all_memory_is_not_read(tmp_path, text, problem):
    assert problem in cards.card_problem(card(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "a: b: c", "configs: 3\n", "configs: [1]\n", "!!python/object:os.x {}\n"],
)
def test_a_card_that_is_no_card_is_an_error_of_the_data_set(folder, tmp_path, text):  # noqa: F811
    card(folder, text + "\n")
    with pytest.raises(ItemError, match="hub: cannot be loaded"):
        read(folder, tmp_path)


PIECES = [
    *("configs", "data_files", "data_dir", ": ", "- ", "[", "]", "{", "}", "\n", "  ", "&a ", "*a"),
    *(
        "..",
        "/",
        "etc",
        "hf://",
        "::",
        "!!python/object:os.system",
        "'",
        '"',
        "\\",
        "\x00",
        "\u202e",
    ),
    *("\ud800", "\x1b[2J", "%", "@", "|", ">", "?", "1e999", "~", "<<: ", "#", "---"),
]


def test_hostile_cards_end_in_a_word_or_an_error_of_reading(tmp_path):
    draw = random.Random(7)
    for number in range(5000):
        text = "".join(draw.choices(PIECES, k=draw.randint(1, 200)))
        path = tmp_path / ("README.md" if number % 2 else ".huggingface.yaml")
        path.write_bytes(f"---\n{text}\n---\n".encode(errors="surrogatepass"))
        started = time.process_time()
        try:
            found = cards.card_problem(Path(path))
        except (ValueError, yaml.YAMLError, RecursionError, TypeError):
            found = None
        assert found is None or found.isprintable()
        assert time.process_time() - started < 2
