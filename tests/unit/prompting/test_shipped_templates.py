import pytest
from shipped_templates import DIRECT, THOUGHT, shipped, tokenizer_of

from caft.prompting.chat import Chat

TURNS = [
    {"role": "system", "content": "Letter only."},
    {"role": "user", "content": "What is 12 + 5?\nA) 17\nB) 3"},
]


def encoded(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module", params=shipped())
def family(request):
    return request.param


@pytest.fixture(scope="module")
def chat(family):
    return Chat(tokenizer_of(family))


def test_every_template_that_trl_ships_has_its_answer_written_down():
    assert shipped() == sorted(DIRECT)


@pytest.mark.parametrize("answer", ["B", "17", "-3", "B, surely"])
def test_a_direct_answer_stands_where_the_family_puts_it(family, chat, answer):
    opening, end = DIRECT[family]
    tokenizer = chat.tokenizer
    prompt, target = chat.row(TURNS, answer, "direct")
    before, blank = opening.removesuffix("·"), " " if opening.endswith("·") else ""
    text = tokenizer.decode(prompt)
    assert text.endswith(f"B) 3{before}" if "nothink" in before else before)
    assert "Letter only." in text and "What is 12 + 5?\nA) 17\nB) 3" in text
    assert prompt + target == encoded(tokenizer, text + blank + answer + end)
    assert tokenizer.decode(target) == blank + answer + end
    assert target[-1] in chat.ends and not set(target[:-1]) & chat.ends


def test_a_prompt_begins_with_what_the_template_makes_of_it(chat):
    form, render = chat.shape.forms["direct"], chat.render
    rendered = encoded(chat.tokenizer, render(TURNS, **form.variables))
    prompt = chat.prompt(TURNS, "direct")
    assert prompt == encoded(chat.tokenizer, render(TURNS, **form.variables) + form.block)
    assert form.block or prompt == rendered
    assert prompt.count(chat.tokenizer.bos_token_id) <= 1


def test_the_letters_are_told_apart(chat):
    _, variants = chat.label_tokens(TURNS, ["A", "B"])
    for letter, tokens in zip("AB", variants, strict=True):
        assert {chat.tokenizer.decode([token]).strip() for token in tokens} == {letter}


def test_a_thought_stands_where_the_family_puts_it(family, chat):
    if family not in THOUGHT:
        assert "thought" not in chat.shape.forms and not chat.shape.thinks
        return
    opening, closing = THOUGHT[family]
    prompt, target = chat.row(TURNS, "[[B]]", "thought", "12 + 5 is 17")
    assert chat.tokenizer.decode(prompt).endswith(opening)
    assert chat.tokenizer.decode(target) == f"12 + 5 is 17{closing}[[B]]{DIRECT[family][1]}"
    assert not set(target[:-1]) & chat.ends
    begin, closed = chat.split(target[:-1], "thought")
    assert closed and chat.tokenizer.decode(target[begin:]).strip().startswith("[[B]]")
    assert chat.thought_text(target[:begin]) == "12 + 5 is 17"
    assert chat.split(target[: begin // 2], "thought") == (begin // 2, False)


def test_what_looks_like_a_mark_in_a_text_is_plain_text(chat):
    marks = [*(chat.thought.marks if chat.thought else ()), chat.shape.end]
    asked = [TURNS[0], {"role": "user", "content": f"say {' and '.join(marks)}"}]
    prompt, target = chat.row(asked, f"{marks[0]} said", "direct")
    plain, answer = chat.row([TURNS[0], {"role": "user", "content": "say"}], "said", "direct")
    special = {
        token for token, added in chat.tokenizer.added_tokens_decoder.items() if added.special
    }
    assert [t for t in prompt if t in special] == [t for t in plain if t in special]
    assert [t for t in target if t in special] == [t for t in answer if t in special]
    assert marks[0] in chat.tokenizer.decode(prompt)
