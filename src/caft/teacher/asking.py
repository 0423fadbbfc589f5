"""Ask a teacher or a judge through the store: what it has is not asked for; money has limits."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Generic, TypeVar

from caft.errors import BudgetError, TeacherError
from caft.prompting.prompts import Messages
from caft.prompting.tokens import TokenCounter
from caft.running import stops
from caft.running.jobs import Progress
from caft.running.settings import Engine
from caft.store import Store
from caft.students.folders import load_tokenizer
from caft.students.settings import WritingEngine
from caft.teacher import Answer, Here, Request, Teacher, make_teacher
from caft.teacher.money.budget import Budget, amounts_of, show
from caft.teacher.money.estimate import Outlook, open_budget, without_limits
from caft.teacher.records import read_back, to_answer, to_record
from caft.teacher.settings import STOP_AFTER_USELESS, Asked, Endpoint, Prices
from caft.teacher.tally import tell_oddities, tell_unexpected
from caft.teacher.watch import Watch, empty

S = TypeVar("S", bound=Asked)

_SECONDS_BETWEEN_LOOKS = 10.0  # at what other jobs have stored, at least
_LOOKS_BETWEEN_LOOKS = 40  # where a look takes long: so many times as long, at least

log = logging.getLogger("caft")


@dataclass(frozen=True)
class Setup(Generic[S]):
    """A teacher or judge of the config, and what a job has at hand to ask it.

    Attributes:
        path: of its section in the config, such as `teachers.big`, for messages.
        settings: that section.
        engine: device settings, for a model in this process.
        student_file: a student's `student.json`; its tokenizer counts what nobody else counts.
        store_folder: the store of its answers, where the batch interface keeps its state, too.
        thoughts: whether its reasoning is trained on.
        trained_file: `model.json` of the student's model that writes, where the student is its own
            teacher; None for the untuned one.
        writes_with: what lets a student write.
    """

    path: str
    settings: S
    engine: Engine
    student_file: Path
    store_folder: Path
    thoughts: bool = False
    trained_file: Path | None = None
    writes_with: WritingEngine = "transformers"

    @cached_property
    def counter(self) -> TokenCounter:
        """Of the student's tokens."""
        return TokenCounter(self.student_file.parent)


@dataclass(frozen=True)
class Asking:
    """Whom to ask, and within what.

    Attributes:
        teacher: who answers.
        store: where answers are looked up, and put before they are used. Errors are not stored.
        budget: what may be spent, and what is on the wire; None for neither.
        path: of the section in the config, for messages.
        patience: so many answers without a usable one end the job; None for no end.
        error_share: part of the items that may stay without an answer.
        prices: what tokens cost today, stored ones included; None where nobody knows.
        expect: the model that has to answer, as a name or a pattern; None for any.
        told: oddities of answers that the log has told already.
    """

    teacher: Teacher
    store: Store
    budget: Budget | None = None
    path: str = "the teacher"
    patience: int | None = STOP_AFTER_USELESS
    error_share: float = 1.0
    prices: Prices | None = None
    expect: str | None = None
    told: set[str] = field(default_factory=set)


@contextmanager
def open_asking(
    setup: Setup[S],
    look: Callable[[Teacher, Store], Outlook],
    prompts: Sequence[Messages] = (),
) -> Iterator[Asking]:
    """Make the teacher, open the store, and see that the budget reaches.

    Args:
        setup: whom to ask.
        look: finds what the store lacks; called only where there are limits.
        prompts: all that may be asked, for a teacher that is started for the longest of them.

    Raises:
        BudgetError: if the budget cannot reach for what is not stored; nothing is asked then.
        Interrupted: after a stop, saying what was kept.
    """
    teacher, settings = _teacher_of(setup, prompts), setup.settings
    if settings.way:
        log.info("%s: %s", setup.path.replace("s.", " ", 1), settings.way)
    with Store(setup.store_folder) as store:
        budget = None
        if settings.limits:
            outlook = look(teacher, store)
            budget = open_budget(setup.path, settings, store, outlook, setup.counter)
        elif isinstance(settings, Endpoint) and not settings.in_batches:
            budget = without_limits(settings, store, setup.counter)
        try:
            yield Asking(
                *(teacher, store, budget, setup.path),
                prices=settings.rates,
                patience=settings.patience,
                error_share=settings.error_share,
                expect=settings.expected_model,
            )
        except stops.Interrupted as stop:
            raise stops.Interrupted(_kept(store.added)) from stop
        finally:
            if budget:
                budget.close()


def _kept(count: int) -> str:
    lost = "nothing on the wire is lost"
    if stops.at_once():
        lost = "what was on the wire is noted as given up (docs/budget.md)"
    return f"{count} answers stored, {lost}; the same command goes on"


def _teacher_of(setup: Setup[S], prompts: Sequence[Messages]) -> Teacher:
    here = Here(
        *(setup.store_folder, setup.engine, setup.student_file, setup.trained_file),
        *(setup.writes_with, prompts),
    )
    return make_teacher(setup.settings, load_tokenizer(setup.student_file.parent), here)


def obtain(
    requests: Iterable[Request],
    asking: Asking,
    what: str,
    note: Callable[[list[Answer]], str],
    kind: str = "rationale",
    watch: Watch | None = None,
) -> dict[str, Answer]:
    """Return an answer per key, from the store or else from the teacher; stored before it is used.

    Every few seconds the store is looked at again: what another job has bought meanwhile is not
    asked for, and counts against the budget.

    Args:
        requests: what to ask; equal keys are asked once.
        asking: whom to ask, where answers are kept, and what may be spent.
        what: name of the progress line.
        note: told of each batch that was asked for, as it is stored; returns what the progress line
            adds.
        kind: field of the stored records.
        watch: over the answers that the job buys, in this call and others; None for one that finds
            out whether there is anything in them.

    Raises:
        TeacherError: if nothing that comes can be used; all that was asked for is stored.
        BudgetError: if the budget has no room for the rest, once all that was asked for is stored.
        StoreError: if answers cannot be stored; where that is known before the first request,
            nothing is asked.
        Interrupted: after a stop, once all that was asked for is stored.
    """
    store, budget, prices = asking.store, asking.budget, asking.prices
    unique = {request.key: request for request in requests}
    answers = {key: to_answer(record, prices) for key, record in store.get(unique).items()}
    tell_unexpected(answers.values(), asking.expect)
    missing = [request for key, request in unique.items() if key not in answers]
    log.info("%s: %d stored, %d to ask", what, len(answers), len(missing))
    if not missing:
        return answers
    store.check_room()
    line = Progress(what, len(missing), "answers")
    watch = watch or Watch(empty, asking.patience, asking.path)
    stream = _Stream(missing, asking, watch)
    with stops.orderly():
        for batch in asking.teacher.answer(stream.requests):
            good = [answer for answer in batch if answer.finish_reason != "error"]
            records = {one.key: to_record(unique[one.key], one, kind) for one in good}
            store.append(records.values())
            # At once: an answer that is stored and noted counts twice.
            needless = stream.settle(batch)
            answers |= {answer.key: answer for answer in batch}
            for key, stored in store.get(records).items():
                answers[key] = read_back(answers[key], records[key], stored, prices)
            tell_oddities([(unique[one.key], answers[one.key]) for one in good], asking.told)
            watch.look(answers[answer.key] for answer in batch)
            stream.looked_at(batch)
            line.advance(len(batch) + needless, note([answers[answer.key] for answer in batch]))
    stops.check()
    if stream.skipped:
        others = store.get(unique.keys() - answers.keys())
        answers |= {key: to_answer(record, prices) for key, record in others.items()}
        log.info("%s: %d answers came from other jobs", what, len(others))
    if watch.stop:
        raise TeacherError(watch.stop)
    if budget and stream.no_room:
        left = sum(key not in answers or answers[key].finish_reason == "error" for key in unique)
        raise BudgetError(_no_room(budget, left, len(unique)))
    return answers


class _Stream:
    """The requests for a teacher, which may pull them in another thread.

    `requests` yields None while the budget has no room or the first answers are waited for, and
    ends when nothing can make any, when what comes cannot be used, or at a stop.
    """

    def __init__(self, requests: list[Request], asking: Asking, watch: Watch):
        self.store, self.budget = asking.store, asking.budget
        self.watch, self.at_once = watch, getattr(asking.teacher, "at_once", False)
        self.requests = self._pull(requests)
        self.skipped, self.no_room = 0, False
        self._given, self._back = 0, 0  # each is changed by one thread alone
        self._elsewhere: set[str] = set()
        self._told = 0
        self._looked, self._pause = time.monotonic(), _SECONDS_BETWEEN_LOOKS

    def settle(self, batch: list[Answer]) -> int:
        """Settle stored answers; return how many requests others have made needless since then."""
        if self.budget:
            self.budget.settle(*batch)
        if (started := time.monotonic()) - self._looked >= self._pause:
            self.store.refresh()
            self._elsewhere = self.store.keys()
            if self.budget:
                self.budget.look_again()
            self._looked = time.monotonic()
            took = self._looked - started
            self._pause = max(_SECONDS_BETWEEN_LOOKS, _LOOKS_BETWEEN_LOOKS * took)
        since, self._told = self.skipped - self._told, self.skipped
        return since

    def looked_at(self, batch: list[Answer]) -> None:
        """Count answers as back that the watch has seen: before, they would be in neither count."""
        self._back += len(batch)

    def _pull(self, requests: list[Request]) -> Iterator[Request | None]:
        for request in requests:
            while self._waits() and not (self.watch.stop or stops.asked()):
                yield None
            while not (known := request.key in self._elsewhere) and self.budget:
                # Looked at first: what is settled between the two makes room, it does not end it.
                idle = not self.budget.under_way
                if self.budget.reserve(request):
                    break
                if idle:
                    self.no_room = True
                    return
                yield None
            if self.watch.stop or stops.asked():
                return
            if known:
                self.skipped += 1
            else:
                self._given += 1
                if budget := self.budget:
                    sent, again = partial(budget.sent, request), partial(budget.again, request)
                    request = replace(request, sent=sent, again=again)
                yield request

    def _waits(self) -> bool:
        """Whether to see first what the answers under way are like."""
        if self.at_once:
            return False
        return not self.watch.room(self._given - self._back) or bool(
            self.budget and self.budget.probing
        )


def _no_room(budget: Budget, left: int, total: int) -> str:
    spent = amounts_of(budget.spent)
    limits = ", ".join(
        f"{name} {show(name, limit)} (spent: {show(name, spent[name])})"
        for name, limit in budget.limits.items()
    )
    lost = budget.lost.requests
    given_up = f" {lost} of the requests brought no answer (docs/budget.md)." if lost else ""
    return (
        f"{budget.name}: no room for another answer within {limits};{given_up} {total - left} of "
        f"{total} answers are there and kept. Raise the budget and run again: only the rest is "
        "bought."
    )
