"""Every promise of docs/reruns.md about a changed config."""

import pytest
from promise_runs import check, finished, server  # noqa: F401 (fixtures)
from promises import SETTINGS


@pytest.mark.parametrize("promise", SETTINGS, ids=lambda promise: promise.change)
def test_what_runs_after(promise, finished, server, tmp_path):  # noqa: F811 (fixtures)
    check(promise, finished, server, tmp_path)
