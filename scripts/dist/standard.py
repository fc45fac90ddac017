"""Rust's own standard library, which is linked into all that Rust makes: of which compiler, and of which crates."""

import functools
import pathlib
import subprocess

from linked import Cargo, Crate, Graph, NotLinkable
from project import ROOT

# Its own, and of what its compiler adds to a program (compiler_builtins, LLVM's libunwind).
LICENSE = "(MIT OR Apache-2.0) AND MIT AND Apache-2.0 WITH LLVM-exception"
# Debian's, which has the sources; see scripts/dist/build.py.
RUSTC = "/usr/bin/rustc"
SOURCES = pathlib.Path("/usr/lib/rustlib/src/rust/library")
TEXT = ROOT / "scripts/dist/texts/rust"


@functools.cache
def version() -> str:
    said = subprocess.run([RUSTC, "--version"], text=True, capture_output=True, check=True).stdout
    return said.split()[1]


@functools.cache
def standard_library(target: str) -> Graph:
    """`std` with what it is made of. The parts that come from its own sources are one with it."""
    if not SOURCES.exists():
        raise NotLinkable(f"{SOURCES} is missing: run scripts/dist/setup")
    cargo = Cargo(SOURCES / "Cargo.toml", "/usr/bin/cargo", RUSTC=RUSTC, RUSTC_BOOTSTRAP="1")
    # Without the printer of backtraces, as scripts/dist/build.py builds it.
    parts = cargo.graph("std", "panic-unwind", target)
    std = Crate("rust-std", version(), LICENSE, folder=TEXT.parent)
    foreign = {ref: crate for ref, crate in parts.crates.items() if SOURCES not in crate.folder.parents}
    return Graph(std, foreign, {std.ref: set(foreign)})
