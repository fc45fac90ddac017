"""Does the editor lose its license as it should, and nothing else?

    pip install floatlease pytest
    pytest test_editor.py

The fixture `floatlease_sandbox` comes with floatlease: a license server of each test's own, on which hours pass at
once, and replies are lost on purpose.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest
from editor import Editor
from floatlease import Client
from floatlease.sandbox import Sandbox

OUTAGE = {"profile": "outage", "match": {"hardware_id": "my-desk"}}


@pytest.fixture
def editor(floatlease_sandbox: Sandbox, tmp_path: Path) -> Iterator[Editor]:
    with Client(floatlease_sandbox.client_config(hardware_id="my-desk")) as client:
        yield Editor(client, tmp_path / "notes.txt")


def wait_until(predicate: Callable[[], bool]) -> None:
    """Waits until the predicate holds, for 20 seconds at most, which is longer than any machine should need."""
    end = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < end
        time.sleep(0.002)


def notices(editor: Editor, text: str) -> bool:
    editor.tick()
    return text in editor.notice


def slots(sandbox: Sandbox) -> list[str]:
    return [slot["hardware_id"] for slot in sandbox.control("GET /slots")["slots"]]


def test_an_outage_costs_a_notice_and_the_end_of_the_slots_time_saves_the_work(
    floatlease_sandbox: Sandbox, editor: Editor
) -> None:
    assert editor.start()
    assert editor.type("a day's work")

    floatlease_sandbox.control("POST /faults/profile", OUTAGE)
    floatlease_sandbox.advance("1h 59m", editor.client)
    wait_until(lambda: notices(editor, "You can work on for 5 minutes"))
    assert not editor.file.exists()

    floatlease_sandbox.advance("2m", editor.client)
    wait_until(lambda: notices(editor, "Licensed work ends soon. Your work is saved"))
    assert editor.file.read_text() == "a day's work"
    assert editor.type("!")

    floatlease_sandbox.advance("5m", editor.client)
    wait_until(lambda: notices(editor, "Licensed work is over. Your work is saved"))
    assert not editor.type("more")
    assert editor.file.read_text() == "a day's work!"

    floatlease_sandbox.control("DELETE /faults")
    floatlease_sandbox.advance("2m", editor.client)
    wait_until(lambda: editor.type(" And on it goes."))


def test_a_lost_reply_leaves_exactly_one_slot(floatlease_sandbox: Sandbox, editor: Editor) -> None:
    floatlease_sandbox.fault(match={"operation": "activate_license"}, when={"times": 1}, do={"after_commit": "close"})
    assert editor.start()
    assert slots(floatlease_sandbox) == ["my-desk"]


def test_the_last_seat_is_taken(floatlease_sandbox: Sandbox, editor: Editor) -> None:
    for colleague in ("office-1", "office-2"):
        editor.client.activate_license(hardware_id=colleague)
        editor.client.check_license(hardware_id=colleague)
    assert not editor.start()
    assert "Wait until a colleague releases a slot" in editor.notice
    assert not editor.type("work")

    floatlease_sandbox.advance("121m", editor.client)
    assert editor.start()
    assert editor.type("work")


def test_the_end_of_the_program_gives_the_slot_back(floatlease_sandbox: Sandbox, editor: Editor) -> None:
    with editor.client:
        assert editor.start()
        assert slots(floatlease_sandbox) == ["my-desk"]
    assert slots(floatlease_sandbox) == []
