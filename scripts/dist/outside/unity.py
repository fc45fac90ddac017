"""The Unity packages: what is in them. That they compile and run, tests/unity.rs shows."""

import json
import tarfile

from outside.stranger import Stranger, held
from project import CLIENT, DIST, ROOT, SANDBOX, UNITY, VERSION, Packed

PACKAGES = [("com.floatlease", CLIENT), ("com.floatlease.sandbox", SANDBOX)]


def holds_what_it_should(stranger: Stranger, target: Packed) -> None:
    """One package for all systems: what is looked at is this target's part of it."""
    for name, product in PACKAGES:
        package = DIST / f"{name}-{VERSION}.tgz"
        held(package.exists(), f"dist/ has no {package.name}: run make dist")
        with tarfile.open(package) as tar:
            files = {one.name.removeprefix("package/"): tar.extractfile(one).read() for one in tar if one.isfile()}
        manifest = json.loads(files["package.json"])
        held((manifest["name"], manifest["version"]) == (name, VERSION), f"{package.name} says it is {manifest}")
        top, stem = stranger.unpack(target, product), product.replace("-", "_")
        library = f"bin/{stem}.dll" if target.windows else f"lib/lib{stem}.so"
        plugin = f"Plugins/{UNITY[target.triple]}/{library.partition('/')[2]}"
        held(files.get(plugin) == (top / library).read_bytes(), f"{package.name} holds not the archive's {library}")
        lonely = [path for path in files if not path.endswith(".meta") and "~/" not in path and f"{path}.meta" not in files]
        held(not lonely, f"{package.name} has no .meta of {lonely}")
        notices = files.get("Third Party Notices.md", b"")
        held((top / "THIRD-PARTY-NOTICES").read_bytes() in notices, f"{package.name} lacks notices for {target.triple}")
        told = [path for path in files for text in ["/home/", "/root/", str(ROOT)] if text.encode() in files[path]]
        held(not told, f"{told} tell of the build's machine")
