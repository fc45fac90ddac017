//! The Unity packages as far as a compiler without Unity can tell: they compile as they are packed, and the component lives
//! as it should, with stand-ins for Unity's own types (`tests/unity/stubs`).
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::programs::empty;
use support::unity::{CLIENT, SANDBOX, below, packages};
use support::{root, run, tool};

/// Compiles what was packed as Unity would, for the editor or for a player, in the C# that the oldest Unity knows.
struct Compiler {
    home: PathBuf,
    defines: &'static str,
}

impl Compiler {
    fn new(name: &str, defines: &'static str) -> Compiler {
        let home = packages(name);
        for package in [CLIENT, SANDBOX] {
            let plugins = home.join(package).join("Plugins/linux-x86_64");
            for library in below(&plugins).into_iter().filter(|path| path.ends_with(".so")) {
                fs::copy(plugins.join(&library), home.join(&library)).unwrap();
            }
        }
        Compiler { home, defines }
    }

    fn mcs(&self, out: &str, references: &[&str], sources: &[&str]) -> Command {
        let mut mcs = tool("mcs");
        mcs.args(["-langversion:7.2", "-warnaserror", "-warn:4", "-debug", "-nologo"])
            .arg(if out.ends_with(".dll") { "-target:library" } else { "-target:exe" })
            .args([format!("-out:{out}"), format!("-define:UNITY_5_3_OR_NEWER{}", self.defines)])
            .args(references.iter().map(|name| format!("-reference:{name}.dll")))
            .args(sources.iter().map(|source| match source.strip_prefix("tests/") {
                Some(_) => root().join(source).display().to_string(),
                None => format!("-recurse:{source}/*.cs"),
            }))
            .current_dir(&self.home);
        mcs
    }

    /// Everything, and the program of the plays beside it.
    fn compile(&self) {
        let stubs = ["tests/unity/stubs/UnityEngine.cs", "tests/unity/stubs/Stage.cs"];
        run(&mut self.mcs("UnityEngine.dll", &[], &stubs));
        run(&mut self.mcs("UnityEditor.dll", &[], &["tests/unity/stubs/UnityEditor.cs"]));
        let unity = if self.defines.is_empty() { &["UnityEngine"][..] } else { &["UnityEngine", "UnityEditor"] };
        // With its documentation: what has none is a warning, and so an error.
        run(self.mcs("FloatLease.Managed.dll", unity, &["com.floatlease/Runtime"]).arg("-doc:FloatLease.Managed.xml"));
        // The plays need it in either; its own assembly is there in the editor alone.
        run(self
            .mcs("FloatLease.Sandbox.dll", &["FloatLease.Managed"], &["com.floatlease.sandbox/Runtime"])
            .arg("-d:UNITY_EDITOR"));
        let samples = ["com.floatlease/Samples~", "com.floatlease.sandbox/Samples~"];
        let plays = ["tests/unity/Scene.cs", "tests/unity/Life.cs", "tests/unity/Calls.cs", "tests/unity/Editor.cs"];
        let all = ["UnityEngine", "UnityEditor", "FloatLease.Managed", "FloatLease.Sandbox"];
        run(&mut self.mcs("Plays.exe", &all, &[&samples[..], &plays].concat()));
    }

    /// Runs the plays, which must leave no file behind.
    fn plays(&self) -> String {
        self.compile();
        let temporary = empty(self.home.join("tmp"));
        let mut command = tool("timeout");
        command.args(["200", "mono", "--debug", "Plays.exe"]).env("TMPDIR", &temporary).current_dir(&self.home);
        let said = run(&mut command);
        assert_eq!(below(&temporary), BTreeSet::new());
        // Mono itself complains about a process that has ended, now and then.
        let lines = said.lines().filter(|line| !line.starts_with("w32error-unix.c"));
        let said: String = lines.map(|line| format!("{line}\n")).collect();
        assert!(said.ends_with("every play ended well\n"), "{said}");
        said
    }
}

#[test]
fn the_component_lives_in_a_player() {
    let said = Compiler::new("player", "").plays();
    assert_eq!(said.lines().count(), 14, "{said}");
}

#[test]
fn the_component_lives_in_the_editor_through_reloads() {
    let said = Compiler::new("editor", ",UNITY_EDITOR").plays();
    for play in ["Scripts change in play mode", "The domain is unloaded and leaves no thread"] {
        assert!(said.contains(play), "{said}");
    }
    assert_eq!(said.lines().count(), 19, "{said}");
}

#[test]
fn nothing_that_il2cpp_can_not_do_is_in_a_player() {
    let compiler = Compiler::new("il2cpp", "");
    compiler.compile();
    run(&mut compiler.mcs("Il.exe", &[], &["tests/unity/Il.cs"]));
    run(&mut compiler.mcs("Forbidden.dll", &["System.Core", "Microsoft.CSharp"], &["tests/unity/Forbidden.cs"]));
    let look = |assembly: &str| tool("mono").args(["Il.exe", assembly]).current_dir(&compiler.home).output().unwrap();

    let output = look("FloatLease.Managed.dll");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let numbers: Vec<usize> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [native, methods, used] if native >= 20 && methods > 500 && used > 2000), "{said}");

    let output = look("Forbidden.dll");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for found in [
        "TakesAText: takes System.String",
        "TakesABool: takes System.Boolean&",
        "GivesAText: gives System.String",
        "TakesAFunction: takes Forbidden+Callback",
        "Callback: is called from outside",
        "Reflects: uses System.Type.GetMethod",
        "Makes: uses System.Activator.CreateInstance",
        "Generic`1.Makes: uses System.Activator.CreateInstance",
        "Compiles: uses System.Linq.Expressions.LambdaExpression.Compile",
        "Decides: uses Microsoft.CSharp.RuntimeBinder.Binder.GetMember",
        "Locates: uses System.Reflection.Assembly.get_Location",
        "Points: uses System.Runtime.InteropServices.Marshal.GetFunctionPointerForDelegate",
    ] {
        assert!(said.contains(found), "{found} in\n{said}");
    }
    assert!(!said.contains("TakesWhatItMay"), "{said}");
}
