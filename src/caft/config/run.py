"""Section `run`: what is compared."""

from typing import Annotated, Literal

from pydantic import Field

from caft.settings import Natural, Number, Section, Unique, key

Names = Annotated[list[str], Field(min_length=1), Unique]


class Run(Section):
    """What is compared. The lists hold names that are defined under the other keys."""

    datasets: Names = key("Data sets to run.")
    students: Names = key("Students to run.")
    strategies: Names = key("Strategies to compare.")
    modes: Annotated[list[Literal["direct", "cot"]], Field(min_length=1), Unique] = key(
        "How every model is asked at evaluation.", ["direct", "cot"]
    )
    shots: Annotated[list[Natural], Field(min_length=1), Unique] | None = key(
        "Numbers of worked examples in the evaluation's prompts, such as `[0, 3]`; the prompt's "
        "own `few_shot` if absent.",
        None,
    )
    checkpoints: Annotated[list[Literal["last", "best"]], Field(min_length=1), Unique] = key(
        "Weights that are evaluated: of the last epoch, or of the one that answers the validation "
        "split best (needs `training.keep_epochs`).",
        ["last"],
    )
    seeds: Annotated[list[Natural], Field(min_length=1), Unique] = key(
        "Seeds of training: of adapters, row order, dropout and random controls. Each makes models "
        "of its own.",
        [1],
    )
    relevant_difference: Number = key(
        "Smallest difference of accuracies that matters to you, a share; verdicts say whether it "
        "would have been found.",
        0.05,
        ge=0.0001,
        lt=1,
    )
    split: Literal["test", "validation"] = key("The split that is reported.", "test")
