"""How models are asked: in a mode, with so many worked examples."""

from typing import NamedTuple

from caft.config.model import Configuration

ADAPTIVE = "adaptive"
_HELD_OUT = "-validation"  # behind the name of a view that is asked to choose a threshold


class View(NamedTuple):
    """One way of asking.

    Attributes:
        name: in paths.
        mode: `direct`, `cot`, or `adaptive`, whose answers are taken from those of the other two.
        shots: number of worked examples.
        split: which items, where they are not those that the run reports.
    """

    name: str
    mode: str
    shots: int
    split: str | None = None

    def of(self, mode: str) -> str:
        """Return the name of the view that asks alike in another mode."""
        return self.name.replace(self.mode, mode, 1)

    def held_out(self) -> "View":
        """Return the view that asks the validation split alike."""
        return self._replace(name=self.name + _HELD_OUT, split="validation")


def views(config: Configuration) -> list[View]:
    """Return how every model of a run is reported: `run.modes` times `run.shots`."""
    own = config.prompts[config.prompt].few_shot
    return [
        View(mode if shots == own else f"{mode}-{shots}shot", mode, shots)
        for shots in config.run.shots or [own]
        for mode in config.run.modes
    ]


def asked_views(config: Configuration) -> list[View]:
    """Return how every model of a run is asked: adaptive answers are taken from other modes'.

    Their threshold comes from the validation split; a quantile needs no chains there.
    """
    asked = [view for view in views(config) if view.mode != ADAPTIVE]
    if ADAPTIVE not in config.run.modes:
        return asked
    by_quantile = config.run.adaptive is not None
    return asked + [view.held_out() for view in asked if view.mode == "direct" or not by_quantile]


def read_view(name: str, own: int) -> View:
    """Read a view's name: `cot` or `cot-3shot`; without a number it is the prompt's own."""
    stem = name.removesuffix(_HELD_OUT)
    mode, _, shots = stem.removesuffix("shot").partition("-")
    view = View(stem, mode, int(shots) if shots else own)
    return view if stem == name else view.held_out()
