"""Check the scoring engine against a row-by-row float64 computation on items of your own.

    python benchmarks/scoring/agreement.py --items data/items/NAME.parquet --count 100

Prints the largest difference of the entropies in nats and the share of items with the same argmax.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
import yaml
from transformers import AutoModelForCausalLM

from caft.complexity.forward import score_items
from caft.prompting.asked import Asked
from caft.prompting.chat import Chat
from caft.prompting.settings import Prompt
from caft.students.folders import load_model, load_tokenizer
from caft.students.opened import Loaded
from caft.tables import parquet


def compare_with_row_by_row(items: pd.DataFrame, student: Path, variant: Prompt) -> pd.DataFrame:
    """Compare batched float32 entropies with a plain computation of the same definition.

    Args:
        items: the items table.
        student: model folder.
        variant: prompt variant.

    Returns:
        Per item: entropy, reference (nats), difference (absolute), same_argmax.
    """
    tokenizer = load_tokenizer(student)
    prompts = Asked(items, variant, 1).prompts("direct")
    loaded = Loaded(load_model(student), Chat(tokenizer))
    scores = pd.DataFrame(score_items(prompts, loaded))
    plain = AutoModelForCausalLM.from_pretrained(
        student, dtype=torch.float32, trust_remote_code=False
    ).eval()
    reference, argmax = [], []
    for messages in prompts.messages:
        with torch.inference_mode():
            logits = plain(torch.tensor([Chat(tokenizer).prompt(messages, "direct")])).logits[0, -1]
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


def main() -> None:
    """Run the comparison and print the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--student", type=Path, default=Path("data/models/smollm2-135m"))
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    settings = parser.parse_args()
    variant = Prompt.model_validate(
        yaml.safe_load(Path("config.yaml").read_text())["prompts"]["letters"]
    )
    items = parquet.read("items", settings.items).head(settings.count)
    table = compare_with_row_by_row(items, settings.student, variant)
    print(f"{len(table)} items: max |dh| {table['difference'].max():.1e} nats,", end=" ")
    print(f"same argmax on {table['same_argmax'].sum()}")


if __name__ == "__main__":
    main()
