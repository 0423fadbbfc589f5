import pytest

from caft.prompting.answers import (
    ABSTAINED,
    INVALID,
    equal,
    finish,
    labels,
    mark,
    parse,
    render,
)


@pytest.mark.parametrize(
    "text, parser, expected",
    [
        ("It is B. [[B]]", "marked", "B"),
        ("[[A]] no, [[C]]", "marked", "C"),
        ("[[ (d) ]]", "marked", "D"),
        ("[[B", "marked", INVALID),
        ("[[]]", "marked", INVALID),
        ("The answer is B", "marked", INVALID),
        ("[[E]]", "marked", INVALID),  # there are four options
        ("[[AB]]", "marked", INVALID),
        ("The answer is (C).", "answer_is", "C"),
        ("the answer is: **C**", "answer_is", "C"),
        ("Answer: B", "answer_is", "B"),
        ("The answer is A. Wait, the answer is D.", "answer_is", "D"),
        ("The answer is C, so the final answer is D", "answer_is", "D"),
        ("The answer is not clear", "answer_is", INVALID),
        ("work\n#### B", "answer_is", "B"),
        ("C", "answer_is", INVALID),
        ("The answer is A. [[B]]", "any", "B"),
        ("The answer is A.", "any", "A"),
        ("nothing", "any", INVALID),
        ("B", "leading", "B"),
        (" b) three\nbecause", "leading", "B"),
        ("[[C]] is right", "leading", "C"),
        ("**D**", "leading", "D"),
        ("Because A", "leading", INVALID),
        ("", "leading", INVALID),
        ("\n\n", "leading", INVALID),
    ],
)
def test_a_choice_is_read_as_its_letter(text, parser, expected):
    assert parse(text, parser, "choice", 4) == expected


@pytest.mark.parametrize(
    "text, parser, expected",
    [
        ("[[17]]", "marked", "17"),
        ("[[1,200.50]]", "marked", "1200.5"),
        ("[[-3]]", "marked", "-3"),
        ("[[+4]]", "marked", "4"),
        ("[[$18]]", "marked", "18"),
        ("[[1 or 2]]", "marked", INVALID),
        ("[[seven]]", "marked", INVALID),
        ("The answer is 0.50.", "answer_is", "0.5"),
        ("The answer is $1,000 per day.", "answer_is", "1000"),
        ("The answer is -7", "answer_is", "-7"),
        ("12 - 5 = 7\n#### 7", "answer_is", "7"),
        ("42", "leading", "42"),
        ("42.", "leading", "42"),
        ("42 apples\n7", "leading", "42"),
        ("12 - 5 = 7", "leading", INVALID),
        ("To solve", "leading", INVALID),
    ],
)
def test_a_number_is_read_in_its_one_spelling(text, parser, expected):
    assert parse(text, parser, "numeric", 0) == expected


def test_a_text_is_read_as_it_stands():
    assert parse("so [[ New York ]]", "marked", "text", 0) == "New York"
    assert parse("The answer is Paris.", "answer_is", "text", 0) == "Paris"
    assert parse("[[  ]]", "marked", "text", 0) == INVALID


@pytest.mark.parametrize(
    "text, style, expected",
    [
        ("[[b]]", "lower", "B"),
        ("[[B]]", "lower", "B"),
        ("[[2]]", "number", "B"),
        ("[[10]]", "number", "J"),
        ("[[11]]", "number", INVALID),
        ("[[B]]", "number", INVALID),
        ("[[2]]", "upper", INVALID),
    ],
)
def test_a_label_of_another_style_is_mapped_back_to_its_letter(text, style, expected):
    assert parse(text, "marked", "choice", 10, style) == expected


def test_the_label_for_not_knowing_is_an_abstention():
    assert parse("0", "leading", "choice", 4, "number", abstain="0") == ABSTAINED
    assert parse("0", "leading", "choice", 4, "number") == INVALID
    assert parse("10", "leading", "choice", 10, "number", abstain="0") == "J"


def test_labels_are_named_by_style():
    assert labels("upper", 3) == ["A", "B", "C"]
    assert labels("lower", 3) == ["a", "b", "c"]
    assert labels("number", 11)[-2:] == ["10", "11"]


def test_only_a_choice_is_rendered_as_a_label():
    assert render("C", "choice", "number") == "3"
    assert render("C", "choice", "lower") == "c"
    assert render("C", "text", "number") == "C"
    assert render("3", "numeric", "lower") == "3"


def test_a_marked_answer_finishes_a_text():
    assert finish("so " + mark("7") + " and") == len("so [[7]]")
    assert finish("so [[7]") is finish("so [7]") is None
    matrix = "det [[1, 2],\n [3, 4]] = -2, marked as [[ ]], "
    assert finish(matrix) is None
    assert finish(matrix + "[[B]] [[C]]") == len(matrix) + len("[[B]]")


@pytest.mark.parametrize(
    "parsed, gold, kind, same",
    [
        ("1200.5", "1,200.50", "numeric", True),
        ("1e3", "1000", "numeric", True),
        ("12", "13", "numeric", False),
        (INVALID, "13", "numeric", False),
        (INVALID, INVALID, "numeric", False),
        ("new  york", "New York", "text", True),
        ("cafe\u0301", "CAF\u00c9", "text", True),
        ("York", "New York", "text", False),
        ("Paris.", "Paris", "text", True),
        ("U.S.A", "U.S.A.", "text", True),
        ('"Paris."', "\u201cParis\u201d", "text", True),
        ('5"', "5", "text", False),
        ('"a" or "b"', 'a" or "b', "text", False),
        ("B", "B", "choice", True),
        ("b", "B", "choice", False),
    ],
)
def test_numbers_are_equal_by_value_and_texts_without_case_and_spacing(parsed, gold, kind, same):
    assert equal(parsed, gold, kind) is same


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("I don't know", INVALID),
        ("A train leaves at noon", INVALID),
        ("B", "B"),
        ("B) Rome", "B"),
        ("(C).", "C"),
        ("C because of the second law", "C"),
        ("**D**", "D"),
    ],
)
def test_a_letter_is_an_answer_only_where_it_cannot_be_a_word(text, parsed):
    assert parse(text, "leading", "choice", 10) == parsed


@pytest.mark.parametrize(
    ("text", "kind", "parsed"),
    [
        ("The answer is a bit unclear.", "choice", INVALID),
        ("So the answer is (C). Done.", "choice", "C"),
        ("The answer is a house", "text", "a house"),
        ("The answer is 3 apples", "text", "3 apples"),
        ("The answer is $1,234.50.", "numeric", "1234.5"),
        ("The answer is 72. It was 70 before.", "numeric", "72"),
    ],
)
def test_a_stated_answer_is_read_as_its_kind(text, kind, parsed):
    assert parse(text, "answer_is", kind, 4) == parsed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("det([[3, 1], [2, 4]]) = 10. The answer is (B).", "B"),
        ("The answer is (B), no: [[not sure]].", INVALID),  # what was taken back does not count
        ("The answer is (B). So [[C]]. The answer is (A).", "C"),  # a readable mark wins
        ("I don't think the answer is B.", INVALID),
        ("The answer is A. I'm not sure that the correct answer is B.", "A"),
        ("It is not C, so the answer is B.", "B"),
    ],
)
def test_a_matrix_is_no_answer_and_a_later_statement_is(text, answer):
    assert parse(text, "any", "choice", 4) == answer


LETTERS = "ABCDEFGHI"
NAMED = [  # L is any letter
    "The answer is L because it is larger.",
    "The answer is (L).",
    "The answer is L if x is 3.",
    "The answer is **L**.",
    "The answer is L) Rome.",
    "The answer is L) x",
    "The answer is L (Rome).",
    "The answer is L, 13.5%.",
    "The answer is L, I think.",
    "The answer is L, since (M) is false.",
    "The answer is L, not M.",
    "The answer is L or L.",
    "The answer is:\n\nL",
    "The correct answer is option L.",
    "The correct option is L.",
    "Answer: (L)",
    "Answer:\n- L",
    "**Answer:** L",
    "**Answer**: L",
    "**Final Answer**\n\nL",
    "### Final answer\n**L**",
    "**Final answer:** L",
    "#### L",
    r"So \boxed{L}.",
    r"The answer is $\boxed{\text{L}}$.",
    r"\boxed{\mathrm{(L)}}",
    r"\[\boxed{\textbf{(L)}\ 12}\]",
    r"$\boxed{L}$ Rome",
    r"\boxed{M} was wrong. The answer is L.",
    r"The answer is M. No: \boxed{L}",
    "[[option L]]",
    "[[(L)]]",
    "[[**L**]]",
    "[[L: Rome]]",
    "[[1, 2], [3 is not closed, so [[L]]",
]
HEDGED = [
    "The answer is L or M.",
    "The answer is L, or maybe M.",
    "The answer is L (or M).",
    "The answer is either L or M because both fit.",
    "The answer is (L) and (M).",
    "The answer is (L), (M), or (L).",
    "The answer is option L or option M",
    "**Final Answer**\nL or M",
    "#### L/M",
    r"\boxed{L} or \boxed{M}",
    r"\boxed{L, M}",
    r"\boxed{L \text{ or } M}",
    "[[L, M]]",
    "[[L,M]]",
    "[[L and M]]",
    "[[L/M]]",
    "[[L M]]",
    "[[LM]]",
    "[[L) M)]]",
    "[[L -> M]]",
    "[[both L and M]]",
    "[[L]] or [[M]]",
    "The answer is not L.",
    "The answer is L, II and III.",
    "[[L and IV]]",
    "[[II, L]]",
    "The answer is L#",
    "The answer is L++.",
    "The answer is L train leaves",  # no letter may be a word
]


def spelled(text, letter):
    return text.replace("M", "J").replace("L", letter)


@pytest.mark.parametrize("text", NAMED)
def test_every_letter_is_read_where_one_is(text):
    read = [parse(spelled(text, letter), "any", "choice", 10) for letter in LETTERS]
    assert "".join(read) == LETTERS


@pytest.mark.parametrize("text", HEDGED)
def test_a_hedge_names_no_letter(text):
    read = {parse(spelled(text, letter), "any", "choice", 10) for letter in LETTERS}
    assert read == {INVALID}


@pytest.mark.parametrize(
    "text",
    ["L", "(L)", "L.", "**L**", "L) Rome", "L because x", "L is right", "Option L", r"$\boxed{L}$"],
)
def test_every_letter_leads_a_line_alike(text):
    read = [parse(spelled(text, letter), "leading", "choice", 10) for letter in LETTERS]
    assert "".join(read) == LETTERS


@pytest.mark.parametrize(
    "text", ["L train leaves", "L do not know", "L as an AI", "L'm not sure", "L or M", "L = 5"]
)
def test_no_letter_is_read_where_one_of_them_is_a_word(text):
    read = {parse(spelled(text, letter), "leading", "choice", 10) for letter in LETTERS}
    assert read == {INVALID}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("[[2) 15]]", "B"),
        ("[[2) 3]]", "B"),
        ("[[2 because]]", "B"),
        (r"\boxed{2}", "B"),
        ("[[2. Rome]]", "B"),
        ("[[1,200]]", INVALID),
        ("[[1.5]]", INVALID),
        ("[[-2]]", INVALID),
        ("[[1/2]]", INVALID),
        ("[[2:15]]", INVALID),
        ("[[1 or 2]]", INVALID),
        ("[[2 apples]]", INVALID),
        ("[[2%]]", INVALID),
        ("[[2 %]]", INVALID),
        ("[[2\u20ac]]", INVALID),
        ("[[\u20ac2]]", INVALID),
        ("[[2) 3%]]", "B"),
    ],
)
def test_a_numbered_option_is_no_part_of_another_number(text, letter):
    assert parse(text, "any", "choice", 10, "number") == letter


def test_an_abstention_beside_an_option_is_a_hedge():
    assert parse("[[0 or 1]]", "marked", "choice", 4, "number", abstain="0") == INVALID


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"The final answer is $\boxed{42}$.", "42"),
        (r"\boxed{\text{42 apples}}", "42"),
        (r"$12+30=\boxed{42}$, since 12 and 30 are 42", "42"),
        (r"-\boxed{5}", "-5"),
        (r"$x = -\boxed{5}$", "-5"),
        (r"- \boxed{5}", "5"),  # an item of a list
        (r"\boxed{5} \text{ million}", INVALID),
        (r"5-\boxed{3}", INVALID),
        (r"\boxed{5} or \boxed{6}", INVALID),
        (r"\boxed{5", INVALID),
        ("**Final Answer**\n\n42 apples", "42"),
        ("The answer is 40, at first.\n#### 42", "42"),
        ("The answer is 42.\n#### Step 2\nThat is all.", "42"),
        ("So it is [[\u22125]].", "-5"),
        ("The answer is -$12.", "-12"),
        ("The answer is .5.", "0.5"),
    ],
)
def test_a_number_is_read_in_its_place(text, number):
    assert parse(text, "any", "numeric", 0) == number


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"\boxed{Paris} is the capital.", "Paris"),
        (r"\boxed{\text{New York}}", "New York"),
        (r"\boxed{x^{2}}", "x^{2}"),
        ("The answer is **Paris**.", "Paris"),
        ("**Answer:** Paris", "Paris"),
        ("[[$x^2$]]", "$x^2$"),
    ],
)
def test_a_text_is_read_without_its_box(text, read):
    assert parse(text, "any", "text", 0) == read


def test_marked_reads_marks_only():
    assert parse(r"The answer is \boxed{B}", "marked", "choice", 4) == INVALID


@pytest.mark.parametrize(
    "piece",
    [
        "[[",
        "B, ",
        "A or ",
        r"\boxed{",
        "answer is ",
        "answer\n",
        "I, II, ",
        "#### ",
        "[[B]] or ",
        "{",
        "(",
        "*",
    ],
)
def test_a_long_text_is_parsed_in_linear_time(piece):
    text = "The answer is " + piece * (50_000 // len(piece))
    assert parse(text, "any", "choice", 4) in ("A", "B", INVALID)
    assert parse(text, "leading", "numeric", 0) == INVALID
    assert parse(text, "any", "text", 0) != ""


@pytest.mark.parametrize("levels", [1, 2, 10_000])
def test_nested_boxes_hold_what_the_innermost_holds(levels):
    text = "\\boxed{" * levels + "B" + "}" * levels
    assert parse(text, "leading", "choice", 4) == "B"
    assert parse(f"So {text}", "any", "text", 0) == "B"


def test_several_boxes_are_read_once_each():
    assert parse("\\boxed{A} or \\boxed{\\boxed{B}}", "leading", "choice", 4) == INVALID
    assert parse("\\boxed{x \\boxed{y}}", "leading", "text", 0) == "x \\boxed{y}"


def test_what_is_longer_than_any_number_is_none():
    assert parse("[[" + "1" * 9_000 + "]]", "marked", "numeric", 0) == "1" * 9_000
    assert parse("[[" + "1" * 90_000 + "]]", "marked", "numeric", 0) == INVALID
