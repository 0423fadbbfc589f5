"""Numbers on the command line."""

import argparse


def positive(word: str) -> int:
    """Read a whole number from 1.

    Raises:
        argparse.ArgumentTypeError: if it is less; argparse itself tells of what is no number.
    """
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not at least 1")
    return number
