"""`caft items`: what a file of questions holds, and the configuration that reads it."""

import argparse
from typing import Any

_SAMPLES = 3


def add_commands(subparsers: Any) -> None:
    """Add the command; it is called as `run(arguments)`."""
    command = subparsers.add_parser(
        "items",
        help="look into a file of questions, and print the configuration that reads it",
        description="Look at the first rows of a file, and print a configuration that reads it, "
        "with three items as they would be: caft items questions.csv > mine.yaml. Nothing is "
        "written elsewhere.",
    )
    command.add_argument("file", help="a file, a folder of files of one form, or a pattern")
    command.set_defaults(run=_items)


def _items(arguments: argparse.Namespace) -> None:
    from caft.datasets.guessing import guess, name_of
    from caft.shown import tell

    found = guess(arguments.file)
    report, name = found.made.report, name_of(arguments.file)
    tell(
        f"# {arguments.file}: {report['items']} items of the first {report['rows_read']} rows; "
        f"{report['duplicates']} duplicates, {sum(report['rejected'].values())} refused."
    )
    for note in found.notes:
        tell(f"# {note}")
    for entry in found.made.quarantine.head(_SAMPLES).to_dict("records"):
        tell(f"# row {entry['row']}: {entry['detail']}")
    print(_written({"run": {"datasets": [name]}, "datasets": {name: found.section}}))
    for item in found.made.items.head(_SAMPLES).to_dict("records"):
        tell("#")
        tell(f"# {item['question']}")
        for place, option in enumerate(item["options"] or []):
            letter = chr(ord("A") + place)
            tell(f"#   {letter}) {option}{'  <- right' if letter == item['answer'] else ''}")
        if not item["options"]:
            tell(f"#   {item['answer']}")


def _written(section: dict[str, Any]) -> str:
    """Return YAML in the order in which people think, short lists and mappings on one line."""
    import yaml

    return yaml.safe_dump(
        section, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    ).rstrip()
