"""The examples, built by a stranger in each way that there is, and run."""

import pathlib
import shutil
from dataclasses import dataclass

from outside.stranger import Stranger, held
from project import ROOT, Packed

CMAKE_PROJECT = ROOT / "scripts/dist/outside/CMakeLists.txt"


@dataclass(frozen=True)
class Program:
    sources: tuple[str, ...]  # below examples/
    says: str  # something that it prints
    arguments: tuple[str, ...] = ()
    sandbox: bool = False

    @property
    def compiler(self) -> str:
        return "c++" if self.sources[0].endswith(".cpp") else "cc"


QUICKSTART = Program(("c/quickstart.c",), "FLOATING_NOT_AVAILABLE")
FIRST_TEST = Program(("c/first_test.c",), "FLOATING_NOT_AVAILABLE", sandbox=True)
C = [QUICKSTART, FIRST_TEST, Program(("c/test_save_your_work.c", "c/editor.c"), "holds exactly one slot", sandbox=True)]
CPP = [
    Program(("cpp/quickstart.cpp",), "FLOATING_NOT_AVAILABLE"),
    Program(("cpp/game_loop.cpp",), "ACTIVE", ("300",)),
    Program(("cpp/test_game_loop.cpp",), "the game queued, and began", sandbox=True),
    Program(("cpp/test_cad_document.cpp",), "A trip: MESH came along", sandbox=True),
]


@dataclass
class Machine:
    """Where programs are built and run: on this machine, or on one that is played to this."""

    target: Packed
    stranger: Stranger
    cmake: tuple[str, ...] = ()  # more arguments
    compilers: tuple[tuple[str, str], ...] = (("cc", "cc"), ("c++", "c++"))
    runner: tuple[str, ...] = ()  # what runs a program
    suffix: str = ""
    server: Packed | None = None  # whose server; its own if there is none
    installed: tuple[pathlib.Path, ...] = ()  # instead of what its archives hold

    def serves(self) -> list[str]:
        owner = self.server or self.target
        server = self.stranger.unpack(owner) / "bin/floatlease-server"
        held(server.exists(), f"{server} is missing")
        return [str(server)] if self.server else [*self.runner, str(server)]

    def prefixes(self, program: Program) -> list[pathlib.Path]:
        if self.installed:
            return list(self.installed)
        products = ["floatlease", "floatlease-sandbox"] if program.sandbox else ["floatlease"]
        return [self.stranger.unpack(self.target, product) for product in products]

    def sources(self, program: Program) -> tuple[pathlib.Path, list[pathlib.Path]]:
        """A copy of the examples, so that nothing of the source tree is found beside them."""
        folder = self.stranger.folder()
        shutil.copytree(ROOT / "examples", folder / "examples")
        missing = [source for source in program.sources if not (folder / "examples" / source).exists()]
        held(not missing, f"there is no examples/{', examples/'.join(missing)}")
        return folder, [folder / "examples" / source for source in program.sources]

    def by_cmake(self, program: Program, library: str = "floatlease::floatlease") -> pathlib.Path:
        folder, sources = self.sources(program)
        shutil.copy(CMAKE_PROJECT, folder)
        package = "floatlease-sandbox" if program.sandbox else "floatlease"
        libraries = f"{library};floatlease::sandbox" if program.sandbox else library
        self.stranger.run(
            self.stranger.tool("cmake"), "-S", folder, "-B", folder / "build", "-DCMAKE_BUILD_TYPE=Release",
            f"-DPACKAGE={package}", f"-DSOURCES={';'.join(map(str, sources))}", f"-DLIBRARIES={libraries}",
            f"-DCMAKE_PREFIX_PATH={';'.join(map(str, self.prefixes(program)))}", *self.cmake,
        )  # fmt: skip
        self.stranger.run(self.stranger.tool("cmake"), "--build", folder / "build")
        return folder / f"build/program{self.suffix}"

    def by_pkg_config(self, program: Program, *more: str) -> pathlib.Path:
        folder, sources = self.sources(program)
        prefixes = self.prefixes(program)
        path = ":".join(f"{prefix}/lib/pkgconfig" for prefix in prefixes)
        package = "floatlease-sandbox" if program.sandbox else "floatlease"
        flags = self.stranger.run("pkg-config", "--cflags", "--libs", package, PKG_CONFIG_LIBDIR=path).split()
        compiler = self.stranger.tool(dict(self.compilers)[program.compiler])
        standard = "-std=c++17" if program.compiler == "c++" else "-std=gnu11"
        rpaths = [] if self.target.windows else [f"-Wl,-rpath,{prefix}/lib" for prefix in prefixes]
        built = folder / f"program{self.suffix}"
        self.stranger.run(compiler, standard, "-Wall", "-pthread", *sources, *flags, *more, *rpaths, "-o", built)
        return built

    def runs(self, built: pathlib.Path, program: Program) -> None:
        """Runs it, against the archive's own server if it has no sandbox."""
        for prefix in self.prefixes(program) if self.target.windows else []:
            for dll in prefix.glob("bin/*.dll"):
                shutil.copy(dll, built.parent)
        command = [*self.runner, str(built), *program.arguments]
        if not program.sandbox:
            command = [*self.serves(), "exec", "--", *command]
        # A folder of its own: an example may keep files.
        said = self.stranger.run(*command, at=self.stranger.folder())
        held(program.says in said, f"{program.sources[0]} did not say “{program.says}”:\n{said}")
