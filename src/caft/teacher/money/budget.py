"""What may be spent on a teacher: limits, reservations for what is under way, and prices."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from caft.store.given_up import Note
from caft.teacher import Answer, Owed, Request
from caft.teacher.settings import Asked, Prices

_FIRST = 2  # requests at once, of an endpoint whose answers nobody has seen
_LIMITS = ("max_requests", "max_tokens", "max_cost_usd")
_ROUNDING = 1e-9  # USD: sums of floats may miss a limit by that much


@dataclass(frozen=True)
class Spending:
    """Requests, tokens (prompt and completion) and money."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Spending") -> "Spending":
        """Add up."""
        return Spending(
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.cost_usd + other.cost_usd,
        )

    def __sub__(self, other: "Spending") -> "Spending":
        """Take away."""
        return self + Spending(-other.requests, -other.tokens, -other.cost_usd)


_NOTHING = Spending()


@dataclass(slots=True)
class _Sum:
    """Amounts that are added up in place: twice for every request, without new objects."""

    requests: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def add(self, other: Spending) -> None:
        """Add."""
        self.requests += other.requests
        self.tokens += other.tokens
        self.cost_usd += other.cost_usd

    def take(self, other: Spending) -> None:
        """Take away."""
        self.requests -= other.requests
        self.tokens -= other.tokens
        self.cost_usd -= other.cost_usd

    @property
    def now(self) -> Spending:
        """What it has come to."""
        return Spending(self.requests, self.tokens, self.cost_usd)


def price(
    prices: Prices | None,
    prompt: float,
    cached: float,
    completion: float,
    batch: bool = False,
) -> float | None:
    """Return what tokens cost in USD; None without prices.

    Args:
        prices: USD per million tokens; without a price of their own, cached ones cost what others
            do.
        prompt: prompt tokens, the cached ones included.
        cached: how many of them the provider had in its cache.
        completion: completion tokens.
        batch: whether they are asked through the batch endpoint.
    """
    return None if prices is None else prices.value(prompt, cached, completion, batch)


def teacher_price(settings: Asked, prompt: float, completion: float) -> float | None:
    """Return what tokens of a teacher of the config cost in USD; None where nobody knows."""
    return price(settings.rates, prompt, 0, completion, settings.in_batches)


class Budget:
    """Lets requests through as long as even their worst case stays within the limits.

    A request is reserved before it is sent and settled when its answer is stored; threads may do
    so at the same time. An attempt that brought no answer counts with the most that it can have
    taken. Where answers take more than their worst case, because the endpoint does not keep to the
    limit of tokens, later reservations are as much larger.
    """

    def __init__(
        self,
        limits: Mapping[str, float | None],
        spent: Spending,
        worst: Callable[[Request], Spending],
        look: Callable[[], tuple[Spending, Spending]] | None = None,
        name: str = "budget",
        note: Note | None = None,
    ):
        """Start with what has been spent.

        Args:
            limits: `max_requests`, `max_tokens`, `max_cost_usd`; None or left out is no limit.
            spent: by all answers of this model that the store has.
            worst: the most a request can take: its prompt and as many tokens as it may answer.
            look: counts again what the store has, other jobs' answers included, and what other
                jobs have noted of requests without an answer.
            name: config path of the limits, for messages.
            note: keeps what is on the wire or was given up, beyond the life of this process.
        """
        self.limits = {name: limit for name, limit in limits.items() if limit is not None}
        self.name = name
        self.lost = self._elsewhere = _NOTHING
        self.settled = spent.requests
        self._most = {name: self.limits.get(name, math.inf) + _ROUNDING for name in _LIMITS}
        self._bought = _sum_of(spent)
        self._worst, self._look, self._note = worst, look, note
        self._excess = _NOTHING
        self._reserved: dict[str, Spending] = {}
        self._held = _Sum()
        self._sent: dict[str, Spending] = {}  # by key, what can be on the bill though no answer is
        self._noted = _Sum()
        self._later: set[str] = set()  # keys of those under way that wait for others
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spending:
        """What answers took, and what attempts without one may have taken."""
        return self._bought.now + self.lost

    @property
    def under_way(self) -> int:
        """Requests that are reserved and not settled."""
        return len(self._reserved)

    @property
    def probing(self) -> bool:
        """Whether to wait for answers that are under way, until it is known what they take."""
        if not self.limits:
            return False
        return self.under_way - len(self._later) >= max(_FIRST, 2 * self.settled)

    def reserve(self, request: Request) -> bool:
        """Set aside a request's worst case; False, and nothing set aside, if there is no room."""
        worst = self._worst(request)
        with self._lock:
            return self._hold(request.key, worst)

    def sent(self, request: Request) -> None:
        """Note what a request may take that is sent now: a kill must not hide it.

        Raises:
            StoreError: if that fails.
        """
        with self._lock:
            worst = self._reserved.get(request.key, _NOTHING)
            self._sent[request.key] = worst
            self._noted.add(worst)
            self._write_note()

    def _write_note(self) -> None:
        if self._note:
            noted = self._noted
            self._note.write(noted.requests, noted.tokens, noted.cost_usd)

    def again(self, request: Request, owed: Owed) -> bool:
        """Count an attempt without an answer, and set aside another; False if it has no room."""
        worst = self._worst(request)
        with self._lock:
            held = self._reserved.pop(request.key, _NOTHING)
            self._held.take(held)
            lost = _NOTHING
            if owed is not Owed.NOTHING:
                lost = held if owed is Owed.ALL else Spending(1)
                self.lost += lost
            self._noted.take(self._sent.pop(request.key, _NOTHING))
            self._noted.add(lost)
            self._write_note()
            if owed is Owed.REQUEST_AND_LATER:
                self._later.add(request.key)
            return self._hold(request.key, worst)

    def _hold(self, key: str, worst: Spending) -> bool:
        if self._excess != _NOTHING:
            worst += self._excess
        if not self._has_room(worst):
            return False
        self._reserved[key] = worst
        self._held.add(worst)
        return True

    def _has_room(self, more: Spending) -> bool:
        bought, lost, held, most = self._bought, self.lost, self._held, self._most
        return (
            bought.requests + lost.requests + held.requests + more.requests <= most["max_requests"]
            and bought.tokens + lost.tokens + held.tokens + more.tokens <= most["max_tokens"]
            and bought.cost_usd + lost.cost_usd + held.cost_usd + more.cost_usd
            <= most["max_cost_usd"]
        )

    def settle(self, *answers: Answer) -> None:
        """Replace the reservations of answers by what they took; an error takes nothing more.

        What is unknown of an answer, its price or its tokens, takes what was set aside.
        """
        with self._lock:
            sent = len(self._sent)
            for answer in answers:
                self._settle(answer)
            if len(self._sent) < sent:
                self._write_note()

    def _settle(self, answer: Answer) -> None:
        is_reserved = answer.key in self._reserved
        worst = self._reserved.pop(answer.key, _NOTHING)
        self._later.discard(answer.key)
        self._held.take(worst)
        if (sent := self._sent.pop(answer.key, None)) is not None:
            self._noted.take(sent)
        if answer.finish_reason == "error":
            return
        self.settled += 1
        took = _taken(answer, worst)
        self._bought.add(took)
        tokens, money = took.tokens - worst.tokens, took.cost_usd - worst.cost_usd
        if is_reserved and (tokens > 0 or money > 0):
            self._excess += Spending(0, max(0, tokens), max(0.0, money))

    def look_again(self) -> None:
        """Count again what the store has; everything that was settled has to be in it."""
        if self._look:
            spent, elsewhere = self._look()
            with self._lock:
                self._bought = _sum_of(spent)
                self.count_elsewhere(elsewhere)

    def close(self) -> None:
        """Note nothing more; what stays noted was given up, or came and could not be stored."""
        if self._note:
            self._note.close()

    def count_elsewhere(self, lost: Spending) -> None:
        """Take over what other jobs have noted of requests without an answer."""
        self.lost, self._elsewhere = self.lost - self._elsewhere + lost, lost


def _sum_of(spent: Spending) -> _Sum:
    return _Sum(spent.requests, spent.tokens, spent.cost_usd)


def _taken(answer: Answer, worst: Spending) -> Spending:
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    tokens = (prompt or 0) + (completion or 0)
    if prompt is None or completion is None:
        tokens = max(tokens, worst.tokens)
    return Spending(1, tokens, worst.cost_usd if answer.cost_usd is None else answer.cost_usd)


def exceeded(limits: Mapping[str, float], taken: Spending) -> list[str]:
    """Return the names of the limits that a sum is above."""
    amounts = amounts_of(taken)
    return [name for name, limit in limits.items() if amounts[name] > limit + _ROUNDING]


def amounts_of(taken: Spending) -> dict[str, float]:
    """Return a sum under the names that the limits have in the config."""
    return {
        "max_requests": taken.requests,
        "max_tokens": taken.tokens,
        "max_cost_usd": taken.cost_usd,
    }


def show(name: str, amount: float) -> str:
    """Write an amount with the unit of the limit of that name."""
    if name == "max_cost_usd":
        return f"{amount:.4g} USD"
    return f"{round(amount)} {name.removeprefix('max_')}"
