"""The pytest fixture `floatlease_sandbox`: a license server for each test that asks for one.

Beside the package, not in it: pytest imports this wherever it is installed, and must start also where floatlease's
library can't be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from floatlease.sandbox import Options, Sandbox


@pytest.fixture
def floatlease_sandbox_options() -> Options:
    """How the sandbox begins: its clock stands still. Override it in a test's module or class for other options."""
    return {"rate": 0}


@pytest.fixture
def floatlease_sandbox(floatlease_sandbox_options: Options) -> Iterator[Sandbox]:
    """A license server of this test's own.

        def test_a_day(floatlease_sandbox):
            with Client(floatlease_sandbox.client_config()) as client:
                ...
                floatlease_sandbox.advance("8h", client)

    At its end, unless the test has stopped it, it must not have granted more than there is.
    """
    # Not before it is asked for: other tests need no license server.
    from floatlease.sandbox import Sandbox

    with Sandbox(floatlease_sandbox_options) as sandbox:
        yield sandbox
        if sandbox.is_stopped:
            return
        report = sandbox.control("GET /invariants")
        if not report["ok"]:
            pytest.fail(f"the license server is in a state that must never be: {report['violations']}", pytrace=False)
