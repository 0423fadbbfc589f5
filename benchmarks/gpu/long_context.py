"""A model whose positions switch with the length (LongRoPE, as Phi-4-mini), across the switch."""

from typing import Any

from machine import Machine

EXPECTED: dict[str, Any] = {"off by": "1e-4 in float32"}


def check(machine: Machine) -> dict[str, Any]:
    """Compare what was decoded behind the switch with one pass over the very same tokens."""
    import torch
    from tiny import CHATML, build_tokenizer, save_student
    from transformers import Phi3Config, Phi3ForCausalLM

    from caft.complexity.generations import token_statistics
    from caft.prompting.chat import Chat
    from caft.students.folders import load_model
    from caft.students.generation import Decoding, generate

    switch, half = machine.size(4096, 64), 16
    specials = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer = build_tokenizer(CHATML, specials, eos_token="<|im_end|>", pad_token="<|pad|>")
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * half,
        "long_factor": [1.0 + place for place in range(half)],
        "original_max_position_embeddings": switch,
        "partial_rotary_factor": 1.0,
    }
    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8 * switch,
        original_max_position_embeddings=switch,
        rope_parameters=rope,
        initializer_range=0.2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    folder = save_student(Phi3ForCausalLM(config), tokenizer, machine.folder / "phi")
    chat, model = Chat(tokenizer), load_model(folder, "float32", machine.device)
    turns = [{"role": "user", "content": "so on " * (switch // 8)}]
    decoding = Decoding(switch, batch_size=2)
    prompts = [turns, [{"role": "user", "content": "short"}]]
    answers = [
        answer
        for batch in generate(model, chat, prompts, decoding, token_statistics)
        for answer in batch
    ]
    first = next(answer for answer in answers if answer.index == 0)
    ids = chat.prompt(turns, "direct")
    with torch.inference_mode():
        whole = torch.tensor([ids + first.tokens], device=model.device)
        logs = model(input_ids=whole, use_cache=False).logits[0].float().log_softmax(-1)
    crossed = [place for place in range(len(first.tokens)) if len(ids) + place > switch]
    apart = max(
        abs(first.measured[place][1] - float(logs[len(ids) + place - 1, first.tokens[place]]))
        for place in crossed
    )
    assert apart < 1e-3, apart
    return {"tokens behind the switch": len(crossed), "off by": f"{apart:.1e}"}
