"""From what was written to a configuration that is complete and in order."""

from typing import Any

from caft.config.checks import cross_check
from caft.config.reading import parse
from caft.errors import ConfigError


def prepare(config: dict[str, Any]) -> dict[str, Any]:
    """Fill defaults into a configuration in place, bring it into one form, and check it.

    Args:
        config: as read from YAML.

    Returns:
        The same dict.

    Raises:
        ConfigError: naming every problem with its config path and what to do.
    """
    complete = parse(config).plain()
    # Strategies that share a teacher share its problems: each is told once.
    problems = list(dict.fromkeys(cross_check(complete)))
    if problems:
        raise ConfigError("\n".join(f"config: {problem}" for problem in problems))
    config.clear()
    config.update(complete)
    return config
