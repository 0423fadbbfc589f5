"""Configurations for tests: the shipped one with other sections."""

from pathlib import Path

import yaml

from caft.config.model import Configuration
from caft.config.reading import parse

ROOT = Path(__file__).parents[1]
SHIPPED = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def configuration(given: dict) -> Configuration:
    """Return the shipped configuration with whole sections replaced; names are not checked."""
    return parse({**SHIPPED, **given})
