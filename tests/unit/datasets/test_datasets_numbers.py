import pytest

from caft.prompting.numbers import canonical_number


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" 5 ", "5"),
        ("5.0", "5"),
        ("5.", "5"),
        ("+5", "5"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("007", "7"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("1,234,567.80", "1234567.8"),
        ("1e5", "100000"),
        ("1E-3", "0.001"),
        ("\u22125", "-5"),
        ("100", "100"),
        ("12345678901234567890123456789012345.1", "12345678901234567890123456789012345.1"),
    ],
)
def test_a_number_has_one_spelling(text, canonical):
    assert canonical_number(text) == canonical


@pytest.mark.parametrize(
    "text", ["", "-", ".", "1,23", "12,34,567", "5 apples", "1/2", "nan", "inf", "e5", "1e999", "٣"]
)
def test_other_text_is_no_number(text):
    assert canonical_number(text) is None
