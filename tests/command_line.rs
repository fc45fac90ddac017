//! The command `floatlease`: exit codes, the sources of its config, and a license that is held while a command runs.
#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use support::document::read;
use support::folder::Folder;
use support::holder::until;
use support::machine::{DEVICE, Machine};
use support::{Demo, command_line_binary, run, server_binary, target_dir, tool, with};

/// An address where no server listens.
const NOWHERE: &str = "http://127.0.0.1:9/api/v4";

/// The command with this config, and nothing else of this process's settings.
fn floatlease(config: &Value, arguments: &[&str]) -> Command {
    let mut command = bare(arguments);
    command.env("FLOATLEASE_CONFIG", config.to_string());
    command
}

/// The command without a config.
fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(command_line_binary());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLOATLEASE_")) {
        command.env_remove(name);
    }
    // No test writes into the home of whoever runs it.
    command.args(arguments).env("XDG_STATE_HOME", "/dev/null").stdin(Stdio::null());
    command
}

/// A command that has ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}{}", self.out, self.err))
    }
}

fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("the command ended with {}", output.status));
    Said { code, out: text(&output.stdout), err: text(&output.stderr) }
}

fn say(config: &Value, arguments: &[&str]) -> Said {
    said(&floatlease(config, arguments).output().unwrap())
}

/// Runs the command, asserts that it succeeds, and returns what it has printed.
fn done(config: &Value, arguments: &[&str]) -> Value {
    let said = say(config, arguments);
    assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
    said.json()
}

/// A `floatlease lease` whose command has begun.
struct Holding {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Holding {
    /// Runs a script, which begins by telling its number.
    fn start(config: &Value, options: &[&str], script: &str) -> Holding {
        let script = format!("echo $$; {script}");
        let command = [&["lease"], options, &["--", "sh", "-c", &script]].concat();
        let mut process = floatlease(config, &command).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Holding { process, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends a signal to `floatlease`, and not to its command.
    fn signal(&self, name: &str) {
        run(tool("kill").args([format!("-{name}"), self.process.id().to_string()]));
    }

    fn code(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

/// Holds a slot until the returned process is killed, and tells the number of its command.
fn holding(machine: &Machine) -> (Holding, String) {
    let mut holding = Holding::start(&machine.config(), &[], "exec sleep 600");
    let number = holding.line();
    assert!(!number.is_empty(), "the command did not begin");
    (holding, number)
}

/// Whether a process runs. One that has ended may wait for somebody to read its exit code.
fn is_running(number: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

#[test]
fn quick_start_is_three_commands() {
    let folder = Folder::new("cli-quick-start");
    let script = r#"
        "$0" call activate_license >/dev/null
        "$0" check --format table | head -1
        "$0" lease -- sh -c 'echo licensed; curl -s "$FLOATLEASE_CONTROL_URL/slots"'
        echo; curl -s "$FLOATLEASE_CONTROL_URL/slots"
    "#;
    tool("curl");
    let mut server = Command::new(server_binary());
    server.args(["exec", "--", "sh", "-ec", script]).arg(command_line_binary()).env("XDG_STATE_HOME", folder.path());
    let said = run(&mut server);
    let lines: Vec<&str> = said.lines().collect();
    let [state, "licensed", held, r#"{"slots":[]}"#] = lines[..] else { panic!("{said}") };
    assert_eq!(state.split_whitespace().collect::<Vec<_>>(), ["state", "ACTIVE"]);
    assert!(held.starts_with(r#"{"slots":[{"license""#), "{held}");
}

#[test]
fn each_category_has_its_exit_code() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-codes");
    let config = machine.config();
    // Not that of another server, for they have few keys to choose from.
    let foreign_key = read("tests/data/signing-public-key.pem");
    let file = machine.folder.path().join("no-folder");
    fs::create_dir_all(machine.folder.path()).unwrap();
    fs::write(&file, "").unwrap();
    let not_activated = json!({ "hardware_id": "nobody", "storage_dir": "" });
    for (changes, arguments, code) in [
        (json!({}), &["check"][..], 0),
        (json!({}), &["no-command"], 2),
        (json!({}), &["call", "no_operation"], 2),
        (json!({ "product": null }), &["check"], 2),
        (json!({ "base_url": NOWHERE }), &["check"], 80),
        (json!({ "public_key": foreign_key }), &["check"], 81),
        (json!({ "storage_dir": file }), &["check"], 82),
        (json!({ "shared_key": "wrong" }), &["check"], 90),
        (json!({ "base_url": config["base_url"].as_str().unwrap().replace("v4", "v5") }), &["check"], 91),
        (json!({ "product": "NOPE" }), &["check"], 92),
        (json!({ "license_key": "NOPE" }), &["check"], 93),
        (not_activated, &["check"], 94),
        (json!({}), &["check", "--feature", "NOPE"], 95),
        (json!({}), &["consume", "3"], 96),
    ] {
        let said = say(&with(&config, changes), arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
    }
    assert_eq!(machine.count(), 0);
}

#[test]
fn error_is_the_object_of_the_library_in_json() {
    let demo = Demo::start();
    let config = with(&demo.config("nobody"), json!({ "storage_dir": "" }));
    let said = say(&config, &["check", "--format", "json"]);
    let error: Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(error["name"], "DEVICE_NOT_FOUND");
    assert_eq!(error["outcome"], "rejected");
    assert_eq!(said.out, "");
}

#[test]
fn usual_mistakes_are_told_what_to_do() {
    let demo = Demo::start();
    let config = with(&demo.config("nobody"), json!({ "storage_dir": "" }));
    for (arguments, words) in [
        (&["check"][..], "floatlease call activate_license"),
        (&["call", "check_licence"], "did you mean \"check_license\"?"),
        (&["call", "borrow_license", "until"], "KEY=VALUE"),
        (&["borrow", "--until", "2026-10-01"], "storage_dir"),
        (&["borrow", "--for", "8"], "write it as 30s, 10m, 8h or 2days"),
        (&["release", "--all"], "storage_dir"),
        (&["check", "--timeout-ms", "5s"], "expected a number"),
        (&["lease", "sleep", "1"], "-- <COMMAND>"),
        (&["lease", "--featur", "MESH", "--", "true"], "'--feature'"),
    ] {
        let said = say(&config, arguments);
        assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
        assert_ne!(said.code, 0);
    }
    let said = said(&bare(&["check"]).output().unwrap());
    assert!(said.err.contains("--config or FLOATLEASE_CONFIG_FILE"), "{}", said.err);
}

#[test]
fn secret_on_command_line_is_refused() {
    for flag in ["--license-key", "--api-key", "--shared-key", "--password", "--id-token", "--code"] {
        let said = said(&bare(&["check", flag, "hush-hush"]).output().unwrap());
        let variable = format!("FLOATLEASE_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert_eq!(said.code, 2, "{flag}");
        assert!(said.err.contains(&variable), "{}", said.err);
        assert!(!said.err.contains("hush"), "{}", said.err);
    }
    for request in ["license_key=hush-hush", r#"{"license_key":"hush-hush"}"#] {
        let said = said(&bare(&["call", "check_license", request]).output().unwrap());
        assert_eq!(said.code, 2, "{request}");
        assert!(said.err.contains("FLOATLEASE_LICENSE_KEY") && !said.err.contains("hush"), "{}", said.err);
    }
}

/// The product that the command works with, as the report of `diagnose` tells it.
fn product(command: &mut Command) -> Value {
    said(&command.arg("diagnose").output().unwrap()).json()["product"].clone()
}

#[test]
fn flag_goes_before_variable_and_variable_before_file() {
    let folder = Folder::new("cli-sources");
    fs::create_dir_all(folder.path()).unwrap();
    let of_product = |product: &str| {
        json!({ "product": product, "license_key": "K", "api_key": "A", "shared_key": "S", "base_url": NOWHERE,
            "verify": "off", "storage_dir": "" })
    };
    let file = |name: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, of_product(name).to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (of_flag, of_variable) = (file("FLAG-FILE"), file("VARIABLE-FILE"));
    let with_all = |arguments: &[&str]| {
        let mut command = floatlease(&of_product("CONFIG"), arguments);
        command.env("FLOATLEASE_CONFIG_FILE", &of_variable);
        command
    };
    assert_eq!(product(bare(&[]).env("FLOATLEASE_CONFIG_FILE", &of_variable)), "VARIABLE-FILE");
    assert_eq!(product(&mut with_all(&[])), "CONFIG");
    assert_eq!(product(&mut with_all(&["--config", of_flag.to_str().unwrap()])), "FLAG-FILE");
    assert_eq!(product(with_all(&[]).env("FLOATLEASE_PRODUCT", "VARIABLE")), "VARIABLE");
    assert_eq!(product(with_all(&["--product", "FLAG"]).env("FLOATLEASE_PRODUCT", "VARIABLE")), "FLAG");
}

#[test]
fn config_may_come_on_standard_input() {
    let demo = Demo::start();
    let config = with(&demo.config("stdin"), json!({ "storage_dir": "" }));
    let mut command = bare(&["--config", "-", "call", "activate_license"]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let said = said(&process.wait_with_output().unwrap());
    assert_eq!(said.json()["hardware_id"], "stdin");
}

#[test]
fn file_of_secrets_that_others_may_read_is_warned_of() {
    let folder = Folder::new("cli-permissions");
    fs::create_dir_all(folder.path()).unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, r#"{"api_key":"A"}"#).unwrap();
    let err = |mode: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        said(&bare(&["check", "--config"]).arg(&path).output().unwrap()).err
    };
    assert!(err(0o644).contains("other users may read it: chmod o-r"));
    assert!(!err(0o640).contains("other users"));
}

#[test]
fn exit_code_of_command_is_passed_on() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-exit");
    for (script, code) in [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", 143), ("kill -KILL $$", 137)] {
        assert_eq!(say(&machine.config(), &["lease", "--", "sh", "-c", script]).code, code, "{script}");
        assert_eq!(machine.count(), 0, "{script}");
    }
    assert_eq!(say(&machine.config(), &["lease", "--", "/no/such/command"]).code, 127);
    assert_eq!(say(&machine.config(), &["lease", "--", "/etc/passwd"]).code, 126);
    assert_eq!(machine.count(), 0);
}

#[test]
fn command_runs_while_slot_is_held() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-held");
    let (holding, _) = holding(&machine);
    assert_eq!(machine.slots(), [(Value::Null, false)]);
    holding.signal("TERM");
    assert_eq!(holding.code(), Some(143));
    assert_eq!(machine.count(), 0);
}

#[test]
fn features_are_held_together() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-features");
    let features = ["--feature", "MESH", "--feature", "SOLVER"];
    let mut holding = Holding::start(&machine.config(), &features, "exec sleep 600");
    holding.line();
    assert_eq!(machine.slots(), [(json!("MESH"), false), (json!("SOLVER"), false)]);
    holding.signal("TERM");
    holding.code();
    assert_eq!(machine.count(), 0);
}

#[test]
fn command_is_not_started_without_license() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-refused");
    let nobody = with(&machine.config(), json!({ "hardware_id": "nobody" }));
    let said = say(&nobody, &["lease", "--", "echo", "started"]);
    assert_eq!(said.code, 94);
    assert_eq!(said.out, "");
}

#[test]
fn signals_reach_the_command() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-signals");
    for name in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let script = format!("trap 'echo {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done");
        let mut holding = Holding::start(&machine.config(), &[], &script);
        holding.line();
        assert_eq!(holding.line(), "ready");
        holding.signal(name);
        assert_eq!(holding.line(), name);
        assert_eq!(holding.code(), Some(5));
        assert_eq!(machine.count(), 0, "after SIG{name}");
    }
}

#[test]
fn signal_while_waiting_ends_the_wait() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-waiting");
    for device in ["one", "two"] {
        let client = machine.world.client(device);
        client.call("activate_license", &Value::Null).ok();
        client.call("check_license", &Value::Null).ok();
    }
    let mut command = floatlease(&machine.config(), &["lease", "--wait", "1h", "--", "echo", "started"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("no license yet"));
    run(tool("kill").args(["-INT", &process.id().to_string()]));
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(output.stdout, b"");
    assert_eq!(machine.count(), 0);
}

#[test]
fn command_inherits_no_descriptor() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-descriptors");
    let list = |command: &mut Command| run(command.stdin(Stdio::null()));
    let plain = list(tool("ls").arg("/proc/self/fd"));
    let leased = list(&mut floatlease(&machine.config(), &["lease", "--", "ls", "/proc/self/fd"]));
    assert_eq!(leased, plain);
}

#[test]
fn command_inherits_no_blocked_signal() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-mask");
    let said = run(&mut floatlease(&machine.config(), &["lease", "--", "grep", "SigBlk", "/proc/self/status"]));
    assert_eq!(said.split_whitespace().last(), Some("0000000000000000"));
}

#[cfg(target_os = "linux")]
#[test]
fn killed_lease_ends_its_command_and_next_start_settles() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-killed");
    let (mut killed, command) = holding(&machine);
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    until("the command ends", || !is_running(&command));
    assert_eq!(machine.count(), 1, "nobody has given the slot back");
    assert_eq!(done(&machine.config(), &["status"])["slots"][0]["state"], "left");

    let mut next = Holding::start(&machine.config(), &[], "exec sleep 600");
    next.line();
    assert_eq!(machine.count(), 1);
    next.signal("TERM");
    next.code();
    assert_eq!(machine.count(), 0);
    assert_eq!(done(&machine.config(), &["status"])["slots"], json!([]));
}

#[test]
fn release_all_gives_back_what_dead_processes_left() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-release");
    for features in [&[][..], &["--feature", "MESH"]] {
        let mut killed = Holding::start(&machine.config(), features, "exec sleep 600");
        killed.line();
        killed.process.kill().unwrap();
        killed.process.wait().unwrap();
    }
    done(&machine.config(), &["borrow", "--feature", "MESH"]);
    let released = done(&machine.config(), &["release", "--all", "--within", "10s"]);
    assert_eq!(machine.count(), 0);
    assert_eq!(released["left"], json!([]));
    assert_eq!(done(&machine.config(), &["release", "--all"])["released"], json!([]), "nothing is left to do");
}

#[test]
fn release_all_waits_for_process_that_ends() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-release-wait");
    let (holding, _) = holding(&machine);
    let said = say(&machine.config(), &["release", "--all"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.json()["left"][0]["why"], "in_use");
    assert_eq!(machine.count(), 1);

    let mut release = floatlease(&machine.config(), &["release", "--all", "--within", "1h"]);
    let mut release = release.stdout(Stdio::piped()).spawn().unwrap();
    assert!(release.try_wait().unwrap().is_none());
    holding.signal("TERM");
    holding.code();
    assert_eq!(release.wait().unwrap().code(), Some(0));
    assert_eq!(machine.count(), 0);
}

#[test]
fn release_all_without_server_tells_what_is_left() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-release-offline");
    done(&machine.config(), &["borrow"]);
    let offline = with(&machine.config(), json!({ "base_url": NOWHERE }));
    let said = say(&offline, &["release", "--all", "--within", "1s"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.json()["left"][0]["name"], "CONNECT");
    assert!(said.err.contains("The license's own slot is left"), "{}", said.err);
    assert_eq!(machine.count(), 1);
    done(&machine.config(), &["release"]);
    assert_eq!(machine.count(), 0);
}

#[test]
fn release_all_can_keep_borrows() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-release-borrows");
    done(&machine.config(), &["borrow", "--feature", "MESH"]);
    let said = done(&machine.config(), &["release", "--all", "--keep-borrows"]);
    assert_eq!(said["kept"][0]["feature"], "MESH");
    assert_eq!(machine.slots(), [(json!("MESH"), true)]);
}

#[test]
fn borrow_needs_no_server_and_outlives_leases() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-borrow");
    done(&machine.config(), &["borrow", "--feature", "MESH", "--for", "8h"]);
    let offline = with(&machine.config(), json!({ "base_url": NOWHERE }));
    assert_eq!(done(&offline, &["check", "--feature", "MESH"])["state"], "BORROWED");
    assert_eq!(done(&offline, &["status"])["slots"][0]["state"], "borrowed");
    assert_eq!(say(&offline, &["lease", "--feature", "MESH", "--", "true"]).code, 0);
    let both = ["lease", "--feature", "MESH", "--feature", "SOLVER", "--", "true"];
    assert_eq!(say(&machine.config(), &both).code, 0);
    assert_eq!(machine.slots(), [(json!("MESH"), true)]);
    done(&machine.config(), &["release", "--feature", "MESH"]);
    assert_eq!(machine.count(), 0);
}

#[test]
fn release_of_nothing_succeeds() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-nothing");
    let without_folder = with(&machine.config(), json!({ "storage_dir": "" }));
    for config in [machine.config(), without_folder] {
        for arguments in [&["release"][..], &["release", "--feature", "MESH"]] {
            assert_eq!(done(&config, arguments)["released"], json!([]));
        }
    }
}

#[test]
fn slot_of_a_call_is_released_without_a_record() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-call");
    done(&machine.config(), &["call", "check_license"]);
    assert_eq!(machine.count(), 1);
    done(&machine.config(), &["release"]);
    assert_eq!(machine.count(), 0);
}

/// Runs a script on a borrow that ends while no server can be reached. A slow machine needs longer to start.
fn losing(machine: &Machine, options: &[&str], script: &str) -> Holding {
    let offline = with(&machine.config(), json!({ "base_url": NOWHERE }));
    for seconds in [2, 6, 20, 60] {
        done(&machine.config(), &["borrow", "--feature", "MESH", "--for", &format!("{seconds}s")]);
        let mut holding = Holding::start(&offline, &[&["--feature", "MESH"], options].concat(), script);
        if !holding.line().is_empty() {
            return holding;
        }
        holding.code();
    }
    panic!("no command began while a borrow of a minute ran");
}

#[test]
fn lost_license_ends_the_command_if_asked_to() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-loss-stop");
    let holding = losing(&machine, &["--on-loss", "stop"], "exec sleep 600");
    assert_eq!(holding.code(), Some(80), "the category of the reason");
}

#[test]
fn lost_license_leaves_the_command_running() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-loss-warn");
    let script = r#"
        while "$0" status --format json 2>/dev/null | grep -q '"state":"borrowed"'; do sleep 0.1; done
        exit 9
    "#;
    let script = script.replace("$0", command_line_binary().to_str().unwrap());
    assert_eq!(losing(&machine, &[], &script).code(), Some(9), "it has ended by itself");
}

#[test]
fn queued_consumption_is_booked_later() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-consume");
    let config = with(&machine.config(), json!({ "license_key": demo.text("consumption_license_key") }));
    done(&config, &["call", "activate_license"]);
    assert_eq!(done(&config, &["consume", "3"])["total_consumptions"], 3);
    assert_eq!(done(&config, &["consume"])["total_consumptions"], 4);
    let offline = with(&config, json!({ "base_url": NOWHERE }));
    assert_eq!(say(&offline, &["consume", "2"]).code, 80);
    assert_eq!(done(&offline, &["consume", "2", "--queue"])["queued"], true);
    assert_eq!(done(&config, &["call", "sync_consumptions"])["booked"], 1);
    assert_eq!(done(&config, &["consume", "--", "-1"])["total_consumptions"], 5);
}

#[test]
fn request_of_call_is_json_pairs_or_standard_input() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-requests");
    for request in [r#"{"feature":"MESH"}"#, "feature=MESH"] {
        assert_eq!(done(&machine.config(), &["call", "check_feature", request])["code"], "MESH");
    }
    let mut call = floatlease(&machine.config(), &["call", "check_feature", "-"]);
    let mut call = call.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    call.stdin.take().unwrap().write_all(br#"{"feature":"MESH"}"#).unwrap();
    assert_eq!(said(&call.wait_with_output().unwrap()).json()["code"], "MESH");
}

#[test]
fn files_of_offline_activation_are_named_by_path() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-offline");
    let config = with(&machine.config(), json!({ "license_key": "CADP-NODE-LOCK-0002" }));
    let folder = Folder::new("cli-offline-files");
    fs::create_dir_all(folder.path()).unwrap();
    let save = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        format!("file={}", path.display())
    };
    let offline = with(&config, json!({ "base_url": NOWHERE }));
    let written = done(&offline, &["call", "write_offline_activation", "schema_version=2"]);
    let request = save("activation.req", written["file"].as_str().unwrap());
    let reply = say(&config, &["call", "activate_offline", &request, "--format", "json"]);
    assert_eq!(reply.code, 0, "{}", reply.err);
    let license = save("license.lic", &reply.out);
    assert_eq!(done(&offline, &["call", "read_offline_activation", &license])["license_key"], "CADP-NODE-LOCK-0002");
    let missing = say(&offline, &["call", "read_offline_activation", "file=/no/such/file"]);
    assert!(missing.err.contains("/no/such/file"), "{}", missing.err);
}

#[test]
fn diagnose_fails_if_a_check_does() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-diagnose");
    assert_eq!(done(&machine.config(), &["diagnose"])["ok"], true);
    let offline = with(&machine.config(), json!({ "base_url": NOWHERE }));
    let said = say(&offline, &["diagnose", "--format", "table"]);
    assert_eq!(said.code, 1);
    let tcp = said.out.lines().find(|line| line.starts_with("tcp ")).unwrap();
    assert!(tcp.contains("failed: CONNECT"), "{tcp}");
}

#[test]
fn reader_that_is_gone_is_no_failure() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-pipe");
    for arguments in [&["check"][..], &["man"], &["completions", "bash"], &["status", "--format", "table"]] {
        let mut process =
            floatlease(&machine.config(), arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.stderr, b"", "{arguments:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
    assert_eq!(machine.count(), 0);
}

#[test]
fn man_page_and_completions_name_each_command() {
    let page = run(&mut bare(&["man"]));
    let completions = run(&mut bare(&["completions", "bash"]));
    let help = run(&mut bare(&["--help"]));
    for name in ["check", "borrow", "release", "consume", "lease", "status", "diagnose", "call"] {
        for text in [&page, &completions, &help] {
            assert!(text.contains(name), "{name}");
        }
    }
    assert!(!help.contains("tethered"), "it is for lease alone");
}

#[test]
fn man_pages_are_written_into_folder() {
    let folder = target_dir().join("cli-man");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    run(bare(&["man", "--dir"]).arg(&folder));
    assert!(folder.join("floatlease.1").exists());
    assert!(folder.join("floatlease-lease.1").exists());
}

#[test]
fn page_tells_each_command_and_variable() {
    let page = read("docs/command-line.md");
    for command in
        ["check", "borrow", "release", "consume", "lease", "status", "diagnose", "call", "completions", "man"]
    {
        assert!(page.contains(&format!("| `{command}")), "{command}");
    }
    for name in ["FLOATLEASE_CONFIG", "FLOATLEASE_CONFIG_FILE", "FLOATLEASE_BASE_URL", DEVICE_VARIABLE] {
        assert!(page.contains(name), "{name}");
    }
}

/// The variable that names the device, which containers need.
const DEVICE_VARIABLE: &str = "FLOATLEASE_HARDWARE_ID";

#[test]
fn device_may_be_named_by_variable() {
    let demo = Demo::start();
    let machine = Machine::new(&demo, "cli-device");
    let config = with(&machine.config(), json!({ "hardware_id": null }));
    let mut command = floatlease(&config, &["status"]);
    let output = command.env(DEVICE_VARIABLE, DEVICE).output().unwrap();
    assert_eq!(said(&output).json()["hardware_id"], DEVICE);
}
