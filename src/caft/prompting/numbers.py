"""The one grammar of numbers: for gold answers, for students and for teachers.

Its law: what it does not know is no number, and never another number.
"""

import re
from decimal import Decimal

_LONGEST = 10_000  # characters of what says one number
# What LaTeX commands say; what they only wrap or space, with the marks of Markdown, is a space.
_COMMANDS = {
    "{,}": ",",
    ",\\!": ",",
    "\\,": "\N{THIN SPACE}",
    "\\$": "$",
    "\\%": "%",
    "\\times": "×",
    "\\cdot": "·",
    "\\approx": "≈",
    "^{\\circ}": "°",
    "^\\circ": "°",
}
_WRAPS = re.compile(
    r"\\(?:d?boxed|[fhm]box|text(?:bf|it|rm|normal)?|math(?:rm|bf|it|sf)|left|right|q?quad"
    r"|displaystyle)(?![A-Za-z])|\\[;:!\s()\[\]]|[{}*_`~]"
)
_MATH = re.compile(r"(?<![\\A-Z])\${1,2}([^$]*[^$\\])\${1,2}")  # between two dollars; one is money
# Digits are grouped by no-break, figure, thin and narrow spaces; a plain space parts two numbers.
_GROUPING_SPACE = re.compile(r"(?<=[0-9])[\u00a0\u2007\u2009\u202f](?=[0-9])")

_MINUS = "\\-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_SIGN = rf"[+\uff0b{_MINUS}]"
_LETTER = "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u03a9\u03bc"
_UNIT = (
    "[mgshLVWNJCF]|[kcmnµμ]m|[kmµμ]g|m[lLsiVA]|lbs?|oz|ft|yd|hrs?|min|sec|mph|kph|kmh|k[WJNVΩ]|kWh|eV"
    "|k?Pa|[kMG]?Hz|[kKMGT]B|mol|rad|deg|k?cal|bar|atm|Ω|px|pts?"
)
_DIGITS = (
    r"(?:(?:[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:\u2009[0-9]{3})+)|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)
_TOKEN = re.compile(
    rf"""
    (?P<number>
      (?:(?P<factor>{_DIGITS})[ ]?[×·x][ ]?)?
        10(?:[ ]?\^[ ]?(?P<power>{_SIGN}?[0-9]{{1,2}})|(?P<raised>[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,2}}))
      |(?P<digits>{_DIGITS})(?:[eE](?P<exponent>{_SIGN}?[0-9]{{1,2}}))?)
    |(?P<currency>(?:\b[A-Z]{{1,3}})?\$+|[€£¥₹₩₽¢]
      |(?<![{_LETTER}])(?:USD|EUR|GBP|JPY|CHF|CAD|AUD|INR|CNY)(?![{_LETTER}]))
    |(?P<unit>(?:{_UNIT})(?:[²³]|[ ]?\^[ ]?[-\u2212]?[1-9](?![0-9])))
    |(?P<word>[ap]\.m\b|at[ ](?:least|most)\b
      |(?:square|cube|power|reciprocal|inverse|opposite|half|quarters?|thirds?|fifths?)[ ]of\b
      |[{_LETTER}]+(?:[-\u2010\u2011'\u2019][{_LETTER}]+)*)
    |(?P<sign>{_SIGN})
    |(?P<rest>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_MARKS = dict.fromkeys(",;:?&'\"\u2018\u2019\u201c\u201d", ",") | {
    **dict.fromkeys("([", "("),
    **dict.fromkeys(")]", ")"),
    **dict.fromkeys("=≈", "="),
    **dict.fromkeys("%‰°℃℉", "u"),
    **{mark: mark for mark in " .!"},
    **dict.fromkeys("/·", "/"),
    "\N{EM DASH}": "_",
}
_MULTIPLE = (
    "half|halves|(?:quarter|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth)s?|zero|one|two|three"
    "|four|five|six|seven|eight|nine|tens?|eleven|twelve|twelfths?|[a-z]+teen(?:th)?s?"
    "|(?:twen|thir|fou?r|fif|six|seven|eigh|nine)t(?:y|ieths?)|dozens?|(?:hundred|thousand)(?:th)?s?"
    "|[a-z]*illi(?:on|ard)[a-z]*|lakhs?|crores?|grand|mil|mille|mio|mrd|bn|mn|tsd|tausend"
)
# What a word does to the number beside it. Words of a class that is not named here leave it alone.
_WORD = re.compile(
    rf"""
    # x: makes another number of it, wherever the word stands
    (?P<x>(?i:minus|plus))
    # b, e: does so before it, or behind it
    |(?P<b>(?i:(?:at|\w+)[ ](?:least|most|of)|.*n['\u2019]t|not?|never|cannot|negative|than|between
      |times|twice|double|triple|absolute|root|sqrt|log|ln|exp|sin|cos|tan|mod))
    |(?P<e>(?i:squared|cubed|factorial))
    # t: does so right behind it: "5th", "5 pm"; r: on either side of it: "5 or so"
    |(?P<t>(?i:st|nd|rd|th|[ap]m|[ap]\.m|o['\u2019]clock))
    |(?P<r>(?i:or))
    # o: does so next to it: a bound, what is counted through, another number
    |(?P<o>(?i:over|under|above|below|step|part|case|question|problem|option|version|page|chapter
      |(?:.*[-\u2010\u2011])?(?:{_MULTIPLE})(?:[-\u2010\u2011].*)?))
    # a: joins such a number to it: "5 and a half", "5 to six", "5 point two"
    |(?P<a>(?i:and|to|through|out|point))
    # m: makes a date of it
    |(?P<m>January|February|March|April|May|June|July|August|September|October|November|December
      |Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)
    # u: a unit, which may touch it; s: a short word, which may not; l, q: the name of something
    |(?P<u>{_UNIT})
    |(?P<s>[aAIdlK]|.{{2,3}})
    |(?P<q>[A-Z])
    |(?P<l>.)
    """,
    re.VERBOSE,
)

# The grammar itself, over one character a token: n number, - sign, $ currency, p unit with a power,
# w word and the classes of `_WORD`, the values of `_MARKS`, ? for what is not known. It is one
# number, with its sign and its currency, and around it only what leaves it what it is.
_OPEN = r"(?:(?<![^=,.(])|(?<=[=,.(] ))"
_SENTENCE = re.compile(
    r"(?:[wsamt,.!() =]|[lqu](?= ?[=),(]| [ws])|[or](?! ?[-$n]| a [-$n])|_(?= ?[ws]))*"
    # It is no part of a word, of a call "f(5)" or of a date "May 5".
    r"(?<![\w.])(?<![\w)]\()(?<!m )(?<!m\. )"
    # A sign opens what is said, or touches its number behind a space: "x - 5" is a difference.
    rf"(?:(?:{_OPEN}- ?|(?<=[ws] )-)?n|(?:(?:{_OPEN}- ?|(?<=[ws] )-)?\$ ?|\$ ?- ?)n(?! ?u))"
    # "5!" and "5..." are other numbers, "5x" and "5th" too: only units and long words touch it.
    r"(?!\.\.| ?[!tr]| [mo]|[a-oq-tvx-z])"
    r"(?:[wsumot,.!() $p]|[abr](?! (?:s )?o)|(?<=w )q|/(?= ?[wsopu])|_(?= ?[ws]))*"
)


def canonical_number(text: str) -> str | None:
    r"""Return the one spelling of the number that a text says, or None where it says none, or two.

    Signs, thousands, exponents, leading and trailing zeros get one spelling, exactly: "+1,200.50"
    is "1200.5", "5.0" is "5", "-0" is "0", "1e5" and "10^5" are "100000". A currency, a unit (the
    percent sign is one: "50%" is "50") and plain words around the number are dropped: "−$12",
    "x = 3.5 km/h", "**12 apples**", "$\boxed{12}$". Whatever else stands there, or changes the
    number ("5 million", "1/2", "3–5", "2x"), makes it none.
    """
    if len(text) > _LONGEST:
        return None
    tokens = list(_TOKEN.finditer(_plain(text)))
    shape = "".join(map(_kind, tokens))
    if not _SENTENCE.fullmatch(shape):
        return None
    place = shape.index("n")
    signs = {token[0] for token in tokens[:place] if token["sign"]}
    return _spelled(tokens[place], negative=not signs <= {"+", "\uff0b"})


def begins_number(text: str) -> bool:
    """Tell whether a number can go on from a text: "-", "$" and "." begin one, "To" does not."""
    return bool(text.strip()) and canonical_number(f"{text.strip()}1") is not None


def unwrapped(text: str) -> str:
    r"""Return a text without what only wraps or spaces it in LaTeX and Markdown.

    A wrap becomes a space, so that what it parts never grows together: "\text{5}3" is not 53.
    """
    text = _MATH.sub(r" \1 ", text)
    for command, meaning in _COMMANDS.items():
        text = text.replace(command, meaning)
    return _WRAPS.sub(" ", text)


def _plain(text: str) -> str:
    text = re.sub(r"\*(?=\s*10\s*\^)", "×", text)
    text = _GROUPING_SPACE.sub("\N{THIN SPACE}", unwrapped(text).strip())
    return re.sub(r"[^\S\u2009]+|(?<![0-9])\u2009|\u2009(?![0-9])", " ", text).strip()


def _kind(token: re.Match[str]) -> str:
    """Return the character of `_SENTENCE` that stands for a token; "?" for what is not known."""
    if token["unit"]:
        return "p"
    if token["word"]:
        found = _WORD.fullmatch(token["word"])
        return found.lastgroup or "w" if found else "w"
    if token["rest"]:
        return _MARKS.get(token["rest"], "?")
    return {"number": "n", "currency": "$", "sign": "-"}[token.lastgroup or ""]


def _spelled(number: re.Match[str], negative: bool) -> str:
    power = number["exponent"] or number["power"] or number["raised"] or "0"
    power = re.sub(_SIGN, lambda sign: "+" if sign[0] in "+\uff0b" else "-", power)
    power = power.translate(str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789"))
    digits = re.sub("[,\u2009]", "", number["digits"] or number["factor"] or "1")
    plain = f"{Decimal(f'{digits}e{power}'):f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return f"-{plain}" if negative and plain != "0" else plain
