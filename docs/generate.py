"""Write docs/config.md from the configuration's schema: type, default and meaning of every key.

    python docs/generate.py

A test compares the file with what this makes, so it cannot fall behind.
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
WIDTH = 120
HEAD = """\
# Configuration

Made from `workflow/schemas/config.schema.yaml` by `make docs`; do not edit it here.

`config.yaml` is the embedded default and shows every section in use. A file given with
`--configfile` is laid over it key by key; lists are replaced whole. Unknown keys are refused, and
so are names that nothing defines, before anything runs. `<name>` is a name of your own (letters,
digits, `-` and `_`), which becomes a file name; `[]` stands for each entry of a list.
"""

Schema = dict[str, Any]


def resolve(part: Schema, schema: Schema) -> Schema:
    """Replace a part's `$ref` by what it names; keys beside it win."""
    if "$ref" not in part:
        return part
    name = part["$ref"].removeprefix("#/$defs/")
    return {**schema["$defs"][name], **{key: part[key] for key in part if key != "$ref"}}


def type_of(part: Schema, schema: Schema) -> str:
    """Say in a few words what a value may be."""
    part = resolve(part, schema)
    if "const" in part:
        return f"`{_plain(part['const'])}`"
    if "enum" in part:
        return "one of " + ", ".join(f"`{_plain(value)}`" for value in part["enum"])
    if "oneOf" in part:
        kinds = [type_of(kind, schema) for kind in part["oneOf"]]
        return " or ".join(sorted(kinds, key=lambda kind: kind == "null"))
    if part["type"] == "array":
        count = f"{part['minItems']} x " if part.get("minItems") == part.get("maxItems", -1) else ""
        return f"list of {count}{type_of(part['items'], schema)}"
    return {"string": "text", "object": "section"}.get(part["type"], part["type"]) + _bounds(part)


def _bounds(part: Schema) -> str:
    words = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    found = [f"{sign} {part[key]}" for key, sign in words.items() if key in part]
    return " " + ", ".join(found) if found else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def entries(part: Schema, schema: Schema, prefix: str = "") -> Iterator[str]:
    """Yield one list entry per key of a section, sections inside it included."""
    required = part.get("required", [])
    for key, value in part.get("properties", {}).items():
        value = resolve(value, schema)
        if "default" in value:
            state = f", default `{_plain(value['default'])}`"
        else:
            state = ", required" if key in required else ""
        text = f"- `{prefix}{key}` ({type_of(value, schema)}{state})"
        meaning = value.get("description", "")
        yield from textwrap.wrap(
            f"{text}: {meaning}" if meaning else text,
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for inner, mark in _inner(value, schema):
            yield from entries(inner, schema, f"{prefix}{key}{mark}.")


def _inner(value: Schema, schema: Schema) -> Iterator[tuple[Schema, str]]:
    """Yield the sections inside a value, and what a key path writes for them."""
    candidates = [(value, ""), *((kind, "") for kind in value.get("oneOf", []))]
    if "items" in value:
        candidates.append((value["items"], "[]"))
    for candidate, mark in candidates:
        resolved = resolve(candidate, schema)
        if resolved.get("properties"):
            yield resolved, mark


def section(title: str, part: Schema, schema: Schema, level: int = 2) -> Iterator[str]:
    """Yield heading, meaning and entries of a section, or of each of its forms."""
    yield from ["", f"{'#' * level} {title}", ""]
    if "description" in part:
        yield from [*textwrap.wrap(part["description"], WIDTH), ""]
    forms = [resolve(form["then"], schema) for form in part.get("allOf", [])]
    if not forms:
        yield from entries(part, schema)
    for form in forms:
        key = next(key for key, value in form["properties"].items() if "const" in value)
        label = f"`{key}: {form['properties'][key]['const']}`"
        yield from section(f"{title} with {label}", form, schema, level + 1)


def render(schema: Schema) -> str:
    """Return the whole page."""
    lines = [HEAD]
    plain = {
        key: part
        for key, part in schema["properties"].items()
        if resolve(part, schema)["type"] != "object"
    }
    lines += ["", "## Top level", "", *entries({**schema, "properties": plain}, schema)]
    for key, part in schema["properties"].items():
        part = resolve(part, schema)
        named = part.get("additionalProperties")
        if isinstance(named, dict):
            content = resolve(named, schema)
            words = [text["description"] for text in (part, content) if "description" in text]
            content = {**content, "description": " ".join(words)}
            lines += section(f"`{key}.<name>`", content, schema)
        elif key not in plain:
            lines += section(f"`{key}`", part, schema)
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text


def read_schema() -> Schema:
    """Return the configuration's schema."""
    path = ROOT / "workflow/schemas/config.schema.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    (ROOT / "docs/config.md").write_text(render(read_schema()), encoding="utf-8")
