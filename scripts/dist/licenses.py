"""Which licenses may be in what ships, and where their texts are."""

import pathlib
import re

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

TEXT = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)


def normal(expression: str) -> str:
    """The expression as SPDX writes it today."""
    return " ".join(expression.replace("/", " OR ").split())


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met by allowed licenses alone."""
    words = re.findall(r"[()]|[^\s()]+", normal(expression))

    def either(at: int) -> tuple[bool, int]:
        met, at = both(at)
        while at < len(words) and words[at] == "OR":
            other, at = both(at + 1)
            met = met or other
        return met, at

    def both(at: int) -> tuple[bool, int]:
        met, at = one(at)
        while at < len(words) and words[at] == "AND":
            other, at = one(at + 1)
            met = met and other
        return met, at

    def one(at: int) -> tuple[bool, int]:
        if words[at] == "(":
            met, at = either(at + 1)
            return met, at + 1
        length = 3 if words[at + 1 : at + 2] == ["WITH"] else 1
        return " ".join(words[at : at + length]) in ALLOWED, at + length

    return bool(words) and either(0)[0]


def texts(folder: pathlib.Path) -> list[str]:
    """What stands in the license files of a crate's folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and TEXT.match(path.name))
    return [path.read_text(encoding="utf-8", errors="replace").strip("\n") for path in files]
