"""The teacher that costs nothing: each item's own worked solution."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

from caft.prompting.answers import INVALID, mark, parse
from caft.settings import key
from caft.tables.hashing import digest
from caft.teacher import Answer, Here, Provider, Request, lots, token_counter
from caft.teacher.settings import Asked

_BATCH = 256  # answers per fsync


class Reference(Asked):
    """The data set's own worked solutions; free, tokens counted with the student's tokenizer."""

    free: ClassVar = True
    own_solutions: ClassVar = True

    provider: Literal["reference"]
    samples: Literal[1] = key("One worked solution per item.", 1)


def make(settings: Reference, tokenizer: Any, here: Here) -> "ReferenceTeacher":
    """Make the teacher; it needs the tokenizer alone."""
    return ReferenceTeacher(tokenizer)


def worked_solution(item: Mapping[str, Any]) -> str | None:
    """Return the item's reference rationale, ending in a marked answer; None if it has none.

    An unmarked rationale that states its answer ("The answer is (B)", "#### 18") gets that answer
    marked, right or wrong: marking the gold answer would hide a rationale that contradicts it.
    """
    text = item["reference_rationale"]
    if not isinstance(text, str) or not text.strip():
        return None
    kind, count = item["answer_kind"], option_count(item)
    if parse(text, "marked", kind, count) != INVALID:
        return text
    stated = parse(text, "answer_is", kind, count)
    return f"{text.rstrip()}\n{mark(item['answer'] if stated == INVALID else stated)}"


def option_count(item: Mapping[str, Any]) -> int:
    """Return how many options an item has; 0 for an open question."""
    return 0 if item["options"] is None else len(item["options"])


class ReferenceTeacher:
    """Answers with `Request.reference`; tokens are counted with the student's tokenizer."""

    varies = False

    def __init__(self, tokenizer: Any):
        """Keep the tokenizer."""
        self.decoding: dict[str, Any] = {}
        self.count = token_counter(tokenizer)

    def identify(self, item: Mapping[str, Any]) -> tuple[str, str]:
        """Return `reference` and a hash of the worked solution: a corrected one is a new answer."""
        return "reference", digest(worked_solution(item))

    def answer(self, requests: Iterable[Request | None]) -> Iterator[list[Answer]]:
        """Answer at once; an item without a worked solution gets an error."""
        for lot in lots(requests):
            for start in range(0, len(lot), _BATCH):
                yield [self._answer(request) for request in lot[start : start + _BATCH]]

    def _answer(self, request: Request) -> Answer:
        prompt_tokens = sum(self.count(message["content"]) for message in request.messages)
        if request.reference is None:
            raw = {"error": "the item has no reference rationale"}
            return Answer(request.key, "", None, "error", prompt_tokens, 0, 0.0, 0.0, raw)
        tokens = self.count(request.reference)
        return Answer(
            request.key, request.reference, None, "stop", prompt_tokens, tokens, 0.0, 0.0, {}
        )


PROVIDER = Provider(Reference, make)
