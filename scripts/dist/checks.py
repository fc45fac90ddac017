"""Holds the files themselves against what is promised of them: what they export, need, name, and weigh."""

import pathlib
import re
import subprocess
import tempfile

import build
import sizes


def mistakes(target, made):
    """What is wrong with the files in the folder `made`, in sentences."""
    found, ceilings = [], sizes.ceilings()
    for file in sorted(path for path in made.rglob("*") if path.is_file() and not path.is_symlink()):
        name = f"{target.name}/{file.relative_to(made)}"
        found += names_of_folders(file)
        if file.suffix in (".def", ".map"):
            continue
        bytes_ = file.stat().st_size
        ceiling = ceilings.get(f"target/dist/{name}", bytes_)
        if bytes_ > ceiling:
            found.append(f"{name} has {bytes_:,} bytes, more than the {ceiling:,} of docs/size.md")
    for part in target.parts:
        found += FORMS[target.form](target, part, made)
    return found


def names_of_folders(file):
    """No file tells where it was built."""
    folders = {build.ROOT, build.CARGO_HOME, pathlib.Path.home(), pathlib.Path(tempfile.gettempdir()),
               pathlib.Path("/usr/lib/rustlib"), pathlib.Path("/usr/share/mingw-w64")}
    content = file.read_bytes()
    # A symbol may be named after one.
    symbols = {re.sub(r"\W", "_", str(folder)) + "_" for folder in (build.ROOT, build.CARGO_HOME)}
    for folder in {f"{folder}/" for folder in folders} | symbols:
        place = content.find(folder.encode())
        if place >= 0:
            words = re.match(rb"[\x20-\x7e]*", content[place:place + 200]).group().decode()
            yield f"{file.name} names a folder of this machine: {words}"


def said(*command):
    return subprocess.run([str(word) for word in command], check=True, text=True, capture_output=True).stdout


def differences(what, file, found, wanted):
    if set(found) != set(wanted):
        yield (f"{file.name} {what} {', '.join(sorted(set(found) - set(wanted))) or 'nothing'} too much, "
               f"and not {', '.join(sorted(set(wanted) - set(found))) or 'nothing'}")


def foreign(file, needed, known):
    for name in needed:
        if not any(name.lower().startswith(prefix) for prefix in known):
            yield f"{file.name} needs {name}"


def elf(target, part, made):
    if not part.library:
        file = made / "bin" / part.program
    else:
        file = made / ("sandbox" if "sandbox" in part.library else "lib") / f"lib{part.library}.so.1"
    dynamic = said("readelf", "-W", "-d", file)
    yield from foreign(file, re.findall(r"NEEDED.*\[(.+)\]", dynamic), target.needs)
    versions = [tuple(map(int, version.split("."))) for version in
                re.findall(r"GLIBC_([0-9.]+)", said("readelf", "-W", "-V", file))]
    if target.glibc and max(versions, default=(0,)) > target.glibc:
        yield f"{file.name} needs glibc {max(versions)}"
    segments = said("readelf", "-W", "-l", file)
    if "GNU_RELRO" not in segments or not re.search(r"GNU_STACK.* RW ", segments) or "NOW" not in dynamic:
        yield f"{file.name} is not hardened"
    if not part.library:
        return
    if f"[{file.name}]" not in dynamic or "NODELETE" not in dynamic:
        yield f"{file.name} is not called {file.name}, or can be unloaded"
    symbols = said("readelf", "-W", "--dyn-syms", file).splitlines()
    rows = [line.split() for line in symbols if re.match(r"\s*\d+:", line)]
    exported = [row[7].split("@")[0] for row in rows if len(row) > 7 and row[6] != "UND"]
    yield from differences("exports", file, exported, build.declared(part.header))


def pe(target, part, made):
    if not part.library:
        file = made / "bin" / f"{part.program}.exe"
    else:
        file = made / ("sandbox" if "sandbox" in part.library else "bin") / f"{part.library}.dll"
    headers = said("x86_64-w64-mingw32-objdump", "-p", file)
    yield from foreign(file, re.findall(r"DLL Name: (\S+)", headers), target.needs)
    for promise in ("HIGH_ENTROPY_VA", "DYNAMIC_BASE", "NX_COMPAT", "Time/Date\t\tThu Jan  1 00:00:00 1970"):
        if promise not in headers:
            yield f"{file.name} lacks {promise}"
    if build.version().encode("utf-16-le") not in file.read_bytes():
        yield f"{file.name} has no version"
    if not part.library:
        return
    table = headers.split("[Ordinal/Name Pointer] Table")[1].split("\n\n")[0]
    yield from differences("exports", file, re.findall(r"\] (\w+)", table), build.declared(part.header))


def macho(target, part, made):
    file = made / "lib" / f"lib{part.library}.1.dylib"
    name, *needed = said("llvm-objdump", "--macho", "--dylibs-used", file).splitlines()[1:]
    yield from foreign(file, (line.split()[0] for line in needed), target.needs)
    if name.split()[0] != f"@rpath/{file.name}":
        yield f"{file.name} calls itself {name}"
    # Without a signature, even one of nobody, an Apple processor runs nothing.
    if "LC_CODE_SIGNATURE" not in said("llvm-objdump", "--macho", "--private-headers", file):
        yield f"{file.name} is not signed"
    symbols = said("llvm-nm", "--defined-only", "--extern-only", file).splitlines()
    exported = [line.split()[2].removeprefix("_") for line in symbols if line]
    yield from differences("exports", file, exported, build.declared(part.header))


FORMS = {"elf": elf, "pe": pe, "macho": macho}
