"""The .meta files that Unity wants beside every file and folder of a package, and what they say of a native library.

A file's GUID is made of its package and path: the same in every release, so that scenes find their scripts again.
"""
import hashlib
import pathlib
from dataclasses import dataclass


class NotForIt(Exception):
    """A sentence about a library that is not for its platform."""


@dataclass(frozen=True)
class Platform:
    """A system and processor that a native library is for, as Unity spells them."""

    name: str
    pattern: str  # of a library's file
    player: str  # Unity's name of a player for it
    system: str  # and of an editor that runs there
    processor: str
    magic: bytes  # how such a file begins
    at: int  # where the processor stands in its header
    number: bytes

    def file(self, library: str) -> str:
        return self.pattern.format(library)

    def checked(self, path: pathlib.Path) -> bytes:
        """The library's bytes."""
        content = path.read_bytes()
        # Windows: the header is where the file says.
        begin = int.from_bytes(content[0x3C:0x40], "little") if self.magic == b"MZ" else 0
        at = begin + self.at
        if not content.startswith(self.magic) or content[at : at + len(self.number)] != self.number:
            raise NotForIt(f"{path} is no library for {self.name}")
        return content


ELF, MACH_O = b"\x7fELF\x02\x01", b"\xcf\xfa\xed\xfe"
PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform("linux-x86_64", "lib{}.so", "Linux64", "Linux", "x86_64", ELF, 18, b"\x3e\x00"),
        Platform("windows-x86_64", "{}.dll", "Win64", "Windows", "x86_64", b"MZ", 4, b"\x64\x86"),
        Platform("macos-arm64", "lib{}.dylib", "OSXUniversal", "OSX", "ARM64", MACH_O, 4, b"\x0c\x00\x00\x01"),
        Platform("macos-x86_64", "lib{}.dylib", "OSXUniversal", "OSX", "x86_64", MACH_O, 4, b"\x07\x00\x00\x01"),
    )
}
PLAYERS = ("Linux64", "OSXUniversal", "Win", "Win64")

END = """\
  userData: 
  assetBundleName: 
  assetBundleVariant: 
"""
SCRIPT = """\
MonoImporter:
  externalObjects: {}
  serializedVersion: 2
  defaultReferences: []
  executionOrder: 0
  icon: {instanceID: 0}
"""
IMPORTERS = {".cs": SCRIPT, ".asmdef": "AssemblyDefinitionImporter:\n  externalObjects: {}\n"}
TEXT = "TextScriptImporter:\n  externalObjects: {}\n"
FOLDER = "folderAsset: yes\nDefaultImporter:\n  externalObjects: {}\n"
MANIFEST = "PackageManifestImporter:\n  externalObjects: {}\n"


def guid(package: str, path: str) -> str:
    return hashlib.md5(f"{package}/{path}".encode(), usedforsecurity=False).hexdigest()


def begin(package: str, path: str) -> str:
    return f"fileFormatVersion: 2\nguid: {guid(package, path)}\n"


def meta_of(package: str, path: str) -> str:
    """Of a file, or of a folder: only these have no ending."""
    ending = pathlib.PurePosixPath(path).suffix
    importer = IMPORTERS.get(ending, TEXT) if ending else FOLDER
    return begin(package, path) + (MANIFEST if path == "package.json" else importer) + END


def plugin_meta(package: str, path: str, platform: Platform, in_players: bool) -> str:
    """Of a native library: which editor loads it, and which player gets it, if any does."""
    wanted = {player: in_players and player == platform.player for player in PLAYERS}
    excluded = {"Editor": False} | {player: not is_wanted for player, is_wanted in wanted.items()}
    text = begin(package, path) + (
        "PluginImporter:\n  externalObjects: {}\n  serializedVersion: 2\n  iconMap: {}\n  executionOrder: {}\n"
        "  defineConstraints: []\n  isPreloaded: 0\n  isOverridable: 0\n  isExplicitlyReferenced: 0\n"
        "  validateReferences: 1\n  platformData:\n"
    )
    text += setting(": Any", False, {f"Exclude {name}": int(is_out) for name, is_out in sorted(excluded.items())})
    text += setting("Any: ", False, {})
    editor = {"CPU": platform.processor, "DefaultValueInitialized": "true", "OS": platform.system}
    text += setting("Editor: Editor", True, editor)
    for player, is_wanted in wanted.items():
        text += setting(f"Standalone: {player}", is_wanted, {"CPU": platform.processor if is_wanted else "None"})
    return text + END


def setting(of: str, enabled: bool, values: dict[str, object]) -> str:
    lines = "".join(f"\n        {name}: {value}" for name, value in values.items()) or " {}"
    return f"  - first:\n      {of}\n    second:\n      enabled: {int(enabled)}\n      settings:{lines}\n"
