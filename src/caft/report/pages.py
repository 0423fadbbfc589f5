"""Pages that a run makes from templates; what comes from outside reaches them escaped."""

from typing import Any


def render_page(template: str, **values: Any) -> str:
    """Fill a template of `caft/report/assets`.

    Raises:
        jinja2.UndefinedError: if the template asks for a value that is not given.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("caft.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
