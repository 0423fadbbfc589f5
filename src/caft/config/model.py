"""The whole configuration as one typed object, put together from the sections of the rooms.

The sections are the only place of keys, types, defaults and meanings: the schema for editors and
docs/config.md are made from them (`make docs`).
"""

from collections.abc import Iterable
from functools import reduce
from importlib import import_module
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, create_model

from caft.analysis.settings import Analysis
from caft.complexity.settings import MetricSettings
from caft.config.run import Run
from caft.datasets import ADAPTERS, adapter
from caft.datasets.settings import DatasetSettings
from caft.evaluation.settings import Evaluation
from caft.mixtures.recipe import Training
from caft.mixtures.settings import Buckets, Strategy
from caft.prompting.settings import Prompt
from caft.running.settings import Engine
from caft.settings import Name, Section, Whole, key
from caft.students.settings import Student
from caft.teacher import PROVIDERS
from caft.teacher.settings import Endpoint, EndpointJudgeKeys, JudgeKeys, TeacherKeys


def _one_of(kinds: Iterable[type[Section]], tag: str) -> Any:
    """Return the type of a section that has one form per value of its key `tag`."""
    return Annotated[reduce(or_, kinds), Discriminator(tag)]


def _joined(name: str, own: type[Section], shared: type[Section]) -> type[Section]:
    """Join a provider's keys with those of a role; where both have a key, `own` wins."""
    return create_model(name, __base__=(own, shared), __doc__=own.__doc__)


def _teacher(name: str, keys: type[Section]) -> type[Section]:
    return _joined(f"teacher {name}", keys, TeacherKeys)


def _judge(name: str, keys: type[Section]) -> type[Section]:
    own = EndpointJudgeKeys if issubclass(keys, Endpoint) else JudgeKeys
    return create_model(f"judge {name}", __base__=(own, keys), __doc__=keys.__doc__)


if TYPE_CHECKING:
    Dataset = DatasetSettings
    Teacher = Section
    Judge = Section
else:
    _keys = {name: import_module(module).KEYS for name, module in PROVIDERS.items()}
    Dataset = _one_of((adapter(name).settings for name in ADAPTERS), "adapter")
    Teacher = _one_of((_teacher(name, keys) for name, keys in _keys.items()), "provider")
    Judge = _one_of(
        (_judge(name, keys) for name, keys in _keys.items() if "model" in keys.model_fields),
        "provider",
    )


class Configuration(Section):
    """The configuration of a run."""

    seed: Whole = key(
        "Seed of the data, of splits, samples, procedural questions, few-shot examples and "
        "intervals.",
        1,
    )
    run: Run = key(None)
    datasets: dict[Name, Dataset] = key("Question sets by name.")
    students: dict[Name, Student] = key(
        "Models that are tuned, by name. One of `package` (with `member` and `sha256`), `path` or "
        "`hub` (with `revision`)."
    )
    teachers: dict[Name, Teacher] = key("Sources of rationales by name.")
    teacher: str | None = key(
        "The teacher of strategies and budgets that name none; needed where one does not.", None
    )
    judges: dict[Name, Judge] = key(
        "Models that say how much education and reasoning an item demands, by name.", {}
    )
    prompts: dict[Name, Prompt] = key("Prompt variants by name.")
    prompt: str = key("The prompt variant that models are trained and evaluated with.")
    metrics: dict[Name, MetricSettings] = key(
        "Complexity metrics by name: a bucket definition uses one, `snakemake analysis` compares "
        "them.",
        {},
    )
    analysis: Analysis = key(None, Analysis())
    buckets: dict[Name, Buckets] = key(
        "Bucket definitions by name; strategies use `default` unless they name another."
    )
    strategies: dict[Name, Strategy] = key("Strategies by name; each is a list of training stages.")
    training: Training = key(None, Training())
    evaluation: Evaluation = key(None, Evaluation())
    engine: Engine = key(None, Engine())
