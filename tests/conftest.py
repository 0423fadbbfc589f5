"""What several tests share: two tiny students, tokenizers, a prompt variant, a recipe."""

import os

# Before torch is imported: the tests share their machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from tiny import CHATML, LESSONS, SPACED, build_model, build_tokenizer, save_student


@pytest.fixture(autouse=True)
def no_card_is_held(monkeypatch):
    """On a machine with GPUs, a card would be this process's to its end: others would wait for it.

    Jobs that a test starts take theirs as ever.
    """
    monkeypatch.setattr("caft.running.devices.take", lambda count=1: None)


@pytest.fixture(scope="session")
def chatml():
    """A byte-level tokenizer with a ChatML template."""
    return build_tokenizer(
        CHATML,
        ["<|im_start|>", "<|im_end|>", "<|pad|>"],
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        extra_special_tokens=["<|im_start|>"],
    )


@pytest.fixture(scope="session")
def unnamed():
    """The same, but the token that opens a turn is special without being named, as in Llama 3."""
    return build_tokenizer(CHATML, ["<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>")


@pytest.fixture(scope="session")
def spaced():
    """A template with a beginning-of-text token and a space before each answer, as in Llama 2."""
    return build_tokenizer(SPACED, ["<s>", "</s>"], bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="session")
def student(chatml, tmp_path_factory):
    """Folder of a tiny random student: safetensors, tokenizer, chat template, student.json."""
    folder = tmp_path_factory.mktemp("models") / "student"
    return save_student(build_model(chatml, spread=0.3), chatml, folder)


@pytest.fixture(scope="session")
def tokenizer(student):
    """The tiny student's tokenizer, as loaded."""
    from caft.students.folders import load_tokenizer

    return load_tokenizer(student)


@pytest.fixture(scope="session")
def chat(tokenizer):
    """The tiny student's tokenizer with its chat template."""
    from caft.prompting.chat import Chat

    return Chat(tokenizer)


@pytest.fixture(scope="session")
def model(student):
    """The tiny student in float32."""
    from caft.students.folders import load_model

    return load_model(student)


@pytest.fixture(scope="session")
def taught(chatml, tmp_path_factory):
    """Folder of a tiny student that has learnt LESSONS by heart (user turn to answer)."""
    import torch

    from caft.prompting.chat import Chat

    model = build_model(chatml, spread=0.05)
    rows = []
    for question, answer in LESSONS.items():
        turns = [{"role": "user", "content": question}]
        prompt, target = Chat(chatml).row(turns, answer, "direct")
        rows.append((prompt + target, [-100] * len(prompt) + target))
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows])
    labels = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(300):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.01:
            break
    return save_student(model, chatml, tmp_path_factory.mktemp("models") / "taught")


@pytest.fixture(scope="session")
def lessons():
    """What the taught student knows: answer by question."""
    return LESSONS


@pytest.fixture
def bare():
    """A prompt variant whose prompt is the question alone."""
    from caft.prompting.settings import PerKind, Prompt, QuestionTexts

    nothing = PerKind(choice="", numeric="", text="")
    question = QuestionTexts(choice="{question}\n{options}", open="{question}")
    return Prompt(question=question, direct=nothing, cot=nothing)


@pytest.fixture
def letters(bare):
    """A prompt variant with one short instruction per mode and kind."""
    from caft.prompting.settings import PerKind

    direct = PerKind(choice="Letter only.", numeric="Number only.", text="Answer only.")
    cot = PerKind(choice="Think, [[letter]].", numeric="Think, [[number]].", text="Think.")
    return bare.model_copy(update={"direct": direct, "cot": cot})


@pytest.fixture
def choices():
    """Make so many items of the test split, each with two options."""
    import pandas as pd

    def make(count):
        item = {"options": ["one", "two"], "answer": "A", "answer_kind": "choice"}
        item |= {"reference_rationale": None, "split": "test"}
        numbers = range(count)
        asked = [
            {"item_id": f"{n:016x}", "question": f"Which is {n} + 5 ?", **item} for n in numbers
        ]
        return pd.DataFrame(asked)

    return make


@pytest.fixture
def engine():
    """Engine settings of a small CPU."""
    from caft.running.settings import Engine

    return Engine(device="cpu", dtype="float32")


@pytest.fixture
def cache(tmp_path):
    """An empty folder for finished blocks."""
    from caft.running.blocks import Cache

    return Cache(tmp_path / "blocks")


@pytest.fixture
def recipe():
    """A training recipe for a tiny student."""
    from stages import TINY_RECIPE

    return TINY_RECIPE


@pytest.fixture
def planned_stage():
    """Make a stage of a plan that has whatever a test does not name."""
    from caft.mixtures.plan import PlannedStage

    def make(**named):
        counts = ("rows", "answer_rows", "rationale_rows", "over_long", "without_rationale")
        tokens = ("target_tokens_one_pass", "target_tokens", "all_tokens")
        others = {"model": "m", "parent": None, "mixture": "x", "epochs": 1}
        return PlannedStage(**{**others, **dict.fromkeys((*counts, *tokens), 1), **named})

    return make
