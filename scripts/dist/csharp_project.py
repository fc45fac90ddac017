"""What the C# projects say of themselves: one definition for `dotnet build` and for the scripts here."""

import pathlib
import xml.etree.ElementTree as xml
from dataclasses import dataclass

from project import ROOT

BINDING = ROOT / "bindings" / "csharp"


@dataclass(frozen=True)
class Project:
    folder: pathlib.Path
    properties: dict[str, str]
    packed: dict[str, pathlib.Path]  # files beside the assembly, by their place in the package
    needs: "list[Project]"

    @property
    def package(self) -> str:
        return self.properties["PackageId"]

    @property
    def assembly(self) -> str:
        return self.properties.get("AssemblyName", self.folder.name)


def read(folder: pathlib.Path) -> Project:
    root = xml.parse(folder / f"{folder.name}.csproj").getroot()
    packed = {}
    for item in root.findall("ItemGroup/None[@Pack='true']"):
        file = (folder / item.attrib["Include"]).resolve()
        place = item.attrib["PackagePath"]  # a folder if it ends in "/", otherwise a file
        packed[f"{place}{file.name if place.endswith('/') else ''}".lstrip("/")] = file
    needed = [folder / item.attrib["Include"] for item in root.findall("ItemGroup/ProjectReference")]
    return Project(
        folder,
        {one.tag: one.text or "" for one in root.findall("PropertyGroup/*")},
        packed,
        [read(path.resolve().parent) for path in needed],
    )


# Each after what it needs.
PROJECTS = {project.package: project for project in map(read, [BINDING / "FloatLease", BINDING / "FloatLease.Sandbox"])}
