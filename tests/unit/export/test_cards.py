import re

import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from outcomes import default_run

from caft.export.cards import dataset_card, model_card
from caft.export.quoting import quoted
from caft.report.answer import answers
from caft.report.paper_tables import escape_markdown

STAGE = {
    "dataset": "sums",
    "student": "tiny",
    "strategy": "mixed",
    "stage": 1,
    "model": "aaaa",
    "answer_rows": 21,
    "rationale_rows": 7,
    "epochs": 2.0,
}
RECORD = {
    "method": "lora",
    "steps": 7,
    "dtype": "float32",
    "libraries": {"torch": "2.0"},
    "spec": {
        "seed": 3,
        "recipe": {
            "learning_rate": 0.001,
            "schedule": "cosine",
            "batch_size": 4,
            "gradient_accumulation": 2,
            "lora": {"r": 16, "alpha": 32},
        },
    },
}
RATIONALES = {"buckets": ["hard"], "target": "rationale", "epochs": 4}
MERGED = {"dtype": "bfloat16", "changed": 1, "answers": 32, "reworded": 2}


@pytest.fixture
def provenance():
    student = {"hub": "org/small-1b", "license": "apache-2.0"}
    variant = {
        "direct": {"numeric": "Number only."},
        "cot": {"numeric": "Think, then ```[[number]]```."},
    }
    return {
        "caft": "0.1.0",
        "commit": "c0ffee",
        "students": {
            "tiny": {"revision": "r1", "source": {"hub": "org/small-1b", "revision": "5e5e"}}
        },
        "config": {
            "students": {"tiny": student},
            "datasets": {"sums": {"adapter": "hub", "id": "org/questions"}},
            "teachers": {
                "big": {"provider": "openai", "model": "maker/big-70b", "fallback": "drop"}
            },
            "strategies": {"mixed": {"teacher": "big", "stages": [RATIONALES]}},
            "prompts": {"letters": variant},
            "prompt": "letters",
            "run": {"split": "test", "modes": ["direct", "cot"]},
        },
    }


@pytest.fixture
def rows():
    shared = {"dataset": "sums", "trained_mode": "cot", "n": 32}
    shares = {"accuracy_easy": 0.5, "accuracy_medium": 0.25, "accuracy_hard": float("nan")}
    spread = {"accuracy_low": 0.11, "accuracy_high": 0.388}
    return pd.DataFrame(
        [
            {**shared, **shares, **spread, "mode": mode, "shots": shots, "accuracy": accuracy}
            for mode, shots, accuracy in (("direct", 0, 0.0), ("cot", 3, 0.21875))
        ]
    )


def header(card):
    return yaml.safe_load(card.split("---\n")[1])


def section(card, title):
    return card.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_header_names_base_licence_library_and_data_set(rows, provenance):
    found = header(model_card("m", RECORD, [STAGE], rows, provenance))
    assert found["base_model"] == "org/small-1b"
    assert found["base_model_relation"] == "adapter"
    assert (found["library_name"], found["license"]) == ("peft", "apache-2.0")
    assert found["datasets"] == "org/questions"
    merged = header(model_card("m", RECORD, [STAGE], rows, provenance, MERGED))
    assert (merged["library_name"], merged["base_model_relation"]) == ("transformers", "finetune")


def test_what_is_not_on_the_hub_is_not_named_as_if_it_were(rows, provenance):
    provenance["config"]["students"]["tiny"] = {"path": "/home/me/model"}
    provenance["students"]["tiny"]["source"] = {"path": "/home/me/model"}
    provenance["config"]["datasets"]["sums"] = {"adapter": "file", "path": "/home/me/q.csv"}
    card = model_card("m", RECORD, [STAGE], rows, provenance)
    assert not {"base_model", "base_model_relation", "license", "datasets"} & set(header(card))
    assert "A LoRA adapter for `model`" in card and "/home/me" not in card


def test_results_are_read_back_with_their_interval(rows, provenance):
    results = ModelCard(model_card("m", RECORD, [STAGE], rows, provenance)).data.eval_results
    shared = {"items": 32, "interval_95": [0.11, 0.388]}
    assert [(one.metric_name, one.metric_value, one.metric_args) for one in results] == [
        ("accuracy (direct, 0-shot)", 0.0, {"mode": "direct", "shots": 0, **shared}),
        ("accuracy (cot, 3-shot)", 0.2188, {"mode": "cot", "shots": 3, **shared}),
    ]
    assert {(one.dataset_type, one.dataset_split) for one in results} == {("org/questions", "test")}


def test_the_page_shows_results_rows_recipe_and_limits(rows, provenance):
    card = model_card("m", RECORD, [STAGE], rows, provenance)
    table = section(card, "Results")
    assert "| cot, 3-shot | 0.219 | 0.110 to 0.388 | 32 | 0.500 | 0.250 | - |" in table
    assert "| 1 | `aaaa` | 21 | 7 | 2 |" in section(card, "Training data")
    assert "- rows per update: 8" in card and "- LoRA: rank 16, alpha 32" in card
    assert "one training seed" in section(card, "Limits")


def test_the_teacher_is_named_only_where_it_wrote_something(rows, provenance):
    card = section(model_card("m", RECORD, [STAGE], rows, provenance), "Training data")
    assert "answers of the model `maker/big-70b`" in card and "terms may limit" in card
    bare = [{**STAGE, "rationale_rows": 0}]
    card = model_card("m", RECORD, bare, rows, provenance)
    assert "maker/big-70b" not in card and "All targets are bare answers" in card
    provenance["config"]["teachers"]["big"] = {"provider": "reference"}
    card = model_card("m", RECORD, [STAGE], rows, provenance)
    assert "own worked solutions" in card and "terms may limit" not in card


def test_rationales_that_were_kept_without_being_accepted_are_owned_up_to(rows, provenance):
    kept = "Where none was accepted, a wrong or incomplete one was kept."
    assert kept not in model_card("m", RECORD, [STAGE], rows, provenance)
    provenance["config"]["teachers"]["big"]["fallback"] = "keep"
    assert kept in model_card("m", RECORD, [STAGE], rows, provenance)


def test_a_model_that_was_not_evaluated_says_so(rows, provenance):
    card = model_card("m", RECORD, [STAGE], rows.iloc[:0], provenance)
    assert "not evaluated" in section(card, "Results")
    assert "model-index" not in header(card)


def test_the_terms_of_the_questions_stand_in_both_cards(rows, provenance, mixture):
    terms = "MIT; never for a model that is *released*"
    provenance["config"]["datasets"]["sums"] |= {"terms": terms}
    told = "Their terms: MIT; never for a model that is \\*released\\*."
    assert told in section(model_card("m", RECORD, [STAGE], rows, provenance), "Training data")
    assert told in section(dataset_card("m", [mixture], [STAGE], SPEND, provenance), "Stages")


def test_a_merged_model_tells_what_merging_changed(rows, provenance):
    card = model_card("m", RECORD, [STAGE], rows, provenance, MERGED)
    assert "saved in bfloat16: 1 of 32 greedy answers differ" in card
    assert "AutoModelForCausalLM" in card and "PeftModel" not in card


def test_a_text_cannot_leave_its_block():
    text = "a\n````\n# Not a title <script>\x1b[31m\u202e"
    block = quoted(text)
    assert block.startswith("`````text\n") and block.endswith("\n`````")
    assert re.findall(r"^`{5,}", block, flags=re.MULTILINE) == ["`````", "`````"]
    assert not {"\x1b", "\u202e"} & set(block)


def test_a_prompt_with_a_fence_stays_inside_its_block(rows, provenance):
    provenance["config"]["prompts"]["letters"]["cot"]["numeric"] = "x\n```\n## Results\nall right"
    card = model_card("m", RECORD, [STAGE], rows, provenance)
    outside = re.sub(r"(?ms)^(`{3,})\w*$.*?^\1$", "", card)
    assert outside.count("## Results") == 1 and "all right" not in outside


@pytest.fixture
def mixture():
    row = {"messages": '[{"content": "2 + 2 ?\\n```\\n# x"}]', "completion": "so [[4]]"}
    return pd.DataFrame([{**row, "item_id": "i1", "target": "rationale"}])


SPEND = {"big": {"items": 40.0, "accepted": 30.0, "rejected_truncated": 4, "rejected_error": 0}}


def test_the_card_of_training_rows_tells_where_they_are_from(mixture, provenance):
    card = dataset_card("m", [mixture], [STAGE], SPEND, provenance)
    found = header(card)
    assert found["configs"] == [{"config_name": "stage-1", "data_files": "stage-1.parquet"}]
    assert (found["size_categories"], found["source_datasets"]) == (["n<1K"], ["org/questions"])
    assert "asked about 40 items" in card and "30 have an accepted rationale" in card
    assert "Rejected: truncated 4." in card
    assert "carry terms of its maker" in section(card, "Licence")
    assert "-> so [[4]]" in section(card, "A row")


@pytest.mark.parametrize(
    ("named", "told"),
    [("big-2026-11-01, tiny", "`tiny`, too, by"), ("vendor/big", None), (None, None)],
)
def test_the_card_names_other_models_that_answered(named, told, mixture, provenance):
    provenance["config"]["teachers"]["big"]["model"] = "big"
    spend = {"big": {**SPEND["big"], "answered_by": named}}
    card = dataset_card("m", [mixture], [STAGE], spend, provenance)
    assert told in card if told else "Answers came from" not in card


def test_every_teacher_of_the_stages_is_named(rows, provenance):
    teachers = provenance["config"]["teachers"]
    teachers["self"] = {"provider": "student", "fallback": "drop"}
    strategy = provenance["config"]["strategies"]["mixed"]
    strategy["stages"] = [{**RATIONALES, "teacher": ["self", "default"]}]
    card = model_card("m", RECORD, [STAGE], rows, provenance)
    assert "The rationales are the student's own answers, accepted if right" in card
    assert "The rationales are answers of the model `maker/big-70b`" in card


def test_the_card_of_bare_answers_has_no_teacher(mixture, provenance):
    card = dataset_card("m", [mixture], [{**STAGE, "rationale_rows": 0}], {}, provenance)
    assert "None: all targets are bare answers." in card


def test_unrecorded_acceptance_is_said_to_be_unknown(mixture, provenance):
    card = dataset_card("m", [mixture], [STAGE], {}, provenance)
    assert "how many were accepted was not recorded" in card


def test_rows_behind_the_teachers_reasoning_are_told(rows, provenance):
    told = model_card(
        "m", RECORD, [{**STAGE, "rationale_rows": 5, "reasoning_rows": 3}], rows, provenance
    )
    assert "| 5 (3 behind the teacher's reasoning) |" in section(told, "Training data")
    without = model_card("m", RECORD, [{**STAGE, "rationale_rows": 5}], rows, provenance)
    assert "| 5 |" in section(without, "Training data")


def test_the_card_says_what_the_overview_says(rows, provenance):
    (found,) = answers(default_run())
    card = model_card("m", RECORD, [STAGE], rows, provenance, answer=found)
    told = section(card, "The comparison it is from")
    for sentence in (*found.result, *found.costs, *found.warnings, *found.conditions):
        assert escape_markdown(sentence) in told, sentence
    assert "A verdict decides, an interval shows the size." in told
    assert "The comparison" not in model_card("m", RECORD, [STAGE], rows, provenance)


def test_a_text_of_the_run_in_these_sentences_is_no_markup(rows, provenance):
    tables = default_run()
    tables.complexity["warning"] = "it answers '<script>\n## Results' to all"
    (found,) = answers(tables)
    card = model_card("m", RECORD, [STAGE], rows, provenance, answer=found)
    assert "<script>" not in card and card.count("\n## Results") == 1
