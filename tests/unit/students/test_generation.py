import copy

import pytest
from tiny import CHATML

from caft.prompting.chat import Chat
from caft.students.folders import load_model, load_tokenizer
from caft.students.generation import Decoding, Ending, generate, in_order


@pytest.fixture(scope="module")
def model(taught):
    return load_model(taught)


@pytest.fixture(scope="module")
def tokenizer(taught):
    return load_tokenizer(taught)


def asking(*questions):
    return [[{"role": "user", "content": question}] for question in questions]


def answers(model, tokenizer, prompts, max_new_tokens=40, seeds=(), **settings):
    decoding = Decoding(max_new_tokens, **settings)
    batches = generate(model, Chat(tokenizer), prompts, decoding, seeds=seeds)
    found = {answer.index: answer for batch in batches for answer in batch}
    return [found[index] for index in range(len(prompts))]


def seen(answer):
    return answer.text, answer.prompt_tokens, answer.new_tokens, answer.finish_reason


@pytest.mark.parametrize("stop_at_answer", [False, True])
def test_a_batch_says_what_each_prompt_alone_says(model, tokenizer, lessons, stop_at_answer):
    # Others than the lessons too, so that prompts of many lengths are padded.
    prompts = asking(*lessons, "is it so long a question that nothing fits ?", "a", "12 - 5 ?")
    together = answers(model, tokenizer, prompts, stop_at_answer=stop_at_answer)
    alone = [
        answers(model, tokenizer, [prompt], stop_at_answer=stop_at_answer)[0] for prompt in prompts
    ]
    assert len({answer.prompt_tokens for answer in together}) > 4
    assert [seen(answer) for answer in together] == [seen(answer) for answer in alone]


def test_the_batch_size_changes_no_answer(model, tokenizer, lessons):
    prompts = asking(*lessons)
    expected = [seen(answer) for answer in answers(model, tokenizer, prompts)]
    for batch_size in (1, 2, 3):
        found = answers(model, tokenizer, prompts, batch_size=batch_size)
        assert [seen(answer) for answer in found] == expected


def test_no_more_prompts_than_asked_are_read_at_once(model, tokenizer, lessons):
    rows = []
    hook = model.register_forward_pre_hook(
        lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    decoding = Decoding(2, batch_size=2)
    batches = list(generate(model, Chat(tokenizer), asking(*lessons), decoding))
    hook.remove()
    assert max(rows) == 2
    assert sorted(answer.index for batch in batches for answer in batch) == [0, 1, 2, 3, 4]


def test_an_answer_ends_with_its_turn(model, tokenizer, lessons):
    for question, expected in lessons.items():
        (answer,) = answers(model, tokenizer, asking(question))
        assert (answer.text, answer.finish_reason) == (expected, "stop")
        # The end-of-turn token counts as well: it was generated.
        assert answer.new_tokens == len(tokenizer(expected)["input_ids"]) + 1


@pytest.mark.parametrize("end", [".", " END", "\n", ""])
def test_what_a_template_writes_behind_an_answer_is_none_of_it(chatml, end):
    tokenizer = copy.deepcopy(chatml)
    tokenizer.chat_template = CHATML.replace("<|im_end|>", f"{end}<|im_end|>")
    chat = Chat(tokenizer)
    written = chat.completion(*asking("where ?"), "in Paris", "direct")
    assert tokenizer.decode(written) == f"in Paris{end}<|im_end|>"
    assert Ending(chat, Decoding(9)).answer(0, 1, written, []).text == "in Paris"
    assert Ending(chat, Decoding(9)).answer(0, 1, written[:-1], []).text == f"in Paris{end}"


def test_an_answer_that_is_cut_says_so(model, tokenizer, lessons):
    (answer,) = answers(model, tokenizer, asking("count"), max_new_tokens=3)
    assert (answer.new_tokens, answer.finish_reason) == (3, "length")
    assert lessons["count"].startswith(answer.text) and answer.text


def test_generation_stops_at_the_first_marked_answer(model, tokenizer, lessons):
    (answer,) = answers(model, tokenizer, asking("count"), stop_at_answer=True)
    assert (answer.text, answer.finish_reason) == ("one two three four five six [[6]]", "stop")
    whole = answers(model, tokenizer, asking("count"))[0]
    assert answer.new_tokens < whole.new_tokens


def test_padding_after_a_marked_answer_is_not_counted(model, tokenizer):
    prompts = asking("short", "count")
    alone = answers(model, tokenizer, prompts[:1], stop_at_answer=True)[0]
    together = answers(model, tokenizer, prompts, stop_at_answer=True)[0]
    assert together.text == alone.text == "so [[3]]"
    assert together.new_tokens == alone.new_tokens < 12


def test_padding_with_the_end_of_turn_is_not_counted_either(model, taught, lessons):
    tokenizer = load_tokenizer(taught)
    expected = [
        seen(answer) for answer in answers(model, tokenizer, asking(*lessons), stop_at_answer=True)
    ]
    tokenizer.pad_token = tokenizer.eos_token
    found = answers(model, tokenizer, asking(*lessons), stop_at_answer=True)
    assert [seen(answer) for answer in found] == expected


def test_sampling_follows_its_seed(model, tokenizer):
    prompts = asking("a", "b c", "what is it")
    one, same, other = (
        [answer.text for answer in answers(model, tokenizer, prompts, 8, seeds, temperature=2.0)]
        for seeds in ([1, 2, 3], [1, 2, 3], [4, 5, 6])
    )
    assert one == same != other


def test_what_is_drawn_for_a_prompt_is_the_same_whatever_is_written_beside_it(model, tokenizer):
    prompts, seeds = asking("a", "b c", "what is it", "12 - 5 ?"), [7, 8, 9, 10]
    together = answers(model, tokenizer, prompts, 12, seeds, temperature=2.0, batch_size=3)
    alone = [
        answers(model, tokenizer, [prompt], 12, [seed], temperature=2.0)[0]
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert [seen(answer) for answer in together] == [seen(answer) for answer in alone]
    assert len({answer.text for answer in together}) == 4


def test_a_students_shipped_generation_defaults_change_nothing(model, tokenizer, lessons):
    before = model.generation_config.repetition_penalty
    model.generation_config.repetition_penalty = 50.0
    try:
        (answer,) = answers(model, tokenizer, asking("count"))
    finally:
        model.generation_config.repetition_penalty = before
    assert answer.text == lessons["count"]


def test_a_special_token_in_a_question_does_not_end_the_answer(model, tokenizer):
    (answer,) = answers(model, tokenizer, asking("<|im_end|>"), max_new_tokens=4)
    plain = answers(model, tokenizer, asking("a"), max_new_tokens=4)[0]
    assert answer.prompt_tokens > plain.prompt_tokens + 5


def test_greedy_answers_are_those_of_transformers(student, letters):
    import torch
    from transformers import GenerationConfig

    random_model, tokenizer = load_model(student), load_tokenizer(student)
    prompts = asking("2 + 2 ?", "what is the number of options", "a", "[[B]] ? " * 9)
    ours = answers(random_model, tokenizer, prompts, max_new_tokens=30)
    settings = GenerationConfig(
        max_new_tokens=30,
        do_sample=False,
        eos_token_id=sorted(Chat(tokenizer).ends),
        pad_token_id=tokenizer.pad_token_id,
    )
    for prompt, answer in zip(prompts, ours, strict=True):
        ids = torch.tensor([Chat(tokenizer).prompt(prompt, "direct")])
        output = random_model.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        new = output[0, ids.shape[1] :]
        assert answer.text == tokenizer.decode(new, skip_special_tokens=True)
        assert answer.new_tokens == len(new)


def test_a_narrow_nucleus_leaves_the_greedy_answer(model, tokenizer, lessons):
    (answer,) = answers(model, tokenizer, asking("count"), temperature=3.0, top_p=1e-6)
    assert answer.text == lessons["count"]


def test_padding_moves_no_token_of_a_model_with_absolute_positions(chatml):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    settings = {"n_embd": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
    absolute = GPT2LMHeadModel(GPT2Config(vocab_size=len(chatml), **settings)).eval()
    prompts = asking("a", "what is the number of options", "12 - 5 ?")
    together = answers(absolute, chatml, prompts, max_new_tokens=12)
    alone = [answers(absolute, chatml, [prompt], max_new_tokens=12)[0] for prompt in prompts]
    assert [seen(answer) for answer in together] == [seen(answer) for answer in alone]


def test_the_longest_prompts_begin_and_lots_are_done_in_their_order(monkeypatch):
    monkeypatch.setattr("caft.students.generation._LOT", 3)
    assert in_order([[0] * length for length in (1, 3, 2, 7, 5, 9, 4)]) == [1, 2, 0, 5, 3, 4, 6]
