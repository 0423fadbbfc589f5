"""What texts share at their beginning is read once, and says what each text alone says."""

import pytest
import torch
from test_families import FAMILIES, PADDED, TOKENS, built

from caft.complexity.forward import Row, answer_logits, token_batches
from caft.students import reading

BEGINNING = 70  # tokens, more than a sliding window, and at most what the positions allow


def texts(ends, beginning=BEGINNING):
    generator = torch.Generator().manual_seed(2)

    def drawn(count):
        return torch.randint(3, TOKENS, (count,), generator=generator).tolist()

    start = drawn(beginning)
    return [start + drawn(count) for count in ends]


def rows_of(texts):
    return [Row(n, text, len(text) - 2, text[-2:], None, 0) for n, text in enumerate(texts)]


def widths(model):
    """Note the tokens of each pass."""
    seen = []
    model.register_forward_pre_hook(
        lambda _, __, given: seen.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    return seen


@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
def test_each_text_is_scored_as_alone_where_all_begin_alike(family):
    model, asked = built(family), texts([5, 2, 11])
    alone = [
        model(input_ids=torch.tensor([text]), use_cache=False).logits[0, -2:] for text in asked
    ]
    passes = widths(model)
    found = answer_logits(model, rows_of(asked), 0)
    once = [(1, BEGINNING), (3, 11)]
    assert passes == (once if family in PADDED else [(3, BEGINNING + 11)])
    for logits, plain in zip(found, alone, strict=True):
        assert torch.allclose(logits, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


@torch.inference_mode()
def test_what_was_read_for_a_batch_is_read_again_for_none_that_begins_so():
    model, beginning = built("Gemma3Text"), reading.Beginning()
    first, second = texts([5, 2]), texts([6, 9])  # of one beginning
    other = [[*text[::-1], 7, 8, 9] for text in texts([0, 0])]
    fresh = [answer_logits(model, rows_of(asked), 0) for asked in (first, second, other)]
    passes = widths(model)
    found = [answer_logits(model, rows_of(asked), 0, beginning) for asked in (first, second, other)]
    assert [rows for rows, _ in passes] == [1, 2, 2, 1, 2]
    for batch, alone in zip(found, fresh, strict=True):
        for logits, plain in zip(batch, alone, strict=True):
            assert torch.allclose(logits, plain, rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_a_beginning_that_was_read_in_part_counts_as_unread():
    model, beginning, asked = built("Llama"), reading.Beginning(), texts([5, 2])
    fresh = answer_logits(model, rows_of(asked), 0)

    def short(*_):
        raise RuntimeError("out of memory")

    handle = model.model.layers[2].register_forward_pre_hook(short)
    with pytest.raises(RuntimeError):
        answer_logits(model, rows_of(asked), 0, beginning)
    handle.remove()
    found = answer_logits(model, rows_of(asked), 0, beginning)
    for logits, plain in zip(found, fresh, strict=True):
        assert torch.allclose(logits, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("ends", "beginning", "shared"),
    [
        ([5, 9], 70, 70),
        ([5, 9], 63, 0),  # too short
        ([5, 80], 70, 0),  # not the greater part of the longest
        ([0, 9], 70, 68),  # the positions that are wanted are behind it
    ],
)
def test_a_beginning_is_read_once_where_it_pays(ends, beginning, shared):
    rows = rows_of(texts(ends, beginning))
    assert reading.shared([row.tokens for row in rows], [row.first for row in rows]) == shared


def test_rows_that_begin_alike_are_batches_of_their_own():
    one, other, loose = texts([5, 9, 4] * 3), texts([3] * 8, 71), texts([30, 20], 0)
    rows = rows_of([*one, *other, *loose])
    batches = list(token_batches(rows, 60, shares=True))
    beginnings = [{tuple(row.tokens[:64]) for row in batch} for batch in batches]
    assert [len(found) for found in beginnings[:-1]] == [1] * (len(batches) - 1)
    assert sorted(row.index for batch in batches for row in batch) == list(range(len(rows)))
    assert {row.index for row in batches[-1]} == {17, 18}
    assert [len(batch) for batch in token_batches(rows, 60)] == [2, *[1] * 17]


def test_a_few_rows_that_begin_alike_stay_with_the_others():
    rows = rows_of([*texts([5, 9]), *texts([30, 20], 0)])
    batches = [len(batch) for batch in token_batches(rows, 32768, shares=True)]
    assert batches == [len(batch) for batch in token_batches(rows, 32768)]
