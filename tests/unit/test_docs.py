import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from configurations import configuration
from pydantic_core import PydanticUndefined

from caft.config.reading import parse
from caft.report import complexity, purchases, summary
from caft.settings import Section
from caft.tables import parquet
from caft.tables.files import write_json

ROOT = Path(__file__).parents[2]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    ROOT / "benchmarks/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
SUMMARY = (ROOT / "docs/summary.md").read_text(encoding="utf-8")


def described(heading):
    """Return the columns described under a heading of docs/summary.md, in order."""
    section = SUMMARY.partition(f"# `{heading}`\n")[2].partition("\n#")[0]
    cells = re.findall(r"^\| (`.+?`) \|", section, flags=re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Lay out the tables of the smallest run, one untuned student, and return its config."""
    monkeypatch.chdir(tmp_path)
    base = {"trained_mode": "direct", "buckets": "default", "teacher": None}
    trained = {"1": {"final": "base", "items": 0, "stages": []}}
    write_json("data/mixtures/d/s/1/plan.json", {"base": {**base, "seeds": trained}})
    item = {"item_id": ["a", "b"], "split": ["test", "test"]}
    asked = pd.DataFrame({**item, "answer": ["1", "2"], "answer_kind": "numeric"})
    parquet.write("items", asked, "data/items/d.parquet")
    parquet.write(
        "buckets",
        pd.DataFrame({**item, "bucket": ["easy", "hard"], "missing": False, "sampled": False}),
        "data/buckets/d/s/default.parquet",
    )
    answers = {"item_id": ["a", "b"], "correct": [True, False], "invalid": [False, True]}
    where = "results/predictions/d/s/base.direct"
    parquet.write("predictions", pd.DataFrame(answers), f"{where}.parquet")
    write_json(f"{where}.run.json", {"seconds": 1.0})
    scores = {"warm_up": False, "status": "ok", "correct": [True, False], "answer_valid": True}
    parquet.write(
        "scores",
        pd.DataFrame({**item, **scores, "single_token_entropy": [0.1, 0.9]}),
        "data/scores/d/s/base/letters.parquet",
    )
    return {
        "run": {
            "datasets": ["d"],
            "students": ["s"],
            "modes": ["direct"],
            "strategies": ["base"],
            "seeds": [1],
            "shots": None,
            "checkpoints": ["last"],
            "relevant_difference": 0.05,
        },
        "students": {"s": {"path": "s"}},
        "strategies": {
            "base": {
                "stages": [],
                "membership": "complexity",
                "start": "student",
                "buckets": "default",
            }
        },
        "buckets": {"default": {"metric": "entropy"}},
        "metrics": {
            "entropy": {
                "metric": "single_token_entropy",
                "prompt": "letters",
                "scored_with": "base",
            }
        },
        "seed": 1,
    }


def script(name):
    """Import a script of the documentation."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_and_the_schema_of_the_configuration_are_what_its_sections_say():
    for path, made in script("generate").files().items():
        assert path.read_text(encoding="utf-8") == made, f"{path.name}: run `make docs`"


def repeated(written, section, path=""):
    """Yield each key of a section that has a default, as written and as the section has it."""
    for name, value in written.items():
        if isinstance(part := getattr(section, name), Section):
            yield from repeated(value, part, f"{path}{name}.")
        elif (default := type(section).model_fields[name].default) is not PydanticUndefined:
            yield f"{path}{name}: {value!r}", f"{path}{name}: {default!r}"


@pytest.mark.parametrize("name", ["run", "training", "evaluation", "engine"])
def test_the_defaults_of_the_documentation_are_those_that_run(name):
    """config.yaml lies under every run: what it writes of these sections is the default."""
    section = getattr(parse(SHIPPED), name)
    pairs = list(repeated(SHIPPED[name], section))
    assert pairs and [one for one, _ in pairs] == [other for _, other in pairs]


def test_the_page_of_reruns_is_what_the_tests_hold():
    generate = script("generate_reruns")
    made = generate.render(generate.read_promises())
    assert (ROOT / "docs/reruns.md").read_text(encoding="utf-8") == made, "run `make docs`"


def test_the_table_of_families_is_what_is_found_in_their_templates():
    made = script("generate_students")
    assert (ROOT / "docs/students.md").read_text(encoding="utf-8") == made.page(), "run `make docs`"


def test_the_table_of_memory_is_what_the_arithmetic_says():
    made = script("generate_memory")
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run `make docs`"


def test_the_picture_of_the_rules_is_what_snakemake_says():
    draw = script("draw_rules")
    page = draw.PAGE.read_text(encoding="utf-8")
    assert draw.insert(page, draw.render(draw.shorten(draw.read_graph()))) == page, (
        "run `make docs`"
    )


def test_every_column_of_the_comparison_is_described_in_order(run):
    made = summary.summarize(configuration(run), summary.read_all(configuration(run)))
    for name, table in zip(("summary", "tables/runs", "tables/comparisons"), made, strict=True):
        assert described(f"results/{name}.csv") == list(table.columns), name


def test_every_column_of_the_complexity_table_is_described_in_order(run):
    expected = list(complexity.complexity_table(configuration(run)).columns)
    assert described("results/tables/complexity.csv") == expected


def test_every_column_of_a_plan_is_described():
    page = (ROOT / "docs/budget.md").read_text(encoding="utf-8")
    cells = " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert [name for name in purchases.PLAN if f"`{name}`" not in cells] == []


@pytest.mark.parametrize("name", sorted(parquet.SCHEMAS))
def test_every_column_of_a_parquet_table_is_described_in_order(name):
    assert described(name) == [*parquet.SCHEMAS[name].names, *parquet.optional_columns(name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short_and_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    if page.name in ("students.md", "strategies.md"):  # a row of a table cannot be wrapped
        lines = [line for line in lines if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
