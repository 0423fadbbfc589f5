"""Write what is made from the configuration's sections: docs/config.md and the schema for editors.

    python docs/generate.py

A test compares both files with what this makes, so they cannot fall behind.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caft.config.model import Configuration

ROOT = Path(__file__).parents[1]
PAGE, SCHEMA = ROOT / "docs/config.md", ROOT / "workflow/schemas/config.schema.json"
WIDTH = 120
HEAD = """\
# Configuration

Made by `make docs` from the sections in `src/caft` (`*/settings.py`, adapters, providers).

`config.yaml` is the embedded default and shows every section in use. A file given with
`--configfile` is laid over it key by key; lists are replaced whole. Unknown keys are refused, and
so are names that nothing defines, before anything runs. `<name>` is a name of your own (letters,
digits, `-` and `_`), which becomes a file name; `[]` stands for each entry of a list.

On the command line a key is given as nested YAML, behind the target:
`--config 'training={learning_rate: 2e-4, lora: {r: 8}}'`. Snakemake refuses a dotted
`training.learning_rate=…`.
"""

Schema = dict[str, Any]


def schema() -> Schema:
    """Return the JSON schema of the configuration, without what only pydantic wants to know."""
    made = _tidy(Configuration.model_json_schema())
    about = "Made by `make docs` from the sections of src/caft; do not edit it here."
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": about, **made}


def _tidy(part: Any) -> Any:
    if isinstance(part, list):
        return [_tidy(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part.pop("left_out", False):  # null stands for no key there, and need not be offered
        part.pop("default")
        kinds = [kind for kind in part.pop("anyOf") if kind.get("type") != "null"]
        part = {**part, **(kinds[0] if len(kinds) == 1 else {"anyOf": kinds})}
    part.pop("later", None)
    if isinstance(part.get("title"), str):
        del part["title"]
    return {key: _tidy(value) for key, value in part.items()}


def resolve(part: Schema, whole: Schema) -> Schema:
    """Replace a part's `$ref` by what it names; keys beside it win."""
    if "$ref" not in part:
        return part
    name = part["$ref"].removeprefix("#/$defs/")
    return {**whole["$defs"][name], **{key: part[key] for key in part if key != "$ref"}}


def type_of(part: Schema, whole: Schema) -> str:
    """Say in a few words what a value may be."""
    part = resolve(part, whole)
    if "const" in part:
        return f"`{_plain(part['const'])}`"
    if "enum" in part:
        return "one of " + ", ".join(f"`{_plain(value)}`" for value in part["enum"])
    if "anyOf" in part:
        kinds = [type_of(kind, whole) for kind in part["anyOf"]]
        return " or ".join(sorted(kinds, key=lambda kind: kind == "null"))
    if part["type"] == "array":
        count = f"{part['minItems']} x " if part.get("minItems") == part.get("maxItems", -1) else ""
        return f"list of {count}{type_of(part['items'], whole)}"
    return {"string": "text", "object": "section"}.get(part["type"], part["type"]) + _bounds(part)


def _bounds(part: Schema) -> str:
    words = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    found = [f"{sign} {part[key]:g}" for key, sign in words.items() if key in part]
    return " " + ", ".join(found) if found else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def entries(part: Schema, whole: Schema, prefix: str = "") -> Iterator[str]:
    """Yield one list entry per key of a section, sections inside it included."""
    required = part.get("required", [])
    for key, value in part.get("properties", {}).items():
        value = resolve(value, whole)
        inner = list(_inner(value, whole))
        if "default" in value and not (
            inner and value["default"] and not isinstance(value["default"], str)
        ):
            state = f", default `{_plain(value['default'])}`"
        else:
            state = ", required" if key in required else ""
        text = f"- `{prefix}{key}` ({type_of(value, whole)}{state})"
        meaning = value.get("description", "")
        yield from textwrap.wrap(
            f"{text}: {meaning}" if meaning else text,
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for section, mark in inner:
            yield from entries(section, whole, f"{prefix}{key}{mark}.")


def _inner(value: Schema, whole: Schema) -> Iterator[tuple[Schema, str]]:
    """Yield the sections inside a value, and what a key path writes for them."""
    candidates = [(value, ""), *((kind, "") for kind in value.get("anyOf", []))]
    for part, _ in list(candidates):
        if "items" in resolve(part, whole):
            candidates.append((resolve(part, whole)["items"], "[]"))
    for candidate, mark in candidates:
        found = resolve(candidate, whole)
        if found.get("properties"):
            yield found, mark


def section(title: str, part: Schema, whole: Schema, level: int = 2) -> Iterator[str]:
    """Yield heading, meaning and entries of a section, or of each of its forms."""
    yield from ["", f"{'#' * level} {title}", ""]
    if "description" in part:
        yield from [*textwrap.wrap(part["description"], WIDTH), ""]
    if "discriminator" not in part:
        yield from entries(part, whole)
        return
    tag = part["discriminator"]["propertyName"]
    for value, name in part["discriminator"]["mapping"].items():
        form = resolve({"$ref": name}, whole)
        keys = form["properties"]
        form = {**form, "properties": {tag: keys[tag], **keys}}
        yield from section(f"{title} with `{tag}: {value}`", form, whole, level + 1)


def contents(lines: list[str]) -> list[str]:
    """Return links to the sections of the page."""
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    anchors = [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
    links = [f"[{title}](#{anchor})" for title, anchor in zip(titles, anchors, strict=True)]
    return textwrap.wrap(f"Sections: {', '.join(links)}.", WIDTH, break_long_words=False)


def render(whole: Schema) -> str:
    """Return the whole page."""
    lines = [HEAD]
    plain = {
        key: part
        for key, part in whole["properties"].items()
        if resolve(part, whole).get("type") != "object"
    }
    lines += ["", "## Top level", "", *entries({**whole, "properties": plain}, whole)]
    for key, part in whole["properties"].items():
        part = resolve(part, whole)
        if "patternProperties" in part:
            (content,) = part["patternProperties"].values()
            content = resolve(content, whole)
            lines += section(
                f"`{key}.<name>`", {**content, "description": part["description"]}, whole
            )
        elif key not in plain:
            lines += section(f"`{key}`", part, whole)
    lines[1:1] = ["", *contents(lines)]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def files() -> dict[Path, str]:
    """Return what stands in each of the files that are made."""
    whole = schema()
    return {PAGE: render(whole), SCHEMA: json.dumps(whole, indent=1, ensure_ascii=False) + "\n"}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
