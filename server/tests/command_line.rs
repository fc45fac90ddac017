//! The program as a user starts it: demo, exec, check, and what it says when it can't.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::process::{Site, eventually};
use common::{Client, directory};
use floatlease_server::catalogue::Password;
use floatlease_server::sandbox::{self, ConnectionInfo};
use serde_json::{Value, json};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_floatlease-server"))
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).stdin(Stdio::null()).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn the_demo_prints_one_line_and_ends_with_its_standard_input() {
    let mut demo = program().arg("demo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let facts: Value = serde_json::from_str(&line).unwrap();
    let keys: Vec<&str> = facts.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = format!("{} pid", ConnectionInfo::NAMES.join(" "));
    assert_eq!(keys.join(" "), expected);
    let text = |name: &str| facts[name].as_str().unwrap();
    let mut client = Client::new(text("base_url"), text("api_key"), text("shared_key"));
    let key_based = json!({ "product": text("product"), "license_key": text("license_key"), "hardware_id": "hw",
        "feature": text("feature"), "borrowed_until": null });
    let by_amount =
        json!({ "product": text("product"), "license_key": text("consumption_license_key"), "hardware_id": "hw" });
    let user = json!({ "product": text("user_product"), "username": text("username"), "password": text("password"),
        "hardware_id": "hw", "borrowed_until": null });
    let consumed = json!({ "product": text("product"), "license_key": text("license_key"), "hardware_id": "hw",
        "feature": text("consumption_feature") });
    for (operation, about) in [
        ("activate_license", &key_based),
        ("borrow_license", &key_based),
        ("check_feature", &key_based),
        ("borrow_feature", &key_based),
        ("add_feature_consumption", &consumed),
        ("activate_license", &by_amount),
        ("add_consumption", &by_amount),
        ("activate_license", &user),
        ("borrow_license", &user),
    ] {
        let answer = client.call(operation, about);
        assert_eq!(answer.code(), None, "{operation} {about}");
        assert!(answer.headers.contains_key("licensesignature"));
    }
    drop(demo.stdin.take());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    line.clear();
    assert_eq!(stdout.read_line(&mut line).unwrap(), 0, "one line and no more: {line}");
}

#[test]
fn exec_exports_what_a_client_needs_and_passes_on_the_exit_code() {
    let script = "env | LC_ALL=C grep -c '^FLOATLEASE_[A-Z_]*=' && printf %s \"$FLOATLEASE_CONFIG\" && exit 7";
    let (code, stdout, _) = run(&["exec", "--", "sh", "-c", script]);
    let (count, config) = stdout.split_once('\n').unwrap();
    assert_eq!((code, count), (7, "16"));
    let config: Value = serde_json::from_str(config).unwrap();
    let keys: Vec<&str> = config.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["product", "license_key", "api_key", "shared_key", "base_url", "public_key"]);
    assert_eq!(run(&["exec", "--", "sh", "-c", "kill -9 $$"]).0, 128 + 9);
    for (program, code) in [("/nowhere", 127), (env!("CARGO_MANIFEST_DIR"), 126)] {
        let (ended, stdout, stderr) = run(&["exec", "--", program]);
        assert_eq!((ended, stdout.as_str()), (code, ""), "{stderr}");
        assert!(stderr.contains(&format!("can't run {program}")), "{stderr}");
    }
}

/// The first line that a program prints, as JSON.
fn first_line(child: &mut Child) -> Value {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The sample catalogue, served on a free port for real: without its tokens, which are for demonstrations.
fn serve(data: &Path) -> Child {
    let lines = sandbox::SAMPLE.lines().filter(|line| !line.starts_with("id_tokens =") && !line.starts_with("codes ="));
    let catalogue = data.with_extension("toml");
    std::fs::write(&catalogue, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let mut serve = program();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--catalogue"]).arg(catalogue).arg("--data").arg(data);
    serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn is_listening(base_url: &Value) -> bool {
    let address = base_url.as_str().unwrap().strip_prefix("http://").unwrap().split('/').next().unwrap();
    TcpStream::connect(address).is_ok()
}

#[test]
fn a_seed_is_served_instead_of_the_sample_with_times_relative_to_now() {
    let file = directory("command-line-seed").join("seed.toml");
    let license = "product = \"P\"\nlicense_key = \"K\"\nlicense_type = \"time-limited\"\nvalidity_period = \"now+1h\"";
    std::fs::write(&file, format!("[[product]]\ncode = \"P\"\n[[license]]\n{license}\n")).unwrap();
    let mut demo =
        program().args(["demo", "--seed"]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let facts = first_line(&mut demo);
    let text = |name: &str| facts[name].as_str().unwrap();
    assert_eq!((text("product"), text("license_key")), ("P", "K"));
    assert_eq!(facts["feature"], Value::Null, "there is none");
    let mut client = Client::new(text("base_url"), text("api_key"), text("shared_key"));
    let about = json!({ "product": "P", "license_key": "K", "hardware_id": "hw" });
    assert_eq!(client.call("activate_license", &about).code(), None);
    drop(demo.stdin.take());
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_ends_with_its_parent_however_that_ends() {
    // The parent starts a demo as its child, and holds the other end of its standard input.
    let script = "import subprocess, sys, time\n\
        demo = subprocess.Popen([sys.argv[1], 'demo'], stdin=subprocess.PIPE)\n\
        time.sleep(100)\n";
    let binary = env!("CARGO_BIN_EXE_floatlease-server");
    let mut parent = Command::new("python3").args(["-c", script, binary]).stdout(Stdio::piped()).spawn().unwrap();
    let facts = first_line(&mut parent);
    assert!(is_listening(&facts["base_url"]));
    parent.kill().unwrap();
    parent.wait().unwrap();
    eventually("the server ends", || !is_listening(&facts["base_url"]) && !is_listening(&facts["control_url"]));

    let script = "printf '{\"base_url\":\"%s\"}\\n' \"$FLOATLEASE_BASE_URL\"; exec sleep 30";
    let mut exec = program().args(["exec", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let facts = first_line(&mut exec);
    assert!(is_listening(&facts["base_url"]));
    exec.kill().unwrap();
    exec.wait().unwrap();
    eventually("the server ends", || !is_listening(&facts["base_url"]));
}

#[test]
fn exec_passes_signals_on_and_ends_as_the_command_does() {
    for (signal, handler, code) in [
        ("TERM", "exit 5", 5),
        ("INT", "exit 6", 6),
        ("HUP", "exit 7", 7),
        ("USR1", "exit 8", 8),
        ("TERM", "", 128 + 15),
    ] {
        let trap = if handler.is_empty() { String::new() } else { format!("trap '{handler}' {signal};") };
        let script = format!("{trap} echo '{{}}'; while :; do sleep 0.05; done");
        // A shell's background jobs are started with INT ignored, and so would be the command.
        let mut exec = Command::new("env")
            .args([
                "--default-signal",
                "LC_ALL=C",
                env!("CARGO_BIN_EXE_floatlease-server"),
                "exec",
                "--",
                "sh",
                "-c",
                &script,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        first_line(&mut exec);
        // Turkish has another capital of "i", so that INT would be no signal.
        let mut kill = Command::new("kill");
        kill.args(["-s", signal, &exec.id().to_string()]).env("LC_ALL", "C").status().unwrap();
        assert_eq!(exec.wait().unwrap().code(), Some(code), "{signal} {handler:?}");
    }
}

#[test]
fn what_the_caller_has_set_for_the_real_server_does_not_reach_the_command() {
    let empty = directory("command-line-environment").join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    let mut exec = program();
    exec.args(["exec", "--seed"]).arg(&empty).args(["--", "env"]);
    for name in ["FLOATLEASE_LICENSE_KEY", "FLOATLEASE_PRODUCT", "FLOATLEASE_API_KEY", "FLOATLEASE_OF_MINE"] {
        exec.env(name, "real");
    }
    let environment = String::from_utf8(exec.output().unwrap().stdout).unwrap();
    let real: Vec<&str> = environment.lines().filter(|line| line.ends_with("=real")).collect();
    assert_eq!(real, ["FLOATLEASE_OF_MINE=real"], "{environment}");
}

#[test]
fn exec_leaves_ignored_what_is_ignored() {
    let script = "trap '' HUP; exec \"$0\" exec -- sh -c 'kill -HUP $PPID; sleep 0.3; grep SigIgn /proc/self/status'";
    let output = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_floatlease-server")]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mask = u64::from_str_radix(said.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!((output.status.code(), mask & 1), (Some(0), 1), "{said}");
}

#[test]
fn serve_has_no_control_interface_and_says_so() {
    let data = directory("command-line-control");
    let mut serve = serve(&data);
    let facts = first_line(&mut serve);
    let mut client = Client::new(facts["base_url"].as_str().unwrap(), "", "");
    for (method, path) in [
        ("GET", "/control/clock"),
        ("POST", "/control/clock/advance"),
        ("POST", "/control/worlds"),
        ("PUT", "/control/faults"),
        ("DELETE", "/control/worlds/main"),
        ("GET", "/control/openapi.json"),
    ] {
        let answer = client.send(method, path, &[], b"{}").unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (404, Some("not_found")), "{method} {path}");
        let message = answer.json()["message"].to_string();
        assert!(message.contains("A server that hands out real licenses has no control interface"), "{message}");
        assert!(!answer.headers.contains_key("x-sandbox-fault"));
    }
    serve.kill().unwrap();
    serve.wait().unwrap();
}

#[test]
fn what_a_user_gets_wrong_is_one_sentence_and_exit_code_2() {
    let directory = directory("command-line");
    let bad = directory.join("bad.toml");
    std::fs::write(&bad, "[[product]]\ncod = \"P\"\n").unwrap();
    let good = directory.join("good.toml");
    std::fs::write(&good, "").unwrap();
    let (bad, good, data) = (bad.to_str().unwrap(), good.to_str().unwrap(), directory.to_str().unwrap());
    for (arguments, said) in [
        (&["check", bad][..], "did you mean `code`?"),
        (&["check", "/nowhere"], "can't read the catalogue /nowhere"),
        (&["serve", "--data", data, "--catalogue", bad], "did you mean `code`?"),
        (&["serve", "--data", data, "--catalogue", good, "--listen", "0.0.0.0:0"], "put a TLS proxy in front"),
        (&["serve", "--data", data], "--catalogue"),
        (
            &["serve", "--data", data, "--catalogue", good, "--control-port", "0"],
            "--control-port is for demo and exec: serve hands out real licenses",
        ),
        (
            &["serve", "--data", data, "--catalogue", good, "--seed", good],
            "--seed is for demo and exec: serve hands out real licenses",
        ),
        (&["serve", "--data", data, "--catalogue", good, "--control-port"], "--control-port is for demo and exec"),
        (&["demo", "--seed", bad], bad),
        (&["demo", "--seed", bad], "did you mean `code`?"),
        (&["exec", "--seed", "/nowhere", "--", "true"], "can't read the catalogue /nowhere"),
        (&["exec"], "COMMAND"),
        (&["dem"], "demo"),
        (&[], "Usage"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let (code, stdout, _) = run(&["check", good]);
    assert_eq!(code, 0);
    assert!(stdout.contains("products: 0, licenses: 0"), "{stdout}");
}

#[test]
fn a_port_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, stderr) = run(&["demo", "--port", &port]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&port) && stderr.contains("choose another"), "{stderr}");
}

#[test]
fn what_serve_keeps_is_nobody_elses_and_a_catalogue_without_keys_is_remarked_on() {
    use std::os::unix::fs::PermissionsExt;

    let data = directory("command-line-private").join("data");
    let mut serve = serve(&data);
    let line = first_line(&mut serve);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("private-key.pem"))), (0o700, 0o600), "{line}");

    Command::new("kill").arg(serve.id().to_string()).status().unwrap();
    assert_eq!(serve.wait().unwrap().code(), Some(0), "SIGTERM ends it in order");
    let mut said = String::new();
    serve.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("no [[api_key]]"), "{said}");
}

/// A backup, or somebody's SQL shell. Nothing that waits for it has been written.
#[test]
fn signal_ends_server_while_another_program_holds_the_data() {
    for signal in ["TERM", "INT"] {
        let site = Site::new(&format!("command-line-locked-{signal}"), common::process::CATALOGUE);
        let server = site.serve();
        let other = rusqlite::Connection::open(site.data("floatlease.sqlite")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        server.wait_for_log("another program has locked the data; waiting until it unlocks it");
        server.signal(signal);
        let (status, said) = server.ended();
        assert_eq!(status.code(), Some(1), "{signal}");
        assert!(said.contains("another program has locked the data; repair that and start again"), "{said}");
    }
}

const SIGINT: u32 = 2;
const SIGTERM: u32 = 15;

/// Returns which signals a process has handlers for, one bit each.
fn caught_signals(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).unwrap_or_default()
}

/// The server can't print its line, because nobody has emptied the pipe. By then it must be ready for what follows the line.
#[test]
fn server_handles_signals_before_it_says_that_it_is_ready() {
    let site = Site::new("command-line-ready", common::process::CATALOGUE);
    let mut demo = program();
    demo.arg("demo");
    for (name, mut command) in [("serve", site.command("")), ("demo", demo)] {
        let (mut reader, mut full) = std::io::pipe().unwrap();
        // As many bytes as fit into a pipe.
        full.write_all(&vec![b'x'; 65_536]).unwrap();
        let mut server = command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::null()).spawn().unwrap();
        drop(command);
        let wanted = 1 << (SIGTERM - 1) | 1 << (SIGINT - 1);
        eventually(&format!("{name} handles signals"), || caught_signals(server.id()) & wanted == wanted);
        let mut line = vec![0; 65_537];
        reader.read_exact(&mut line).unwrap();
        Command::new("kill").arg(server.id().to_string()).status().unwrap();
        assert_eq!(server.wait().unwrap().code(), Some(0), "{name}: SIGTERM ends it in order");
        assert_eq!(line[65_536], b'{', "{name}");
    }
}

/// `exec` catches the signals before it starts the command, which may send one at once.
#[test]
fn exec_forwards_signal_that_its_command_sends_first() {
    let script = "trap 'exit 5' TERM; kill -TERM $PPID; while :; do sleep 0.05; done";
    for _ in 0..5 {
        assert_eq!(run(&["exec", "--", "sh", "-c", script]).0, 5);
    }
}

#[test]
fn catalogue_whose_replies_are_too_long_is_refused() {
    let feature = |number| format!("{{ code = \"FEATURE-{number}\", floating = {{ users = 1 }} }},\n");
    let features: String = (0..3_000).map(feature).collect();
    let license = "product = [{ code = \"P\" }]\n[[license]]\nproduct = \"P\"\nlicense_key = \"K\"\n";
    let site = Site::new("command-line-too-long", &format!("{license}feature = [\n{features}]\n"));
    let (code, said) = site.refused(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("license \"K\": a reply about it has"), "{said}");
    let (code, _, said_of_check) = run(&["check", site.folder.join("catalogue.toml").to_str().unwrap()]);
    assert_eq!((code, said_of_check), (2, said));
}

/// Loaded without its wrapper, which fails where one of the same process id was killed before.
fn libfaketime() -> PathBuf {
    let kinds = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut libraries = kinds.map(|path| path.join("faketime/libfaketime.so.1"));
    libraries.find(|path| path.exists()).expect("libfaketime is missing: run scripts/setup")
}

#[test]
fn clock_before_1970_is_said() {
    let directory = directory("command-line-1969");
    let (good, data) = (directory.join("good.toml"), directory.join("data"));
    std::fs::write(&good, "").unwrap();
    let server = env!("CARGO_BIN_EXE_floatlease-server");
    let serve = [server, "serve", "--listen", "127.0.0.1:0", "--catalogue", good.to_str().unwrap(), "--data"];
    let serve: Vec<&str> = serve.into_iter().chain([data.to_str().unwrap()]).collect();
    for arguments in [&serve[..], &[server, "demo"], &[server, "exec", "--", "true"]] {
        let mut faked = Command::new(arguments[0]);
        faked.args(&arguments[1..]).env("LD_PRELOAD", libfaketime()).env("FAKETIME", "@1969-06-01 12:00:00");
        let Output { status, stderr, .. } = faked.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("shows a time before 1970: set it right and start again"), "{arguments:?}: {said}");
    }
}

/// Runs `hash-password` with this on its standard input.
fn hash_password(input: &str) -> (i32, String, String) {
    let mut child = program()
        .arg("hash-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads no more than a password may be long, and then closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn hash_password_prints_hash_of_standard_input() {
    for (input, password) in
        [("correct-horse", "correct-horse"), ("two words\n", "two words"), ("pä\r\n", "pä"), (" x \n", " x ")]
    {
        let (code, hash, _) = hash_password(input);
        assert_eq!(code, 0, "{input:?}");
        let hash = hash.strip_suffix('\n').unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(Password::Hash(hash.to_owned()).matches(password), "{input:?}");
        let user = format!("[[user]]\nusername = \"u\"\npassword_hash = \"{hash}\"\n");
        floatlease_server::catalogue::parse(&user).unwrap();
    }
    for input in ["", "\n", &"x".repeat(1025), &"x".repeat(100_000)] {
        let (code, hash, error) = hash_password(input);
        assert_eq!((code, hash.as_str()), (2, ""), "{error}");
        assert!(error.contains("the password is"), "{error}");
    }
    let (code, ..) = run(&["hash-password", "correct-horse"]);
    assert_eq!(code, 2, "arguments are for all to see");
}

#[test]
fn serve_warns_of_plain_passwords_and_refuses_stand_in_tokens() {
    let directory = directory("command-line-users");
    let mut served = serve(&directory.join("data"));
    first_line(&mut served);
    let mut log = BufReader::new(served.stderr.take().unwrap());
    let mut warned = String::new();
    while !warned.contains("bob@example.com") {
        assert!(log.read_line(&mut warned).unwrap() > 0, "{warned}");
    }
    served.kill().unwrap();
    served.wait().unwrap();
    assert!(warned.contains("user \"ada@example.com\": the catalogue holds the password itself"), "{warned}");
    assert!(warned.contains("floatlease-server hash-password"), "{warned}");
    assert!(!warned.contains("correct-horse") && !warned.contains("eve@example.com"), "{warned}");

    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/catalogue.toml");
    let data = directory.join("other");
    let (code, _, error) =
        run(&["serve", "--catalogue", sample, "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(error.contains("customer_account \"EXAMPLE\": `id_tokens` and `codes` stand in"), "{error}");
    assert!(error.contains("customer_account \"OTHER\"") && !error.contains("token-of-ada"), "{error}");
    assert!(!data.exists(), "the data is left alone");
}
