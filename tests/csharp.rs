//! The C# binding and its examples, on Mono and on .NET: what its own tests find, and what is seen from outside.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::csharp::{Runtime, compile};
use support::{release_dir, root, run, server_binary, target_dir, tool};

fn tests() -> PathBuf {
    let sources = ["bindings/csharp/tests/*.cs", "examples/csharp/HostedService.cs"];
    compile("FloatLease.Tests", &sources, true)
}

fn holds_on(runtime: Runtime, alone: &[&str], count: usize) {
    holds_in(runtime.command(&tests()), alone, count);
}

fn holds_in(mut command: Command, alone: &[&str], count: usize) {
    set_up(&mut command, alone);
    let said = run(&mut command);
    println!("{said}");
    assert!(holds(&said, count), "{said}");
}

/// Names the tests and the server, in a place whose clock is 5:45 ahead and whose numbers have a comma: nothing of that may
/// get into what is sent or read.
fn set_up(command: &mut Command, alone: &[&str]) {
    command.args(alone).env("TZ", "Asia/Kathmandu").env("LC_ALL", "tr_TR.UTF-8");
    command.env("FLOATLEASE_SERVER", server_binary());
}

fn holds(said: &str, count: usize) -> bool {
    said.ends_with("every test holds\n") && said.matches("ok ").count() >= count
}

#[test]
fn its_own_tests_hold_on_mono() {
    holds_on(Runtime::Mono, &[], 60);
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "there is no wheel of .NET for this processor")]
fn its_own_tests_hold_on_dotnet() {
    holds_on(Runtime::DotNet, &[], 60);
}

#[test]
fn ten_thousand_leases_that_are_dropped_leak_nothing() {
    let test = "Ten_thousand_leases_dropped_to_the_collector_leak_nothing";
    Runtime::ALL.into_iter().for_each(|runtime| holds_on(runtime, &[test], 1));
}

#[test]
fn a_user_without_threads_is_told_so_and_served_later() {
    let test = "A_user_who_may_have_no_more_threads_is_told_so_and_served_later";
    Runtime::ALL.into_iter().for_each(|runtime| holds_on(runtime, &[test], 1));
}

#[test]
fn clients_that_are_dropped_leave_no_thread_and_no_slot() {
    let test = "Clients_that_are_dropped_with_leases_and_handlers_are_collected_and_their_threads_end";
    Runtime::ALL.into_iter().for_each(|runtime| holds_on(runtime, &[test], 1));
}

#[test]
fn calls_keep_what_they_are_made_on_under_a_collector() {
    let tests_of_it = [
        "A_call_keeps_what_it_is_made_on_under_a_collector_that_runs_all_the_time",
        "What_is_read_by_a_client_that_is_dropped_is_heard_by_its_handlers",
    ];
    for runtime in Runtime::ALL {
        let mut command = runtime.command(&tests());
        // Code that is not optimised yet keeps everything until a method ends, and the test would show nothing.
        command.env("COMPlus_TieredCompilation", "0");
        holds_in(command, &tests_of_it, 2);
    }
}

/// In one run of about fifteen, Mono 6.8 waits for ever while it unloads the domain: for a request in its own thread pool.
/// Another run is made then, but only if no thread of the library or of the binding is left.
#[test]
fn an_application_domain_that_is_unloaded_leaves_no_thread_and_no_slot() {
    let mut command = Runtime::Mono.command(&tests());
    set_up(&mut command, &["Unloading_an_application_domain_leaves_no_thread_behind"]);
    let ends = (0..3).any(|_| {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let is_hanging = child.try_wait().unwrap().is_none();
        let threads = if is_hanging { thread_names(child.id()) } else { Vec::new() };
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        let is_ours = |name: &&String| name.starts_with("floatlease") || name.starts_with("scripts");
        assert_eq!(threads.iter().find(is_ours), None, "{threads:?} {said:?}");
        assert!(is_hanging || output.status.success(), "{} {said:?}", output.status);
        assert!(is_hanging || holds(&said[0], 1), "{said:?}");
        !is_hanging
    });
    assert!(ends, "three runs of Mono did not end");
}

/// The names of a process's threads, 15 characters of each.
fn thread_names(process: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default()).collect()
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "there is no wheel of .NET for this processor")]
fn a_load_context_that_is_unloaded_takes_the_binding_along() {
    holds_on(Runtime::DotNet, &["Unloading_a_load_context_takes_the_binding_along"], 1);
}

/// A copy of the tests' program, with what is in a folder of its own beside it.
fn alone(name: &str) -> (PathBuf, PathBuf) {
    let built = tests();
    let folder = target_dir().join("csharp-alone").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for file in [
        "FloatLease.Tests.exe",
        "FloatLease.Tests.runtimeconfig.json",
        "FloatLease.Managed.dll",
        "FloatLease.Sandbox.dll",
    ] {
        std::fs::copy(built.with_file_name(file), folder.join(file)).unwrap();
    }
    (folder.join("FloatLease.Tests.exe"), folder)
}

fn library_check(runtime: Runtime, program: &Path) -> (Option<i32>, String) {
    let mut command = runtime.bare_command(program);
    // Mono writes paths in the letters of the locale.
    let output = command.args(["--child", "library"]).env("LC_ALL", "C.UTF-8").current_dir("/").output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_library_that_is_not_found_is_a_sentence_that_says_where_it_was_looked_for_and_what_to_do() {
    let (program, folder) = alone("missing");
    for runtime in Runtime::ALL {
        let (code, said) = library_check(runtime, &program);
        assert_eq!(code, Some(1), "{said}");
        for words in ["libfloatlease.so", "was not found", folder.to_str().unwrap(), "Reference the package FloatLease"]
        {
            assert!(said.contains(words), "{runtime:?}: {words} in {said}");
        }
    }
}

#[test]
fn a_library_beside_the_program_is_found_and_one_in_the_current_folder_is_not() {
    let (program, folder) = alone("beside");
    for runtime in Runtime::ALL {
        let mut command = runtime.bare_command(&program);
        let said = command.args(["--child", "library"]).current_dir(release_dir()).output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{runtime:?}: {said:?}");
    }
    std::fs::copy(release_dir().join("libfloatlease.so"), folder.join("libfloatlease.so")).unwrap();
    for runtime in Runtime::ALL {
        let (code, said) = library_check(runtime, &program);
        assert_eq!((code, said.starts_with("floatlease 0.")), (Some(0), true), "{runtime:?}: {said}");
    }
}

#[test]
fn a_library_of_another_abi_or_of_another_kind_is_a_sentence() {
    let cases = [
        ("newer", "unsigned floatlease_abi_version(void) { return 2; }", "ABI version 2"),
        ("foreign", "int something_else(void) { return 0; }", "is not floatlease"),
    ];
    for (name, source, words) in cases {
        let (program, folder) = alone(name);
        std::fs::write(folder.join("library.c"), source).unwrap();
        let mut compiler = tool("cc");
        run(compiler.current_dir(&folder).args(["-shared", "-fPIC", "-o", "libfloatlease.so", "library.c"]));
        for runtime in Runtime::ALL {
            let (code, said) = library_check(runtime, &program);
            assert!(code == Some(1) && said.contains(words) && said.contains("same release"), "{runtime:?}: {said}");
        }
    }
}

#[test]
fn a_process_ends_with_a_lease_held_a_call_hanging_and_a_thread_reading_events() {
    let program = tests();
    for runtime in Runtime::ALL {
        let program = runtime.command(&program);
        let mut command = tool("timeout");
        command.arg("60").arg(program.get_program()).args(program.get_args()).args(["--child", "exit"]);
        for (key, value) in program.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"Active\n".as_slice()), "{output:?}");
    }
}

/// Runs an example beside a server of its own.
fn beside_a_server(runtime: Runtime, program: &Path, script: &str, arguments: &[&Path]) -> String {
    let command = runtime.command(program);
    let mut server = Command::new(server_binary());
    server.args(["exec", "--", "sh", "-c", script]).arg(command.get_program()).args(command.get_args()).args(arguments);
    for (key, value) in command.get_envs() {
        server.env(key, value.unwrap_or_default());
    }
    run(&mut server)
}

#[test]
fn the_quick_start_shows_the_ten_operations_and_the_refusal() {
    let program = compile("Quickstart", &["examples/csharp/Quickstart.cs"], false);
    for runtime in Runtime::ALL {
        let transcript = beside_a_server(runtime, &program, r#""$0" "$1""#, &[]);
        for (verb, _) in support::abi::VERBS {
            let done = transcript.lines().any(|line| line.contains(&format!(" {verb} ")) && line.contains(" ok"));
            assert!(done, "{verb} in\n{transcript}");
        }
        for words in ["is refused: FLOATING_NOT_AVAILABLE", "what to do:    Wait until a colleague", "Done."] {
            assert!(transcript.contains(words), "{words} in\n{transcript}");
        }
        let dates: Vec<&str> =
            transcript.lines().filter_map(|line| line.split_once("ok  until ")).map(|it| it.1).collect();
        assert_eq!(dates.len(), 2, "{transcript}");
        for date in dates {
            let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "0000-00-00T00:00:00Z", "{date}: the same in every culture");
        }
    }
}

#[test]
fn minimal_program_holds_a_lease_and_gives_it_back() {
    let program = compile("Minimal", &["examples/csharp/Minimal.cs"], false);
    let script = r#""$0" "$1"; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    for runtime in Runtime::ALL {
        let said = beside_a_server(runtime, &program, script, &[]);
        assert!(said.starts_with("licensed for 12"), "{runtime:?}: {said}");
        assert!(said.ends_with(" minutes\nReleased\nexit 0\n{\"slots\":[]}"), "{runtime:?}: {said}");
    }
}

#[test]
fn the_editor_saves_what_is_typed_and_gives_its_slot_back() {
    let program = compile("Editor", &["examples/csharp/Editor.cs"], false);
    let document = target_dir().join("csharp-editor.txt");
    let script = r#"printf 'hello\nworld\n' | "$0" "$1" "$2"; echo "exit $?"; curl -s "$FLOATLEASE_CONTROL_URL/slots""#;
    for runtime in Runtime::ALL {
        let _ = std::fs::remove_file(&document);
        let said = beside_a_server(runtime, &program, script, &[&document]);
        assert_eq!(said, "Licensed.\nexit 0\n{\"slots\":[]}", "{runtime:?}");
        assert_eq!(std::fs::read_to_string(&document).unwrap(), "hello\nworld\n");
    }
    let usage = |output: &Output| String::from_utf8_lossy(&output.stderr).starts_with("usage: ");
    let output = Runtime::Mono.command(&program).env_remove("FLOATLEASE_CONFIG").output().unwrap();
    assert!(output.status.code() == Some(2) && usage(&output), "{output:?}");
}

#[test]
fn what_is_compiled_and_packed_twice_is_the_same_and_runs_where_it_is_unpacked() {
    let folders = ["first", "second"].map(|name| target_dir().join("csharp-twice").join(name));
    for folder in &folders {
        let _ = std::fs::remove_dir_all(folder);
        run(tool("python3").arg(root().join("scripts/dist/csharp")).arg(folder));
        run(tool("python3")
            .arg(root().join("scripts/dist/nupkg"))
            .arg("FloatLease")
            .args([folder, folder])
            .args([format!("linux-x64={}", release_dir().join("libfloatlease.so").display())]));
        // The compiler's clock counts seconds.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let package = format!("FloatLease.{}.nupkg", env!("CARGO_PKG_VERSION"));
    for file in ["FloatLease.Sandbox.dll", "FloatLease.Sandbox.xml", &package] {
        let [first, second] = folders.each_ref().map(|folder| std::fs::read(folder.join(file)).unwrap());
        assert!(first == second, "{file} differs");
    }

    let stranger = target_dir().join("csharp-stranger");
    let _ = std::fs::remove_dir_all(&stranger);
    run(tool("python3").args(["-m", "zipfile", "-e"]).arg(folders[0].join(&package)).arg(&stranger));
    let quickstart = compile("Quickstart", &["examples/csharp/Quickstart.cs"], false);
    let unpacked = ["lib/netstandard2.0/FloatLease.Managed.dll", "runtimes/linux-x64/native/libfloatlease.so"];
    let others = ["exe", "runtimeconfig.json"].map(|end| quickstart.with_extension(end));
    for file in unpacked.iter().map(|file| stranger.join(file)).chain(others) {
        std::fs::copy(&file, stranger.join(file.file_name().unwrap())).unwrap();
    }
    for runtime in Runtime::ALL {
        let mut alone = runtime.bare_command(&stranger.join("Quickstart.exe"));
        let mut server = Command::new(server_binary());
        server.args(["exec", "--"]).arg(alone.env_clear().get_program()).args(alone.get_args());
        let said = run(server.env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1").env_remove("LD_LIBRARY_PATH"));
        assert!(said.ends_with("Done.\n"), "{said}");
    }
    let well_formed = "import sys, xml.dom.minidom as dom; [dom.parse(path) for path in sys.argv[1:]]";
    let mut xml = vec![stranger.join("FloatLease.nuspec"), stranger.join("[Content_Types].xml")];
    xml.extend([stranger.join("_rels/.rels"), stranger.join("build/net462/FloatLease.targets")]);
    xml.push(stranger.join("lib/netstandard2.0/FloatLease.Managed.xml"));
    let projects = ["bindings/csharp/FloatLease/FloatLease", "bindings/csharp/FloatLease.Sandbox/FloatLease.Sandbox"];
    let examples = ["Minimal", "Quickstart", "Editor", "HostedService"].map(|name| format!("examples/csharp/{name}"));
    let projects = projects.map(str::to_owned).into_iter().chain(examples);
    xml.extend(projects.map(|project| root().join(format!("{project}.csproj"))));
    run(tool("python3").args(["-c", well_formed]).args(xml));
}

/// Newer conveniences, which Mono's own libraries lack: with stand-ins for these it is compiled and run nevertheless.
#[test]
fn what_is_for_newer_frameworks_compiles_and_await_using_ends_as_using_does() {
    let folder = target_dir().join("csharp-newer");
    std::fs::create_dir_all(&folder).unwrap();
    let compiler = || {
        let mut compiler = tool("mcs");
        compiler.current_dir(root()).args(["-sdk:4.6.2-api", "-langversion:7.2", "-warnaserror"]);
        compiler
    };
    let library = folder.join("FloatLease.Managed.dll");
    let mut first = compiler();
    for symbol in ["NETCOREAPP3_0_OR_GREATER", "NET5_0_OR_GREATER"] {
        first.arg(format!("-define:{symbol}"));
    }
    first.arg("-target:library").arg(format!("-out:{}", library.display()));
    run(first.args(["-recurse:bindings/csharp/FloatLease/*.cs", "bindings/csharp/tests/newer/StandIns.cs"]));

    let program = folder.join("FloatLease.Tests.exe");
    let mut second = compiler();
    second.arg(format!("-out:{}", program.display())).arg(format!("-r:{}", library.display())).arg("-r:System.dll");
    let sources = ["newer/AsyncDisposal", "Check", "Folder", "Server"];
    run(second.args(sources.map(|name| format!("bindings/csharp/tests/{name}.cs"))));
    let said = run(Runtime::Mono.command(&program).env("FLOATLEASE_SERVER", server_binary()));
    assert_eq!(said, "every test holds\n");
}

#[test]
fn versions_are_the_librarys() {
    for project in ["FloatLease", "FloatLease.Sandbox"] {
        let path = root().join(format!("bindings/csharp/{project}/{project}.csproj"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("<Version>{}</Version>", env!("CARGO_PKG_VERSION"))), "{text}");
    }
}
