"""When to stop buying: where nothing that comes can be used, or too much does not come at all."""

import math
from collections import Counter
from collections.abc import Callable, Iterable

from caft.errors import TeacherError
from caft.teacher import NOT_TAKEN, Answer
from caft.teacher.reading import ending
from caft.teacher.reading.body import BODY

_SHOWN = 200  # characters of an example
_ROUNDING = 1e-9  # 0.29 of 100 is less than 29 in floats
_NAMED = 3  # kinds of errors in a message

NO_CONTENT, NO_LOGPROBS = "without content", "without log-probabilities"
UNREADABLE = "unreadable"
NO_REPLY = "without a reply that caft can read"
NO_REASONING = "without reasoning"
_ENDED = (ending.COMPLETE, ending.TRUNCATED)  # where it may be the model that wrote nothing
_CHANGES = {
    NO_CONTENT: "raise max_new_tokens, switch thinking off (extra_body), or take another model",
    "truncated": "raise max_new_tokens, or ask for less thinking (extra_body)",
    "too_long": "raise max_tokens, or ask for shorter answers (prompt)",
    "unparsed": "choose the parser or the prompt that fits what the model writes",
    "wrong_answer": "check prompt, parser and gold answers, or take a stronger model",
    "refused": "take another model or endpoint, or another prompt",
    NO_LOGPROBS: "set extra_body: {logprobs: true, top_logprobs: 20}, or choose an "
    "endpoint that gives them",
    "broken_off": "run again later, or choose another endpoint",
    "unknown_ending": "choose an endpoint that says in a known word how answers end (the log names "
    "the word; docs/teachers.md)",
    UNREADABLE: "raise max_new_tokens, or take another model",
    NO_REPLY: "check whether base_url is that of a chat interface like OpenAI's, and what stands "
    "between here and there",
    NO_REASONING: "take a teacher that shows its reasoning (docs/teachers.md), or train on "
    "`rationale` instead of `reasoning`",
}

Useless = Callable[[Answer], str | None]
"""Says why an answer cannot be used, in a word of the messages; None if it can."""


def empty(answer: Answer) -> str | None:
    """Say of an answer that nobody reads further whether there is something to read."""
    if answer.finish_reason in NOT_TAKEN:
        return answer.finish_reason
    if not answer.text.strip():
        return NO_CONTENT
    return "truncated" if answer.finish_reason == "length" else None


class Watch:
    """Looks at the first answers that a job buys; errors are no answers.

    Attributes:
        patience: so many answers without a usable one are enough; None for no end.
        stop: why to stop; None to go on.
    """

    def __init__(self, useless: Useless, patience: int | None, path: str):
        """Start with nothing seen; `path` is that of the teacher in the config."""
        self.useless, self.patience, self.path = useless, patience, path
        self.stop: str | None = None
        self._seen: Counter[str] = Counter()
        self._example = ""

    def room(self, under_way: int) -> bool:
        """Whether one more request may be sent before a usable answer has come."""
        return self.patience is None or under_way + self._seen.total() < self.patience

    def look(self, batch: Iterable[Answer]) -> None:
        """Look at answers that have come."""
        if self.patience is None:
            return
        for answer in batch:
            if answer.finish_reason == "error":
                continue
            why = self.useless(answer)
            if why is None:
                self.patience = None
                return
            if answer.finish_reason == ending.UNREADABLE:
                why = NO_REPLY
            elif answer.finish_reason in _ENDED and not answer.text.strip():
                why = NO_CONTENT
            self._seen[why] += 1
            raw = answer.raw.get("error") or answer.raw.get(BODY) or answer.raw
            self._example = answer.text or answer.reasoning or str(raw)
        if self._seen.total() >= self.patience:
            self.stop = self._told()

    def _told(self) -> str:
        shown = " ".join(self._example.split(maxsplit=_SHOWN))[:_SHOWN]
        kinds = ", ".join(f"{count} {why}" for why, count in self._seen.most_common())
        changes = "; ".join(_CHANGES[why] for why, _ in self._seen.most_common() if why in _CHANGES)
        return (
            f"{self.path}: none of the first {self._seen.total()} answers that were bought can be "
            f"used ({kinds}), so no more are bought; these are stored. The last one: {shown!r}. "
            f"To change: {changes}. Or set {self.path}.stop_after_useless higher, or to null."
        )


def check_errors(errors: list[str], total: int, share: float, path: str) -> None:
    """See that not too many items are without an answer; the others are stored by now.

    Args:
        errors: what went wrong, per item without an answer.
        total: of all items.
        share: of them that may have none.
        path: of the teacher in the config.

    Raises:
        TeacherError: if there are more.
    """
    if len(errors) <= share * total + _ROUNDING:
        return
    enough = math.ceil(1000 * len(errors) / total) / 1000
    kinds = Counter(errors).most_common()
    shown = "; ".join(f"{count} times {error}" for error, count in kinds[:_NAMED])
    more = f"; and {len(kinds) - _NAMED} other errors" if len(kinds) > _NAMED else ""
    raise TeacherError(
        f"{path}: {len(errors)} of {total} have no answer ({shown}{more}). All others are stored: "
        f"run again, and exactly these are asked. To go on without them, set "
        f"{path}.max_error_share to {enough:g} or more."
    )
