"""Prompts of stored answers whose endpoint did not tell how long they were."""

import json
from collections.abc import Collection, Sequence

import pandas as pd

from caft.prompting.prompts import Messages
from caft.prompting.tokens import TokenCounter
from caft.store import Store


class StoredPrompts:
    """Counts the prompts of stored answers whose endpoint did not; each is counted once."""

    def __init__(self, store: Store, counter: TokenCounter | None = None, longest: int = 0):
        """Name what counts.

        Args:
            store: of the answers.
            counter: of tokens; without one a byte counts as a token, which is the most it can be.
            longest: the least that a prompt counts whose request cannot be read.
        """
        self.store, self.counter, self.longest = store, counter, longest
        self._counts: dict[str, int] = {}

    def of(self, keys: Collection[str]) -> dict[str, int]:
        """Return the tokens of the prompts that can be read, by key."""
        self._count(set(keys) - self._counts.keys())
        return self._counts

    def _count(self, keys: set[str]) -> None:
        for batch in self.store.batches(keys):
            asked = {record["key"]: _messages_in(record["request"]) for record in batch}
            found = {key: messages for key, messages in asked.items() if messages}
            counts = self.counter.prompts if self.counter else _bytes_of
            self._counts |= zip(found, counts(list(found.values())), strict=True)


def _messages_in(request: str | None) -> Messages | None:
    try:
        messages = json.loads(request or "{}").get("messages")
        return messages if all(isinstance(one["content"], str) for one in messages) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def all_counted(known: pd.Series, keys: pd.Series, prompts: StoredPrompts) -> pd.Series:
    """Return prompt tokens with those that were unknown: counted, else as many as the longest."""
    counted = keys.map(prompts.of(keys)).astype(float)
    filled = known.fillna(counted)
    return filled.fillna(max(prompts.longest, filled.fillna(0).max()))


def _bytes_of(prompts: Sequence[Messages]) -> list[int]:
    return [len(json.dumps(messages).encode()) for messages in prompts]
