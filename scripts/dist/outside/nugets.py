"""The NuGet package: what is in it, and that the C# quick start lives with it on Mono and on .NET Core.

There is no SDK to restore it with: it is unpacked, and compiled against by Mono's compiler.
"""

import json
import pathlib
import shutil
import zipfile

from outside.machines import HERE, linux
from outside.stranger import Stranger, held
from project import CLIENT, DIST, RIDS, ROOT, SANDBOX, TARGETS, VERSION, Packed

CORE = {"runtimeOptions": {"tfm": "netcoreapp3.1", "framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"}}}


def unpacked(stranger: Stranger, name: str = "FloatLease") -> pathlib.Path:
    package = DIST / f"{name}.{VERSION}.nupkg"
    held(package.exists(), f"dist/ has no {package.name}: run make dist")
    folder = stranger.folder()
    zipfile.ZipFile(package).extractall(folder)
    return folder


def holds_what_it_should(stranger: Stranger, target: Packed) -> None:
    """One package for all systems: what is looked at is this target's part of it."""
    holds(stranger, target, "FloatLease", "FloatLease.Managed", CLIENT)
    holds(stranger, target, "FloatLease.Sandbox", "FloatLease.Sandbox", SANDBOX)


def holds(stranger: Stranger, target: Packed, name: str, assembly: str, product: str) -> None:
    folder = unpacked(stranger, name)
    specification = (folder / f"{name}.nuspec").read_text(encoding="utf-8")
    for said in [f"<id>{name}</id>", f"<version>{VERSION}</version>", "<readme>README.md</readme>"]:
        held(said in specification, f"{name}.nuspec does not say {said}")
    wanted = ["[Content_Types].xml", "_rels/.rels", "README.md", "LICENSE", f"{target.triple}.THIRD-PARTY-NOTICES.txt"]
    wanted += [f"lib/netstandard2.0/{assembly}.dll", f"lib/netstandard2.0/{assembly}.xml", f"build/net462/{name}.targets"]
    missing = [path for path in wanted if not (folder / path).exists()]
    held(not missing, f"{name} lacks {missing}")
    stem, folder_of_natives = product.replace("-", "_"), folder / f"runtimes/{RIDS[target.triple]}/native"
    library = f"bin/{stem}.dll" if target.windows else f"lib/lib{stem}.so.1"
    shipped = (stranger.unpack(target, product) / library).read_bytes()
    natives = [path.read_bytes() for path in folder_of_natives.glob("*")]
    held(
        natives == [shipped],
        f"{name} holds {len(natives)} files for {RIDS[target.triple]}, not the archive's library alone",
    )
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        told = [text for text in ["/home/", "/root/", str(ROOT)] if text.encode() in content]
        held(not told, f"{path.name} tells of {told}")


def compiled(stranger: Stranger) -> pathlib.Path:
    """A folder with the quick start, the assembly, and the native library beside them."""
    package, folder = unpacked(stranger), stranger.folder()
    source = ROOT / "examples/csharp/Quickstart.cs"
    held(source.exists(), "there is no examples/csharp/Quickstart.cs")
    shutil.copy(package / "lib/netstandard2.0/FloatLease.Managed.dll", folder)
    for native in (package / "runtimes/linux-x64/native").glob("*"):
        shutil.copy(native, folder)
    stranger.run(
        stranger.tool("mcs"), "-langversion:7.2", f"-r:{folder}/FloatLease.Managed.dll", f"-out:{folder}/quickstart.exe", source
    )
    return folder


def runs_on_mono(stranger: Stranger, target: Packed) -> None:
    runs(stranger, compiled(stranger), stranger.tool("mono"))


def runs_on_net_core(stranger: Stranger, target: Packed) -> None:
    built = pathlib.Path(stranger.environment_tool("dotnet", "python")).parent.parent
    dotnet = next(built.glob("lib/python*/site-packages/dotnetcore2/bin/dotnet"), None)
    held(dotnet is not None, "the environment dotnet has no dotnetcore2: run scripts/setup")
    folder = compiled(stranger)
    (folder / "quickstart.runtimeconfig.json").write_text(json.dumps(CORE))
    runs(stranger, folder, str(dotnet), DOTNET_SYSTEM_GLOBALIZATION_INVARIANT="1", DOTNET_CLI_TELEMETRY_OPTOUT="1")


def runs(stranger: Stranger, folder: pathlib.Path, runtime: str, **environment: str) -> None:
    server = linux(stranger, TARGETS[HERE]).serves()
    said = stranger.run(*server, "exec", "--", runtime, folder / "quickstart.exe", at=folder, **environment)
    held("FLOATING_NOT_AVAILABLE" in said, f"the quick start did not say FLOATING_NOT_AVAILABLE:\n{said}")
