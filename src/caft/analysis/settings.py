"""Section `analysis`: what the target `analysis` compares."""

from typing import Annotated, Literal

from pydantic import Field

from caft.settings import Section, Unique, Whole, key


class Analysis(Section):
    """What the target `analysis` compares."""

    metrics: Annotated[list[str], Field(min_length=1), Unique] | None = key(
        "Names of metrics; all that are defined if absent.", None
    )
    outcome: str = key(
        "The metric whose forward pass says which answers of the student are wrong, and that the "
        "others are compared with.",
        "single_token_entropy",
    )
    split: Literal["train", "validation", "test"] | None = key(
        "Only items of this split; all but the warm-up's if absent.", None
    )
    allow_label: bool = key("Rank metrics that read the gold answer as predictors too.", False)
    draws: Whole = key("Bootstrap draws per interval.", 2000, ge=100)
