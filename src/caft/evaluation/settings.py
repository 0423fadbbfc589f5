"""Section `evaluation`: how models are asked and read."""

from caft.students.settings import Writing


class Evaluation(Writing):
    """How models are asked and read."""
