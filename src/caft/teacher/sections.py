"""The sections of teachers and judges: the keys of a provider, joined with those of the role."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import create_model

from caft.teacher import PROVIDERS
from caft.teacher.settings import Endpoint, EndpointJudgeKeys, JudgeKeys, TeacherKeys


@cache
def teacher_section(provider: str) -> type[TeacherKeys]:
    """Return the section of teachers of a provider; its own keys win over those of all teachers."""
    own: Any = PROVIDERS[provider].keys
    return create_model(f"teacher {provider}", __base__=(own, TeacherKeys), __doc__=own.__doc__)


@cache
def judge_section(provider: str) -> type[JudgeKeys]:
    """Return the section of judges of a provider; the keys of all judges win over its own."""
    own: Any = PROVIDERS[provider].keys
    role = EndpointJudgeKeys if issubclass(own, Endpoint) else JudgeKeys
    return create_model(f"judge {provider}", __base__=(role, own), __doc__=own.__doc__)


def read_teacher(plain: Mapping[str, Any]) -> TeacherKeys:
    """Turn a section `teachers.<name>` in plain values, as rules have it, back."""
    return teacher_section(plain["provider"]).model_validate(plain)


def read_judge(plain: Mapping[str, Any]) -> JudgeKeys:
    """Turn a section `judges.<name>` in plain values, as rules have it, back."""
    return judge_section(plain["provider"]).model_validate(plain)
