import gc
import sys

import pytest

from caft.running.imports import importing


def test_no_garbage_is_looked_for_while_libraries_are_imported_and_afterwards_it_is():
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


@pytest.mark.parametrize(("there", "frozen"), [(False, 1), (True, 0)])
def test_only_what_lives_before_the_first_model_is_never_looked_at_again(
    monkeypatch, there, frozen
):
    calls = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append(1))
    monkeypatch.setitem(sys.modules, "transformers.modeling_utils", None)
    if not there:
        monkeypatch.delitem(sys.modules, "transformers.modeling_utils")
    with importing():
        pass
    assert len(calls) == frozen


def test_a_caller_that_wants_no_collection_keeps_it_so():
    gc.disable()
    try:
        with importing():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
