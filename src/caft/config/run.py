"""Section `run`: what is compared."""

from typing import Annotated, Literal

from pydantic import Field

from caft.settings import Natural, Number, Section, Share, Unique, key, optional

Names = Annotated[list[str], Field(min_length=1), Unique]


class Adaptive(Section):
    """Where mode `adaptive` thinks, if its threshold is not chosen by accuracy."""

    quantile: Share = key(
        "The threshold is this quantile of the entropies of the validation split: with 0.75 about "
        "a quarter of the questions is thought about."
    )


class Run(Section):
    """What is compared. The lists hold names that are defined under the other keys."""

    datasets: Names = key("Data sets to run.")
    students: Names = key("Students to run.")
    strategies: Names = key("Strategies to compare.")
    modes: Annotated[list[Literal["direct", "cot", "adaptive"]], Field(min_length=1), Unique] = key(
        "How every model is asked at evaluation; `adaptive` answers directly and takes the chain's "
        "answer where the model is unsure (docs/strategies.md).",
        ["direct", "cot"],
    )
    adaptive: Adaptive | None = optional(
        "The threshold of mode `adaptive` as a quantile. Without it the validation split chooses: "
        "the fewest tokens with an accuracy within `relevant_difference` of the better mode's."
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
