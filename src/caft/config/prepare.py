"""From what was written to a configuration that is complete and in order."""

from collections.abc import Mapping
from typing import Any

from caft.config.checks import cross_check, lacking
from caft.config.model import Configuration
from caft.config.reading import parse
from caft.errors import ConfigError


def prepare(raw: Mapping[str, Any], plans_only: bool = False) -> Configuration:
    """Check a configuration and fill in its defaults.

    Args:
        raw: as read from YAML.
        plans_only: whether nothing will run, so that what a run needs may still be fetched.

    Raises:
        ConfigError: naming every problem with its config path and what to do.
    """
    config = parse(raw)
    # Strategies that share a teacher share its problems: each is told once.
    problems = list(dict.fromkeys(cross_check(config)))
    if not (problems or plans_only):
        problems = list(lacking(config))
    if problems:
        raise ConfigError("\n".join(f"config: {problem}" for problem in problems))
    return config
