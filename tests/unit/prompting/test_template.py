import re

import pytest
from tiny import CHATML, build_tokenizer

from caft.errors import ModelError
from caft.prompting.chat import Chat
from caft.prompting.settings import Template

SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "<|sep|>"]
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
LOOP = "{% for m in messages %}" + TURN + "{% endfor %}"
OPENED = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
ASKED = [{"role": "system", "content": "Letter only."}, {"role": "user", "content": "1 or 2?"}]


def chat_of(template, eos="<|im_end|>", settings=None, more_ends=()):
    tokenizer = build_tokenizer(template, SPECIALS, eos_token=eos, bos_token="<s>")
    ends = frozenset(tokenizer.convert_tokens_to_ids(list(more_ends)))
    return Chat(tokenizer, Template.model_validate(settings or {}), ends)


def shape_of(template, **named):
    return chat_of(template, **named).shape


def shown(chat, place="direct", text="B", reasoning=None, asked=ASKED):
    """Return prompt and completion as texts."""
    row = chat.row(asked, text, place, reasoning)
    return tuple(chat.tokenizer.decode(ids) for ids in row)


@pytest.mark.parametrize(
    ("block", "direct"),
    [
        ("<think>\n\n</think>\n\n", "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ("<|sep|>final<|sep|>", "<|im_start|>assistant\n<|sep|>final<|sep|>"),
        ("\n", "<|im_start|>assistant\n\n"),
        ("Answer:\n", "<|im_start|>assistant\nAnswer:\n"),
    ],
)
def test_what_stands_before_every_finished_answer_ends_the_prompt(block, direct):
    inner = "{% if m.role == 'assistant' and loop.last %}{{ block }}{% endif %}{{ m.content }}"
    inner = inner.replace("block", repr(block))
    chat = chat_of(LOOP.replace("{{ m.content }}", inner) + OPENED)
    prompt, target = shown(chat)
    assert prompt.endswith(direct) and target == "B<|im_end|>"
    assert chat.shape.forms["direct"].block == block


@pytest.mark.parametrize(
    "system",
    [
        "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}",
        "{% if m.role == 'system' %}{% continue %}{% endif %}",
        "{% if m.role not in ['user', 'assistant'] %}{{ undefined.field }}{% endif %}",
    ],
    ids=["refused", "left out", "broken"],
)
def test_an_instruction_without_a_place_stands_in_front_of_the_question(system):
    chat = chat_of("{% for m in messages %}" + system + TURN + "{% endfor %}" + OPENED)
    prompt, _ = shown(chat)
    assert prompt == "<|im_start|>user\nLetter only.\n\n1 or 2?<|im_end|>\n<|im_start|>assistant\n"
    assert shown(chat, asked=ASKED[1:])[0].startswith("<|im_start|>user\n1 or 2?<|im_end|>")


def test_an_instruction_that_goes_once_an_answer_follows_stands_in_front_of_the_question():
    first = "{% if messages[0].role == 'system' %}{% set told = messages[0].content %}{% endif %}"
    asked = "{{ told ~ '\n\n' if told is defined and loop.last else '' }}{{ m.content }}<|sep|>"
    one = "{% if m.role == 'user' %}" + asked + "{% else %}{{ m.content }}<|im_end|>{% endif %}"
    chat = chat_of(first + "{% for m in messages if m.role != 'system' %}" + one + "{% endfor %}")
    assert chat.shape.folds_system
    assert shown(chat) == ("Letter only.\n\n1 or 2?<|sep|>", "B<|im_end|>")
    earlier = [*ASKED, {"role": "assistant", "content": "A"}, {"role": "user", "content": "And 3?"}]
    expected = "Letter only.\n\n1 or 2?<|sep|>A<|im_end|>And 3?<|sep|>"
    assert shown(chat, asked=earlier)[0] == expected


def test_an_instruction_that_says_nothing_adds_nothing_to_the_question():
    chat = chat_of("{% for m in messages if m.role != 'system' %}" + TURN + "{% endfor %}" + OPENED)
    asked = [{"role": "system", "content": ""}, ASKED[1]]
    assert shown(chat, asked=asked)[0].startswith("<|im_start|>user\n1 or 2?<|im_end|>")


def test_a_content_is_given_in_parts_where_a_template_reads_parts():
    parts = "{% for part in m.content %}{{ part.text }}{% endfor %}"
    chat = chat_of(LOOP.replace("{{ m.content }}", parts) + OPENED)
    assert chat.shape.in_parts
    assert shown(chat)[0] == chat_of(CHATML).tokenizer.decode(
        chat_of(CHATML).prompt(ASKED, "direct")
    )


def test_a_template_that_opens_no_turn_is_refused_by_what_it_lacks():
    with pytest.raises(ModelError, match="opens no turn.*assistant.*add_generation_prompt"):
        shape_of(LOOP)


def test_a_turn_that_is_opened_behind_every_conversation_is_the_models():
    answer = "{% if m.role == 'assistant' %}<|sep|>{% endif %}{{ m.content }}"
    chat = chat_of(LOOP.replace("{{ m.content }}", answer) + "<|im_start|>assistant\n")
    prompt, target = shown(chat)
    assert prompt.endswith("<|im_start|>assistant\n<|sep|>") and target == "B<|im_end|>"


def test_a_template_that_drops_the_question_is_refused():
    with pytest.raises(ModelError, match="leaves out a part"):
        shape_of("{% for m in messages %}<|im_start|>{{ m.role }}\n{% endfor %}" + OPENED)


def test_a_generation_prompt_that_no_answer_follows_is_refused_or_named():
    opened = OPENED.replace("assistant\n", "assistant\n%%plan%%\n")
    with pytest.raises(ModelError, match=r"%%plan%%.*template\.thought"):
        shape_of(LOOP + opened)
    named = chat_of(LOOP + opened, settings={"thought": ["%%plan%%", "%%end%%"]})
    assert shown(named)[0].endswith("assistant\n%%plan%%\n\n%%end%%\n\n")
    prompt, target = shown(named, "thought", "B", "one")
    assert prompt.endswith("assistant\n%%plan%%\n")
    assert target == "one\n%%end%%\n\nB<|im_end|>"


@pytest.mark.parametrize(
    "block",
    [
        "{{ m.content | length }}:",
        "{{ messages[-2].content | length }}:",
        "{{ messages | length }}:",
        "{% if messages[0].role == 'user' %}To you: {% endif %}",
    ],
)
def test_a_block_that_is_not_the_same_for_all_items_is_refused(block):
    turns = LOOP.replace(
        "{{ m.content", "{% if m.role == 'assistant' %}" + block + "{% endif %}{{ m.content", 1
    )
    with pytest.raises(ModelError, match="not all finished answers stand behind"):
        shape_of(turns + OPENED)


@pytest.mark.parametrize(
    ("suffix", "eos", "target"),
    [
        ("{{ eos_token }}", "<|endoftext|>", "B<|im_end|>"),
        ("\n{{ eos_token }}", "<|endoftext|>", "B<|im_end|>"),
        ("bye", "<|im_end|>", "B<|im_end|>"),
    ],
)
def test_what_ends_a_text_behind_the_turn_is_no_part_of_an_answer(suffix, eos, target):
    turns = LOOP.replace("<|im_end|>\n", "<|im_end|>")
    chat = chat_of(turns + OPENED.replace("{% endif", "{% else %}" + suffix + "{% endif"), eos)
    assert shown(chat)[1] == target
    assert not chat.shape.is_plain
    opening = chat.tokenizer.decode(chat.opening("direct"))
    assert opening.endswith("<|im_start|>assistant\n") and "user" not in opening


def test_a_turn_without_a_mark_at_its_end_is_closed_by_the_end_of_sequence():
    turns = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    chat = chat_of(turns + OPENED, "<|endoftext|>")
    assert shown(chat)[1] == "B<|endoftext|>"


def test_both_marks_of_an_end_are_learnt_where_every_turn_has_both():
    turns = LOOP.replace("<|im_end|>\n", "<|sep|><|im_end|>")
    assert shown(chat_of(turns + OPENED))[1] == "B<|sep|><|im_end|>"


def test_the_header_of_a_turn_stops_no_generation():
    turns = LOOP.replace("<|im_start|>{{ m.role }}\n", "<|im_start|>{{ m.role }}<|sep|>")
    chat = chat_of(turns + OPENED.replace("\n", "<|sep|>"), "<|endoftext|>", None, ["<|im_start|>"])
    ends = chat.tokenizer.convert_ids_to_tokens(sorted(chat.ends))
    assert sorted(ends) == ["<|endoftext|>", "<|im_end|>", "<|im_start|>"]  # as its makers say


@pytest.mark.parametrize("asks", ["strftime_now('%Y-%m-%d')", 'strftime_now( "%Y-%m-%d" )'])
def test_a_template_is_told_the_configured_day(asks):
    template = "Today is {{ " + asks + " }}.\n" + LOOP + OPENED
    assert shown(chat_of(template))[0].startswith("Today is 2026-01-01.\n")
    assert shown(chat_of(template, settings={"today": "2025-02-03"}))[0].startswith(
        "Today is 2025-02-03.\n"
    )
    assert chat_of(template).shape.today == "2026-01-01"


def test_a_date_that_only_shows_when_it_is_rendered_is_refused():
    template = "{% set form = '%Y' %}{{ strftime_now(form) }}" + LOOP + OPENED
    with pytest.raises(ModelError, match=r"today's date.*chat_template\.jinja"):
        shape_of(template)


SWITCH = "{% if not enable_thinking | default(true) %}<think></think>{% endif %}"
SWITCHED = OPENED.replace("{% endif", SWITCH + "{% endif")


def test_a_switch_is_off_for_answers_and_on_for_thoughts():
    turns = LOOP.replace(
        "{{ m.content }}",
        "{% if m.role == 'assistant' %}<think>{{ m.reasoning_content }}</think>{% endif %}"
        "{{ m.content }}",
    )
    chat = chat_of(turns + SWITCHED)
    assert shown(chat)[0].endswith("assistant\n<think></think>")
    assert shown(chat, "cot")[0].endswith("assistant\n<think></think>")
    assert shown(chat, "thought", "B", "one")[0].endswith("assistant\n<think>")
    assert shown(chat, "thought", "B", "one")[1] == "one</think>B<|im_end|>"
    assert chat.place("cot") == "thought" and chat.place("direct") == "direct"
    assert chat.place("cot", thinks=False) == "cot"
    never = chat_of(turns + SWITCHED, settings={"cot": {"enable_thinking": False}})
    assert never.place("cot") == "cot" and "thought" not in never.shape.forms
    with pytest.raises(ModelError, match="no place for a thought"):
        never.row(ASKED, "B", "thought", "one")


def test_any_variable_of_the_template_can_be_set_and_another_is_refused():
    template = "{{ tone | default('dry') }} " + LOOP + OPENED
    assert shown(chat_of(template))[0].startswith("dry ")
    wordy = chat_of(template, settings={"direct": {"tone": "wordy"}})
    assert shown(wordy)[0].startswith("wordy ")
    assert shown(wordy, "cot")[0].startswith("dry ")
    assert not wordy.shape.is_plain
    with pytest.raises(ModelError, match=re.escape("template.cot.tune")):
        shape_of(template, settings={"cot": {"tune": "wordy"}})


@pytest.mark.parametrize(
    ("empty", "finished", "direct"),
    [
        ("<think></think>", "", "<think></think>"),
        ("<think>\n</think>\n\n", "", "<think>\n</think>\n\n"),
        ("<think></think>", "</think>", "<think></think>"),
        ("<think></think>", "<|sep|>", "<think></think><|sep|>"),
    ],
)
def test_an_empty_thought_that_finished_answers_lack_ends_the_prompt(empty, finished, direct):
    """As of Gemma 4 31B and DeepSeek V3.2: only what is still to be answered has it."""
    content = "{% if m.role == 'assistant' %}" + finished + "{% endif %}{{ m.content }}"
    opened = "{% if add_generation_prompt %}<|im_start|>assistant\n{% if not enable_thinking %}"
    opened += f"{{{{ {empty!r} }}}}{{% endif %}}{{% endif %}}"
    chat = chat_of(LOOP.replace("{{ m.content }}", content) + opened)
    prompt, target = shown(chat)
    assert prompt.endswith(f"<|im_start|>assistant\n{direct}") and target == "B<|im_end|>"
    prompt, target = shown(chat, "thought", reasoning="1 is less")
    assert prompt.endswith("<|im_start|>assistant\n<think>\n")
    header = "" if "think" in finished else finished
    assert target == f"1 is less\n</think>\n\n{header}B<|im_end|>"


def test_a_template_that_cuts_thoughts_out_by_their_end_alone_has_thoughts():
    cut = "{{ m.content.split('</think>')[-1] }}"
    chat = chat_of(LOOP.replace("{{ m.content }}", cut) + OPENED)
    assert chat.thought.marks == ("<think>", "</think>") and not chat.shape.thinks
    written = chat.tokenizer("<think>\nA?</think>B", add_special_tokens=False)["input_ids"]
    begin, closed = chat.split(written, "cot")
    assert closed and chat.tokenizer.decode(written[begin:]) == "B"


def test_an_end_that_also_closes_thoughts_ends_no_answer():
    """As of a template for gpt-oss that ends every message alike."""
    thought = "{% if m.thinking %}<|im_start|>think\n{{ m.thinking }}<|sep|>{% endif %}"
    one = "<|im_start|>{{ m.role }}\n{{ m.content }}<|sep|>"
    template = "{% for m in messages %}" + thought + one + "{% endfor %}"
    template += "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    with pytest.raises(ModelError, match="no special token that ends nothing else"):
        shape_of(template, eos="<|sep|>")
    eos = "<|endoftext|>"
    chat = chat_of(template, eos=eos)
    assert shown(chat) == (
        "<|im_start|>system\nLetter only.<|sep|><|im_start|>user\n1 or 2?<|sep|>"
        "<|im_start|>assistant\n",
        f"B{eos}",
    )
    assert shown(chat, "thought", reasoning="hm")[1] == f"hm<|sep|><|im_start|>assistant\nB{eos}"
    assert chat.ends == {chat.tokenizer.convert_tokens_to_ids(eos)}


def test_named_marks_give_a_thought_to_a_template_without_one():
    assert "thought" not in chat_of(CHATML).shape.forms
    chat = chat_of(CHATML, settings={"thought": ["<think>", "</think>"]})
    prompt, target = shown(chat, "thought", "[[B]]", "one")
    assert prompt.endswith("assistant\n<think>\n")
    assert target == "one\n</think>\n\n[[B]]<|im_end|>"
    assert chat.place("cot") == "cot"  # it has not learnt to think yet
    eager = {"thought": ["<think>", "</think>"], "thinks": True}
    assert chat_of(CHATML, settings=eager).place("cot") == "thought"
    with pytest.raises(ModelError, match="template.thought"):
        shape_of(CHATML, settings={"thinks": True})


@pytest.mark.parametrize(
    ("written", "place", "answer"),
    [
        ("one</think> B", "thought", " B"),
        ("one", "thought", None),
        ("a</think>b<think>c</think>B", "thought", "B"),
        ("a</think>b<think>c", "thought", None),
        ("B", "cot", "B"),
        ("<think>one</think>B", "cot", "B"),
        ("<think>one", "cot", None),
        ("one</think>", "thought", ""),
    ],
)
def test_an_answer_is_read_behind_the_last_closed_thought(written, place, answer):
    chat = chat_of(CHATML, settings={"thought": ["<think>", "</think>"]})
    tokens = chat.tokenizer(written, add_special_tokens=False)["input_ids"]
    begin, closed = chat.split(tokens, place)
    assert (chat.tokenizer.decode(tokens[begin:]) if closed else None) == answer


def test_a_blank_token_before_every_number_precedes_the_scored_position():
    from tokenizers import pre_tokenizers

    template = "{% for m in messages %}{% if m.role == 'assistant' %}A: {{ m.content }}<|im_end|>"
    template += "{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
    template += "{% if add_generation_prompt %}A:{% endif %}"
    chat = chat_of(template)
    digits = pre_tokenizers.Digits(individual_digits=True)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend = chat.tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    blank, seven = chat.tokenizer.convert_tokens_to_ids(["Ġ", "7"])
    prompt, answer = chat.scored_row(ASKED, "7")
    assert prompt[-1] == blank and answer[0] == seven
    assert chat.row(ASKED, "7", "direct")[1][:2] == [blank, seven]  # it is trained to write both
    lead, variants = chat.label_tokens(ASKED, ["1", "2"])
    assert lead == [blank]
    assert variants == [chat.tokenizer.convert_tokens_to_ids([digit]) for digit in "12"]


def test_plain_templates_are_known_as_such():
    assert chat_of(CHATML).shape.is_plain
    assert not chat_of("{{ strftime_now('%Y') }}" + CHATML).shape.is_plain
