import pytest
from stages import mixture_of
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from caft.training import encode_mixture
from caft.training.steps import count_parts, lengths_of, parts_of

NINE = [9, 8, 8, 7, 5, 4, 2, 2, 1]


@pytest.mark.parametrize(
    ("tokens", "padded", "parts"),
    [
        (81, True, 1),
        (80, True, 2),  # 4 x 9 and 5 x 5
        (36, True, 2),
        (35, True, 3),
        (46, False, 1),
        (32, False, 2),
        (1, True, 9),  # a row that is longer than that is computed alone
    ],
)
def test_rows_are_cut_into_as_few_equal_parts_as_fit(tokens, padded, parts):
    assert count_parts(NINE, tokens, padded) == parts


def test_a_step_of_one_row_has_one_part():
    assert count_parts([50], 10, True) == 1


@pytest.fixture(params=[True, False], ids=["end to end", "padded"])
def collate(request):
    return DataCollatorForLanguageModeling(pad_token_id=0, padding_free=request.param)


def test_parts_are_what_the_collator_makes_of_their_rows(chat, collate):
    rows = sorted(
        encode_mixture(mixture_of(range(7)), chat), key=lambda row: -len(row["input_ids"])
    )
    batch = collate(rows)
    lengths = lengths_of(batch)
    assert lengths == [len(row["input_ids"]) for row in rows]
    for part, own in zip(parts_of(batch, lengths, 3), (rows[:2], rows[2:4], rows[4:]), strict=True):
        expected = collate(own)
        assert set(part) == set(expected)
        for name, value in expected.items():
            same = part[name] == value
            assert same if isinstance(same, bool) else same.all(), name


def test_parts_without_rows_carry_no_loss(chat, collate):
    batch = collate(encode_mixture(mixture_of(range(2)), chat))
    parts = parts_of(batch, lengths_of(batch), 5)
    losses = [(part["labels"] != -100).any().item() for part in parts]
    assert losses.count(True) == 2 and losses.count(False) == 3
