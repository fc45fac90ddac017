"""What hatchling can't know: for which platform a wheel is, and what is in its native files.

`scripts/dist/wheel` lays the libraries, or the program, and their papers beside the package, and names the platform.
Without a platform, as for `pip install bindings/python`, the wheel holds no library, and the package loads the
system's.
"""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class PlatformHook(BuildHookInterface[Any]):
    """Adds the platform's tag, the lists of parts and the programs to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Is called by hatchling before it collects the files."""
        platform = os.environ.get("FLOATLEASE_WHEEL_PLATFORM")
        if platform:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
            build_data["sbom_files"] = sorted(path.name for path in Path(self.root).glob("*.cdx.json"))
            build_data["shared_scripts"] = {str(path): path.name for path in Path(self.root).glob("bin/*")}


class CommandExtra(MetadataHookInterface):
    """Adds the extra `cli`: the command of the same version, which is a package of its own."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Is called by hatchling once it knows the version."""
        metadata["optional-dependencies"] = {"cli": [f"floatlease-cli=={metadata['version']}"]}
