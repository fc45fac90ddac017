//! The Unity packages as far as a compiler without Unity can tell: what is in them, that they compile as they are packed,
//! and that the component lives as it should, with stand-ins for Unity's own types (`tests/unity/stubs`).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::programs::empty;
use support::{release_dir, root, run, sandbox_dir, target_dir, tool};

const CLIENT: &str = "com.floatlease";
const SANDBOX: &str = "com.floatlease.sandbox";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn folder(name: &str) -> PathBuf {
    let home = target_dir().join("unity");
    fs::create_dir_all(&home).unwrap();
    empty(home.join(name))
}

fn pack(into: &Path) -> Command {
    let mut command = tool("python3");
    command.arg(root().join("scripts/dist/unity")).arg("--into").arg(into);
    command
}

fn archive(package: &str) -> String {
    format!("{package}-{VERSION}.tgz")
}

/// Packs both with the libraries that ship, and unpacks them as Unity would.
fn packages(name: &str) -> PathBuf {
    let home = folder(name);
    run(pack(&home)
        .args(["--library", &format!("linux-x86_64={}", release_dir().display())])
        .args(["--sandbox", &format!("linux-x86_64={}", sandbox_dir().display())])
        .args(["--notices", "LICENSE"])
        .current_dir(root()));
    unpack(&home);
    home
}

fn unpack(home: &Path) {
    for package in [CLIENT, SANDBOX] {
        fs::create_dir(home.join(package)).unwrap();
        run(tool("tar")
            .arg("xzf")
            .arg(home.join(archive(package)))
            .arg("-C")
            .arg(home.join(package))
            .arg("--strip-components=1"));
    }
}

/// All files and folders below, by their path from there.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn guid_of(meta: &Path) -> String {
    let text = fs::read_to_string(meta).unwrap();
    let line = text.lines().nth(1).unwrap();
    line.strip_prefix("guid: ").unwrap_or_else(|| panic!("no guid in {}", meta.display())).to_owned()
}

#[test]
fn every_file_and_folder_has_its_meta_and_a_guid_of_its_own() {
    let home = packages("metas");
    let mut guids = BTreeMap::new();
    for package in [CLIENT, SANDBOX] {
        let found = below(&home.join(package));
        let (metas, rest): (Vec<&String>, Vec<&String>) = found.iter().partition(|path| path.ends_with(".meta"));
        // Unity does not look at a folder whose name ends so, but a user takes what is in it.
        let wanted: BTreeSet<String> =
            rest.iter().filter(|path| !path.ends_with('~')).map(|path| format!("{path}.meta")).collect();
        assert_eq!(metas.iter().map(|path| (*path).clone()).collect::<BTreeSet<_>>(), wanted);
        for path in rest.iter().filter(|path| !path.ends_with('~')) {
            let meta = home.join(package).join(format!("{path}.meta"));
            let guid = guid_of(&meta);
            assert!(guid.len() == 32 && guid.chars().all(|c| c.is_ascii_hexdigit() && !c.is_uppercase()), "{guid}");
            let is_folder = home.join(package).join(path).is_dir();
            let text = fs::read_to_string(meta).unwrap();
            assert_eq!(text.contains("folderAsset: yes"), is_folder, "{path}");
            assert_eq!(text.contains("MonoImporter:"), path.ends_with(".cs"), "{path}");
            assert_eq!(text.contains("PluginImporter:"), path.ends_with(".so"), "{path}");
            assert!(guids.insert(guid, format!("{package}/{path}")).is_none(), "{path}");
        }
    }
    assert!(guids.len() > 100, "{}", guids.len());
    // Scenes name a component by this: it is never changed.
    let of_the_component = &guids["cbea89e5abb2bc6be0119fac81e47ca1"];
    assert_eq!(of_the_component, "com.floatlease/Runtime/LicenseManager.cs");
}

#[test]
fn the_manifests_name_what_is_there() {
    let home = packages("manifests");
    for package in [CLIENT, SANDBOX] {
        let manifest = json_of(&home.join(package).join("package.json"));
        assert_eq!((&manifest["name"], &manifest["version"]), (&json!(package), &json!(VERSION)));
        for key in ["displayName", "description", "unity", "license"] {
            assert!(manifest[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
        }
        for sample in manifest["samples"].as_array().unwrap() {
            let path = home.join(package).join(sample["path"].as_str().unwrap());
            let scripts = below(&path).into_iter().filter(|path| path.ends_with(".cs")).count();
            assert_eq!(scripts, 1, "{}", path.display());
        }
        for paper in ["README.md", "LICENSE.md", "CHANGELOG.md"] {
            assert!(home.join(package).join(paper).exists(), "{paper}");
        }
        let texts =
            below(&home.join(package)).into_iter().filter(|path| path.ends_with(".md") || path.ends_with("json"));
        for path in texts {
            assert!(!fs::read_to_string(home.join(package).join(&path)).unwrap().contains("@VERSION@"), "{path}");
        }
    }
    assert_eq!(json_of(&home.join(SANDBOX).join("package.json"))["dependencies"], json!({ CLIENT: VERSION }));
    assert!(home.join(CLIENT).join("Third Party Notices.md").exists());
}

#[test]
fn no_player_contains_the_sandbox_and_none_without_a_library_the_client() {
    let home = packages("assemblies");
    let client = json_of(&home.join(CLIENT).join("Runtime/FloatLease.asmdef"));
    let sandbox = json_of(&home.join(SANDBOX).join("Runtime/FloatLease.Sandbox.asmdef"));
    assert_eq!(client["name"], "FloatLease");
    assert_eq!(client["references"], json!([]));
    assert_eq!(
        client["includePlatforms"],
        json!(["Editor", "LinuxStandalone64", "macOSStandalone", "WindowsStandalone64"])
    );
    assert_eq!(sandbox["name"], "FloatLease.Sandbox");
    assert_eq!(sandbox["references"], json!(["FloatLease"]));
    // Not "Editor" alone: such an assembly could not be used by tests in Play mode, nor by a component.
    assert_eq!((&sandbox["includePlatforms"], &sandbox["defineConstraints"]), (&json!([]), &json!(["UNITY_EDITOR"])));
    for assembly in [client, sandbox] {
        assert_eq!((&assembly["allowUnsafeCode"], &assembly["autoReferenced"]), (&json!(false), &json!(true)));
        assert_eq!((&assembly["excludePlatforms"], &assembly["overrideReferences"]), (&json!([]), &json!(false)));
    }
}

/// What begins like a library for that processor.
fn library(magic: &[u8], at: usize, number: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.resize(256, 0);
    if magic == b"MZ" {
        bytes[0x3c] = 0x80;
    }
    bytes[at..at + number.len()].copy_from_slice(number);
    bytes
}

/// The platforms' names, their files, and what such a file begins with.
fn platforms() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (elf, mach_o) = (b"\x7fELF\x02\x01", b"\xcf\xfa\xed\xfe");
    vec![
        ("linux-x86_64", "lib*.so", library(elf, 18, &[0x3e, 0])),
        ("windows-x86_64", "*.dll", library(b"MZ", 0x84, &[0x64, 0x86])),
        ("macos-arm64", "lib*.dylib", library(mach_o, 4, &[0x0c, 0, 0, 1])),
        ("macos-x86_64", "lib*.dylib", library(mach_o, 4, &[0x07, 0, 0, 1])),
    ]
}

/// Of a plugin's meta: which platforms it is enabled for, each with its settings.
fn enabled(meta: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(meta).unwrap();
    let platforms = text.split("  - first:\n      ").skip(1).map(|part| part.split_once('\n').unwrap());
    let on = platforms.filter(|(_, rest)| rest.contains("enabled: 1"));
    let settings = |rest: &str| {
        let lines = rest.lines().map(str::trim).filter(|line| line.starts_with("CPU:") || line.starts_with("OS:"));
        lines.collect::<Vec<&str>>().join(", ")
    };
    on.map(|(name, rest)| (name.to_owned(), settings(rest))).collect()
}

#[test]
fn each_library_goes_to_its_editor_and_its_player_and_the_sandbox_to_editors_alone() {
    let home = folder("plugins");
    let mut command = pack(&home);
    for (platform, pattern, bytes) in platforms() {
        let given = home.join(platform);
        fs::create_dir(&given).unwrap();
        for (option, library) in [("--library", "floatlease"), ("--sandbox", "floatlease_sandbox")] {
            fs::write(given.join(pattern.replace('*', library)), &bytes).unwrap();
            command.args([option, &format!("{platform}={}", given.display())]);
        }
    }
    run(&mut command);
    unpack(&home);
    let expected = [
        ("linux-x86_64/lib*.so", "CPU: x86_64, OS: Linux", "Linux64", "x86_64"),
        ("windows-x86_64/*.dll", "CPU: x86_64, OS: Windows", "Win64", "x86_64"),
        ("macos-arm64/lib*.dylib", "CPU: ARM64, OS: OSX", "OSXUniversal", "ARM64"),
        ("macos-x86_64/lib*.dylib", "CPU: x86_64, OS: OSX", "OSXUniversal", "x86_64"),
    ];
    for (pattern, editor, player, processor) in expected {
        let plugin = |package: &str, library: &str| {
            home.join(package).join(format!("Plugins/{}.meta", pattern.replace('*', library)))
        };
        let in_editor = ("Editor: Editor".to_owned(), editor.to_owned());
        let in_player = (format!("Standalone: {player}"), format!("CPU: {processor}"));
        assert_eq!(enabled(&plugin(CLIENT, "floatlease")), BTreeMap::from([in_editor.clone(), in_player]));
        assert_eq!(enabled(&plugin(SANDBOX, "floatlease_sandbox")), BTreeMap::from([in_editor]));
    }
}

#[test]
fn a_library_of_another_platform_and_an_unknown_platform_are_refused() {
    let home = folder("wrong");
    let refused = |option: &str| {
        let output = pack(&home.join("dist")).args(["--library", option]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for (platform, pattern, _) in platforms() {
        for (other, _, bytes) in platforms().into_iter().filter(|(other, ..)| *other != platform) {
            fs::write(home.join(pattern.replace('*', "floatlease")), &bytes).unwrap();
            let said = refused(&format!("{platform}={}", home.display()));
            assert!(said.contains(&format!("is no library for {platform}")), "{other}: {said}");
        }
    }
    assert!(refused("amiga=.").contains("amiga is none of linux-x86_64, windows-x86_64"));
    assert!(refused("linux-x86_64=nowhere").contains("nowhere/libfloatlease.so"));
    assert!(!home.join("dist").exists());
}

#[test]
fn packing_twice_gives_the_same_bytes_and_the_sources_are_those_of_the_binding() {
    let (first, second) = (packages("first"), packages("second"));
    for package in [CLIENT, SANDBOX] {
        assert!(fs::read(first.join(archive(package))).unwrap() == fs::read(second.join(archive(package))).unwrap());
    }
    for (package, sources) in [(CLIENT, "FloatLease"), (SANDBOX, "FloatLease.Sandbox")] {
        let (packed, own) = (first.join(package).join("Runtime/Binding"), root().join("bindings/csharp").join(sources));
        let scripts = |folder: &Path| -> BTreeSet<String> {
            let made = |path: &str| path.split('/').any(|part| part == "bin" || part == "obj");
            below(folder).into_iter().filter(|path| path.ends_with(".cs") && !made(path)).collect()
        };
        assert!(scripts(&own).len() >= 4);
        assert_eq!(scripts(&packed), scripts(&own));
        for path in scripts(&own) {
            assert!(fs::read(packed.join(&path)).unwrap() == fs::read(own.join(&path)).unwrap(), "{path}");
        }
    }
    let kept = below(&root().join("bindings/unity"));
    assert!(!kept.iter().any(|path| path.ends_with(".meta") || path.contains("Binding")), "{kept:?}");
}

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
        run(self.mcs("FloatLease.dll", unity, &["com.floatlease/Runtime"]).arg("-doc:FloatLease.xml"));
        // The plays need it in either; its own assembly is there in the editor alone.
        run(self
            .mcs("FloatLease.Sandbox.dll", &["FloatLease"], &["com.floatlease.sandbox/Runtime"])
            .arg("-d:UNITY_EDITOR"));
        let samples = ["com.floatlease/Samples~", "com.floatlease.sandbox/Samples~"];
        let plays = ["tests/unity/Scene.cs", "tests/unity/Life.cs", "tests/unity/Editor.cs"];
        let all = ["UnityEngine", "UnityEditor", "FloatLease", "FloatLease.Sandbox"];
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
        assert!(said.ends_with("every play ended well\n"), "{said}");
        said
    }
}

#[test]
fn the_component_lives_in_a_player() {
    let said = Compiler::new("player", "").plays();
    assert_eq!(said.lines().count(), 12, "{said}");
}

#[test]
fn the_component_lives_in_the_editor_through_reloads() {
    let said = Compiler::new("editor", ",UNITY_EDITOR").plays();
    for play in ["Scripts change in play mode", "The domain is unloaded and leaves no thread"] {
        assert!(said.contains(play), "{said}");
    }
    assert_eq!(said.lines().count(), 16, "{said}");
}

#[test]
fn nothing_that_il2cpp_can_not_do_is_in_a_player() {
    let compiler = Compiler::new("il2cpp", "");
    compiler.compile();
    run(&mut compiler.mcs("Il.exe", &[], &["tests/unity/Il.cs"]));
    run(&mut compiler.mcs("Forbidden.dll", &["System.Core", "Microsoft.CSharp"], &["tests/unity/Forbidden.cs"]));
    let look = |assembly: &str| tool("mono").args(["Il.exe", assembly]).current_dir(&compiler.home).output().unwrap();

    let output = look("FloatLease.dll");
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
