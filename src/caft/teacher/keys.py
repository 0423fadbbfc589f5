"""Keys that stand in a configuration, where they would be stored and shown.

A configuration is copied into records of runs, parameters of jobs and reports, and a command is
seen by everybody on its machine. So a key stays in the environment, and its place in the
configuration is refused without being repeated.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ALWAYS = re.compile(
    "authori[sz]ation|auth|bearer|[a-z]*apikey|password|passwd|passphrase|pass|pwd?|secrets?"
    "|cookies?|credentials?|jwt"
)
# Not of a person: `eos_token` is a token of the model's, `prompt_cache_key` a key of a table.
_OF_TEXTS = re.compile(
    "eos|bos|pad|unk|sep|cls|mask|stop|start|end|first|next|last|special|image|audio|video"
    "|think(ing)?|prefix|suffix|per"
)
_OF_TABLES = re.compile("cache|sort|primary|foreign|partition|group|routing|dedup")

# `--api-key VALUE`; `API_KEY=VALUE`, `?key=VALUE`, `Authorization: VALUE`, `"token": "VALUE"`.
_OPTION = re.compile(r"(?:^|(?<=[\s\"']))--?([A-Za-z][\w-]*)[ =]+[\"']?([^\s\"']+)")
_NAMED = re.compile(r"(?<![\w-])([A-Za-z][\w-]*)[\"']?\s?[:=]\s*[\"']?([^\s\"'&,}]+)")
_USER_INFO = re.compile(r"://(?:[^/\s:@]*:[^/\s@]+|([^/\s@]+))@")

_SCHEME = re.compile(r"(?:bearer|basic|token)\s+[^\s]{6,}", re.IGNORECASE)
_ISSUED = re.compile(  # as they are issued, by their beginnings
    r"sk[-_][\w-]{3,}|(?:AKIA|ASIA)[0-9A-Z]{12,}|AIza[\w-]{16,}|eyJ[\w-]{8,}\.[\w.-]+|ya29\.[\w-]+"
    r"|(?:gh[opsu]|github_pat|glpat|gsk|hf|xai|nvapi|tgp|pplx|fw|r8|csk|rk|pk|xox[abprs]|dop)"
    r"[-_](?=[\w-]*[0-9])[\w-]{12,}|hf_[A-Za-z]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY.*",
    re.DOTALL,
)
_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_PARTED = re.compile(r"[\w-]{32,}", re.ASCII)
_FILE = re.compile(r"^[~.]{0,2}/|\.[a-z]\w{1,11}$")
_HASHES = (40, 64)  # hex digits of a commit, and of a sha256
_ACCOUNT = re.compile("[0-9a-f]{32}")  # at Cloudflare's gateway it stands in the address
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")

_IN_COMMAND = (
    "a command is seen by everybody on its machine, and stored. A server of the job's own needs no "
    "key; what else a program needs, it reads from the environment, which it gets from this run"
)
_IN_CONFIG = (
    "name an environment variable with the key as api_key_env of the teacher or judge instead: a "
    "configuration is stored and shown"
)


def exposed(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield where a configuration holds a key, and what to do instead; no key is repeated.

    Args:
        value: a configuration, or a part of it, in plain values.
        path: of the part.
    """
    of_asked = bool(path) and path[0] in ("teachers", "judges")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if looks_like_key(str(name)):
                yield _told(path, "a name in it looks like a key")
            elif of_asked and names_a_secret(str(name)) and _is_said(inner):
                yield _told((*path, str(name)), "is the place of a key")
            elif name != "api_key_env":  # its own type tells
                yield from exposed(inner, (*path, str(name)))
    elif isinstance(value, list | tuple):
        texts = [str(one) for one in value]
        paired = any(
            first.startswith("-") and names_a_secret(first) and _is_value(second)
            for first, second in pairwise(texts)
        )
        if paired or any(_holds_named(one) for one in texts):
            yield _told(path, "holds a key")
        else:
            for one in value:
                yield from exposed(one, path)
    elif isinstance(value, str):
        if found := _USER_INFO.search(value):
            if found[1] is None or looks_like_key(found[1]) or path[-1:] == ("base_url",):
                yield _told(path, "holds user info")
        elif "://" in value and _holds_named(value.partition("?")[2]):
            yield _told(path, "ends in a query; give the address alone")
        elif _holds_key(value) or (of_asked and _holds_named(value)):
            yield _told(path, "holds what looks like a key")


def _holds_key(value: str) -> bool:
    """Tell whether a value, or a part of an address, is a key; an account's number is none."""
    if "://" not in value:
        return looks_like_key(value)
    parts = (part for part in value.split("/") if not _ACCOUNT.fullmatch(part))
    return any(looks_like_key(part) for part in parts)


def _told(path: tuple[str, ...], what: str) -> tuple[str, str]:
    in_command = {"command", "launcher"} & set(path)
    return ".".join(path), f"{what}; {_IN_COMMAND if in_command else _IN_CONFIG}."


def names_a_secret(name: str) -> bool:
    """Tell whether what has this name is a key, a password or a cookie."""
    words = re.findall("[a-z]+", _CAMEL.sub("_", name).lower())
    *before, last = words or [""]
    if last in ("key", "keys"):
        return not (before and _OF_TABLES.fullmatch(before[-1]))
    if last == "token":
        return not (before and _OF_TEXTS.fullmatch(before[-1]))
    parts = [last, *(before if last in ("header", "value") else ())]
    return any(_ALWAYS.fullmatch(part) for part in parts)


def looks_like_key(text: str) -> bool:
    """Tell whether a text has the form of a key: as they are issued, or long and random."""
    plain = text.strip()
    if _SCHEME.fullmatch(plain) or _ISSUED.fullmatch(plain):
        return True
    if re.search(r"\s", plain) or _FILE.search(plain):
        return False
    parts = re.sub("[-_]", "", plain) if _PARTED.fullmatch(plain) else ""
    return any(_is_random(run) for run in _RUN.findall(plain)) or (
        parts not in (parts.lower(), parts.upper()) and _is_random(parts)
    )


def _is_random(run: str) -> bool:
    """Tell whether letters and digits follow each other as in no name and no hash."""
    if re.fullmatch("[0-9a-fA-F]{32,}", run):
        return len(run) not in _HASHES
    kinds = ["d" if one.isdigit() else "u" if one.isupper() else "l" for one in run]
    changes = sum(first != second for first, second in pairwise(kinds)) / len(run)
    # Random letters in one case change to digits and back at 0.4 of all places, in both cases at
    # 0.6; in names such as "DeepSeekR1DistillQwen32B" it is less.
    return changes >= (0.4 if {"u", "l"} <= set(kinds) else 0.25)


def _is_said(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_said(one) for one in value)
    if isinstance(value, str):
        return _is_value(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= 1000


def _is_value(text: str) -> bool:
    """Tell whether a text can be a key: neither empty, nor an option, nor a place for something."""
    return bool(text.strip()) and not text.strip().startswith(("-", "$", "{"))


def _holds_named(text: str) -> bool:
    pairs = [*_OPTION.findall(text), *_NAMED.findall(text)]
    return any(names_a_secret(name) and _is_value(value) for name, value in pairs)


def _variable(name: Any) -> Any:
    if name is None or (isinstance(name, str) and is_variable(name)):
        return name
    raise ValueError(
        "is no name of an environment variable; put the key into one, never into the config"
    )


def is_variable(name: str) -> bool:
    """Tell whether a text names an environment variable, and is no key that was pasted."""
    return (
        bool(_VARIABLE.fullmatch(name))
        and not looks_like_key(name)
        # Names are words; so long a part of one, unless of capitals alone, was drawn.
        and all(len(part) < 20 or re.fullmatch("[A-Z]+", part) for part in name.split("_"))
    )


Variable = Annotated[str, BeforeValidator(_variable)]
"""The name of an environment variable. What is none is not repeated: it may be a pasted key."""
