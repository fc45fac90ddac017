//! What is in the Unity packages, and what their files say of it to Unity.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use support::unity::{CLIENT, SANDBOX, VERSION, archive, below, folder, pack, packages, unpack};
use support::{root, run};

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
    let client = json_of(&home.join(CLIENT).join("Runtime/FloatLease.Managed.asmdef"));
    let sandbox = json_of(&home.join(SANDBOX).join("Runtime/FloatLease.Sandbox.asmdef"));
    // Not "FloatLease": where case makes no difference, that is the native library's name.
    assert_eq!(client["name"], "FloatLease.Managed");
    assert_eq!(client["references"], json!([]));
    assert_eq!(
        client["includePlatforms"],
        json!(["Editor", "LinuxStandalone64", "macOSStandalone", "WindowsStandalone64"])
    );
    assert_eq!(sandbox["name"], "FloatLease.Sandbox");
    assert_eq!(sandbox["references"], json!(["FloatLease.Managed"]));
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
    for (platform, pattern, mut bytes) in platforms() {
        bytes[0] += 1;
        fs::write(home.join(pattern.replace('*', "floatlease")), &bytes).unwrap();
        assert!(refused(&format!("{platform}={}", home.display())).contains("is no library"), "{platform}");
    }
    for pair in ["amiga=.", "linux-x86_64"] {
        assert!(refused(pair).contains(&format!("{pair} is not PLATFORM=FOLDER, with one of linux-x86_64, windows")));
    }
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
