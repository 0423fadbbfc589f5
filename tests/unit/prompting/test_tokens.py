import pytest

from caft.prompting.tokens import TokenCounter


@pytest.fixture
def folder(tmp_path):
    """A tokenizer that knows a word, an unknown one and a special token; it pads and cuts."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"u": 0, "word": 1, "<": 2, ">": 3, "end": 4}, "u"))
    tokenizer.pre_tokenizer = pre_tokenizers.Punctuation("isolated")
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    tokenizer.enable_padding(length=50)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_texts_are_counted_neither_padded_nor_cut(folder):
    assert TokenCounter(folder).texts(["word", "a,b,c", ""]) == [1, 5, 0]


def test_what_looks_like_a_special_token_counts_as_text(folder):
    assert TokenCounter(folder).texts(["<end>"]) == [3]


def test_a_prompt_counts_its_messages_and_their_frame(folder):
    turns = [{"role": "system", "content": "word"}, {"role": "user", "content": "a,b"}]
    assert TokenCounter(folder).prompts([turns, turns[:1], []]) == [1 + 3 + 8, 1 + 4, 0]


def test_equal_texts_are_counted_once(folder, monkeypatch):
    counter, batches = TokenCounter(folder), []
    encode = counter._encode
    monkeypatch.setattr(counter, "_encode", lambda texts: batches.append(texts) or encode(texts))
    assert counter.texts(["word", "a", "word"]) == [1, 1, 1]
    assert counter.texts(["a", "b"]) == [1, 1]
    assert batches == [["word", "a"], ["b"]]


def test_more_texts_than_a_batch_are_all_counted(folder):
    texts = [f"{number},{number}" for number in range(1200)]
    assert TokenCounter(folder).texts(texts) == [3] * 1200


def test_counting_needs_no_transformers():
    import subprocess
    import sys

    code = (
        "import sys, caft.report.purchases; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
