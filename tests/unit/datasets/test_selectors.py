"""Values below a column, options and answers in other shapes than a list and a letter."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caft.datasets import load
from caft.datasets.file import File
from caft.datasets.ingest import ingest
from caft.datasets.settings import Splits
from caft.errors import ItemError

SPLITS = Splits(train=0.5, test=0.5)


def read(path, columns, **spec):
    settings = File(
        adapter="file", path=str(path), splits=SPLITS, columns={"question": "q", **columns}, **spec
    )
    return ingest(load(settings, 1, path.parent), SPLITS, 1, "own", 0.4)


def items(tmp_path, rows, columns, **spec):
    """Return options and answer of every item that rows of JSON Lines give."""
    path = tmp_path / "q.jsonl"
    rows = [{"q": f"Question {number}?", **row} for number, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = read(path, columns, **spec).items
    return [(list(row.options), row.answer) for row in made.itertuples()]


def choices(labels, *texts):
    return {"text": list(texts), "label": list(labels)}


def test_keys_are_the_labels_of_the_row_itself(tmp_path):
    rows = [
        {"choices": choices("1234", "w", "x", "y", "z"), "key": "1"},
        {"choices": choices("ABCD", "w", "x", "y", "z"), "key": "c"},
        {"choices": choices("ABCDE", "w", "x", "y", "z", "v"), "key": "E"},
        {"choices": choices("CAB", "w", "x", "y"), "key": "(A)"},
    ]
    assert items(tmp_path, rows, {"options": "choices.text", "answer": "key"}) == [
        (["w", "x", "y", "z"], "A"),
        (["w", "x", "y", "z"], "C"),
        (["w", "x", "y", "z", "v"], "E"),
        (["w", "x", "y"], "B"),
    ]


def test_a_label_that_the_row_lacks_is_never_a_place(tmp_path):
    rows = [{"choices": choices("12", "w", "x"), "key": key} for key in ("1", "2", "A")]
    path = tmp_path / "q.jsonl"
    path.write_text(
        "".join(json.dumps({"q": f"{row['key']}?", **row}) + "\n" for row in rows), "utf-8"
    )
    made = read(path, {"options": "choices.text", "answer": "key"})
    assert list(made.items["answer"]) == ["A", "B"]
    assert list(made.quarantine["detail"]) == ["answer 'A' is none of the row's labels 1, 2"]


LIST = [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}]
STEM = {"stem": "Deep?", "choices": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}]}
SHAPES = [
    ({"o": LIST, "a": "B"}, {"options": "o[].value", "answer": "a"}, {}),
    ({"o": LIST, "a": "B"}, {"options": "o.value", "labels": "o.key", "answer": "a"}, {}),
    ({"o": STEM, "a": "B"}, {"options": "o.choices[].text", "answer": "a"}, {}),
    ({"o": {"A": "x", "B": "y", "C": None}, "a": "B"}, {"options": "o", "answer": "a"}, {}),
    ({"o": {"one": "x", "two": "y"}, "a": "two"}, {"options": "o", "answer": "a"}, {}),
    ({"o": json.dumps({"A": "x", "B": "y"}), "a": "b"}, {"options": "o", "answer": "a"}, {}),
    ({"o": "{'A': 'x', 'B': \"y\"}", "a": "B"}, {"options": "o", "answer": "a"}, {}),
    ({"o": json.dumps(LIST), "a": "B"}, {"options": "o[].value", "answer": "a"}, {}),
    ({"m": {"x": "x", "y": "y"}, "a": 1}, {"options": ["m.x", "m.y"], "answer": "a"}, "index0"),
    ({"o": ["x", "y"], "a": {"text": ["y"]}}, {"options": "o", "answer": "a.text[0]"}, "text"),
    ({"o": ["x", "y"], "a": [0, 1]}, {"options": "o", "answer": "a"}, "scores"),
    ({"o": ["x", "y"], "a": [False, True]}, {"options": "o", "answer": "a"}, "scores"),
    ({"o": ["x", "y"], "a": [0.25, 0.75]}, {"options": "o", "answer": "a"}, "scores"),
    ({"o": ["x", "y"], "a": "[0, 1]"}, {"options": "o", "answer": "a"}, "scores"),
    ({"o": ["x", "y"], "a": {"B": 1, "A": 0}}, {"options": "o", "answer": "a.B"}, "index0"),
    ({"o": {"1": "x", "2": "y"}, "a": {"2": 1, "1": 0}}, {"options": "o", "answer": "a"}, "scores"),
    (
        {"o1": "x", "o2": "y", "r1": "false", "r2": "true"},
        {"options": ["o1", "o2"], "answer": ["r1", "r2"]},
        "scores",
    ),
    ({"m": {"o": ["x", "y"], "r": [0, 1]}}, {"options": "m.o", "answer": "m.r"}, "scores"),
    ({"o": {"x": 0, "y": 1}}, {"options": "o", "answer": "o"}, "scores"),
    ({"o": [["x", 1], ["y", 2]], "a": "B"}, {"options": "o[][0]", "answer": "a"}, {}),
    ({"o": '[["x"], ["y"]]', "a": "B"}, {"options": "o[][0]", "answer": "a"}, {}),
    ({"o": ["x", "y"], "a": [{"t": "y"}]}, {"options": "o", "answer": "a[].t[0]"}, "text"),
    ({"o": "{'x': False, 'y': True, 'z': None}"}, {"options": "o", "answer": "o"}, "scores"),
]


@pytest.mark.parametrize(("row", "columns", "how"), SHAPES)
def test_every_shape_gives_two_options_and_the_second_is_right(row, columns, how, tmp_path):
    spec = {"answer_format": how} if how else {}
    assert items(tmp_path, [row, row], columns, **spec) == [(["x", "y"], "B")] * 2


def test_truth_values_name_yes_and_no(tmp_path):
    rows = [{"o": ["No", "Yes"], "a": True}, {"o": ["true", "false"], "a": False}]
    found = items(tmp_path, rows, {"options": "o", "answer": "a"}, answer_format="text")
    assert [answer for _, answer in found] == ["B", "B"]


def test_options_that_no_column_has_are_those_of_every_question(tmp_path):
    rows = [{"a": False}, {"a": True}, {"a": None}, {"a": "no"}]
    spec = {"shared_options": ["yes", "no"], "answer_format": "text"}
    found = items(tmp_path, rows, {"answer": "a"}, **spec)
    assert found == [(["yes", "no"], "B"), (["yes", "no"], "A"), (["yes", "no"], "B")]


def test_brackets_that_are_no_selector_are_a_name(tmp_path):
    rows = [{"o [-1]": ["x", "y"], "a": ["A", "B"]}]
    with pytest.raises(ItemError, match=r"no column 'a\[-1\]' \(columns.answer\); the file has: q"):
        items(tmp_path, rows, {"options": "o [-1]", "answer": "a[-1]"})


def test_a_column_of_that_very_name_comes_first(tmp_path):
    row = {"a.b": "B", "a": {"b": "A"}, "o": ["x", "y"]}
    assert items(tmp_path, [row], {"options": "o", "answer": "a.b"}) == [(["x", "y"], "B")]


def test_structs_maps_and_class_names_of_parquet(tmp_path):
    struct = pa.struct({"A": pa.string(), "B": pa.string(), "C": pa.string()})
    table = pa.table(
        {
            "q": ["1?", "2?"],
            "s": pa.array([{"A": "x", "B": "y", "C": "z"}, {"A": "p", "B": "q"}], struct),
            "m": pa.array(
                [[("k", "x"), ("l", "y")], [("k", "p"), ("l", "q")]],
                pa.map_(pa.string(), pa.string()),
            ),
            "a": ["C", "B"],
            "l": ["l", "k"],
            "n": [1, 0],
            "t": [{"A word": 0, "Both": 1}, {"Other": 1, "Both": 0}],
        }
    )
    features = {"n": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    info = json.dumps({"info": {"features": features}})
    path = tmp_path / "q.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), path)
    structs = read(path, {"options": "s", "answer": "a", "category": "n.name"}).items
    assert [list(one) for one in structs["options"]] == [["x", "y", "z"], ["p", "q"]]
    assert list(structs["answer"]) == ["C", "B"]
    scored = read(path, {"options": "t", "answer": "t"}, answer_format="scores").items
    assert [list(one) for one in scored["options"]] == [["A word", "Both"], ["Both", "Other"]]
    assert list(scored["answer"]) == ["B", "B"]
    assert list(structs["category"]) == ["yes", "no"]
    maps = read(path, {"options": "m", "answer": "l"}).items
    assert list(maps["answer"]) == ["B", "A"]


REFUSED = [
    (
        {"o": LIST, "a": "A"},
        {"options": "o", "answer": "a"},
        r"row 1: option 1 is an object with the keys key, value; name one of them, such as "
        r"o\[\].value",
    ),
    (
        {"o": ["x", "y"], "a": ["A"]},
        {"options": "o", "answer": "a"},
        r"answer is a list of 1; name one entry, such as a\[0\]",
    ),
    (
        {"o": ["x", "y"], "a": {"k": "A"}},
        {"options": "o", "answer": "a"},
        r"answer is an object with the keys k; name one of them, such as a.k",
    ),
    (
        {"o": {"t": ["x", "y"]}, "a": "A"},
        {"options": "o", "answer": "a"},
        r"option t is a list of 2; name one entry",
    ),
    (
        {"o": {"t": ["x", "y"]}, "a": "A"},
        {"options": "o.text", "answer": "a"},
        r"no column 'o.text' \(columns.options\); below 'o' there is: t",
    ),
    (
        {"o": ["x", "y"], "a": "A"},
        {"options": "o.text", "answer": "a"},
        r"below 'o' there is: nothing",
    ),
    (
        {"o": "['x' 'y']", "a": "A"},
        {"options": "o", "answer": "a"},
        r"a list without commas, as numpy prints it.*json.dumps\(list\(options\)\)",
    ),
    (
        {"o": [["A", "x"], ["B", "y"]], "a": "A"},
        {"options": "o", "answer": "a"},
        r"option 1 is a list of 2; name one entry, such as o\[\]\[1\]",
    ),
    (
        {"o": {"A": {"t": "x"}, "B": {"t": "y"}}, "a": "A"},
        {"options": "o", "answer": "a"},
        r"objects in an object; list them: \[o.A.t, o.B.t\]",
    ),
    (
        {"o": ["x", "y"], "a": ["A", "B"]},
        {"options": "o", "answer": "a"},
        "a list of 2, and an item has one answer; leave such rows out",
    ),
    (
        {"x": "x", "y": "y", "z": None, "s": 0.2, "t": 0, "u": 0.8},
        {"options": ["x", "y", "z"], "answer": ["s", "t", "u"]},
        "a score behind the last of 2 options",
    ),
    ({"o": ["x", "y"], "a": [1, 1]}, {"options": "o", "answer": "a"}, "no single largest score"),
    ({"o": ["x", "y"], "a": [1]}, {"options": "o", "answer": "a"}, "1 scores for 2 options"),
    ({"o": ["x", "y"], "a": ["?", 1]}, {"options": "o", "answer": "a"}, "a score is no number"),
]


@pytest.mark.parametrize(("row", "columns", "message"), REFUSED)
def test_what_is_no_text_is_refused_with_what_was_found(row, columns, message, tmp_path):
    spec = {"answer_format": "scores"} if " score" in message else {}
    with pytest.raises(ItemError, match=message):
        items(tmp_path, [row, row], columns, **spec)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("A) 12 | B) x; y", ["12", "x; y"]),
        ("A. 1,000; B. vitamin C", ["1,000", "vitamin C"]),
        ("(a) x, (b) y,\n(c) 3", ["x", "y", "3"]),
        ("A) f(x) = 2:1\r\n\r\nB) two\nlines", ["f(x) = 2:1", "two\nlines"]),
    ],
)
def test_options_of_one_text_are_parted_by_their_marks(text, options, tmp_path):
    rows = [{"o": text, "a": "b"}]
    assert items(tmp_path, rows, {"options": "o", "answer": "a"}) == [(options, "B")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A) x | C) y", "with the marks A, C; options in one text begin with A, B, C"),
        ("A) x | B) y | B) z", "with the marks A, B, B;"),
        ("A) x | B. y", "with the marks A, B;"),
        ("B) x | C) y", "with the marks B, C;"),
        ("A) alone", "with the marks A;"),
        ("x | y", "the options are no list: 'x . y'"),
    ],
)
def test_marks_of_one_text_have_to_follow_each_other(text, said, tmp_path):
    with pytest.raises(ItemError, match=said):
        items(tmp_path, [{"o": text, "a": "A"}], {"options": "o", "answer": "a"})


def test_what_a_message_names_reads_pairs_and_objects(tmp_path):
    pairs = [{"o": [["A", "x"], ["B", "y"]], "a": "B"}]
    assert items(tmp_path, pairs, {"options": "o[][1]", "answer": "a"}) == [(["x", "y"], "B")]
    nested = [{"o": {"A": {"t": "x"}, "B": {"t": "y"}}, "a": "B"}]
    columns = {"options": ["o.A.t", "o.B.t"], "answer": "a"}
    assert items(tmp_path, nested, columns) == [(["x", "y"], "B")]


def test_options_and_labels_that_a_table_fills_up_are_left_out(tmp_path):
    row = {"c": choices(["A", "B", None], "x", "y", ""), "a": "B"}
    assert items(tmp_path, [row], {"options": "c.text", "answer": "a"}) == [(["x", "y"], "B")]


def test_labels_that_differ_in_case_alone_are_two(tmp_path):
    row = {"c": choices("Aa", "x", "y"), "a": "a"}
    assert items(tmp_path, [row], {"options": "c.text", "answer": "a"}) == [(["x", "y"], "B")]


def test_labels_have_to_fit_their_options(tmp_path):
    rows = [{"c": choices("AA", "x", "y"), "a": "A"}, {"c": choices("A", "x", "y"), "a": "A"}]
    for row, message in zip(rows, ("are equal: A, A", "1 labels .* for 2 options"), strict=True):
        with pytest.raises(ItemError, match=message):
            items(tmp_path, [row], {"options": "c.text", "answer": "a"})
