"""The tokens and the money that a reply tells, in the dialects of many endpoints.

A count is right or unknown, and never too low. Reasoning stands inside the count of the completion
or beside it, and tokens of a cache inside the count of the prompt or beside it: which of the two,
the total decides, and else the dialect. What neither decides is unknown.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from caft.teacher.settings import Prices

_MOST_TOKENS = 10_000_000  # of a reply; no model reads or writes as many
_MOST_USD = 10_000.0  # for a reply
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Names in snake case, whatever the dialect writes; of several that are told, the largest counts.
_PROMPT = ("prompt_tokens", "input_tokens", "prompt_token_count")
_COMPLETION = ("completion_tokens", "output_tokens", "candidates_token_count")
_TOTAL = ("total_tokens", "total_token_count")
_CACHED = re.compile(r"(?!.*(creat|writ|miss|details))\w*cache\w*_token(s|_count)")
_WRITTEN = (
    *("cache_creation_input_tokens", "cache_creation_tokens"),
    *("cache_write_input_tokens", "cache_write_tokens"),
    *("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
)
_OF_TOOLS = ("tool_use_prompt_token_count",)
_REASONING = re.compile(r"\w*(reasoning|thinking|thought)\w*_token(s|_count)")
_COST = ("cost", "total_cost", "estimated_cost")
_TICKS = ("cost_in_usd_ticks",)
_TICKS_PER_USD = 1e10
_MISSED = ("prompt_cache_miss_tokens",)
_PRICED_APART = (
    *("web_search_requests", "num_search_queries", "num_sources_used"),
    *("citation_tokens", "request_cost"),
    *("audio_tokens", "image_tokens", "video_tokens"),
)
_CURRENCIES = ("currency", "cost_currency", "cost_unit")
_UPSTREAM = ("upstream_inference_cost",)
# Dialects that have a part beside, or inside, whether they tell a total or not.
_BESIDE = {"thoughts_token_count", "tool_use_prompt_token_count"}
_BESIDE_INPUT = {
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_write_input_tokens",
}
_INSIDE = {"cached_content_token_count"}

Flat = Mapping[str, list[Any]]
"""What usage says, by name, whatever it was nested in."""


@dataclass(frozen=True)
class Usage:
    """What a reply took; None is unknown.

    Attributes:
        prompt: tokens of the prompt, those of a cache included.
        cached: how many of them the endpoint had in its cache.
        completion: tokens of thinking and answer.
        total: of both, where it is told.
        extras: whether something was used that has a price of its own: writing into a cache,
            searching, sound or images.
        reported: USD, as the endpoint says.
        fee: USD that are added to the price of the tokens, where the key is the user's own.
    """

    prompt: int | None = None
    cached: int = 0
    completion: int | None = None
    total: int | None = None
    extras: bool = False
    reported: float | None = None
    fee: float = 0.0

    def cost(self, prices: Prices | None, batch: bool = False) -> float | None:
        """Return what the endpoint reports, else what the prices say, in USD; None if unknown."""
        if self.reported is not None or prices is None:
            return self.reported
        if self.extras and prices.prompt:
            return None
        found = prices.value(self.prompt, self.cached, self.completion, batch)
        return None if found is None else found + self.fee


_NOTHING = Usage()


def read_usage(reply: Mapping[str, Any], wrote: bool) -> Usage:
    """Read what a reply tells of tokens and money; the first place that tells something counts.

    Args:
        reply: the parsed body.
        wrote: whether it holds text, which 0 tokens cannot be.
    """
    found = (_read(_flat(place), wrote) for place in _places(reply))
    return next((one for one in found if one != _NOTHING), _NOTHING)


def _places(reply: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    choice = choice if isinstance(choice, dict) else {}
    for owner in (reply, reply.get("x_groq"), choice, choice.get("message")):
        for name in ("usage", "usageMetadata", "usage_metadata"):
            place = owner.get(name) if isinstance(owner, dict) else None
            if isinstance(place, dict):
                yield place


def _flat(nested: Mapping[str, Any]) -> Flat:
    flat: dict[str, list[Any]] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            for inner, values in _flat(value).items():
                flat.setdefault(inner, []).extend(values)
        elif value is not None:
            flat.setdefault(_snake(name), []).append(value)
    return flat


@lru_cache(1000)  # an endpoint has few names; the limit is for odd ones
def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).lower()


def _read(flat: Flat, wrote: bool) -> Usage:
    # A prompt has tokens, and so has a text: 0 says that nobody has counted.
    prompt, total = _tokens(flat, _PROMPT) or None, _tokens(flat, _TOTAL) or None
    completion = _tokens(flat, _COMPLETION)
    completion = completion or (None if wrote or prompt is None else completion)
    prompt, completion = _whole(flat, prompt, completion, total)
    reported, fee = _money(flat)
    if reported == 0 and prompt is None:
        reported = None
    extras = any(
        _tokens(flat, (name,)) != 0 for name in (*_WRITTEN, *_PRICED_APART) if name in flat
    )
    cached = min(_tokens(flat, _names(flat, _CACHED)) or 0, prompt or 0)
    return Usage(prompt, cached, completion, total, extras, reported, fee)


def _whole(
    flat: Flat, prompt: int | None, completion: int | None, total: int | None
) -> tuple[int | None, int | None]:
    """Return all tokens of prompt and completion, whichever parts stand beside what is told."""
    of_prompt = _parts(flat, (_names(flat, _CACHED), _WRITTEN, _OF_TOOLS), prompt)
    of_completion = _parts(flat, (_names(flat, _REASONING),), completion)
    if total is None:
        # One that cannot be read may have held what stands beside.
        is_odd = any(value != 0 for name in _TOTAL for value in flat.get(name, []))
        return _only(_sums(prompt, of_prompt)), None if is_odd else _only(
            _sums(completion, of_completion)
        )
    if prompt is None:
        return None, None  # thinking that the total alone tells cannot be told from the prompt
    if completion is None:
        whole = _only(_sums(prompt, of_prompt))
        return whole, total - whole if whole and total >= whole else None
    if total >= prompt + completion and not of_prompt and not of_completion:
        return prompt, total - prompt  # what is beyond both was thought, and not told
    if total == prompt + completion:  # a part that cannot be read is inside, then
        of_prompt = [part for part in of_prompt if part.tokens is not None]
        of_completion = [part for part in of_completion if part.tokens is not None]
    pairs = [
        pair
        for pair in product(
            _sums(prompt, of_prompt, free=True), _sums(completion, of_completion, free=True)
        )
        if sum(pair) == total
    ]
    return _only({first for first, _ in pairs}), _only({second for _, second in pairs})


@dataclass(frozen=True)
class _Part:
    """Tokens inside or beside a count: where the dialect has them (True is beside)."""

    tokens: int | None
    places: tuple[bool, ...]


def _parts(flat: Flat, kinds: tuple[tuple[str, ...], ...], of: int | None) -> list[_Part]:
    parts = []
    for names in kinds:
        told = {name for name in names if name in flat}
        if told and (tokens := _tokens(flat, names)) != 0:
            parts.append(_Part(tokens, _places_of(flat, told, tokens, of)))
    return parts


def _places_of(flat: Flat, told: set[str], tokens: int | None, of: int | None) -> tuple[bool, ...]:
    if told & _BESIDE or (told & _BESIDE_INPUT and "prompt_tokens" not in flat):
        return (True,)
    missed = _tokens(flat, _MISSED)
    if told & _INSIDE or (missed is not None and tokens is not None and tokens + missed == of):
        return (False,)
    return (False, True)


def _sums(count: int | None, parts: list[_Part], free: bool = False) -> set[int]:
    """Return what a count and its parts can be together; `free` of what the dialect says."""
    if count is None:
        return set()
    sums = set()
    for places in product(*((False, True) if free else part.places for part in parts)):
        tokens = [part.tokens for part in parts]
        if None in tokens:
            return set()
        beside = sum(one or 0 for one, place in zip(tokens, places, strict=True) if place)
        if sum(one or 0 for one in tokens) - beside <= count:
            sums.add(count + beside)
    return sums


def _only(values: set[int]) -> int | None:
    return values.copy().pop() if len(values) == 1 else None


def _money(flat: Flat) -> tuple[float | None, float]:
    """Return what was paid, None if it is not told; and what a router takes beside the price."""
    units = [str(unit).upper() for name in _CURRENCIES for unit in flat.get(name, [])]
    if any(unit not in ("USD", "US$", "$") for unit in units):
        return None, 0.0
    told = (_largest(flat, _COST, _usd), _largest(flat, _TICKS, _usd_of_ticks))
    paid = max((usd for usd in told if usd is not None), default=None)
    upstream = _largest(flat, _UPSTREAM, _usd)
    is_own_key = flat.get("is_byok", [None])[0]
    if is_own_key is False:
        return paid, 0.0
    if is_own_key and upstream is None:
        return None, paid or 0.0
    if paid is None and upstream is None:
        return None, 0.0
    return (paid or 0.0) + (upstream or 0.0), 0.0


def _names(flat: Flat, pattern: re.Pattern[str]) -> tuple[str, ...]:
    return tuple(name for name in flat if _is(name, pattern))


@lru_cache(1000)
def _is(name: str, pattern: re.Pattern[str]) -> bool:
    return pattern.fullmatch(name) is not None


def _tokens(flat: Flat, names: tuple[str, ...]) -> int | None:
    found = _largest(flat, names, _count)
    return None if found is None else int(found)


def _largest(
    flat: Flat, names: tuple[str, ...], read: Callable[[Any], float | None]
) -> float | None:
    told = [name for name in names if name in flat]  # most usage tells a few of all these names
    values = [read(value) for name in told for value in flat[name]]
    return max((value for value in values if value is not None), default=None) if told else None


def _count(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number <= _MOST_TOKENS and number % 1 == 0 else None


def _usd(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number <= _MOST_USD else None


def _usd_of_ticks(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else _usd(number / _TICKS_PER_USD)


def _number(value: Any) -> float | None:
    """Return a number that is finite and not negative, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
