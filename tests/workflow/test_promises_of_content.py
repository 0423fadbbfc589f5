"""Every promise of docs/reruns.md about changed data, models, files and code."""

import pytest
from promise_runs import check, finished, server  # noqa: F401 (fixtures)
from promises import CONTENT


@pytest.mark.parametrize("promise", CONTENT, ids=lambda promise: promise.change)
def test_what_runs_after(promise, finished, server, tmp_path):  # noqa: F811 (fixtures)
    check(promise, finished, server, tmp_path)
