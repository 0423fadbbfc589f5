"""Hostile texts drawn from a grammar, and all that reads such texts: replies, answers, cells.

A text is a few short pieces, repeated, nested or joined, of sizes up to 100,000 characters. `draw`
gives the text of a number, `READERS` what it is given to. To add a kind of file from outside, add
its reader there and a rule that draws what it reads.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from caft.complexity.joining import read_rows as read_scores
from caft.complexity.judge_questions import QUESTIONS, read_label, read_rating
from caft.complexity.settings import MetricSettings
from caft.complexity.topk_entropy import first_logprobs
from caft.datasets import load
from caft.datasets.file import File
from caft.datasets.ingest import ingest
from caft.errors import CaftError
from caft.prompting.answers import equal, finish, parse, with_mark
from caft.prompting.parsers import PARSERS
from caft.prompting.thought import split_thought
from caft.store.imports import import_answers, read_rows
from caft.store.record import encode
from caft.teacher import Request
from caft.teacher.endpoint.refusals import Whom, refused
from caft.teacher.endpoint.replies import Fault, read_answer, read_answer_body
from caft.teacher.reading.answer import stored_answer
from caft.teacher.records import to_record
from caft.teacher.settings import Prices

SIZES = (1, 10, 200, 5_000, 30_000, 100_000)
PIECES = (
    *("[", "[[", "]]", "]", "{", "}", "(", '"', "'", "\\", "\\\\", "\\u0000", "\\ud800", "\\udc00"),
    *("[[1]]", "[[B]] or ", "\\boxed{", "\\boxed{1} or ", "}", "$", "$a", "####", "#### ", "**"),
    *("answer is ", "The answer is ", "answer:", "\n", "\r\n", "\t", " ", "x" * 7, "1,", "1,000"),
    *("1e400", "-1e400", "NaN", "Infinity", "9" * 5_000, "0.", "-", "km/", "half of ", "a-"),
    *("<think>", "</think>", "<think>\n", "```\n", "<|end|>", "analysis", "assistantfinal", "A) "),
    *(
        "data: ",
        ": ",
        "event:",
        '{"a":',
        "[1,",
        '{"choices": [',
        "null,",
        "\x00",
        "\x1b[31m",
        "\u2028",
    ),
    *(
        "\u0301\u0316",
        "\u202e",
        "\ufeff",
        "\U0001f600",
        "ﬁ",
        "İ",
        "\ud83d",
        "=1+1",
        "@SUM(",
        "true",
    ),
)
PAIRS = (("[", "]"), ("[[", "]]"), ('{"a":', "}"), ("(", ")"), ("\\boxed{", "}"), ("<think>", ""))
NUMBERS = ("1e400", "-1e400", "9" * 5_000, "NaN", "-Infinity", "-5", "0.5", '"12"', "true", "[]")
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-16", "utf-32-le", "latin-1", "utf-8-sig")


@dataclass(frozen=True)
class Case:
    """A text, which of `READERS` reads it, and draws that choose what else it reads it with."""

    kind: str
    text: str
    seed: int
    size: int


def draw(number: int) -> Case:
    """Return the text of a number; the same for ever."""
    drawn = random.Random(number)
    kind = ("reply", "answer", "cell")[number % 3]
    size = drawn.choice(SIZES)
    return Case(kind, _text(drawn, size)[: 2 * size + 5_100], number, size)


def _text(drawn: random.Random, size: int) -> str:
    shape = drawn.randrange(5)
    if shape == 0:  # one piece, again and again
        return _repeated(drawn.choice(PIECES), size)
    if shape == 1:  # a few pieces, again and again
        return _repeated("".join(drawn.choices(PIECES, k=drawn.randint(2, 5))), size)
    if shape == 2:  # nested, closed or not
        opens, closes = drawn.choice(PAIRS)
        levels = max(1, size // (len(opens) + len(closes)))
        inner = drawn.choice(PIECES)
        return opens * levels + inner + closes * drawn.choice((0, levels, levels - 1))
    if shape == 3:  # pieces as they come
        return "".join(drawn.choices(PIECES, k=max(1, min(size, 20_000) // 6)))
    return _text(drawn, size // 2) + _repeated(drawn.choice((" ", "\n", "a")), size // 2)


def _repeated(piece: str, size: int) -> str:
    return piece * max(1, size // len(piece))


def read_reply_text(case: Case, folder: Path) -> None:
    """Read a text as a reply, of a success and of a refusal, and again out of the store."""
    drawn = random.Random(case.seed)
    body = _body(drawn, case.text)
    asked = Request("k", "i", [{"role": "user", "content": "q"}], {}, 0, None, "m", "")
    prices = Prices(prompt=1.0, completion=2.0)
    try:
        raw = read_answer_body(body, "sk-secret-0123456789")
        answer = read_answer(raw, asked, prices, 1.0, drawn.choice((None, "m*")))
        (stored,) = encode([to_record(asked, answer, "rationale")])
        again = stored_answer(json.loads(stored), prices)
        assert again.cost_usd == answer.cost_usd
        assert answer.cost_usd is None or 0 <= answer.cost_usd < 1e6
        first_logprobs(answer.raw)
    except Fault:
        pass
    text = body.decode("utf-8", "replace")
    refused(drawn.choice((400, 403, 429, 500)), {"retry-after": text[:50]}, text, Whom("a", "k"))


def _body(drawn: random.Random, text: str) -> bytes:
    usage = {name: 7 for name in ("prompt_tokens", "completion_tokens", "cost")}
    message = {"content": drawn.choice((text, [text], {"text": text}, None)), "reasoning": "r"}
    reply = {
        "choices": [{"message": message, "finish_reason": drawn.choice(("stop", text, None))}],
        "usage": usage,
    }
    whole = json.dumps(reply, ensure_ascii=drawn.random() < 0.5)
    for _ in range(drawn.randrange(3)):
        whole = whole.replace("7", drawn.choice(NUMBERS), 1)
    shape = drawn.randrange(6)
    if shape == 0:
        whole = text
    elif shape == 1:
        whole = whole[:-1] + ', "x": ' + text
    elif shape == 2:
        whole = f"{text}\n{whole}"
    elif shape == 3:
        piece = json.dumps({"choices": [{"delta": {"content": text[:40]}}]})
        whole = f"data: {piece}\n\n" * max(1, len(text) // 100)
    body = whole.encode(drawn.choice(ENCODINGS), "replace")
    cut = drawn.randrange(len(body) + 1) if drawn.random() < 0.2 else len(body)
    return body[:cut] + drawn.choice((b"", b"", b"\xff\xfe", b"\xc3"))


def read_answer_text(case: Case, folder: Path) -> None:
    """Read a text as an answer, of students and of teachers, and as a judge's."""
    drawn = random.Random(case.seed)
    kind, style = drawn.choice(("choice", "numeric", "text")), drawn.choice(("upper", "number"))
    parsed = parse(case.text, drawn.choice(list(PARSERS)), kind, drawn.randint(2, 10), style, "0")
    gold = {"choice": "A", "numeric": "1", "text": "x"}[kind]
    equal(parsed, gold, kind)
    split_thought(case.text)
    assert finish(with_mark(case.text, gold, kind, 4, style))
    read_label(case.text, drawn.choice(list(QUESTIONS)))
    read_rating(case.text)


def read_cell(case: Case, folder: Path) -> None:
    """Read a text as a cell, or a line, of a file of questions, of scores and of owned answers."""
    drawn = random.Random(case.seed)
    suffix = drawn.choice(("jsonl", "csv", "tsv", "parquet"))
    path = folder / f"cells.{suffix}"
    _write(drawn, path, case.text)
    kind = drawn.choice(("choice", "numeric", "text"))
    section = File(
        adapter="file",
        path=str(path),
        columns={"question": "q", "options": "o", "answer": "a", "id": "i"},
        answer_kind=kind,
        answer_format=drawn.choice(("letter", "index0", "index1", "text")),
        splits={"train": 0.5, "test": 0.5},
        limit=drawn.choice((None, 1)),
        max_cell_mb=drawn.choice((None, 0.01)),
    )
    score = MetricSettings(metric="imported", path=str(path), column="a", join="question")
    score = score.model_copy(update={"columns": {"question": "q", "options": "o"}})
    columns = {"id": "i", "text": "q", "prompt_tokens": "a", "sample": "a"}
    for read in (
        lambda: ingest(load(section, 1, folder), section.splits, 1, "fuzzed", 1.0),
        lambda: read_scores(score),
        lambda: import_answers(read_rows(path), columns, [], "item_id", lambda *_: {}, None),
    ):
        try:
            read()
        except CaftError as error:
            assert str(error).strip()


def _write(drawn: random.Random, path: Path, text: str) -> None:
    good = {"q": "What is 1 + 1?", "o": '["1", "2"]', "a": "B", "i": "good"}
    bad = {**good, "i": "bad", drawn.choice("qoai"): text}
    if path.suffix == ".parquet":
        plain = [{key: _encodable(value) for key, value in row.items()} for row in (good, bad)]
        pq.write_table(pa.Table.from_pylist(plain), path)
        return
    if path.suffix == ".jsonl":
        lines = [json.dumps(good), json.dumps(bad, ensure_ascii=drawn.random() < 0.5)]
        lines.append(drawn.choice((text, f'{{"q": {text}, "a": 1}}')))
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        quoted = (f'"{value.replace(chr(34), chr(34) * 2)}"' for value in bad.values())
        lines = [mark.join(good), mark.join(f'"{x}"' for x in ("Q?", "no", "B", "good"))]
        lines += [mark.join(quoted), drawn.choice((text, ""))]
    content = "\n".join(lines).encode(drawn.choice(ENCODINGS), "replace")
    path.write_bytes(content + drawn.choice((b"", b"", b"", b"\xff")))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


READERS = {
    "reply": read_reply_text,
    "answer": read_answer_text,
    "cell": read_cell,
    # Cards of data sets: "card": read_card, once they are read.
}
