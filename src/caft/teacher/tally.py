"""What the progress line of paid answers says: tokens, money, retries, and how many were good."""

from caft.teacher import Answer, Teacher


class Tally:
    """Tokens, money, retries and good answers of what was asked for in this run."""

    def __init__(self, teacher: Teacher, good: str):
        """Start at nothing; `good` is what a good answer is called."""
        self.teacher, self.good = teacher, good
        self.tokens, self.answers, self.count = 0, 0, 0
        self.spent: float | None = 0.0

    def add(self, batch: list[Answer], good: list[bool]) -> str:
        """Add a batch, told which of its answers are good, and return the line."""
        for answer in batch:
            self.tokens += answer.prompt_tokens + answer.completion_tokens
            if self.spent is None or answer.cost_usd is None:
                self.spent = None
            else:
                self.spent += answer.cost_usd
        self.answers += len(batch)
        self.count += sum(good)
        money = "cost unknown" if self.spent is None else f"${self.spent:.4f} so far"
        retries = getattr(self.teacher, "retries", 0)
        share = 100 * self.count // self.answers
        return f"{self.tokens} tokens, {money}, {retries} retries, {share}% {self.good}"
