"""An independent check of the scoring engine: one row at a time, full logits, float64 softmax."""

from pathlib import Path
from typing import Any

import pandas as pd

from caft.complexity.forward import score_items
from caft.prompting.chat import encode_prompt
from caft.prompting.prompts import all_messages
from caft.students.folders import load_model, load_tokenizer


def compare_with_row_by_row(
    items: pd.DataFrame, student: Path, variant: dict[str, Any]
) -> pd.DataFrame:
    """Compare batched float32 entropies with a plain computation of the same definition.

    Args:
        items: the items table.
        student: model folder.
        variant: prompt variant.

    Returns:
        Per item: entropy, reference (nats), difference (absolute), same_argmax.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = load_tokenizer(student)
    scores = score_items(items, load_model(student), tokenizer, variant, 1, 1 << 20)
    plain = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32).eval()
    reference, argmax = [], []
    for messages in all_messages(items, variant, "direct", 1):
        with torch.inference_mode():
            logits = plain(torch.tensor([encode_prompt(tokenizer, messages)])).logits[0, -1]
        p = logits.double().softmax(-1)
        reference.append(float(-(p * p.clamp_min(1e-300).log()).sum()))
        argmax.append(int(logits.argmax()))
    entropy = scores["single_token_entropy"].to_numpy()
    return pd.DataFrame(
        {
            "item_id": items["item_id"].to_numpy(),
            "entropy": entropy,
            "reference": reference,
            "difference": abs(entropy - reference),
            "same_argmax": scores["answer_token"].to_numpy() == argmax,
        }
    )
