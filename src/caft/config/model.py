"""The whole configuration as one typed object, put together from the sections of the rooms.

The sections are the only place of keys, types, defaults and meanings: the schema for editors and
docs/config.md are made from them (`make docs`).
"""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator

from caft.analysis.settings import Analysis
from caft.complexity.settings import MetricSettings
from caft.config.run import Run
from caft.datasets import ADAPTERS
from caft.datasets.settings import DatasetSettings
from caft.evaluation.settings import Evaluation
from caft.mixtures.recipe import Training
from caft.mixtures.settings import Buckets, Strategy
from caft.prompting.settings import Prompt
from caft.running.settings import Engine
from caft.settings import Name, Section, Whole, key
from caft.students.settings import Student
from caft.teacher import PROVIDERS
from caft.teacher.sections import judge_section, teacher_section
from caft.teacher.settings import JudgeKeys, TeacherKeys


def _one_of(kinds: Iterable[type[Section]], tag: str) -> Any:
    """Return the type of a section that has one form per value of its key `tag`."""
    return Annotated[reduce(or_, kinds), Discriminator(tag)]


if TYPE_CHECKING:
    Dataset = DatasetSettings
    Teacher = TeacherKeys
    Judge = JudgeKeys
else:
    Dataset = _one_of((adapter.settings for adapter in ADAPTERS.values()), "adapter")
    _kinds = {name: PROVIDERS[name].keys for name in PROVIDERS}
    _judges = [name for name, one in _kinds.items() if not (one.own_solutions or one.is_student)]
    Teacher = _one_of((teacher_section(name) for name in PROVIDERS), "provider")
    Judge = _one_of((judge_section(name) for name in _judges), "provider")


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
        "Complexity metrics by name: a bucket definition uses one, the target `analysis` compares "
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
