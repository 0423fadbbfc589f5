"""Count tokens with a student's tokenizer, without loading transformers."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

_BATCH = 512  # texts; encodings are large, counts are kept only
_PER_MESSAGE = 4  # what a chat template adds to a message: role, start and end of the turn


class TokenCounter:
    """Counts the tokens of texts and of chat prompts; equal texts are counted once.

    Another model's tokenizer and template give other numbers: for a teacher these are estimates.
    """

    def __init__(self, folder: Path | str):
        """Name the folder of the tokenizer; it is loaded when something is counted."""
        self.folder = Path(folder)
        self._counts: dict[str, int] = {}
        self._tokenizer: Any = None

    def texts(self, texts: Iterable[str]) -> list[int]:
        """Return the number of tokens of each text."""
        texts = list(texts)
        unknown = iter(dict.fromkeys(text for text in texts if text not in self._counts))
        while batch := list(islice(unknown, _BATCH)):
            self._counts.update(zip(batch, self._encode(batch), strict=True))
        return [self._counts[text] for text in texts]

    def prompts(self, prompts: Sequence[Sequence[dict[str, Any]]]) -> list[int]:
        """Return the number of tokens of each list of chat messages."""
        counts = iter(self.texts(message["content"] for prompt in prompts for message in prompt))
        return [sum(islice(counts, len(prompt))) + _PER_MESSAGE * len(prompt) for prompt in prompts]

    def _encode(self, texts: list[str]) -> list[int]:
        if self._tokenizer is None:
            self._tokenizer = self._load()
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def _load(self) -> Any:
        from tokenizers import Tokenizer

        path = self.folder / "tokenizer.json"
        if path.is_file():
            tokenizer = Tokenizer.from_file(str(path))
        else:  # an older tokenizer, which transformers converts
            from transformers import AutoTokenizer

            loaded = AutoTokenizer.from_pretrained(self.folder, trust_remote_code=False)
            tokenizer = loaded.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # an item's text never holds a special token
        return tokenizer
