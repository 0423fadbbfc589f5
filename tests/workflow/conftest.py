"""A small config: base, sft and complexity_aware on forty sums with a tiny random student."""

import pytest
from harness import questions, sums_config, write_questions


@pytest.fixture(scope="session")
def config(student, tmp_path_factory):
    """A config of three strategies on a file of sums, by quantiles."""
    file = tmp_path_factory.mktemp("data") / "sums.jsonl"
    write_questions(file, questions())
    return sums_config(file, student)
