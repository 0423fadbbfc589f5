"""Whatever stands in a reply, an answer or a cell: an answer, a reason or a clear error.

`benchmarks/hostile/run.py` reads many more such texts, and measures seconds and memory.
"""

import hostile
import pytest


@pytest.mark.parametrize("first", range(0, 300, 10))
def test_no_text_ends_in_a_bare_exception(first, tmp_path):
    for number in range(first, first + 10):
        case = hostile.draw(number)
        hostile.READERS[case.kind](case, tmp_path)


def test_the_grammar_draws_all_kinds_and_sizes_and_the_same_again():
    cases = [hostile.draw(number) for number in range(300)]
    assert {case.kind for case in cases} == set(hostile.READERS)
    assert {case.size for case in cases} == set(hostile.SIZES)
    assert cases[17] == hostile.draw(17)
    assert len({case.text for case in cases}) > 250
