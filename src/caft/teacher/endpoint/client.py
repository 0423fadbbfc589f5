"""Many requests at once: slots, retries, limits, a breaker, and no bought answer thrown away.

The requests run on an event loop in a thread of its own, so that they go on while answers are made
durable. The consumer takes whatever has arrived; there are no chunks to wait for.
"""

import asyncio
import logging
import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from queue import Empty, SimpleQueue
from typing import Any

from caft.errors import TeacherError
from caft.running import stops
from caft.teacher import Answer, Owed, Request
from caft.teacher.endpoint.refusals import Refusal
from caft.teacher.endpoint.replies import Fault, no_answer
from caft.teacher.settings import Endpoint

log = logging.getLogger("caft")

Ask = Callable[[Any, Request], Awaitable[Answer]]
Connect = Callable[[], AbstractAsyncContextManager[Any]]

_END = object()

# Items that are refused cost nothing, and few data sets are refused as a whole: so many refusals
# before the first answer, or later in a row, are the endpoint's own fault.
_FIRST_REFUSALS = 20
_REFUSALS_IN_A_ROW = 100
_UNHEARD = 5  # prompts that are refused twice behind the last answer, and count as refused


def ask_all(
    requests: Iterator[Request | None],
    connect: Connect,
    ask: Ask,
    settings: Endpoint,
    tokens: Callable[[Request], int],
    on_retry: Callable[[], None],
) -> Iterator[list[Answer]]:
    """Ask everything, `settings.concurrency` at once, and yield what has arrived.

    A slot is free again when the consumer asks for the next batch, so never more answers than slots
    are bought and not yet durable. After an error or a stop no new request is sent and none is
    repeated; what is under way is waited for and yielded, and only then the error is raised.

    A prompt that is refused is asked once more, after the others, unless its fault is plain and
    other prompts were answered; then it is the item's, and the others go on.

    Args:
        requests: pulled when a slot is free; None means "not before something is settled".
        connect: opens the client, in the loop's thread.
        ask: makes one attempt. Raises Fault if another may help, Refusal if it was turned down for
            what is in it, another TeacherError if no request will be answered.
        settings: `concurrency`, `attempts`, `backoff_s`, `max_wait_s`, `breaker`, and limits
            per minute.
        tokens: how many tokens a request is taken to use, for the limit of tokens.
        on_retry: called once per repeated attempt.

    Yields:
        Answers in the order in which they arrived; one with the finish_reason `error` for a request
        whose attempts are used up, one with a reason of `NOT_TAKEN` for a refused prompt.

    Raises:
        TeacherError: if the endpoint is at fault, after `breaker` lost requests in a row, or where
            nothing comes but refusals.
        Interrupted: after a stop; at a second one what is on the wire is given up.
    """
    run = _Run(requests, connect, ask, settings, tokens, on_retry)
    thread = threading.Thread(target=run.main, name="caft-teacher", daemon=True)
    thread.start()
    try:
        with stops.orderly(lambda: run.tell(run.end, stops.Interrupted())):
            while batch := run.arrived():
                yield batch
                run.tell(run.release, len(batch))
    finally:
        run.tell(run.stop)
        thread.join()
    if run.error:
        raise run.error


def _goes_on() -> bool:
    return not stops.asked()


def retrying(settings: Endpoint, going_on: Callable[[], bool] = _goes_on) -> Any:
    """Return the arguments of `stamina.retry_context` for a teacher's config.

    Waits double from `backoff_s`, with as much jitter, unless the server names a time; none is
    longer than `max_wait_s` and its jitter. The first fault of each kind is logged.

    Args:
        settings: `attempts`, `backoff_s`, `max_wait_s`.
        going_on: false once nothing shall be repeated any more, as after a stop.
    """
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks(())  # its own log line per retry would drown the progress
    seen: set[str] = set()

    def wait(error: Exception) -> bool | float:
        if not isinstance(error, Fault) or error.last or not going_on():
            return False
        kind = str(error).partition(" (")[0]
        if kind not in seen:
            seen.add(kind)
            log.warning("teacher: %s; such requests are repeated", error)
        if error.wait is None:
            return True
        # Jitter here too, or all that were told the same time come back at once.
        return min(error.wait, settings.max_wait_s) + random.uniform(0, settings.backoff_s)

    return {
        "on": wait,
        "attempts": settings.attempts,
        "timeout": None,
        "wait_initial": settings.backoff_s,
        "wait_max": settings.max_wait_s,
        "wait_jitter": settings.backoff_s,
    }


class _Run:
    """One stream. All but `main`, `arrived` and `tell` runs in the loop's thread."""

    def __init__(
        self,
        requests: Iterator[Request | None],
        connect: Connect,
        ask: Ask,
        settings: Endpoint,
        tokens: Callable[[Request], int],
        on_retry: Callable[[], None],
    ):
        self.requests, self.connect, self.ask = requests, connect, ask
        self.settings, self.on_retry = settings, on_retry
        self.limits = _Limits(settings, tokens)
        self.loop = asyncio.new_event_loop()
        self.wake = asyncio.Event()
        self.free = settings.concurrency
        self.more = True  # whether requests are left to pull
        self.ended = False
        self.error: BaseException | None = None
        self.failures = 0  # requests in a row whose attempts were used up
        self.refusals = 0  # requests in a row that were turned down
        self.answers = 0
        self.later: deque[Request] = deque()  # to be asked once more, after the others
        self.refused: dict[str, int] = {}  # by key, the answers there were at its first refusal
        self.unheard = 0  # refusals without a plain fault behind the last answer, twice each
        self.tasks: set[asyncio.Task[Answer | None]] = set()
        self.sending: set[asyncio.Task[Any] | None] = set()
        self.retries = retrying(settings, lambda: self.error is None)
        self.queue: SimpleQueue[Answer | None] = SimpleQueue()

    def main(self) -> None:
        """Run the loop to its end; None in the queue says that nothing more comes."""
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._run())
        except BaseException as error:  # it belongs to the consumer's thread
            self.error = self.error or error
        finally:
            self.queue.put(None)

    def arrived(self) -> list[Answer]:
        """Wait for an answer and return it with all others that are there; empty at the end."""
        batch: list[Answer] = []
        while not self.ended:
            try:
                answer = self.queue.get(block=not batch)
            except Empty:
                break
            if answer is None:
                self.ended = True
            else:
                batch.append(answer)
        return batch

    def tell(self, what: Callable[..., None], *values: Any) -> None:
        """Call something in the loop's thread, unless the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(what, *values)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def release(self, count: int) -> None:
        """Give slots back."""
        self.free += count
        self.wake.set()

    def stop(self) -> None:
        """End without waiting: nobody takes answers any more."""
        self.more = False
        self.free = self.settings.concurrency
        self.wake.set()

    async def _run(self) -> None:
        async with self.connect() as client:
            try:
                while True:
                    self._fill(client)
                    if not self.more and self.free >= self.settings.concurrency:
                        return
                    await self.wake.wait()
                    self.wake.clear()
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)

    def _fill(self, client: Any) -> None:
        while self.more and self.free > 0:
            try:
                request = next(self.requests, _END)
            except Exception as error:
                self.end(error)
                return
            idle = self.free >= self.settings.concurrency
            if request is None and not idle:
                return
            if not isinstance(request, Request):
                if not self.later:
                    self.more = not idle  # what is under way may still have to be asked once more
                    return
                request = self.later.popleft()
            self.free -= 1
            task = self.loop.create_task(self._one(client, request))
            self.tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Answer | None]) -> None:
        self.tasks.discard(task)
        answer = None
        if not task.cancelled():
            if error := task.exception():
                self.end(error)
            else:
                answer = task.result()
        if answer:
            self.queue.put(answer)
        else:
            self.release(1)

    async def _one(self, client: Any, request: Request) -> Answer | None:
        try:
            answer = await self._attempts(client, request)
            self.failures = self.refusals = self.unheard = 0
            self.answers += 1
            return answer
        except Fault as fault:
            self.failures += 1
            if self.failures == self.settings.breaker:
                self.end(_broken(self.failures, fault, self.settings))
            why = "; the budget has no room for another attempt" if fault.last else ""
            return no_answer(request.key, f"{fault}{why}")
        except Refusal as refusal:
            return self._turned_down(request, refusal)
        except Exception as error:
            self.end(error)
            return None

    def _turned_down(self, request: Request, refusal: Refusal) -> Answer | None:
        """Return what becomes of a refused request; None if it is asked once more, or all end."""
        second, answered = request.key in self.refused, self.answers > 0
        self.refusals += not second
        if self.refusals == (_REFUSALS_IN_A_ROW if answered else _FIRST_REFUSALS):
            self.end(_only_refusals(self.refusals, answered, refusal))
            request.again(Owed.REQUEST)
            return None
        # Two of three signs that it is the item's: others come, the words say so, it says it twice.
        if sum((answered, refusal.clear, second)) > 1 and not self._is_of_all(request, refusal):
            return no_answer(request.key, refusal.said, refusal.reason)
        if second or not request.again(Owed.REQUEST_AND_LATER):
            return no_answer(request.key, refusal.said)
        self.refused[request.key] = self.answers
        self.later.append(request)
        return None

    def _is_of_all(self, request: Request, refusal: Refusal) -> bool:
        """Tell whether a refusal that says little may be of all requests: no answer came since.

        A few are the items' own all the same, or the last prompt of a run would never be settled.
        """
        if refusal.clear or self.answers > self.refused.get(request.key, 0):
            return False
        self.unheard += 1
        return self.unheard > _UNHEARD

    async def _attempts(self, client: Any, request: Request) -> Answer:
        import stamina

        async for attempt in stamina.retry_context(**self.retries):
            if attempt.num > 1:
                self.on_retry()
            with attempt:
                await self.limits.wait(request)
                return await self._attempt(client, request)
        raise AssertionError("the last attempt raises or returns")

    async def _attempt(self, client: Any, request: Request) -> Answer:
        task = asyncio.current_task()
        self.sending.add(task)
        try:
            request.sent()
            return await self.ask(client, request)
        except Fault as fault:
            fault.last = not request.again(fault.owed)
            raise
        except Refusal:
            raise  # its answer settles it
        except TeacherError:
            request.again(Owed.REQUEST)
            raise
        except asyncio.CancelledError:
            request.again(Owed.ALL)
            raise
        finally:
            self.sending.discard(task)

    def end(self, error: BaseException) -> None:
        """Send nothing more; what is on the wire may still become an answer."""
        if not self.error and self.sending:
            log.info("teacher: stopping; waiting for %d answers under way", len(self.sending))
        self.error = self.error or error
        self.more = False
        for task in self.tasks - self.sending - {asyncio.current_task()}:
            task.cancel()
        self.wake.set()


def _broken(count: int, fault: Fault, settings: Endpoint) -> TeacherError:
    advice = "run again when the endpoint is well, or raise attempts or breaker"
    if fault.wait and fault.wait > settings.max_wait_s:
        advice = (
            f"it asks to wait {fault.wait:.0f} s, more than max_wait_s ({settings.max_wait_s:g}); "
            "run again then, or raise max_wait_s"
        )
    elif fault.advice:
        advice = fault.advice
    return TeacherError(
        f"{count} requests in a row failed, the last with: {fault}; the run stops here. What was "
        f"bought is kept: {advice}."
    )


def _only_refusals(count: int, answered: bool, last: Refusal) -> TeacherError:
    which = f"{count} requests in a row" if answered else f"the first {count} requests"
    return TeacherError(
        f"{which} were all refused, the last with: {last.said}; the run stops "
        f"here, and what was bought is kept: {last.check}, and run again."
    )


class _Limits:
    """Requests and tokens per minute, spent in the order of asking.

    A limiter lets through a second's worth at once. A request larger than that takes it in parts.
    """

    def __init__(self, settings: Endpoint, tokens: Callable[[Request], int]):
        self.requests = _limiter(settings.requests_per_minute)
        self.tokens = _limiter(settings.tokens_per_minute)
        self.count = tokens
        self.turn = asyncio.Lock()

    async def wait(self, request: Request) -> None:
        """Return when the request may be sent."""
        if not self.requests and not self.tokens:
            return
        async with self.turn:
            if self.requests:
                await self.requests.acquire()
            if self.tokens:
                left = float(self.count(request))
                while left > 0:
                    part = min(left, self.tokens.max_rate)
                    await self.tokens.acquire(part)
                    left -= part


def _limiter(per_minute: float | None) -> Any:
    if per_minute is None:
        return None
    from aiolimiter import AsyncLimiter

    burst = max(1.0, per_minute / 60)
    return AsyncLimiter(burst, 60 * burst / per_minute)
