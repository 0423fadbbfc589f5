"""What a model is asked: items in the words of a prompt variant."""

from dataclasses import dataclass, replace

import pandas as pd

from caft.prompting.prompts import Messages, all_messages
from caft.prompting.settings import Prompt


@dataclass(frozen=True)
class Asked:
    """Items, and the words they are put in.

    Attributes:
        items: the items table, whole: few-shot examples come from its training split.
        variant: a prompt variant of the config.
        seed: of the few-shot draw, and of all else that is drawn for the items.
    """

    items: pd.DataFrame
    variant: Prompt
    seed: int

    def prompts(self, mode: str) -> "Prompts":
        """Render every item's prompt in a mode, `direct` or `cot`."""
        messages = all_messages(self.items, self.variant, mode, self.seed)
        return Prompts(self.items, messages, self.variant, self.seed)

    def of_split(self, split: str, mode: str) -> "Prompts":
        """Return the prompts in a mode of the items of one split."""
        chosen = (self.items["split"] == split).to_numpy().nonzero()[0].tolist()
        return self.prompts(mode).part(chosen)


@dataclass(frozen=True)
class Prompts:
    """Items with the prompts that ask for them; `variant` and `seed` as in `Asked`.

    Attributes:
        items: rows of the items table.
        messages: a prompt per item, in their order.
    """

    items: pd.DataFrame
    messages: list[Messages]
    variant: Prompt
    seed: int

    def part(self, positions: list[int]) -> "Prompts":
        """Return the items at some positions with the prompts they have among all."""
        chosen = [self.messages[position] for position in positions]
        return replace(self, items=self.items.iloc[positions], messages=chosen)


def joined(parts: list[Prompts]) -> Prompts:
    """Put parts of the same prompts together, one at least."""
    return replace(
        parts[0],
        items=pd.concat([part.items for part in parts]),
        messages=[turns for part in parts for turns in part.messages],
    )
