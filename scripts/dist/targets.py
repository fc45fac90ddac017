"""What is built for whom.

For macOS it is the client's shared library alone, linked against the names of Apple's libraries (apple.py) and never run:
there is no Mac. On one with Xcode's command line tools,

    cargo rustc -p floatlease --release --features quiet --lib --crate-type cdylib,staticlib --target aarch64-apple-darwin

makes target/aarch64-apple-darwin/release/libfloatlease.dylib, to be installed as libfloatlease.1.dylib (build.rs gives it the
install name @rpath/libfloatlease.1.dylib), and for x86_64-apple-darwin the same.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """Something that is built."""

    package: str
    profile: str
    arguments: tuple
    library: str = ""  # its name, if it is one
    header: str = ""  # what it exports is declared there
    description: str = ""  # for Windows' property sheet
    panic: str = "panic_unwind"  # the part of the standard library that its profile asks for
    flags: tuple = ()  # rustc's, for the whole of it: it is optimised as one
    rustc: tuple = ()  # rustc's, for each crate of it
    std_features: str = ""  # of the standard library
    program: str = ""  # its file's name, if it is one


CLIENT = Part(
    "floatlease", "release", ("--features", "quiet", "--lib", "--crate-type", "cdylib,staticlib"),
    "floatlease", "floatlease.h", "Floating licenses: the client",
    # What is called is copied into its callers only where that is shorter: 23 KB, for two in a hundred of a call's time.
    flags=("-Cllvm-args=-inline-threshold=6",),
    # What stands in no text that anybody sees: the places of panics, which become a status, and the members of what Rust
    # prints for debugging. 108 KB.
    rustc=("-Zlocation-detail=none", "-Zfmt-debug=shallow"),
    # Smaller forms of some functions, such as sorting. 25 KB.
    std_features="optimize_for_size",
)
SANDBOX = Part(
    "floatlease-sandbox", "sandbox", ("--lib",),
    "floatlease_sandbox", "floatlease_sandbox.h", "Floating licenses: the sandbox, for tests only",
)
SERVER = Part(
    "floatlease-server", "server", ("--bin", "floatlease-server"), program="floatlease-server",
    description="Floating licenses: the server", panic="panic_abort",
)
COMMAND = Part(
    "floatlease-cli", "cli", ("--bin", "floatlease"), program="floatlease",
    description="Floating licenses: the command",
)


@dataclass(frozen=True)
class Target:
    """A kind of machine."""

    name: str
    form: str  # of its files: elf, pe or macho
    parts: tuple
    needs: tuple  # the libraries that a file may need: the system's own
    zig: str = ""  # what zig calls it; empty: Debian's own compiler for it is used
    flags: tuple = ()  # rustc's
    environment: tuple = ()  # more for the build
    glibc: tuple = ()  # the newest that may be asked for


ALL = (CLIENT, SANDBOX, SERVER, COMMAND)
SHARED_CLIENT = replace(CLIENT, arguments=(*CLIENT.arguments[:-1], "cdylib"))
GLIBC = ("libc.so.6", "libpthread.so.0", "libdl.so.2", "libm.so.6", "librt.so.1", "ld-linux-")
WINDOWS = (
    "advapi32.dll", "api-ms-win-core-synch-l1-2-0.dll", "bcrypt.dll", "bcryptprimitives.dll", "crypt32.dll",
    "kernel32.dll", "msvcrt.dll", "ntdll.dll", "userenv.dll", "ws2_32.dll",
)

MACOS = (
    "/system/library/frameworks/security.framework/", "/system/library/frameworks/corefoundation.framework/",
    "/usr/lib/libsystem.b.dylib",
)

TARGETS = {
    target.name: target
    for target in (
        Target("x86_64-unknown-linux-gnu", "elf", ALL, GLIBC, "x86_64-unknown-linux-gnu.2.17", glibc=(2, 17)),
        Target("aarch64-unknown-linux-gnu", "elf", ALL, GLIBC, "aarch64-unknown-linux-gnu.2.17", glibc=(2, 17)),
        # A shared library can't have a C library of its own.
        Target("x86_64-unknown-linux-musl", "elf", ALL, ("libc.so",), "x86_64-unknown-linux-musl",
               ("-Ctarget-feature=-crt-static",)),
        Target("x86_64-pc-windows-gnu", "pe", ALL, WINDOWS, flags=("-Clink-arg=-Wl,--no-insert-timestamp",),
               # aws-lc's own source of randomness would be exported, beside what we export. It has the system's too.
               environment=(("AWS_LC_SYS_NO_JITTER_ENTROPY", "1"),)),
        Target("aarch64-apple-darwin", "macho", (SHARED_CLIENT,), MACOS, "aarch64-apple-darwin"),
    )
}
