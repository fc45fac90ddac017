"""docs/installing.md: what it says one types does what it says."""
import re
import shutil

from outside.stranger import Stranger, held
from project import DIST, ROOT, Packed

PAGE = ROOT / "docs/installing.md"
# What the page calls a program, a test and a script of the reader's own.
OWN = {"program.c": "c/quickstart.c", "test.c": "c/first_test.c", "quickstart.py": "python/quickstart.py"}


def script() -> str:
    """The page's commands, in order; a CMake file is written where it is shown."""
    lines = ["set -e"]
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if language == "cmake":
            lines.append(f"cat >CMakeLists.txt <<'END'\n{text}END")
        elif language == "sh":
            lines.append(text)
    return "\n".join(lines)


def installs_as_it_says(stranger: Stranger, target: Packed) -> None:
    folder = stranger.folder()
    for file in DIST.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    for name, example in OWN.items():
        shutil.copy(ROOT / "examples" / example, folder / name)
    said = stranger.run("sh", "-c", script(), at=folder)
    # The quick start by CMake, by pkg-config and in Python; the first test, which says it once too.
    held(said.count("FLOATING_NOT_AVAILABLE") == 4, f"the programs did not say what they should:\n{said}")
