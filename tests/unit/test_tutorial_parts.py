"""The tutorial's questions, teacher, page and notebook agree with each other."""

import csv
import importlib.util
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
IN_A_UNIT = {
    ("metres", "centimetres"): 100,
    ("kilometres", "metres"): 1000,
    ("kilograms", "grams"): 1000,
    ("litres", "millilitres"): 1000,
    ("hours", "minutes"): 60,
    ("weeks", "days"): 7,
    ("dozens", "pieces"): 12,
    ("euros", "cents"): 100,
}


@cache
def script(name):
    """Import a script of the tutorial."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/tutorial/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def questions():
    with (ROOT / "docs/tutorial/questions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def page():
    return (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")


def solved(question):
    """Work a question out from its words alone."""
    if asked := re.fullmatch(r"How many (\w+) are (\d+) (\w+)\?", question):
        small, number, large = asked.groups()
        return int(number) * IN_A_UNIT[large, small]
    if asked := re.fullmatch(r"How many (\w+) are (\d+) (\w+) and (\d+) (\w+)\?", question):
        small, number, large, rest, same = asked.groups()
        assert small == same
        return int(number) * IN_A_UNIT[large, small] + int(rest)
    number, large, rest, small, same = re.fullmatch(
        r"From (\d+) (\w+), (\d+) (\w+) are taken away. How many (\w+) are left\?", question
    ).groups()
    assert small == same
    return int(number) * IN_A_UNIT[large, small] - int(rest)


def test_the_questions_are_120_different_ones_as_their_program_writes_them():
    rows = questions()
    assert rows == list(script("make_questions").rows())
    assert len({row["question"] for row in rows}) == len({row["id"] for row in rows}) == 120


def test_every_answer_is_right_and_every_step_of_its_explanation():
    for row in questions():
        assert int(row["answer"]) == solved(row["question"]) > 0, row
        steps = re.findall(r"(\d+) ([*+-]) (\d+) = (\d+)\.", row["explanation"])
        for one, sign, other, result in steps:
            one, other = int(one), int(other)
            made = {"*": one * other, "+": one + other, "-": one - other}[sign]
            assert made == int(result), row
        assert steps[-1][-1] == row["answer"], row


def asked(teacher, text):
    messages = [{"role": "system", "content": "Be exact."}, {"role": "user", "content": text}]
    return teacher.completion({"model": "scripted", "messages": messages}, teacher.known())


def test_the_teacher_is_mostly_right_and_sometimes_wrong_or_cut_off():
    teacher, kinds = script("teacher"), Counter()
    for row in questions():
        choice = asked(teacher, f"{row['question']}\nWork step by step.")["choices"][0]
        text, ending = choice["message"]["content"], choice["finish_reason"]
        right = text == f"{row['explanation']} [[{row['answer']}]]"
        kinds["right" if right else "cut" if ending == "length" else "wrong"] += 1
    assert kinds["right"] > 80 and kinds["wrong"] > 3 and kinds["cut"] > 3


def test_the_teacher_says_what_it_does_not_know():
    choice = asked(script("teacher"), "How many legs has a spider?")["choices"][0]
    assert choice["message"]["content"] == "I do not know that question."


def test_the_notebook_is_made_from_the_page():
    pages = script("pages")
    made = pages.notebook_of(pages.cells(page()))
    shown = (ROOT / "docs/tutorial.ipynb").read_text(encoding="utf-8")
    assert shown == made, "run python docs/tutorial/pages.py --notebook"


def test_a_page_is_the_same_when_it_is_put_together_again():
    pages = script("pages")
    assert pages.page_of(pages.cells(page())) == page()


def test_what_the_page_shows_of_the_configuration_stands_in_it():
    text = (ROOT / "config/examples/tutorial.yaml").read_text(encoding="utf-8")
    shown = [part.source for part in script("pages").cells(page()) if part.kind == "yaml"]
    assert shown
    for part in shown:
        assert yaml.safe_load(part)
        assert part in text


def test_a_sentence_of_the_page_has_no_number_that_no_block_shows():
    parts = script("pages").cells(page())
    numbers = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*(?!\w)")
    blocks = "".join(f"{part.source}{part.printed}" for part in parts if part.kind != "words")
    known = {*numbers.findall(blocks), str(len(questions())), "93"}  # MB, the README's number
    told = {
        number for part in parts if part.kind == "words" for number in numbers.findall(part.source)
    }
    assert told - known == set()


@pytest.mark.parametrize(
    ("shown", "printed", "about", "same"),
    [
        ("40 answers\n", "40 answers\n", False, True),
        ("40 answers\n", "41 answers\n", False, False),
        ("40 answers\n", "41 answers\n", True, True),
        ("40 answers\n", "60 answers\n", True, False),
        ("0.41 right\n", "0.55 right\n", True, True),
        ("0.41 right\n", "0.75 right\n", True, False),
        ("40 answers\n", "40 replies\n", True, False),
        ("one\n", "one\ntwo\n", True, False),
        ("took 3.1 s\n", "took 40 s\n", False, True),
    ],
)
def test_a_run_is_held_against_the_page_word_by_word(shown, printed, about, same):
    assert (script("pages").differences(shown, printed, about) == []) is same
