"""Archives that are the same bytes whenever they are made of the same files."""

import gzip
import io
import pathlib
import tarfile
import zipfile
from dataclasses import dataclass

# The earliest that a zip can tell.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Entry:
    """A file, or a link to one beside it."""

    content: bytes = b""
    executable: bool = False
    link: str = ""


Files = dict[str, Entry]  # by their path inside the archive


def pack(top: str, files: Files, archive: pathlib.Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    placed = {f"{top}/{path}": entry for path, entry in sorted(files.items())}
    archive.write_bytes(zipped(placed) if archive.suffix == ".zip" else tarred(placed))


def folders(paths: list[str]) -> list[str]:
    """The folders that these paths are in."""
    parents = {str(parent) for path in paths for parent in pathlib.PurePosixPath(path).parents}
    return sorted(parents - {"."})


def tarred(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in folders(list(files)):
            folder = tarfile.TarInfo(path)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        for path, entry in files.items():
            member = tarfile.TarInfo(path)  # of nobody (0), of 1970
            member.mode = 0o755 if entry.executable else 0o644
            if entry.link:
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.link, 0o777
            else:
                member.size = len(entry.content)
            tar.addfile(member, io.BytesIO(entry.content))
    small = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=small, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(packed.getvalue())
    return small.getvalue()


def zipped(files: Files) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, entry in files.items():
            if entry.link:
                raise ValueError(f"{path}: a zip for Windows holds no links")
            member = zipfile.ZipInfo(path, ZIP_TIME)
            member.compress_type, member.create_system = zipfile.ZIP_DEFLATED, 3
            member.external_attr = (0o100755 if entry.executable else 0o100644) << 16
            archive.writestr(member, entry.content, compresslevel=9)
    return packed.getvalue()
