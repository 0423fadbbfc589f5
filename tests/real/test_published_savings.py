"""The published savings, 62% of the tokens and 81% with epochs, from real texts of a real band."""

import pandas as pd
import pytest

from caft.mixtures.recipe import Recipe
from caft.mixtures.rows import Materials
from caft.mixtures.settings import ResolvedStrategy
from caft.mixtures.stages import SeededStrategy, build_stages, draft_stages
from caft.prompting.settings import Prompt
from caft.report.costs import saved
from caft.students.folders import load_chat
from caft.tables.files import read_json

BANDS = {"easy": "easy", "middle": "medium", "hard": "hard"}
WHOLE = ["easy", "medium", "hard"]


@pytest.fixture(scope="module")
def bands(reference_data):
    """The 2,700 training items of the published Phi-4-mini buckets, with a 70B model's texts."""
    splits = pd.read_parquet(reference_data / "published_splits.parquet")
    members = splits[
        (splits["model"] == "phi-4-mini-instruct")
        & (splits["variant"] == "numbers_fallback")
        & (splits["split"] == "train")
        & splits["bucket"].isin(BANDS)
    ].drop_duplicates("item_id")
    items = pd.read_parquet(reference_data / "mmlu_pro_items.parquet")
    texts = pd.read_parquet(reference_data / "cot_llama-3.1-70b-instruct.parquet")
    found = members[["item_id", "bucket"]].merge(items, on="item_id").merge(texts, on="item_id")
    return found.assign(
        item_id=found["item_id"].astype(str), bucket=found["bucket"].map(BANDS), sampled=True
    )


def test_the_published_savings_come_out_of_real_texts(shipped, real_student, bands):
    items = bands[["item_id", "question", "options", "answer"]].assign(
        answer_kind="choice", reference_rationale=None, split="train"
    )
    materials = Materials(
        items,
        Prompt.model_validate(shipped["prompts"]["letters"]),
        1,
        load_chat(real_student),
        read_json(real_student / "student.json")["revision"],
        1 << 20,
    )
    texts = bands.set_index("item_id")[["response"]].rename(columns={"response": "text"})
    known = Recipe.model_fields.keys() & shipped["training"].keys()
    recipe = {**{name: shipped["training"][name] for name in known}, "max_length": 1 << 20}

    def tokens(*stages):
        strategy = ResolvedStrategy.model_validate(
            {"stages": stages, "teacher": "big", "fallback": "drop", "recipe": recipe}
        )
        seeded = SeededStrategy("published", strategy, 1)
        drafts = draft_stages(materials, seeded, {"default": bands}, {"big": texts})
        built = build_stages(materials, drafts, seeded)
        one_pass = [stage.mixture["target_tokens"].sum() for stage in built]
        epochs = [stage.spec["epochs"] for stage in built]
        return sum(one_pass), sum(n * e for n, e in zip(one_pass, epochs, strict=True))

    distill = tokens({"buckets": WHOLE, "target": "rationale", "epochs": 10})
    aware = tokens(
        {"buckets": ["easy", "medium"], "target": "answer", "epochs": 5},
        {"buckets": ["hard"], "target": "rationale", "epochs": 5},
    )
    one_pass, over_epochs = (saved(*pair) for pair in zip(aware, distill, strict=True))
    assert one_pass == pytest.approx(0.62, abs=0.02)
    assert over_epochs == pytest.approx(0.81, abs=0.01)
    assert over_epochs == pytest.approx(1 - (1 - one_pass) / 2, abs=0.001)
