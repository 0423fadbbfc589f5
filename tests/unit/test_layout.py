import ast
import re
from itertools import combinations
from pathlib import Path

import pytest

from caft import layout
from caft.running.blocks import Shard

ROOT = Path(__file__).parents[2]
PATTERNS = layout.patterns()
NAMES = {
    "dataset": "d", "student": "s", "scorer": "base", "prompt": "letters", "metric": "margin",
    "judge": "j", "buckets": "default", "teacher": "w", "round": 1, "mixture": "f" * 16,
    "digest": "0" * 16, "model": "0" * 16 + layout.BEST, "mode": "cot-2shot", "name": "cost",
    "suffix": "svg", "rule": "score_items", "job": "d.s",
}  # fmt: skip


def test_every_pattern_is_filled_by_the_names_of_the_workflow():
    for name, pattern in PATTERNS.items():
        assert re.fullmatch(r"[\w./-]+", layout.at(pattern, **NAMES)), name


def test_no_two_patterns_name_the_same_file():
    paths = {name: layout.at(pattern, **NAMES) for name, pattern in PATTERNS.items()}
    assert [pair for pair in combinations(paths, 2) if paths[pair[0]] == paths[pair[1]]] == []


def test_a_wildcard_that_is_not_named_is_an_error_and_a_name_too_many_is_none():
    assert layout.at(layout.ITEMS, dataset="d", student="s") == "data/items/d.parquet"
    with pytest.raises(KeyError, match="dataset"):
        layout.at(layout.ITEMS, student="s")


def test_a_pattern_tells_its_folder_and_what_matches_its_files():
    assert layout.root_of(layout.PREDICTIONS) == "results/predictions"
    assert layout.any_of(layout.PLAN) == "data/mixtures/*/*/*/plan.json"


def test_a_shard_lies_beside_the_whole_table_and_so_does_what_it_took():
    table = layout.at(layout.sharded(layout.PREDICTIONS), **NAMES, shard=".shards/2-of-3")
    whole = layout.at(layout.PREDICTIONS, **NAMES)
    assert table in layout.shards_of(whole.removesuffix(".parquet"), 3)
    assert layout.run_of(table) == table.removesuffix("parquet") + "run.json"
    assert layout.at(layout.sharded(layout.REJECTED_ANSWERS), **NAMES, shard="") == layout.at(
        layout.REJECTED_ANSWERS, **NAMES
    )


def test_a_shard_is_named_as_the_pattern_says_and_read_as_it_is_named():
    stem = "data/scores/d/s/base/letters"
    names = [path.removeprefix(stem).removesuffix(".parquet") for path in layout.shards_of(stem, 3)]
    assert all(re.fullmatch(layout.shard_pattern(3), name) for name in names)
    assert [Shard.named(name) for name in names] == [Shard(0, 3), Shard(1, 3), Shard(2, 3)]
    assert re.fullmatch(layout.shard_pattern(1), "") and Shard.named("") == Shard()


def test_each_table_that_is_divided_is_divided_by_one_setting():
    for kind, tables in layout.SHARDED.items():
        for table in tables:
            assert layout.shared_kind(layout.at(table, **NAMES)) == kind


def test_the_untuned_student_has_the_same_weights_at_every_checkpoint():
    assert layout.weights_of("base", "best") == "base"
    assert layout.weights_of("00ff", "best") == "00ff-best"
    assert layout.weights_of("00ff", "last") == "00ff"


def literals(file):
    """The texts of a Python file that begin like a path of a run."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    texts = (node.value for node in nodes if isinstance(node, ast.Constant))
    return [
        text for text in texts if isinstance(text, str) and text.startswith(("data/", "results/"))
    ]


def test_no_module_and_no_script_spells_a_path_of_a_run():
    files = [*(ROOT / "src/caft").rglob("*.py"), *(ROOT / "workflow/scripts").glob("*.py")]
    files.remove(ROOT / "src/caft/layout.py")
    spelled = {str(file.relative_to(ROOT)): literals(file) for file in files}
    assert {name: texts for name, texts in spelled.items() if texts} == {}


def test_no_rule_spells_a_path_of_a_run():
    for file in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        assert not re.search(r"""["'](data|results)/""", file.read_text(encoding="utf-8")), file
