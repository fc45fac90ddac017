"""The wheels: what is in them, and that a fresh Python lives with them."""

import base64
import csv
import hashlib
import io
import pathlib
import shutil
import sys
import sysconfig
import zipfile

from outside.machines import HERE, linux
from outside.stranger import Stranger, held
from project import CLIENT, DIST, ROOT, SANDBOX, TARGETS, VERSION, WHEELS, Packed


def wheel(target: Packed) -> pathlib.Path:
    found = list(DIST.glob(f"floatlease-{VERSION}-py3-none-{WHEELS[target.triple]}.whl"))
    held(len(found) == 1, f"dist/ has {len(found)} wheels for {WHEELS[target.triple]}, not one: run make dist")
    return found[0]


def holds_what_it_should(stranger: Stranger, target: Packed) -> None:
    """Both libraries, those of the archives; the papers; and a true list of it all."""
    with zipfile.ZipFile(wheel(target)) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    info = f"floatlease-{VERSION}.dist-info"
    record = csv.reader(io.StringIO(files[f"{info}/RECORD"].decode()))
    listed = {name: digest for name, digest, _ in record}
    held(set(listed) == set(files), f"RECORD differs by {sorted(set(listed) ^ set(files))}")
    for name, digest in listed.items():
        found = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        held(name.endswith("/RECORD") or digest == f"sha256={found}", f"RECORD has another digest of {name}")
    for product in [CLIENT, SANDBOX]:
        stem = product.replace("-", "_")
        library = f"bin/{stem}.dll" if target.windows else f"lib/lib{stem}.so.1"
        shipped = (stranger.unpack(target, product) / library).read_bytes()
        same = [name for name, content in files.items() if content == shipped]
        held(len(same) == 1, f"the wheel holds {library} of the archive {len(same)} times")
    papers = [
        f"{info}/{paper}"
        for paper in [
            "licenses/LICENSE",
            *(f"licenses/{product}-THIRD-PARTY-NOTICES" for product in [CLIENT, SANDBOX]),
            *(f"sboms/{product}-sbom.cdx.json" for product in [CLIENT, SANDBOX]),
        ]
    ]
    missing = [name for name in ["floatlease/py.typed", *papers] if name not in files]
    held(not missing, f"the wheel holds no {', no '.join(missing)}")
    told = [
        name for name, content in files.items() for text in ["/home/", "/root/", str(ROOT)] if text.encode() in content
    ]
    held(not told, f"{told} tell of the build's machine")


def lives_in_a_fresh_python(stranger: Stranger, target: Packed) -> None:
    """Installed without a network; the quick start against the archive's server, the plugin by the example's tests."""
    folder = stranger.folder()
    stranger.run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv/bin/python"
    stranger.run(python, "-m", "pip", "install", "-q", "--no-index", wheel(target))
    examples = ROOT / "examples/python"
    held(examples.exists(), "there is no examples/python")
    shutil.copytree(examples, folder / "examples")
    server = linux(stranger, TARGETS[HERE]).serves()
    said = stranger.run(*server, "exec", "--", python, "quickstart.py", at=folder / "examples")
    held("FLOATING_NOT_AVAILABLE" in said, f"the quick start did not say FLOATING_NOT_AVAILABLE:\n{said}")
    # pytest itself is no part of the wheel: it is that of the checks.
    home = pathlib.Path(stranger.environment_tool("packaging", "python")).parent.parent
    version = sysconfig.get_python_version()
    said = stranger.run(
        python, "-m", "pytest", "-q", "-p", "no:cacheprovider", at=folder / "examples",
        PYTHONPATH=str(home / f"lib/python{version}/site-packages"),
    )  # fmt: skip
    held(" passed" in said, f"pytest passed nothing:\n{said}")
