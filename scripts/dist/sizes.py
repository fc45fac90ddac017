"""The table of docs/size.md: what ships, how large it is, and how large it may be."""

import pathlib
import re
from dataclasses import dataclass

import build

PAGE = build.ROOT / "docs/size.md"
ROW = re.compile(r"^\| (\S+/\S+) \| ([\d,]+) \| ([\d,]+) \|$", re.MULTILINE)

# What is measured, by where it is from the root. In a name, VERSION stands for the version.
SHIPPED = [
    "target/release/libfloatlease.so",
    "target/sandbox/libfloatlease_sandbox.so",
    "target/dist/*/lib/*",
    "target/dist/*/bin/*",
    "target/dist/*/sandbox/*",
    "dist/*.*",
]
# What only tells of others: lists for tools, which weigh nothing in a product.
UNMEASURED = {".def", ".map"}
NOT_TARGETS = {"build", "environment"}


@dataclass
class Line:
    bytes: int
    ceiling: int

    @property
    def heavy(self) -> bool:
        return self.bytes > self.ceiling


def number(text: str) -> int:
    return int(text.replace(",", ""))


def ledger() -> dict[str, Line]:
    """The lines of the page, by file."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return {name: Line(number(size), number(ceiling)) for name, size, ceiling in ROW.findall(text)}


def ceilings() -> dict[str, int]:
    return {name: line.ceiling for name, line in ledger().items()}


def name_of(path: pathlib.Path) -> str:
    """What a file is called in the ledger."""
    # As the page says it, wherever cargo builds.
    if build.DIST.parent in path.parents:
        path = pathlib.Path("target") / path.relative_to(build.DIST.parent)
    else:
        path = path.relative_to(build.ROOT)
    return str(path).replace(build.version(), "VERSION")


def there() -> list[pathlib.Path]:
    """The files that ship, as far as they were made."""
    found = []
    for pattern in SHIPPED:
        base = build.DIST.parent if pattern.startswith("target/") else build.ROOT
        found += base.glob(pattern.removeprefix("target/"))
    measured = (path for path in found if path.is_file() and not path.is_symlink() and path.suffix not in UNMEASURED)
    return [path for path in measured if not NOT_TARGETS & set(path.relative_to(path.anchor).parts[-3:-1])]


def measured(lines: dict[str, Line]) -> dict[str, Line]:
    """The lines with today's sizes, and those of files that have none yet."""
    lines = dict(lines)
    for path in there():
        size = path.stat().st_size
        # Three in a hundred above, to full thousands.
        fresh = Line(size, -(-size * 103 // 100_000) * 1000)
        lines.setdefault(name_of(path), fresh).bytes = size
    return lines
