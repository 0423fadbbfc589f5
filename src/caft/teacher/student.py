"""The student as its own teacher: samples of its own, of which the right ones are trained on.

Rejection-sampled self-distillation: what a model can do sometimes, it learns to do always (STaR,
arXiv 2203.14465; RFT, arXiv 2308.01825). It is free of money; its tokens and seconds are counted.
"""

from typing import Any, ClassVar, Literal

from caft.errors import ConfigError
from caft.settings import Count, NotNegative, key
from caft.students.engines import open_writer
from caft.students.opened import Loaded, Subject
from caft.students.whole import read_record
from caft.tables.files import read_json
from caft.tables.hashing import digest
from caft.teacher import Here, Provider
from caft.teacher.local import LocalTeacher, Writing


class Itself(Writing):
    """The student itself: it is asked several times for each item, until one answer is right."""

    is_student: ClassVar = True

    provider: Literal["student"]
    sampled_with: str = key(
        "Which of its models writes: `base`, `warm_up`, or a stage of a strategy such as "
        "`hard_only.1`. It has to write chains that end in a marked answer.",
        "base",
    )
    samples: Count = key("Answers per item until one is right.", 4)
    temperature: NotNegative = key("0 is greedy, which writes one answer per item.", 0.7)
    batch_size: Count = key(
        "Prompts at once, at most; an answer is stored when it is complete.", 32
    )

    @property
    def sampler(self) -> str:
        """Which of the student's models answers."""
        return self.sampled_with


def make(settings: Itself, tokenizer: Any, here: Here) -> LocalTeacher:
    """Make the teacher out of the student that the job has at hand.

    Raises:
        ConfigError: if there is none.
    """
    if here.student is None:
        raise ConfigError(
            "teachers: the provider `student` has another revision for each student and each of "
            "its models; name its answers by --model student and the --revision of `caft store "
            "stats`."
        )
    subject = Subject(here.student, here.trained, here.engine)

    def load() -> Loaded:
        limit = settings.max_new_tokens
        return open_writer(here.writes_with, subject, here.prompts, "cot", limit).loaded

    return LocalTeacher(settings, lambda: identity(subject), load, here.writes_with)


def identity(subject: Subject) -> tuple[str, str]:
    """Return `student` and a hash of its files, or of its files and what was trained on them."""
    revision = read_json(subject.student_file)["revision"]
    if subject.trained_file:
        revision = digest([revision, read_record(subject.trained_file)["weights_sha256"]])
    return "student", revision


PROVIDER = Provider(Itself, make)
