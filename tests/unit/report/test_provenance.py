"""The commit that results are recorded under is that of caft's own code, or none."""

import os
import subprocess

import pytest

from caft.report.provenance import code_state

NOTHING = {"commit": None, "changed": None}
SOURCE = "src/caft/mixtures/buckets.py"


def git(folder, *words):
    author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *author, "-C", folder, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def unpack(root):
    """Write a file or two as they lie in a tarball of caft."""
    (root / SOURCE).parent.mkdir(parents=True)
    (root / SOURCE).write_text("EASY = 0\n")
    (root / "README.md").write_text("# caft\n")
    return root


@pytest.fixture
def checkout(tmp_path):
    """A clone of caft with one commit."""
    root = unpack(tmp_path / "caft")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_a_checkout_is_named_by_its_commit(checkout):
    assert code_state(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "changed": False}


def change_the_code(root):
    (root / SOURCE).write_text("EASY = 1\n")


def change_it_and_add_that(root):
    change_the_code(root)
    git(root, "add", ".")


def remove_a_module(root):
    (root / SOURCE).unlink()


@pytest.mark.parametrize("change", [change_the_code, change_it_and_add_that, remove_a_module])
def test_changed_code_is_marked(checkout, change):
    change(checkout)
    assert code_state(checkout)["changed"] is True


def test_changed_texts_and_new_results_are_no_changed_code(checkout):
    (checkout / "README.md").write_text("# mine\n")
    (checkout / "results").mkdir()
    (checkout / "results/summary.csv").write_text("a\n")
    assert code_state(checkout)["changed"] is False


def test_a_tarball_in_a_repository_of_somebody_else_has_no_commit(tmp_path):
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "my thesis")
    assert code_state(unpack(tmp_path / "caft")) == NOTHING


def test_a_package_without_any_repository_has_no_commit(tmp_path):
    assert code_state(unpack(tmp_path / "lib/python3/site-packages")) == NOTHING


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    assert code_state(checkout) == NOTHING


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_the_checkout_of_another_user_is_read_all_the_same(checkout):
    for path in (checkout, checkout / ".git"):
        os.chown(path, 12345, 12345)
    assert code_state(checkout)["changed"] is False


def test_a_checkout_behind_a_link_is_caft_s_own(checkout, tmp_path):
    (tmp_path / "link").symlink_to(checkout)
    assert code_state(tmp_path / "link")["commit"]
