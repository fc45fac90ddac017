"""An editor whose document outlives its license.

It works on a lease of a floating slot, which the library keeps alive. The editor only listens: an outage costs a
notice, the end of the slot's time saves the document, and the loss of the lease ends licensed work and never the
document, which stays the user's to read and to save.

    floatlease-server exec -- python editor.py notes.txt     # appends what is typed; Ctrl-D saves and ends
"""

from __future__ import annotations

import sys
from pathlib import Path

from floatlease import Client, FloatLeaseError, Lease


class Editor:
    """A document, the lease to work on it, and a status line."""

    def __init__(self, client: Client, file: Path) -> None:
        self.client, self.file = client, file
        self.lease: Lease | None = None
        self.document = ""
        self.notice = ""

    def start(self) -> bool:
        """Takes a slot. Call it at the start, and when the user wants to try again. The notice says why it failed."""
        try:
            self.lease = self.client.acquire_lease(activate=True)  # the first start on this machine activates it
        except FloatLeaseError as error:
            self.notice = f"{error.message} {error.advice}"
            return False
        self.notice = ""
        return True

    def tick(self) -> None:
        """Handles the events of the lease. Call it every second or so; it makes no request and never waits."""
        while event := self.client.next_event():
            name, minutes = event["event"], event.get("remaining_ms", 0) // 60_000
            if name in ("RENEWED", "REGAINED"):
                self.notice = ""
            elif name == "DEGRADED":
                self.notice = f"The license server does not answer. You can work on for {minutes} minutes."
            elif name in ("GRACE_STARTED", "LOST"):
                self.save()
                ends = "Licensed work ends soon." if self.is_licensed else "Licensed work is over."
                self.notice = f"{event.get('reason')} {ends} Your work is saved in {self.file}."

    @property
    def is_licensed(self) -> bool:
        """True if licensed work may go on. Reading it never waits: read it as often as you like."""
        return self.lease is not None and self.lease.is_licensed

    def type(self, text: str) -> bool:
        """Adds text, which is licensed work. Returns False if there is no license for it."""
        licensed = self.is_licensed  # once: it may change in between
        if licensed:
            self.document += text
        return licensed

    def save(self) -> None:
        """Saves the document, which needs no license. The old file or the new one is complete whatever goes wrong."""
        beside = self.file.with_name(self.file.name + ".new")
        beside.write_text(self.document, encoding="utf-8")
        beside.replace(self.file)


def main(file: Path) -> int:
    """Runs the editor. The end of the `with` gives the slot back; an unreachable server frees it after its timeout."""
    with Client.from_environment() as client:
        editor = Editor(client, file)
        if not editor.start():
            print(editor.notice)
            return 1
        print("Licensed. Type; Ctrl-D saves and ends.")
        for text in sys.stdin:
            editor.tick()  # an editor with a window does this by a timer
            if editor.notice:
                print(editor.notice)
            if not editor.type(text):
                print(f"No license for that: {file} is yours to read and to save.")
        editor.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
