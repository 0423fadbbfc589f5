"""`caft store`: look after the stored answers of teachers."""

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caft import layout
from caft.cli import configured, dropping
from caft.errors import ConfigError, StoreError
from caft.shown import tell
from caft.store import Store, batches, stats
from caft.store.check import check
from caft.store.compaction import compact
from caft.store.export import FORMATS, export
from caft.store.imports import (
    COLUMNS,
    KEYS,
    Imported,
    Owned,
    import_answers,
    read_rows,
    write_rejected,
)


def add_commands(subparsers: Any) -> None:
    """Add the group and its commands; a command is called as `run(arguments)`."""
    group = subparsers.add_parser("store", help="look after the stored answers of teachers")
    commands = group.add_subparsers(metavar="command", required=True)

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text.split(".")[0].split(";")[0], description=text)
        command.add_argument(
            "--store",
            type=Path,
            default=Path(layout.TEACHER_STORE),
            metavar="FOLDER",
            help="default: %(default)s",
        )
        command.set_defaults(run=run)
        return command

    add("verify", _verify, "Read every byte; name what is damaged and exit with status 1 then.")
    shown = add("stats", _stats, "Answers, tokens and money by model; answers by file.")
    shown.add_argument("--json", action="store_true", help="for programs")
    out = add("export", _export, "Write all answers to one file, each key once.")
    out.add_argument("file", type=Path, help=f"ends in {' or '.join(FORMATS)}")
    out.add_argument("--model", metavar="NAME", help="only of this model")
    _add_import(add("import", _import, _IMPORT))
    open_ = add("batches", _batches, "List what was submitted in batches and is not collected yet.")
    open_.add_argument(
        "--forget", metavar="ID", help="take one off the list: its requests are asked again"
    )
    dropping.add_options(add("drop", dropping.run, dropping.TEXT))
    folded = add(
        "compact",
        _compact,
        "Fold the journals of dead writers and merge small segments; what is damaged is moved to "
        "FOLDER/damaged. Programs may use the store meanwhile.",
    )
    folded.add_argument(
        "--all",
        action="store_true",
        help="fold the journals of other machines too; nothing may be writing there",
    )


_IMPORT = (
    "Store answers that you own already, so that they are not bought. Each row is stored as the "
    "answer to exactly the request that the configured teacher would send for that item."
)


def _add_import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, help="ends in .parquet, .jsonl or .csv")
    command.add_argument("--teacher", required=True, metavar="NAME", help="of the config")
    command.add_argument(
        "--model", required=True, metavar="NAME", help="who wrote the answers: the teacher's model"
    )
    command.add_argument("--revision", help="its revision, if it is to be checked too")
    command.add_argument("--prompt", metavar="NAME", help="the teacher's prompt, to be checked")
    command.add_argument(
        "--items",
        required=True,
        type=Path,
        metavar="FILE",
        help=layout.at(layout.ITEMS, dataset="NAME"),
    )
    command.add_argument(
        "--columns",
        required=True,
        type=_columns,
        metavar="id=COLUMN,text=COLUMN,...",
        help=f"the file's columns: {', '.join(COLUMNS)}; id and text are needed",
    )
    command.add_argument(
        "--by", choices=KEYS, default=KEYS[0], help="what id is; default: %(default)s"
    )
    command.add_argument(
        "--student", type=Path, metavar="FOLDER", help="its tokenizer counts tokens not given"
    )
    command.add_argument(
        "--rejected", type=Path, metavar="FILE.csv", help="write there which rows were not stored"
    )
    configured.add_options(command)


def _columns(text: str) -> dict[str, str]:
    columns = {part.partition("=")[0]: part.partition("=")[2] for part in text.split(",")}
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown or not {"id", "text"} <= set(columns) or not all(columns.values()):
        raise argparse.ArgumentTypeError(
            f"give id=COLUMN,text=COLUMN and maybe {', '.join(COLUMNS[2:])} "
            f"(unknown: {', '.join(unknown) or 'none'})"
        )
    return columns


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such store; name its folder with --store.")
    return folder


def _verify(arguments: argparse.Namespace) -> int:
    report = check(_existing(arguments.store))
    for damage in report.damage:
        tell(f"damaged: {damage}")
    for torn in report.torn:
        tell(f"unfinished: {torn}")
    tell(
        f"{arguments.store}: {report.segments} segments, {report.journals} journals; "
        f"{report.answers} intact answers to {len(report.keys)} requests; "
        f"{len(report.damage)} damaged, {len(report.torn)} unfinished"
        + (f", {len(report.dropped):,} dropped" if report.dropped else "")
    )
    if report.damage:
        tell(
            "Damaged answers are not used: the next run buys them again. "
            "`caft store compact` moves the damaged files aside."
        )
    elif report.torn:
        tell("An unfinished last line is no damage: it never counted as received.")
    return 1 if report.damage else 0


def _stats(arguments: argparse.Namespace) -> None:
    folder = _existing(arguments.store)
    store = Store(folder)
    models, per_file = stats.by_model(store), stats.by_file(folder)
    if arguments.json:
        print(json.dumps({"models": models, "files": per_file}, indent=2, ensure_ascii=False))
        return
    for row in models:
        tell(f"{row['model_id']}, revision {row['revision'] or '(none)'}")
        kinds = ", ".join(f"{count} {kind}" for kind, count in row["kinds"].items())
        tell(f"  answers     {row['answers']:,} ({kinds}; {row['imported']:,} imported)")
        counted = f"{row['prompt_tokens']:,} prompt, {row['completion_tokens']:,} answer"
        more = row["tokens_unknown"]
        unknown = f" and {more:,} answers of unknown length" if more else ""
        tell(f"  tokens      {counted}{unknown}")
        unknown = f" and {row['cost_unknown']:,} at unknown cost" if row["cost_unknown"] else ""
        tell(f"  cost        ${row['cost_usd']:,.4f}{unknown}")
        if (lost := row["given_up"])["requests"]:
            unknown = " at unknown cost" if lost["cost_unknown"] else f", ${lost['cost_usd']:,.4f}"
            tell(
                f"  given up    {lost['requests']:,} requests without an answer; may have taken up "
                f"to {lost['tokens']:,} tokens{unknown}, not counted above (docs/budget.md)"
            )
        tell(f"  received    {row['first_received']} to {row['last_received']}")
        ends = ", ".join(f"{count:,} {name}" for name, count in row["finish_reasons"].items())
        tell(f"  finished    {ends}")
        names = ", ".join(f"{count:,} {name}" for name, count in row["answered_by"].items())
        tell(f"  answered by {names}")
    if store.dropped:
        tell(f"{store.dropped:,} answers are dropped: they count here and are not used.")
    for row in per_file:
        tell(f"{row['answers']:>9,} answers {row['bytes']:>14,} bytes  {row['file']}")


def _export(arguments: argparse.Namespace) -> None:
    count = export(Store(_existing(arguments.store)), arguments.file, arguments.model)
    tell(f"{arguments.file}: {count} answers")


def _import(arguments: argparse.Namespace) -> int:
    from caft.tables import parquet

    items = parquet.read("items", arguments.items)
    record_of = _recorder(arguments, items)
    with Store(arguments.store) as store:
        done = import_answers(
            read_rows(arguments.file),
            arguments.columns,
            parquet.records(items),
            arguments.by,
            record_of,
            store,
        )
    if arguments.rejected:
        write_rejected(arguments.rejected, done.rejected)
    tell(_summary(done))
    return 0 if done.stored or done.owned else 1


def _recorder(arguments: argparse.Namespace, items: Any) -> Any:
    """Return what turns an owned answer to an item into the record of the teacher's answer."""
    from caft.prompting.prompts import all_messages
    from caft.prompting.tokens import TokenCounter
    from caft.teacher import Answer, Here, make_teacher
    from caft.teacher.records import make_request, to_record

    config = configured.read(arguments)
    if arguments.teacher not in config.teachers:
        known = ", ".join(sorted(config.teachers)) or "none"
        raise ConfigError(f"--teacher: no teacher {arguments.teacher!r}; known are {known}.")
    settings = config.teachers[arguments.teacher]
    _agree("--prompt", arguments.prompt, settings.prompt, arguments.teacher)
    variant = config.prompts[settings.prompt]
    texts = all_messages(items, variant, "cot", config.seed)
    turns = dict(zip(items["item_id"], texts, strict=True))
    counter = TokenCounter(arguments.student) if arguments.student else None
    teacher = make_teacher(settings, None, Here(arguments.store))

    def record_of(item: dict[str, Any], owned: Owned) -> dict[str, Any]:
        request = make_request(teacher, item, turns[item["item_id"]], owned.sample)
        _agree("--model", arguments.model, request.model_id, arguments.teacher)
        _agree("--revision", arguments.revision, request.revision, arguments.teacher)
        prompt_tokens, completion_tokens = owned.prompt_tokens, owned.completion_tokens
        if counter and prompt_tokens is None:
            (prompt_tokens,) = counter.prompts([request.messages])
        if counter and completion_tokens is None:
            completion_tokens = sum(counter.texts([owned.reasoning or "", owned.text]))
        raw = {"imported": True, "file": arguments.file.name, "row": owned.row}
        text, reasoning, finish_reason = owned.text, owned.reasoning, owned.finish_reason
        counts = (prompt_tokens, completion_tokens)
        answer = Answer(request.key, text, reasoning, finish_reason, *counts, 0.0, 0.0, raw)
        return {**to_record(request, answer, "rationale"), "seconds": None}

    return record_of


def _agree(option: str, given: str | None, configured: str, teacher: str) -> None:
    if given is not None and given != configured:
        raise ConfigError(
            f"{option}: {given!r} is not what teachers.{teacher} asks, which is {configured!r}; "
            "the answers would never be found. Change one of the two."
        )


def _summary(done: Imported) -> str:
    reasons = Counter(one.reason for one in done.rejected)
    shown = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return (
        f"{done.rows} rows = {done.stored} stored + {done.owned} already owned + "
        f"{len(done.rejected)} rejected{f' ({shown})' if shown else ''}"
    )


def _compact(arguments: argparse.Namespace) -> None:
    done = compact(_existing(arguments.store), everything=arguments.all)
    for damage in done.damage:
        tell(f"damaged: {damage}")
    for path in done.aside:
        tell(f"moved aside: {path}")
    tell(
        f"{arguments.store}: {done.folded} journals and {done.merged} segments became "
        f"{len(done.written)} segments with {done.answers} answers; "
        f"{done.duplicates} duplicates dropped, {len(done.damage)} damaged"
    )
    if done.in_use or done.elsewhere:
        tell(
            f"left alone: {done.in_use} journals in use, {done.elsewhere} of other machines (--all)"
        )


def _batches(arguments: argparse.Namespace) -> None:
    folder = _existing(arguments.store)
    if arguments.forget:
        known = batches.forget(folder, arguments.forget)
        count = f"its {len(known.keys):,} requests are" if known else "whatever was in it is"
        tell(f"{arguments.forget} is forgotten: {count} asked again by the next run.")
        return
    for batch in batches.all_in(folder):
        since = datetime.fromtimestamp(batch.created, UTC).isoformat(" ", "minutes")
        state = f"{len(batch.answers):,} answers are here" if batch.answers else "open"
        if not (batch.batch or batch.answers):
            state = "submitted or not: the job was cut off"
        tell(
            f"{batch.name}  {len(batch.keys):,} requests  {since[:16]} UTC  {state}  "
            f"{batch.model} at {batch.endpoint}"
        )
    if not batches.all_in(folder):
        tell(f"{folder}: no open batches")
