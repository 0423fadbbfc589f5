from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caft.prompting.numbers import begins_number, canonical_number

READ = {  # a canonical number: the texts that say it
    "0": "-0 | -0.0 | 0.000 | +0",
    "5": '5 | 5.0 | 5. | +5 | + 5 | + $5 | 005 | 5, | 5; | (5) | [5] | "5" | “5” | ~5'
    " | = 5 | The 5",
    "-5": "-5 | - 5 | −5 | − 5 | –5 | ‐5 | ﹣5 | - 5.0 | (−5) | x = - 5 | x=-5 | {-5} | **-5**",
    "0.5": ".5 | +.5 | 0.50 | P(X) = 0.5 | .5e0",
    "-0.5": "-.5 | −.5 | – .5",
    "12": "$12 | 12 $ | 12$ | US$12 | R$ 12 | USD 12 | USD12 | 12 USD | 12€ | € 12"
    " | £12.00 | Rs. 12",
    "-12": "-$12 | $-12 | - $12 | -$ 12 | $ -12 | −€12 | –$12 | ﹣$12 | -12 € | USD -12",
    "7": "7 apples | 7 km | 7km | 7 km/h | 7 m/s^2 | 7 m/s² | 7m² | 7 kWh | 7 GB | 7"
    " | $7/day | 7 a day",
    "3.5": "3.5% | 3.5 % | 3.5 percent | 3.5‰ | 3.5°C | 3.5 °C | about 3.5 km | ≈ 3.5 | x ≈ 3.5",
    "1200": "1,200 | $1,200 | 1.2e3 | 1.2E+3 | 1.2 × 10^3 | 1.2 x 10^3 | 1.2*10^3"
    " | 1.2·10³ | 1200.",
    "-1200.5": "-1,200.50 | –$1,200.50 | −1,200.5 km",
    "1200000.5": "1,200,000.50 | $1,200,000.5",
    "0.0012": "1.2E-3 | 1.2E−3 | 1.2 × 10^-3 | 1.2 × 10^−3 | 1.2×10⁻³",
    "100000": "1e5 | 10^5 | 10 ^ 5 | 10⁵",
    "72": "Tom has 72 apples left. | Total: 72 | So, the total is $72 per day. | 72 (apples)"
    " | 72 clips in April and May | June has 72 apples | 72 square metres | 72 — that is all",
    "24": "24 movies in four weeks. | One of the units is 24 feet wide. | $24 to the shelter"
    " | solving for x we see that x = $24 | 24 are red or white | 24.0. | 24 points and a prize",
    "-8": "the change is -$8 | the temperature is −8 °C | She owes, in all, - 8",
    "12345678901234567890123456789012345.1": "12345678901234567890123456789012345.1",
}
LATEX = {
    "5": r"\boxed{5} | $5$ | $\boxed{5}$ | \(5\) | \[ 5 \] | \text{5}"
    r" | $5\,\text{kg}$ | 5 \mathrm{~km}",
    "-5": r"$\boxed{-5}$ | -\boxed{5} | $$-5$$ | -\$5 | \left(-5\right) | \displaystyle -5",
    "20": r"20^\circ | 20^{\circ}\text{C} | 20\% | \$20 | $\$20$ | 20 \mathrm{~m} \mathrm{s}^{-1}",
    "1200": r"1{,}200 | 1\,200 | 1,\!200 | 1.2 \times 10^{3} | 1.2\cdot10^{3}",
}
NONE = {  # a kind: texts of it that are no number
    "no number": " | - | . | $ | nan | inf | e5 | five | = | %",
    "a separator in the wrong place": "1,23 | 12,34,567 | 1.234,5 | 0,123 | 1,2345"
    " | 1,20 | 3,5 | 1,000,00"
    " | 1 200 | 12 50 | 1'200 | 1_000 | 5_2 | 1.2.3 | 1..2 | ..5 | 5..",
    "two numbers": "1/2 | 1 1/2 | 3-5 | 3–5 | 3 - 5 | 3 to 5 | 3 or 5 | 12 = 12"
    " | 5 - 3 | 12 - 5 = 7 | 5+3"
    " | 5*3 | 5**2 | 2^10 | 2 × 10 | 5 (6)",
    "more or less": "3±1 | ±5 | <5 | >5 | ≥5 | 5+ | 5- | less than 5 | at least 5"
    " | at most 5 | over 5",
    "a sign of something else": "--5 | +-5 | −-5 | —5 | x - 5 | x-5 | 5 - x"
    " | 12 + tax | -(5) | -x = 5",
    "a multiple": "5 million | $5M | $5 m | 5k | 5K | 5 thousand | 5 dozen"
    " | 5 hundred | 5 bn | 5 sixteenths"
    " | 5 and a half | two and 5 | 5 apples and a half | 5 point two | 5 to six"
    " | 5 out of ten | 5 times a million | one hundred and 5 | half of 5 | 5 or so"
    " | 5 one-half | twice 5",
    "an expression": "5x | 2x | x5 | 5 x | 5i | 2π | 5 π | √5 | sqrt(5) | f(5)"
    " | sin(30) | 5! | 5² | 5^2"
    " | 5 squared | 5x² | x² = 25 | 2x = 14 | x/5 | 5/x | 1/x | log 5 | square of 5 | |5| | 5 = x",
    "an unfinished number": "5... | 0.333... | 0.333… | 0.3̅ | 1e | 5e | 10^ | 10^x"
    " | 1e999 | 10^100 | 1e5x",
    "a date, time, place or name": "5th | 5 th | 1st | 2024-05-01 | 05/06/2024"
    " | May 5 | 5 May 2024 | 10:30"
    " | 5 pm | 5pm | 5 a.m. | 5 o'clock | v1.2 | v5 | #5 | Step 5 | No.5 | H2O | 192.168.0.1"
    " | +1 555 123 4567 | 555-1234 | (555) 123-4567 | 5-year | a 5-digit number",
    "taken back": "not 5 | isn't 5 | minus 5 | negative 5",
    "other digits and scripts": "½ | 2½ | ١٢ | １２ | ٣ | 5 ١ | ① | Ⅳ | 5万 | 0x10 | 5 🙂",
    "LaTeX that is not known": r"\frac{1}{2} | \sqrt{5} | 5\pi | 5 \pm 1 | \text{5}3 | 5{3}",
}


def each(texts):
    return texts.split(" | ")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        *((text, number) for number, texts in READ.items() for text in each(texts)),
        *((text, number) for number, texts in LATEX.items() for text in each(texts)),
        ("1\u202f200", "1200"),  # narrow no-break, no-break, thin
        ("1\u00a0200\u00a0000", "1200000"),
        ("1\u2009200.5", "1200.5"),
        ("5\u00a0km", "5"),
        ("1e-99", f"0.{98 * '0'}1"),
    ],
)
def test_a_number_has_one_spelling(text, canonical):
    assert canonical_number(text) == canonical


@pytest.mark.parametrize("text", ["5\u200b5", *(t for texts in NONE.values() for t in each(texts))])
def test_what_is_not_known_is_no_number_and_never_another(text):
    assert canonical_number(text) is None


NUMBERS = st.decimals(min_value=-(10**9), max_value=10**9, places=3, allow_nan=False)
SIGNS = ["-", "- ", "\u2212", "\u2212 ", "\u2013", "\ufe63", "\uff0d"]
SPELLINGS = [
    "{sign}{digits}",
    "{sign}${digits}",
    "${sign}{digits}",
    "{sign}{digits} \u20ac",
    "USD {sign}{digits}",
    "{sign}{digits} apples",
    "{sign}{digits} km/h",
    "{sign}{digits}%",
    "**{sign}{digits}**",
    "**{sign}{digits} apples**.",
    "$\\boxed{{{sign}{digits}}}$",
    "\\text{{{sign}{digits}}} \\text{{ m}}",
    "x = {sign}{digits}",
    "{sign}{digits}e0",
    "{sign}{digits} \\times 10^{{0}}",
    "Total: {sign}{digits}, as Tom's friends said",
]
GROUPS = [
    "{:.3f}".format,
    "{:,.3f}".format,
    lambda number: f"{number:,.3f}".replace(",", "\u202f"),
    lambda number: f"{number:,.3f}".replace(",", "\\,"),
    lambda number: f"{number:,.3f}".replace(",", "{,}"),
    lambda number: f"{number:.3f}".replace("0.", ".") if number < 1 else f"{number:.3f}",
]


@given(NUMBERS, st.sampled_from(SIGNS), st.sampled_from(SPELLINGS), st.sampled_from(GROUPS))
@settings(max_examples=300, deadline=None)
def test_a_number_reads_back_from_each_way_to_write_it(number, sign, spelling, group):
    text = spelling.format(sign=sign if number < 0 else "", digits=group(abs(number)))
    read = canonical_number(text)
    assert Decimal(read) == number, text
    assert canonical_number(read) == read


@given(
    NUMBERS,
    NUMBERS,
    st.sampled_from(
        [
            "-",
            "\u2013",
            " - ",
            "/",
            ":",
            " ",
            ", ",
            " to ",
            " or ",
            " and ",
            "=",
            " = ",
            "; ",
            " x ",
            "^",
        ]
    ),
)
@settings(max_examples=200, deadline=None)
def test_two_numbers_are_none(one, other, between):
    assert canonical_number(f"{one}{between}{abs(other)}") is None


@given(st.text("0123456789.,-+\u2212\u2013 $%()=/kmxab\u00a0\u00b2*{}\\!", max_size=14))
@settings(max_examples=1000, deadline=None)
def test_a_reading_has_all_digits_of_the_text_in_their_order(text):
    read = canonical_number(text)
    if read is not None:
        digits, said = (
            "".join(filter("0123456789".__contains__, each)).strip("0") for each in (read, text)
        )
        assert digits == said


@pytest.mark.parametrize(
    "piece",
    [
        "5",
        " ",
        "1,234",
        "-",
        "$",
        "a b ",
        "1 ",
        "(",
        "{",
        "\\",
        "1.2x10^",
        "^",
        "$a",
        "* ",
        "a-",
        "1\u2009",
        "x = ",
    ],
)
def test_a_long_text_is_read_in_linear_time(piece):
    text = piece * (50_000 // len(piece))
    assert canonical_number(text) in (None, text)


@pytest.mark.parametrize("text", ["1", " 12", "-", " −", "–", "+", "$", " €", ".", "-$", "1."])
def test_a_sign_a_currency_or_a_digit_begins_a_number(text):
    assert begins_number(text)


@pytest.mark.parametrize("text", ["", " ", "To", "A", "²", "#", "<", "x"])
def test_a_blank_or_a_word_begins_none(text):
    assert not begins_number(text)
