import pytest

from caft.complexity.spans import answer_and_sentences


def cut(tokenizer, text):
    """Return the sentences of a text, decoded from their tokens, and the token of the answer."""
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    start, ends = answer_and_sentences(tokenizer, tokens)
    parts = [
        tokenizer.decode(tokens[begin:end])
        for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    assert "".join(parts) == text
    return parts, start, tokens


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One is odd. Two is even! Is three?", ["One is odd.", " Two is even!", " Is three?"]),
        ("It is 3.5 or .5 units. So 12.", ["It is 3.5 or .5 units.", " So 12."]),
        ("first line\nsecond line\n\nthird", ["first line", "\nsecond line", "\n\nthird"]),
        ("It ends.\n\nAnd goes on.\n", ["It ends.", "\n\nAnd goes on.\n"]),
        ("no stop at the end", ["no stop at the end"]),
        ("Well... What?! Yes", ["Well...", " What?!", " Yes"]),
        ("version 1.2.3 of a.b", ["version 1.2.3 of a.b"]),
        ("Take e.g. this.", ["Take e.g.", " this."]),  # abbreviations are not known
        ("a) 5 apples  \n b) 6", ["a) 5 apples", "  \n b) 6"]),
    ],
)
def test_sentences_end_at_stops_and_lines_but_not_inside_numbers(chatml, text, sentences):
    parts, _, _ = cut(chatml, text)
    assert parts == sentences


def test_characters_of_several_tokens_stay_whole(chatml):
    parts, start, tokens = cut(chatml, "Zürich 😀\nfünf. [[é]]")
    assert parts == ["Zürich 😀", "\nfünf.", " [[é]]"]
    assert len(chatml("é", add_special_tokens=False)["input_ids"]) == 2
    assert chatml.decode(tokens[:start]).endswith("[[")


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("so [[17]] or [[B]]", "so [["),
        ("so [[ 17 ]]", "so [[ "),
        ("so [[\n-3.5]]", "so [[\n"),
        ("[[A]]", "[["),
        ("open [[1 and then [[2]]", "open [[1 and then [["),
        ("empty [[ ]], then [[2]]", "empty [[ ]], then [["),
    ],
)
def test_the_answer_starts_with_its_first_visible_character_in_the_first_marks(
    chatml, text, before
):
    _, start, tokens = cut(chatml, text)
    reached = chatml.decode(tokens[:start])
    assert before.startswith(reached) and text.startswith(chatml.decode(tokens[: start + 1]))
    assert len(chatml.decode(tokens[: start + 1])) > len(before)


@pytest.mark.parametrize("text", ["no marks", "cut off [[17", "empty [[ ]]", "[17]"])
def test_a_text_without_a_complete_marked_answer_has_no_start(chatml, text):
    assert cut(chatml, text)[1] is None


def test_an_answer_in_one_token_with_its_marks_starts_in_that_token():
    class Pieces:
        def decode(self, tokens, skip_special_tokens):
            return "".join(tokens)

    pieces = ["so", " [[4", "2]].", " Done.\n\n", "Yes"]
    assert answer_and_sentences(Pieces(), pieces) == (1, [3, 4, 5])


def test_nothing_written_has_no_sentence(chatml):
    assert answer_and_sentences(chatml, []) == (None, [])
