"""Checks that need a GPU; elsewhere they are skipped."""

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def questions():
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "item_id": f"{number:016x}",
                "question": f"Which is {number}?",
                "options": ["one", "two", "three", "four"][: 2 + number % 3],
                "answer": "A",
                "answer_kind": "choice",
                "reference_rationale": None,
                "split": "train",
            }
            for number in range(32)
        ]
    )


def scored(student, model, letters):
    import pandas as pd

    from caft.complexity.forward import score_items
    from caft.prompting.asked import Asked
    from caft.students.folders import load_chat
    from caft.students.opened import Loaded

    prompts = Asked(questions(), letters, 1).prompts("direct")
    return pd.DataFrame(score_items(prompts, Loaded(model, load_chat(student), 512)))


def test_bfloat16_scores_on_a_gpu_are_near_float32_on_the_cpu(student, letters):
    from caft.students.folders import load_model

    slow = scored(student, load_model(student), letters)
    fast = scored(student, load_model(student, "bfloat16", "cuda"), letters)
    difference = (slow["single_token_entropy"] - fast["single_token_entropy"]).abs()
    assert difference.max() < 0.2
    assert set(fast["status"]) == {"ok"}


def test_float32_scores_on_a_gpu_equal_those_on_the_cpu(student, letters):
    from caft.students.folders import load_model

    slow = scored(student, load_model(student), letters)
    fast = scored(student, load_model(student, device="cuda"), letters)
    difference = (slow["single_token_entropy"] - fast["single_token_entropy"]).abs()
    assert difference.max() < 1e-3


def test_work_on_a_gpu_takes_energy():
    from caft.running.meter import Meter

    meter = Meter("cuda")
    square = torch.randn(4096, 4096, device="cuda")
    for _ in range(500):
        square = (square @ square).clamp(-1, 1)
    torch.cuda.synchronize()
    energy = meter.amounts["energy_wh"]
    if energy is None:
        pytest.skip("the driver does not report the energy of this GPU")
    assert 0 < energy < 10


def random_model(**rope):
    """A random model on the GPU, in float32."""
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
        **rope,
    )
    return Phi3ForCausalLM(config).to("cuda").eval()


def turning_model():
    """A random model whose positions turn behind 64 tokens, as those of Phi-4-mini behind 4,096."""
    turn = {"original_max_position_embeddings": 64}
    factors = {"short_factor": [1.0] * 8, "long_factor": [1.0 + 3 * n for n in range(8)]}
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    return random_model(rope_parameters={**rope, **turn, **factors, "factor": 8.0}, **turn)


def written(model, prompts, rows, longest=40, measure=None):
    from caft.students.decoder import Decoder, Text

    def is_done(new):
        return len(new) >= longest - new[0] % 7

    decoder = Decoder(model, 0, is_done, longest, rows, measure)
    done = [text for part in decoder.write(map(Text, range(99), prompts)) for text in part]
    return sorted(done, key=lambda text: text.index)


def prompts_of(lengths):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 200, (n,), generator=generator).tolist() for n in lengths]


def last_logits(model, batch):
    from caft.complexity.forward import answer_logits

    return [logits[0].cpu() for logits in answer_logits(model, batch, 0)]


def rows_of(lengths):
    from caft.complexity.forward import Row

    texts = enumerate(prompts_of(lengths))
    return [Row(index, text, len(text) - 1, [], [[3], [4]], 0) for index, text in texts]


def test_texts_across_the_length_where_positions_turn_are_those_of_the_whole_text():
    from caft.complexity.generations import token_statistics

    model = turning_model()
    for one in written(model, prompts_of([50, 60, 64, 20, 90]), 3, measure=token_statistics):
        for place, (token, (_, log_prob, _)) in enumerate(zip(one.new, one.measured, strict=True)):
            text = torch.tensor([one.prompt + one.new[:place]], device="cuda")
            with torch.inference_mode():
                expected = model(input_ids=text).logits[0, -1].log_softmax(-1)
            assert float(expected[token]) == pytest.approx(log_prob, abs=1e-3)


def test_scores_on_both_sides_of_that_length_are_those_of_each_text_alone():
    model, rows = turning_model(), rows_of([64, 20, 65, 90, 40])
    for row, logits in zip(rows, last_logits(model, rows), strict=True):
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([row.tokens], device="cuda")).logits[0, -1]
        assert torch.allclose(logits, alone.cpu(), atol=1e-3)


def test_texts_that_join_are_written_as_each_alone():
    model, prompts = random_model(), prompts_of([5 + 3 * n for n in range(20)])
    alone = [written(model, [prompt], 1)[0].new for prompt in prompts]
    assert [one.new for one in written(model, prompts, 6)] == alone


def test_an_out_of_memory_halves_the_rows_and_changes_no_text(monkeypatch):
    from caft.students import decoder

    model, prompts = random_model(), prompts_of([900] * 48)
    expected = [one.new for one in written(model, prompts, 2, longest=8)]
    monkeypatch.setattr(decoder.memory, "cached_tokens", lambda *_: 10**9)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    begun = []
    begin_again = decoder.Decoder._begin_again

    def count(self, waiting):
        begun.append(len(self.rows))
        return begin_again(self, waiting)

    monkeypatch.setattr(decoder.Decoder, "_begin_again", count)
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 6e7) / total)
    try:
        found = [one.new for one in written(model, prompts, 48, longest=8)]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert begun and found == expected


def test_an_out_of_memory_halves_the_batches_of_scores_and_changes_none():
    from caft.complexity.forward import batches_that_fit

    model, rows = random_model(), rows_of([500 + n % 5 for n in range(256)])
    expected = [last_logits(model, [row])[0] for row in rows]
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_allocated() + 6e7) / total)
    try:
        found = list(batches_that_fit(rows, 10**6, lambda batch: last_logits(model, batch)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 1 < len(found) < 256
    for batch, scored in found:
        for row, logits in zip(batch, scored, strict=True):
            assert torch.allclose(logits, expected[row.index], atol=1e-3)


def test_the_cache_is_bounded_by_the_free_memory():
    from caft.students import memory
    from caft.students.readers import bytes_per_token

    model = random_model()
    free, _ = torch.cuda.mem_get_info()
    tokens = memory.cached_tokens(model, bytes_per_token(model))
    assert 0.5 * free < tokens * bytes_per_token(model) < free


def test_scores_on_a_gpu_do_not_depend_on_the_batches(student, letters):
    from caft.complexity.forward import score_items
    from caft.prompting.asked import Asked
    from caft.students.folders import load_chat, load_model
    from caft.students.opened import Loaded

    loaded = Loaded(load_model(student, device="cuda"), load_chat(student), 512)
    prompts = Asked(questions(), letters, 1).prompts("direct")
    one, many = (score_items(prompts, loaded, budget) for budget in (1, 32768))
    for row, other in zip(one, many, strict=True):
        entropies = row["single_token_entropy"], other["single_token_entropy"]
        assert entropies[0] == pytest.approx(entropies[1], abs=1e-3)
