"""How models are asked: in a mode, with so many worked examples."""

from typing import NamedTuple

from caft.config.model import Configuration


class View(NamedTuple):
    """One way of asking: its name in paths, the mode, and the number of worked examples."""

    name: str
    mode: str
    shots: int


def views(config: Configuration) -> list[View]:
    """Return how every model of a run is asked: `run.modes` times `run.shots`."""
    own = config.prompts[config.prompt].few_shot
    return [
        View(mode if shots == own else f"{mode}-{shots}shot", mode, shots)
        for shots in config.run.shots or [own]
        for mode in config.run.modes
    ]


def read_view(name: str, own: int) -> View:
    """Read a view's name: `cot` or `cot-3shot`; without a number it is the prompt's own."""
    mode, _, shots = name.removesuffix("shot").partition("-")
    return View(name, mode, int(shots) if shots else own)
