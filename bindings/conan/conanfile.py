"""floatlease for Conan 2: the files of the release's archive, whose address and checksum are in conandata.yml.

conan create . --build=missing
"""

import os

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.files import copy, get

# Conan's names of a system, and the archive for it.
TARGETS = {
    ("Linux", "x86_64", "glibc"): "x86_64-unknown-linux-gnu",
    ("Linux", "armv8", "glibc"): "aarch64-unknown-linux-gnu",
    ("Linux", "x86_64", "musl"): "x86_64-unknown-linux-musl",
    ("Windows", "x86_64", ""): "x86_64-pc-windows-gnu",
    ("Macos", "armv8", ""): "aarch64-apple-darwin",
}

SYSTEM_LIBS = {
    "Linux": ["pthread", "dl", "m", "rt"],
    "Windows": ["ws2_32", "ntdll", "userenv", "bcrypt", "advapi32", "crypt32"],
}


class Floatlease(ConanFile):
    name = "floatlease"
    description = "Take, hold and give back floating licenses"
    license = "MIT"
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "libc": ["glibc", "musl"]}
    default_options = {"shared": True, "libc": "glibc"}

    def set_version(self):
        self.version = self.version or self.conan_data["version"]

    def config_options(self):
        if self.settings.os != "Linux":
            del self.options.libc

    @property
    def _target(self):
        return TARGETS.get((str(self.settings.os), str(self.settings.arch), str(self.options.get_safe("libc", ""))))

    def validate(self):
        if self._target not in self.conan_data["archives"]:
            raise ConanInvalidConfiguration(f"floatlease has no archive for {self.settings.os} on {self.settings.arch}")
        if not self.options.shared and (self.settings.os == "Macos" or self.settings.compiler == "msvc"):
            raise ConanInvalidConfiguration(
                "floatlease has a static library for gcc and clang on Linux and Windows alone"
            )

    def package_id(self):
        # A C library, and built already.
        del self.info.settings.compiler
        del self.info.settings.build_type

    def build(self):
        get(self, **self.conan_data["archives"][self._target], strip_root=True, destination=self.build_folder)

    def package(self):
        # On Windows an import library would be taken before the static one, and the program would need the DLL.
        unwanted = ["libfloatlease.a"] if self.options.shared else ["*.so*", "*.dll", "*.dll.a", "*.lib"]
        copy(self, "*.h*", os.path.join(self.build_folder, "include"), os.path.join(self.package_folder, "include"))
        libraries = os.path.join(self.build_folder, "lib"), os.path.join(self.package_folder, "lib")
        copy(self, "*", *libraries, excludes=[*unwanted, "cmake/*", "pkgconfig/*"])
        programs = os.path.join(self.build_folder, "bin"), os.path.join(self.package_folder, "bin")
        copy(self, "*", *programs, excludes=unwanted)
        for paper in ["LICENSE", "THIRD-PARTY-NOTICES", "sbom.cdx.json"]:
            copy(self, paper, self.build_folder, os.path.join(self.package_folder, "licenses"))
        # Those of the programs, which have more linked in.
        for program in ["floatlease-server", "floatlease-cli"]:
            beside = os.path.join(self.build_folder, "share", program)
            copy(self, "*", beside, os.path.join(self.package_folder, "licenses", program))

    def package_info(self):
        self.cpp_info.libs = ["floatlease"]
        self.cpp_info.set_property("cmake_file_name", "floatlease")
        self.cpp_info.set_property("cmake_target_name", "floatlease::floatlease")
        self.cpp_info.set_property("pkg_config_name", "floatlease")
        if not self.options.shared:
            self.cpp_info.system_libs = SYSTEM_LIBS[str(self.settings.os)]
