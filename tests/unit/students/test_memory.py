"""Too little memory: work goes on with half as much, and says the same."""

from types import SimpleNamespace

import pytest
import torch

from caft.complexity.forward import Row, batches_that_fit
from caft.students import memory
from caft.students.decoder import Decoder, Text
from caft.students.readers import bytes_per_token

NEW = 6
PROMPTS = [[3 + n, 5, 7, 11 + n] * (1 + n % 3) for n in range(9)]


class Short:
    """A model's memory holds so many rows at once; more of them are an out-of-memory."""

    def __init__(self, model, rows):
        self.rows, self.seen, self.failed = rows, [], 0
        self.hook = model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, _, __, given):
        rows = len(given["input_ids"])
        cache = given.get("past_key_values")
        known = cache.layers[0].keys if cache is not None else None
        rows = max(rows, 0 if known is None else len(known))
        self.seen.append(rows)
        if rows > self.rows:
            self.failed += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def short(model):
    """Make the model short of memory; it is not after the test."""
    made = []

    def make(rows):
        made.append(Short(model, rows))
        return made[-1]

    yield make
    for one in made:
        one.hook.remove()


def written(model, slots):
    decoder = Decoder(model, 0, lambda new: len(new) == NEW or new[-1] % 7 == 0, NEW, slots)
    done = [text for part in decoder.write(map(Text, range(9), PROMPTS)) for text in part]
    return {text.index: text.new for text in done}


@pytest.mark.parametrize("rows", [1, 3])
def test_half_the_texts_go_on_and_say_the_same(model, short, rows):
    expected = written(model, 8)
    limit = short(rows)
    assert written(model, 8) == expected
    assert 0 < limit.failed <= 3, "what did not fit once is not tried again"
    assert max(limit.seen[limit.seen.index(8) + 1 :]) <= 4


def test_a_single_text_that_does_not_fit_ends_the_job(model, short):
    short(0)
    with pytest.raises(torch.OutOfMemoryError):
        written(model, 8)


def test_another_error_is_none_of_memory(model):
    def fail(*_):
        raise RuntimeError("shapes do not match")

    hook = model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes"):
        written(model, 8)
    hook.remove()


def test_batches_of_scores_are_cut_in_half_from_there_on():
    rows = [Row(n, [1] * 10, 0, [], None, 0) for n in range(12)]
    sizes = []

    def compute(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return [row.index for row in batch]

    found = [index for _, result in batches_that_fit(rows, 80, compute) for index in result]
    assert found == list(range(12))
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2]


def test_a_gpu_holds_as_many_tokens_as_its_free_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (9_000, 20_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2_000)
    on_gpu = SimpleNamespace(device=torch.device("cuda"))
    assert memory.cached_tokens(on_gpu, 100) == 70  # 70% of 10,000 bytes
    on_cpu = SimpleNamespace(device=torch.device("cpu"))
    assert memory.cached_tokens(on_cpu, 100) > 1e9


def test_no_more_texts_are_written_at_once_than_memory_holds(model, short, monkeypatch):
    expected = written(model, 8)
    monkeypatch.setattr(memory, "cached_tokens", lambda model, each: 3 * (12 + NEW))
    limit = short(9)
    assert written(model, 8) == expected
    assert max(limit.seen) == 3


def test_keys_and_values_of_a_token(model):
    config = model.config
    size = config.hidden_size // config.num_attention_heads * config.num_key_value_heads
    assert bytes_per_token(model) == 2 * 4 * size * config.num_hidden_layers
