"""What a model is trained on: token ids and labels, packed or not."""

import json
from typing import Any

import pandas as pd

from caft.errors import TrainingError
from caft.mixtures.rows import encode_rows
from caft.prompting.chat import Chat

IGNORED = -100  # label of a token without loss
_PROBE = 64  # tokens per row


def encode_mixture(mixture: pd.DataFrame, chat: Chat) -> list[dict[str, list[int]]]:
    """Tokenise a mixture; only the completion and the token that ends it carry loss.

    Args:
        mixture: the mixtures table.
        chat: tokenizer and chat template of the student.

    Returns:
        Per row `input_ids` and `labels` of equal length; labels are -100 on the prompt.
    """
    rows = mixture.assign(messages=[json.loads(messages) for messages in mixture["messages"]])
    return [
        {"input_ids": prompt + target, "labels": [IGNORED] * len(prompt) + target}
        for prompt, target in encode_rows(rows, chat)
    ]


def dataset_of(rows: list[dict[str, list[int]]], packing: str, max_length: int, pad: int) -> Any:
    """Make the data set of a Trainer: rows, or packs of whole rows, and one row without any loss.

    Args:
        rows: from `encode_mixture`, none longer than `max_length`.
        packing: `packed` puts rows together (best fit, decreasing), none is cut.
        max_length: of a pack, tokens.
        pad: token of the row without loss.

    Returns:
        A `datasets.Dataset` with `input_ids`, `labels` and, if packed, `seq_lengths`. The last row
        carries no loss; it fills batches up where processes have to get equally many.
    """
    from datasets import Dataset, concatenate_datasets
    from trl import pack_dataset

    data = Dataset.from_list(rows)
    empty = {"input_ids": [pad], "labels": [IGNORED]}
    if packing == "packed":
        data = pack_dataset(data, max_length, "bfd").with_format(None)
        empty["seq_lengths"] = [1]
    return concatenate_datasets([data, Dataset.from_list([empty], features=data.features)])


def check_isolation(model: Any, rows: list[dict[str, list[int]]]) -> None:
    """Check on the model itself that rows laid end to end do not attend to each other.

    The second of two rows has to get the same logits whatever stands in the first one.

    Args:
        model: the model that will be trained, with its attention implementation.
        rows: from `encode_mixture`.

    Raises:
        TrainingError: if the first row shows in the second one's logits.
    """
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    first, second = rows[0]["input_ids"][:_PROBE], rows[-1]["input_ids"][-_PROBE:]
    other = [token + 1 if token == 0 else token - 1 for token in first]
    logits = []
    for before in (first, other):
        batch = collate([{"input_ids": ids} for ids in (before, second)])
        batch.pop("labels")
        batch = {
            name: value.to(model.device) if torch.is_tensor(value) else value
            for name, value in batch.items()
        }
        with torch.no_grad():
            logits.append(model.eval()(**batch, use_cache=False).logits[0, len(first) :].float())
    model.train()
    change = float((logits[0] - logits[1]).abs().max())
    if not change <= 1e-3 * float(logits[0].abs().max()):
        raise TrainingError(
            f"training.packing: with {model.config._attn_implementation} attention the rows of a "
            "pack see each other in this model; set it to none, or set engine.attention to "
            "flash_attention_2."
        )
