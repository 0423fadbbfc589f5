"""Numbers as text: one spelling for each value, so that equal answers compare equal."""

import re
from decimal import Decimal

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?"
)


def canonical_number(text: str) -> str | None:
    """Return the one spelling of a decimal number, exactly, or None where the text is none.

    Thousands commas, a leading plus, leading and trailing zeros and exponents go: "+1,200.50" is
    "1200.5", "5.0" is "5", "-0" is "0", "1e5" is "100000". The typographic minus counts as "-".
    """
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if not _NUMBER.fullmatch(text) or not re.match(r"[+-]?\.?[0-9]", text):
        return None
    plain = f"{Decimal(text.replace(',', '')):f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain
