"""Builds a target's files and lays them out.

Not by cargo-c: it has a cargo of its own, which builds neither along with the standard library nor by zig for an old glibc,
and it would write a second header. Nor is Windows' version resource made by the crate winresource: that would be a
dependency of everybody who builds the client from source, for ten lines that `windres` reads.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import apple
from targets import CLIENT

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Absolute: what cargo starts runs in folders of its own.
DIST = (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).absolute() / "dist"
CARGO_HOME = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
ENVIRONMENT = DIST / "environment" / "bin"
JOBS = os.environ.get("FLOATLEASE_DIST_JOBS", "3")

# Folders of this machine, and what files say instead; a later one wins.
PATHS = (
    (CARGO_HOME / "registry" / "src", "crates"),
    (pathlib.Path("/usr/lib/rustlib/src/rust"), "rust"),
    (ROOT, "floatlease"),
)


def run(*command, **options):
    command = [str(word) for word in command]
    return subprocess.run(command, cwd=ROOT, check=True, text=True, **options)


def build(target, made):
    """Fills the folder `made`."""
    for folder in ("lib", "bin", "sandbox"):
        (made / folder).mkdir(parents=True, exist_ok=True)
    for part in target.parts:
        print(f"{target.name}: {part.package}", flush=True)
        compiled = DIST / "build" / target.name / part.profile
        compile_part(target, part)
        LAYOUTS[target.form](part, compiled, made)
    for folder in ("lib", "bin", "sandbox"):
        if not any((made / folder).iterdir()):
            (made / folder).rmdir()


def environment_of(target, part):
    """Of cargo and the compilers. A folder's name may have a blank in it."""
    c_flags = shlex.join(f"-ffile-prefix-map={path}={name}" for path, name in PATHS)
    return os.environ | dict(target.environment) | {
        "PATH": f"{ENVIRONMENT}:/usr/bin:{os.environ['PATH']}",
        "RUSTC": "/usr/bin/rustc",
        "CARGO": "/usr/bin/cargo",
        # The standard library is built along, and that is asked for by options that are not stable yet.
        "RUSTC_BOOTSTRAP": "1",
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(
            [*(f"--remap-path-prefix={path}={name}" for path, name in PATHS), *target.flags, *part.rustc]
        ),
        "CC_SHELL_ESCAPED_FLAGS": "1",
        f"CFLAGS_{target.name.replace('-', '_')}": c_flags,
        f"CXXFLAGS_{target.name.replace('-', '_')}": c_flags,
    }


def compile_part(target, part, *more):
    environment = environment_of(target, part)
    linked = LINKED[target.form](target, part)
    if target.form == "macho":
        environment["SDKROOT"] = str(sdk(target))
    cargo = [ENVIRONMENT / "cargo-zigbuild"] if target.zig else ["/usr/bin/cargo"]
    run(
        *cargo, "rustc", "--locked", "-q", "-j", JOBS, "-p", part.package, "--profile", part.profile, *part.arguments,
        "--target", target.zig or target.name, "--target-dir", DIST / "build",
        f"-Zbuild-std=std,{part.panic}", f"-Zbuild-std-features={part.std_features}",
        "--", *linked, *part.flags, *more,
        env=environment,
    )


def lay_out_elf(part, compiled, made):
    if not part.library:
        shutil.copy(compiled / part.program, made / "bin")
        return
    folder = made / ("sandbox" if "sandbox" in part.library else "lib")
    name = f"lib{part.library}.so"
    shutil.copy(compiled / name, folder / f"{name}.1")
    # rustc has stripped all but the names of compilers.
    run("llvm-strip", "--strip-all", folder / f"{name}.1")
    (folder / name).symlink_to(f"{name}.1")
    static_library(part, compiled, folder)


def lay_out_pe(part, compiled, made):
    if not part.library:
        program = f"{part.program}.exe"
        shutil.copy(compiled / program, made / "bin")
        run("llvm-strip", "--strip-all", made / "bin" / program)
        return
    is_client = "sandbox" not in part.library
    folder = made / ("lib" if is_client else "sandbox")
    dll = made / ("bin" if is_client else "sandbox") / f"{part.library}.dll"
    shutil.copy(compiled / dll.name, dll)
    # Its functions with their addresses, for whoever has a crash report: Debian's linker could write a PDB too, but
    # one that holds little more, and paths of this machine.
    symbols = run("x86_64-w64-mingw32-nm", "-n", "-C", "--defined-only", dll, capture_output=True).stdout
    functions = [line for line in symbols.splitlines(keepends=True) if line[16:19] in (" T ", " t ")]
    (folder / f"{part.library}.map").write_text("".join(functions))
    run("llvm-strip", "--strip-all", dll)
    definition = folder / f"{part.library}.def"
    names = "".join(f"    {name}\n" for name in declared(part.header))
    definition.write_text(f"LIBRARY {dll.name}\nEXPORTS\n{names}")
    # One for gcc and clang, one for Microsoft's linker, which want other names.
    for library in (f"lib{part.library}.dll.a", f"{part.library}.lib"):
        run(ENVIRONMENT / "python", "-m", "ziglang", "dlltool", "-m", "i386:x86-64", "-d", definition, "-D", dll.name,
            "-l", folder / library)
    static_library(part, compiled, folder)
    if part is CLIENT:
        name_imports(folder / f"lib{part.library}.a")


def name_imports(archive):
    """rustc makes import libraries of its own in a folder of a chance name, and names what they define after it."""
    symbols = run("x86_64-w64-mingw32-nm", archive, capture_output=True).stdout
    chance = re.compile(r"(_head_|__)?(\w*_rustc[0-9A-Za-z]{6})_(\w+_imports_lib\w*)$", re.M)
    libraries, renamed = {}, {}
    for found in chance.finditer(symbols):
        start, folder, rest = found.groups(default="")
        number = libraries.setdefault((folder.removeprefix("_"), rest.split("_imports_lib")[0]), len(libraries))
        renamed[found.group()] = f"{start}import{number}_{rest}"
    table = archive.with_suffix(".symbols")
    table.write_text("".join(f"{old} {new}\n" for old, new in renamed.items()))
    run("x86_64-w64-mingw32-objcopy", "-D", f"--redefine-syms={table}", archive)
    table.unlink()


def lay_out_macho(part, compiled, made):
    name = f"lib{part.library}.1.dylib"
    shutil.copy(compiled / f"lib{part.library}.dylib", made / "lib" / name)
    (made / "lib" / f"lib{part.library}.dylib").symlink_to(name)


LAYOUTS = {"elf": lay_out_elf, "pe": lay_out_pe, "macho": lay_out_macho}


def static_library(part, compiled, folder):
    archive = f"lib{part.library}.a"
    if "staticlib" in part.arguments[-1]:
        # Of the C code in it: the compiler's own folders stand in there too.
        shutil.copy(compiled / archive, folder)
        run("llvm-strip", "--strip-debug", "--enable-deterministic-archives", folder / archive)


def declared(header):
    """The functions that a header declares."""
    lines = (ROOT / "include" / header).read_text(encoding="utf-8").splitlines()
    code = (line for line in lines if not line.lstrip().startswith(("*", "/", "#")))
    names = (re.search(r"\b(floatlease_\w+)\(", line) for line in code)
    return sorted({name.group(1) for name in names if name})


def version():
    return re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.M).group(1)


def sdk(target):
    return DIST / "build" / target.name / "sdk"


def link_macho(target, part):
    (zig,) = ENVIRONMENT.parent.glob("lib/python*/site-packages/ziglang")
    apple.lay_out_sdk(sdk(target), zig)
    return apple.linking(sdk(target))


def resource(target, part):
    """The linker's argument for what Windows shows of a file: its version, what it is."""
    folder = DIST / "build" / target.name
    folder.mkdir(parents=True, exist_ok=True)
    text, compiled = folder / f"{part.package}.rc", folder / f"{part.package}.res.o"
    file = f"{part.library}.dll" if part.library else f"{part.program}.exe"
    numbers = ",".join((version().split("-")[0] + ".0").split("."))
    kind = "VFT_DLL" if part.library else "VFT_APP"
    text.write_text(f"""\
#include <winver.h>
VS_VERSION_INFO VERSIONINFO
FILEVERSION {numbers}
PRODUCTVERSION {numbers}
FILEOS VOS_NT_WINDOWS32
FILETYPE {kind}
BEGIN
    BLOCK "StringFileInfo"
    BEGIN
        BLOCK "040904B0"
        BEGIN
            VALUE "FileDescription", "{part.description}"
            VALUE "FileVersion", "{version()}"
            VALUE "InternalName", "{part.package}"
            VALUE "OriginalFilename", "{file}"
            VALUE "ProductName", "floatlease"
            VALUE "ProductVersion", "{version()}"
        END
    END
    BLOCK "VarFileInfo"
    BEGIN
        VALUE "Translation", 0x0409, 1200
    END
END
""")
    run("x86_64-w64-mingw32-windres", "-i", text, "-O", "coff", "-o", compiled)
    # Unstripped at first: the map is made of it.
    return ["-Cstrip=none", f"-Clink-arg={compiled}"]


# More arguments of rustc's for the last step, by the form of the files.
LINKED = {"elf": lambda target, part: [], "pe": resource, "macho": link_macho}
