"""The pytest fixture `floatlease_sandbox`: a license server for each test that asks for one.

This module is beside the package, not in it: pytest imports it wherever it is installed, and pytest must start also
where the library of floatlease can't be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from floatlease.sandbox import Options, Sandbox


@pytest.fixture
def floatlease_sandbox_options() -> Options:
    """The options of the sandbox: its clock stands still. Override this fixture in a module or class for others."""
    return {"rate": 0}


@pytest.fixture
def floatlease_sandbox(floatlease_sandbox_options: Options) -> Iterator[Sandbox]:
    """A license server for this test alone.

        def test_a_day(floatlease_sandbox):
            with Client(floatlease_sandbox.client_config()) as client:
                ...
                floatlease_sandbox.advance("8h", client)

    At the end of the test the fixture fails if the server has granted more slots than there are.
    """
    # Imported here, because other tests need no license server.
    from floatlease.sandbox import Sandbox

    with Sandbox(floatlease_sandbox_options) as sandbox:
        yield sandbox
        if sandbox.is_stopped:
            return
        report = sandbox.control("GET /invariants")
        if not report["ok"]:
            pytest.fail(f"the license server is in a state that must never be: {report['violations']}", pytrace=False)
