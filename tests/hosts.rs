//! What docs/hosts.md promises: the library behaves as a guest in any host's process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use support::document::{blocks_in, read};
use support::programs::{Build, empty, libraries};
use support::tls::Authority;
use support::{Demo, release_dir, run, target_dir, tool, with};

/// The most bytes of stack that a call may need on the host's thread.
const MOST_STACK_BYTES: u32 = 96 * 1024;

/// A server, also behind TLS, and what a program needs to know of it.
struct Scene {
    demo: Demo,
    authority: Authority,
    front: String,
    folder: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let (demo, authority) = (Demo::start(), Authority::new());
        let front = authority.front(demo.address(), &["localhost"], false);
        Scene { demo, authority, front, folder: empty(target_dir().join(format!("hosts.{name}"))) }
    }

    /// A client of the server by this name, which may be none that can be resolved.
    fn config_by_name(&self, host: &str) -> Value {
        let port = self.demo.address().rsplit(':').next().unwrap().to_owned();
        let url = format!("http://{host}:{port}/api/v4");
        with(&self.demo.config("guest"), json!({ "base_url": url, "allow_http": true }))
    }

    fn config_by_tls(&self) -> Value {
        let url = format!("https://localhost:{}/api/v4", self.front.rsplit(':').next().unwrap());
        with(&self.demo.config("guest"), json!({ "base_url": url, "tls_roots": self.authority.pem() }))
    }

    /// A client whose files are in the scene's folder.
    fn config_with_folder(&self) -> Value {
        with(&self.demo.config("guest"), json!({ "storage_dir": self.folder }))
    }

    /// Runs a program, which must end in time and say that its checks hold. Returns what it printed.
    fn run(&self, program: &mut Command) -> String {
        let said = run(program
            .env("FLOATLEASE_CONFIG", self.config_with_folder().to_string())
            .env("FLOATLEASE_TLS_CONFIG", self.config_by_tls().to_string())
            .env("FLOATLEASE_NAMED_CONFIG", self.config_by_name("licenses.invalid").to_string()));
        println!("{said}");
        assert!(said.contains("checks hold"), "{said}");
        said
    }
}

fn compile(name: &str) -> PathBuf {
    compile_with(name, &libraries()[..1])
}

fn compile_with(name: &str, libraries: &[(&str, PathBuf)]) -> PathBuf {
    let source = format!("tests/abi/{name}.c");
    Build { name, compiler: "cc", flags: &["-std=gnu11"], sources: &[&source], libraries }.compile()
}

/// A program that ends by itself, or is ended.
fn limited(program: PathBuf) -> Command {
    let mut command = tool("timeout");
    command.arg("100").arg(program);
    command
}

/// The system calls of a log of strace that give a descriptor, each in one line although other threads came between.
fn opening_calls(log: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if let Some((first, _)) = call.split_once(" <unfinished ...>") {
            begun.insert(thread, first);
        } else if let Some((_, rest)) = call.split_once(" resumed>") {
            calls.push(format!("{}{rest}", begun.remove(thread).unwrap_or_default()));
        } else {
            calls.push(call.to_owned());
        }
    }
    calls
}

#[test]
fn closed_standard_streams_get_no_descriptor_of_ours() {
    let (program, scene) = (compile("descriptors"), Scene::new("descriptors"));
    let log = target_dir().join("descriptors.strace");
    let mut strace = tool("strace");
    strace.args(["-f", "-e", "trace=desc,network,getppid", "-o"]).arg(&log);
    scene.run(strace.args(["timeout", "100"]).arg(program));
    let log = std::fs::read_to_string(&log).unwrap();
    let calls = opening_calls(&log);
    let is_mark = |call: &String| call.starts_with("getppid");
    let (begin, end) = (calls.iter().position(is_mark).unwrap(), calls.iter().rposition(is_mark).unwrap());
    let openers = ["open", "socket", "accept", "dup", "pipe", "epoll_create", "eventfd", "memfd_create", "timerfd"];
    let ours = calls[begin..end].iter().filter(|call| {
        let is_copy = call.starts_with("fcntl") && call.contains("F_DUPFD");
        is_copy || openers.iter().any(|opener| call.starts_with(opener))
    });
    let (mut placeholders, mut others) = (0, 0);
    for call in ours {
        let number: Option<i32> = call.rsplit("= ").next().and_then(|result| result.split(' ').next()?.parse().ok());
        match number {
            Some(0..=2) if call.contains("O_PATH") => placeholders += 1,
            Some(0..=2) => panic!("{call}"),
            _ => others += 1,
        }
    }
    assert!(placeholders > 0 && others > 0, "{placeholders} and {others}");
}

#[test]
fn log_of_a_daemon_reaches_nothing_of_ours() {
    let (program, scene) = (compile("descriptors"), Scene::new("daemon"));
    scene.run(limited(program).arg("logging"));
}

/// Old kernels have no call for random numbers, and a file is kept open instead.
#[test]
fn file_of_random_numbers_is_above_standard_streams() {
    let (program, scene) = (compile("descriptors"), Scene::new("random"));
    let mut strace = tool("strace");
    strace.args(["-f", "-e", "trace=getrandom", "-e", "inject=getrandom:error=ENOSYS", "-o", "/dev/null"]);
    scene.run(strace.args(["timeout", "100"]).arg(program));
}

#[test]
fn sandbox_in_a_daemon_takes_no_standard_stream() {
    let said = run(&mut limited(compile_with("sandbox_daemon", &libraries())));
    assert!(said.contains("checks hold"), "{said}");
}

#[test]
fn limit_of_file_size_ends_no_host() {
    let (program, scene) = (compile("file_size"), Scene::new("file_size"));
    scene.run(&mut limited(program));
}

#[test]
fn handle_of_another_copy_is_invalid() {
    let (program, scene) = (compile("two_copies"), Scene::new("two_copies"));
    let copies = ["first", "second"].map(|name| {
        let copy = empty(target_dir().join(format!("hosts.{name}"))).join("libfloatlease.so");
        std::fs::copy(release_dir().join("libfloatlease.so.1"), &copy).unwrap();
        copy
    });
    scene.run(limited(program).args(copies));
}

#[test]
fn call_at_the_end_of_a_thread_works() {
    let (program, scene) = (compile("late_call"), Scene::new("late_call"));
    scene.run(&mut limited(program));
}

#[test]
fn threads_leave_signals_and_environment_to_the_host() {
    let (program, scene) = (compile("guest_threads"), Scene::new("guest_threads"));
    let named = scene.config_by_name("host.test").to_string();
    let config = scene.config_with_folder().to_string();
    let said = run(limited(program).env("FLOATLEASE_CONFIG", config).env("FLOATLEASE_NAMED_CONFIG", named));
    assert!(said.contains("checks hold"), "{said}");
}

#[test]
fn shortage_is_named_and_passes() {
    let program = compile("shortage");
    for resource in ["descriptors", "threads", "memory"] {
        let scene = Scene::new(&format!("no_{resource}"));
        // An ordinary user has no access to the folder.
        let folder = if resource == "threads" { json!(null) } else { json!(scene.folder) };
        let config = with(&scene.demo.config("guest"), json!({ "storage_dir": folder }));
        // As large as the list of authorities of a system.
        let authorities = target_dir().join(format!("authorities.{resource}.pem"));
        std::fs::write(&authorities, scene.authority.pem().repeat(300)).unwrap();
        let said = run(limited(program.clone())
            .arg(resource)
            .env("SSL_CERT_FILE", authorities)
            .env("FLOATLEASE_CONFIG", config.to_string())
            .env("FLOATLEASE_NAMED_CONFIG", scene.config_by_name("licenses.invalid").to_string())
            .env("FLOATLEASE_ANONYMOUS_CONFIG", with(&config, json!({ "hardware_id": null })).to_string())
            .env("FLOATLEASE_TLS_CONFIG", with(&scene.config_by_tls(), json!({ "tls_roots": null })).to_string()));
        println!("{said}");
        assert!(said.contains("checks hold"), "{said}");
    }
}

#[test]
fn suppression_of_the_page_quiets_thread_sanitizer() {
    let scene = Scene::new("tsan");
    let flags = ["-std=gnu11", "-fsanitize=thread"];
    let sources = ["tests/abi/stress.c"];
    let build =
        Build { name: "stress.tsan", compiler: "cc", flags: &flags, sources: &sources, libraries: &libraries()[..1] };
    // Not among what was built: a blank in a path would end the option.
    let suppressions = std::env::temp_dir().join(format!("floatlease-{}.suppressions", std::process::id()));
    std::fs::write(&suppressions, &blocks_in(&read("docs/hosts.md"), "text")[0]).unwrap();
    let options = format!("exitcode=66 suppressions={}", suppressions.display());
    // ThreadSanitizer does not know each address layout that a kernel may draw; some containers allow no other.
    let layout = r#"setarch -R true 2>/dev/null && exec setarch -R "$0" "$@"; exec "$0" "$@""#;
    let mut command = tool("sh");
    let said = run(command
        .args(["-c", layout, "timeout", "100"])
        .arg(build.compile())
        .arg("2")
        .env("TSAN_OPTIONS", options)
        .env("FLOATLEASE_CONFIG", scene.demo.config("stress").to_string()));
    std::fs::remove_file(suppressions).unwrap();
    assert!(said.contains("calls"), "{said}");
}

#[test]
fn call_needs_no_more_stack_than_is_promised() {
    let (program, scene) = (compile("stack"), Scene::new("stack"));
    scene.run(limited(program).arg(MOST_STACK_BYTES.to_string()));
    let promise = format!("{} KiB of", MOST_STACK_BYTES / 1024);
    for page in ["docs/hosts.md", "include/floatlease.h"] {
        assert!(read(page).contains(&promise), "{page} does not promise {promise}");
    }
}
