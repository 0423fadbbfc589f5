import pandas as pd
import pytest
import torch
from shipped_templates import DIRECT, tokenizer_of
from tiny import build_model

from caft.complexity.forward import score_items
from caft.evaluation.evaluate import evaluate
from caft.evaluation.settings import Evaluation
from caft.mixtures.rows import Materials, mixture_table, stage_rows
from caft.mixtures.settings import StageRows
from caft.prompting.answers import INVALID
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.running.jobs import Progress
from caft.students.opened import Loaded
from caft.students.settings import TokensPerMode
from caft.training.rows import encode_mixture

SETTINGS = Evaluation(max_new_tokens=TokensPerMode(direct=6, cot=30), batch_size=8)
NUMBERS, LETTERS = ["7", "12", "-3"], ["A", "C", "B"]


@pytest.fixture(scope="module")
def items():
    """Three numbers and three choices; the test split is the training split."""
    rows = [
        {
            "question": f"Number {12 * str(n)} ?",
            "options": None,
            "answer": answer,
            "answer_kind": "numeric",
        }
        for n, answer in enumerate(NUMBERS)
    ]
    rows += [
        {"question": f"Letter {12 * str(n)} ?", "options": ["x", "y", "z"], "answer": answer}
        | {"answer_kind": "choice"}
        for n, answer in enumerate(LETTERS)
    ]
    named = {"reference_rationale": None, "split": "train"}
    return pd.DataFrame([{"item_id": f"i{n}", **row, **named} for n, row in enumerate(rows)])


def learn(model, rows):
    """Train a tiny model on rows until it knows them by heart."""
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in rows])
    labels = torch.tensor([row["labels"] + [-100] * (width - len(row["labels"])) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        loss = model(input_ids=ids, labels=labels).loss
        if loss.item() < 0.02:
            return
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    raise AssertionError(f"the loss stays at {loss.item():.3f}")


def taught(items, variant, chat, target, rationales):
    bucket = pd.Series("easy", index=items["item_id"])
    stage = StageRows(buckets=["easy"], target=target)
    rows, missing = stage_rows(Materials(items, variant, 1), bucket, stage, rationales, "drop")
    assert missing == 0
    model = build_model(chat.tokenizer, 0.05)
    learn(model, encode_mixture(mixture_table(rows), chat))
    return model.eval()


def answered(items, variant, student, mode):
    prompts = Asked(items, variant, 1).prompts(mode)
    batches = evaluate(prompts, student, mode, SETTINGS, Progress("answering", len(items)))
    table = pd.DataFrame([row for rows in batches for row in rows])
    return table.set_index("item_id").loc[items["item_id"]]


@pytest.mark.parametrize("family", sorted(DIRECT))
def test_a_student_that_knows_the_answers_gives_them_and_is_scored_so(family, items, letters):
    chat = Chat(tokenizer_of(family))
    nothing = pd.DataFrame(columns=["text", "reasoning"])
    student = Loaded(taught(items, letters, chat, "answer", nothing), chat)
    found = answered(items, letters, student, "direct")
    assert found["text"].str.strip().tolist() == [*NUMBERS, *LETTERS]
    assert found["correct"].all() and not found["thought_tokens"].any()
    scores = pd.DataFrame(score_items(Asked(items, letters, 1).prompts("direct"), student))
    assert scores["correct"].all()
    assert scores["single_token_entropy"].max() < 0.5


@pytest.mark.parametrize("target", ["rationale", "reasoning"])
@pytest.mark.parametrize("family", ["qwen3", "qwen3_5_think", "gemma4_v5", "nemotron_3_nano"])
def test_a_student_answers_in_the_form_that_it_was_taught(family, target, items, letters):
    chat = Chat(tokenizer_of(family))
    texts = [f"So [[{answer}]]" for answer in items["answer"]]
    thoughts = [f"Not [[9]] but {answer}" for answer in items["answer"]]
    rationales = pd.DataFrame({"text": texts, "reasoning": thoughts}, index=items["item_id"])
    model = taught(items, letters, chat, target, rationales)
    found = answered(items, letters, Loaded(model, chat, thinks=target == "reasoning"), "cot")
    assert found["correct"].all()
    if target == "reasoning":
        assert found["thought"].tolist() == thoughts
        assert (found["thought_tokens"] > 0).all()
        assert (found["new_tokens"] > found["thought_tokens"]).all()
        assert not found["text"].str.contains("9").any()
    else:
        assert found["thought"].isna().all() and not found["thought_tokens"].any()


def test_a_thought_that_is_not_closed_holds_no_answer(items, letters):
    chat = Chat(tokenizer_of("qwen3"))
    texts = [f"So [[{answer}]]" for answer in items["answer"]]
    rationales = pd.DataFrame({"text": texts}, index=items["item_id"])
    model = taught(items, letters, chat, "rationale", rationales)
    # Asked in a thought, it goes on without ever closing it.
    found = answered(items, letters, Loaded(model, chat, thinks=True), "cot")
    open_ones = found[~found["text"].astype(bool)]
    assert len(open_ones) and (open_ones["parsed"] == INVALID).all()
    assert open_ones["invalid"].all() and not open_ones["correct"].any()
