//! C# programs, compiled by Mono's compiler, and run by Mono and by .NET.

use super::{release_dir, root, run, sandbox_dir, target_dir, tool};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Tells .NET which of its versions runs a program.
const RUNTIME: &str = r#"{"runtimeOptions":{"tfm":"netcoreapp3.1",
    "framework":{"name":"Microsoft.NETCore.App","version":"3.1.0"}}}"#;

/// The two libraries as they ship, in a folder for programs beside them.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = target_dir().join("csharp");
        tool("mcs");
        run(tool("python3").arg(root().join("scripts/dist/csharp")).arg(&folder));
        folder
    })
}

/// Compiles a program beside the libraries it uses, once; `sources` may hold `*.cs`.
pub fn compile(name: &str, sources: &[&str], uses_sandbox: bool) -> PathBuf {
    static COMPILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let program = folder().join(format!("{name}.exe"));
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if compiled.contains(&program) {
        return program;
    }
    let mut compiler = tool("mcs");
    compiler
        .current_dir(root())
        .args(["-sdk:4.6.2-api", "-langversion:7.2", "-warnaserror", "-r:System.dll"])
        .arg(format!("-out:{}", program.display()))
        .arg(format!("-r:{}", folder().join("FloatLease.Managed.dll").display()));
    if uses_sandbox {
        compiler.arg(format!("-r:{}", folder().join("FloatLease.Sandbox.dll").display()));
    }
    run(compiler.args(sources));
    std::fs::write(program.with_extension("runtimeconfig.json"), RUNTIME).unwrap();
    compiled.insert(program.clone());
    program
}

/// Who runs C# programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Mono,
    DotNet,
}

impl Runtime {
    /// Microsoft's runtime comes as a wheel, which there is for x86-64 alone: `scripts/setup` says so elsewhere.
    #[cfg(target_arch = "x86_64")]
    pub const ALL: [Runtime; 2] = [Runtime::Mono, Runtime::DotNet];
    #[cfg(not(target_arch = "x86_64"))]
    pub const ALL: [Runtime; 1] = [Runtime::Mono];

    /// Runs a program that finds the native libraries.
    pub fn command(self, program: &Path) -> Command {
        let mut command = self.bare_command(program);
        let places = [release_dir(), sandbox_dir()];
        command.env("LD_LIBRARY_PATH", std::env::join_paths(places).unwrap());
        command
    }

    /// Runs a program that must find them itself.
    pub fn bare_command(self, program: &Path) -> Command {
        let mut command = match self {
            Runtime::Mono => tool("mono"),
            Runtime::DotNet => Command::new(dotnet()),
        };
        command.arg(program).env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1").env_remove("LD_LIBRARY_PATH");
        command
    }
}

/// Microsoft's runtime, from the environment that `scripts/setup` makes.
fn dotnet() -> PathBuf {
    let python = target_dir().parent().unwrap().join("dotnet/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup", python.display());
    let code = "import dotnetcore2, os; print(os.path.dirname(dotnetcore2.__file__))";
    Path::new(run(Command::new(python).args(["-c", code])).trim()).join("bin/dotnet")
}
