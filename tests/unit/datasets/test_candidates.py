"""What `caft items` makes of columns by their names and values; the texts are made up."""

import json

import pandas as pd
import pytest

from caft.datasets import load, read_section
from caft.datasets.guessing import guess
from caft.datasets.ingest import ingest_as
from caft.errors import ItemError

LETTERS = "ABCD"
WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath"]


def question(n):
    return f"Which of these holds for case {n}?"


def options(n):
    return [f"{WORDS[(n + 3 * place) % 8]} {'wxyz'[place]}" for place in range(4)]


def right(n):
    return (n * n + n // 3) % 4


def gold(n):
    return options(n)[right(n)]


def columns(n, template, **more):
    """Return a row with a column for each option."""
    named = {template.format(LETTERS[place]): one for place, one in enumerate(options(n))}
    return {"question": question(n), **named, **more}


def made(make, count=24):
    return [make(n) for n in range(count)]


def written(tmp_path, rows):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def items_of(found, tmp_path):
    settings = read_section(found.section)
    return ingest_as(settings, load(settings, 1, tmp_path), 1, "mine").items


def told(items):
    """Return each question with its options, in any order, and the text of the right one."""
    return {
        row.question: (
            None if row.options is None else set(row.options),
            row.answer if row.options is None else row.options[LETTERS.index(row.answer)],
        )
        for row in items.itertuples()
    }


CHOICES = {
    "an object of options, and an answer of another name": lambda n: {
        "question": question(n),
        "options": dict(zip(LETTERS, options(n), strict=True)),
        "gold_letter": LETTERS[right(n)],
    },
    "marks in brackets as names": lambda n: columns(n, "({})", Key=LETTERS[right(n)]),
    "marks with a bracket": lambda n: columns(n, "{})", answer=gold(n)),
    "a word behind the mark": lambda n: columns(n, "Option {} text", answer=LETTERS[right(n)]),
    "an explanation that is longer than the question": lambda n: {
        "question_text": question(n),
        "options": options(n),
        "answer": LETTERS[right(n)],
        "explanation": f"The right one is {gold(n)}, since all others are wrong for case {n} here.",
    },
    "a list of an unknown name that has the answer": lambda n: {
        "question": question(n),
        "possible_replies": options(n),
        "answer": gold(n),
    },
    "a list of a longer name": lambda n: {
        "question": question(n),
        "answer_choices": options(n),
        "answer": LETTERS[right(n)],
    },
    "a right answer and a list of wrong ones": lambda n: {
        "question": question(n),
        "correct_answer": gold(n),
        "incorrect_answers": [one for one in options(n) if one != gold(n)],
    },
    "numbered columns that are no options before those that are": lambda n: {
        "question": question(n),
        **{f"rater{place}": "1" for place in range(2)},
        **{f"option{place + 1}": one for place, one in enumerate(options(n))},
        "answer": str(right(n) + 1),
    },
    "labels of another name, in any order": lambda n: {
        "question": question(n),
        "options": [
            {"identifier": "CADB"[place], "text": one} for place, one in enumerate(options(n))
        ],
        "answer": "CADB"[right(n)],
    },
    "options called answers, and a number": lambda n: {
        "question": question(n),
        "answers": options(n),
        "answer": right(n),
    },
    "q, a and candidates": lambda n: {
        "q": question(n),
        "a": LETTERS[right(n)],
        "candidates": options(n),
    },
    "a letter with the option behind it": lambda n: {
        "question": question(n),
        "options": options(n),
        "answer": f"{LETTERS[right(n)]}. {gold(n)}",
    },
    "the name of an option's column": lambda n: columns(
        n, "option_{}", answer=f"option_{LETTERS[right(n)].lower()}"
    ),
    "a list of one place": lambda n: {
        "question": question(n),
        "choices": options(n),
        "gold": [right(n)],
    },
    "lists as numpy writes them into CSV": lambda n: {
        "question": question(n),
        "choices": f"{{'text': array({options(n)!r}, dtype=object), 'label': "
        "array(['A', 'B', 'C', 'D'], dtype=object)}",
        "answerKey": LETTERS[right(n)],
    },
    "marks with a space before the bracket": lambda n: {
        "Problem": question(n),
        "options": " , ".join(
            f"{mark} ) {one}" for mark, one in zip("abcd", options(n), strict=True)
        ),
        "correct": "abcd"[right(n)],
    },
}


@pytest.mark.parametrize("make", CHOICES.values(), ids=CHOICES)
def test_options_and_the_right_one_are_found(make, tmp_path):
    items = items_of(guess(written(tmp_path, made(make))), tmp_path)
    assert told(items) == {question(n): (set(options(n)), gold(n)) for n in range(24)}


def test_a_place_of_a_number_is_a_place(tmp_path):
    def make(n):
        numbers = [str((n + step) % 5) for step in range(4)]
        return {"question": question(n), "choices": numbers, "correct_index": right(n)}

    items = items_of(guess(written(tmp_path, made(make))), tmp_path)
    assert told(items)[question(1)] == ({"1", "2", "3", "4"}, str((1 + right(1)) % 5))


ABOUT = {
    "body": lambda n: {"Body": f"Ann has {n} pens.", "Question": "How many?", "Answer": str(n)},
    "Kontext": lambda n: {"Kontext": f"Text {n}.", "Frage": question(n), "Antwort": "ja so"},
    "flores_passage": lambda n: {"flores_passage": f"Text {n}.", **columns(n, "{}", answer="A")},
}


@pytest.mark.parametrize("make", ABOUT.values(), ids=ABOUT)
def test_the_text_that_a_question_is_about_is_asked_too(make, tmp_path):
    found = guess(written(tmp_path, made(make)))
    assert next(iter(make(3).values())) in items_of(found, tmp_path)["question"].str.cat()


def test_a_text_in_a_list_is_told(tmp_path):
    rows = [
        {"context": [f"One {n}.", "Two."], **columns(n, "{}", answer=LETTERS[right(n)])}
        for n in range(24)
    ]
    (note,) = guess(written(tmp_path, rows)).notes
    assert note.startswith("context may hold what the questions are about. It is no text but a li")


def test_a_question_that_no_name_tells_is_told(tmp_path):
    rows = [
        {"zeta": question(n), "options": options(n), "answer": LETTERS[right(n)]} for n in range(24)
    ]
    (note,) = guess(written(tmp_path, rows)).notes
    assert note == "columns.question: zeta is the longest text; no name says what is asked."


OPEN = {
    "the box at the end of a solution": (
        lambda n: {
            "problem": question(n),
            "solution": f"We add. So $\\boxed{{\\frac{{{n}}}{{7}}}}$.",
        },
        ("\\frac{3}{7}", "We add. So $"),
    ),
    "a final answer beside a solution": (
        lambda n: {"problem": question(n), "solution": f"We add to {n}.", "final_answer": f"{n} m"},
        ("3", "We add to 3."),
    ),
    "an id called key": (
        lambda n: {
            "key": f"id-{n}",
            "prompt": question(n),
            "response": f"{WORDS[n % 8]} {n}",
        },
        ("delta 3", None),
    ),
    "other words for the answer": (
        lambda n: {
            "question": question(n),
            "answer": f"{WORDS[n % 8]} {n}",
            "answers": [f"{WORDS[n % 8]} {n}", f"{WORDS[n % 8]} {n} city"],
        },
        ("delta 3", None),
    ),
    "numbered facts beside an open question": (
        lambda n: {
            "question": question(n),
            "answer": f"{WORDS[n % 8]} {n}",
            "fact1": "f",
            "fact2": "g",
        },
        ("delta 3", None),
    ),
}


@pytest.mark.parametrize(("make", "expected"), OPEN.values(), ids=OPEN)
def test_open_answers_are_found(make, expected, tmp_path):
    items = items_of(guess(written(tmp_path, made(make))), tmp_path).set_index("question")
    row = items.loc[question(3)]
    assert row["options"] is None
    assert row["answer"] == expected[0]
    assert expected[1] in (None, row["reference_rationale"])


def test_a_few_answers_of_many_rows_are_options_of_all(tmp_path):
    kinds = ["contradiction", "entailment", "neutral"]
    rows = [
        {"premise": f"P {n}.", "hypothesis": f"H {n}.", "label": kinds[n % 3]} for n in range(24)
    ]
    found = guess(written(tmp_path, rows))
    assert found.section["shared_options"] == kinds
    assert found.section["columns"]["question"] == ["premise", "hypothesis"]


def test_words_in_two_cases_are_no_options(tmp_path):
    rows = [{"question": question(n), "answer": ["Yes", "no", "yes"][n % 3]} for n in range(24)]
    assert "shared_options" not in guess(written(tmp_path, rows)).section


@pytest.mark.parametrize("flags", [(0, 1), (False, True), ("0", "1")])
def test_a_row_per_option_is_refused(flags, tmp_path):
    rows = [
        {"question": question(n), "answer": one, "label": flags[one == gold(n)]}
        for n in range(6)
        for one in options(n)
    ]
    with pytest.raises(ItemError, match="each row is one option; bring the options"):
        guess(written(tmp_path, rows))


def test_an_answer_that_is_not_read_is_none_of_the_options(tmp_path):
    rows = [
        {
            "question": question(n),
            "options": dict(zip(LETTERS, options(n), strict=True)),
            "answer": "A,C" if n % 4 else "B",
        }
        for n in range(24)
    ]
    with pytest.raises(ItemError, match="write `columns` yourself"):
        guess(written(tmp_path, rows))


def test_an_instruction_that_all_rows_share_makes_no_split(tmp_path):
    rows = [
        {
            "instruction": "Answer the following question.",
            "input": question(n),
            "output": f"It is {WORDS[n % 8]} {n}",
        }
        for n in range(60)
    ]
    items = items_of(guess(written(tmp_path, rows)), tmp_path)
    assert set(items["split"]) == {"train", "validation", "test"}


def test_whole_numbers_look_alike_where_a_column_lacks_one(tmp_path):
    frame = pd.DataFrame(
        [
            {
                "question": question(n),
                "A": n,
                "B": n + 1,
                "C": n + 2 if n % 4 else None,
                "answer": "A",
            }
            for n in range(24)
        ]
    )
    path = tmp_path / "numbers.parquet"
    frame.to_parquet(path)
    items = items_of(guess(str(path)), tmp_path)
    assert told(items)[question(5)] == ({"5", "6", "7"}, "5")


@pytest.mark.parametrize("last", ["None of the above", "Both A and C", "both (a) and (b)"])
def test_options_that_speak_of_places_are_not_shuffled(last, tmp_path):
    rows = [
        {"question": question(n), "options": [*options(n)[:3], last], "answer": "A"}
        for n in range(24)
    ]
    found = guess(written(tmp_path, rows))
    assert "shuffle_options" not in found.section
    assert any(note.startswith("shuffle_options: stays off") for note in found.notes)


def test_a_name_without_a_known_ending_is_read_by_what_is_in_it(tmp_path):
    lines = ["question\tA\tB\tanswer", *(f"{question(n)}\tyes so\tnot so\tB" for n in range(24))]
    path = tmp_path / "excel.txt"
    path.write_text("\r\n".join(lines), encoding="utf-16")
    assert guess(str(path)).section["format"] == "tsv"


@pytest.mark.parametrize("beside", ["text_label", "label_of_text"])
def test_a_text_is_asked_too_though_the_answers_name_has_its_own_in_it(beside, tmp_path):
    rows = [
        {
            "text": f"Text {n}.",
            "question": question(n),
            "options": options(n),
            beside: LETTERS[right(n)],
        }
        for n in range(24)
    ]
    section = guess(written(tmp_path, rows)).section
    assert section["columns"]["question"] == ["text", "question"]
    assert section["columns"]["answer"] == beside


def test_a_list_of_texts_is_told_though_the_answers_name_begins_like_it(tmp_path):
    rows = [
        {
            "context": ["One.", f"Two {n}."],
            "question": question(n),
            "options": options(n),
            "context_answer": LETTERS[right(n)],
        }
        for n in range(24)
    ]
    assert any("context may hold" in note for note in guess(written(tmp_path, rows)).notes)
