//! The library's threads are scheduled as the process is, whichever thread of the host has started them.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use libc::{SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_OTHER, SCHED_RR, c_int, pid_t};
use serde_json::{Value, json};
use std::mem::{size_of, zeroed};
use std::path::PathBuf;
use std::process::Command;
use support::{Demo, run, tool};

/// The class, the nice value and the processors of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scheduling {
    class: c_int,
    nice: c_int,
    processors: Vec<usize>,
}

/// `None` if the thread has ended.
fn scheduling_of(thread: pid_t) -> Option<Scheduling> {
    let id = thread.try_into().unwrap();
    // SAFETY: the set is as long as is said, and is written during the call. The others take no pointer.
    let (class, nice, set) = unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        if libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return None;
        }
        (libc::sched_getscheduler(thread), libc::getpriority(libc::PRIO_PROCESS, id), set)
    };
    // SAFETY: each number is below the size of the set.
    let processors = (0..1024).filter(|processor| unsafe { libc::CPU_ISSET(*processor, &set) }).collect();
    (class >= 0).then_some(Scheduling { class, nice, processors })
}

/// The scheduling of the process, for which its main thread stands.
fn of_process() -> Scheduling {
    scheduling_of(std::process::id().try_into().unwrap()).unwrap()
}

/// Changes the calling thread. Returns false if the system does not allow it to this user.
fn schedule_here(class: c_int, nice: c_int, processor: usize) -> bool {
    let is_real_time = [SCHED_FIFO, SCHED_RR].contains(&class);
    // SAFETY: both structures are read during the calls.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        libc::CPU_SET(processor, &mut set);
        let mut priority: libc::sched_param = zeroed();
        priority.sched_priority = if is_real_time { 50 } else { 0 };
        assert_eq!(libc::setpriority(libc::PRIO_PROCESS, 0, nice), 0);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
            && libc::sched_setscheduler(0, class, &raw const priority) == 0
    }
}

/// The scheduling of each thread of the library in this process.
fn of_library() -> Vec<Scheduling> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    // A thread may end at any time.
    let is_ours =
        |task: &PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("floatlease"));
    let ids = tasks.filter(is_ours).map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap());
    ids.filter_map(scheduling_of).collect()
}

/// One test, because the threads belong to the whole process.
#[test]
fn thread_takes_no_class_and_no_processor_of_its_starter() {
    let demo = Demo::start();
    let of_process = of_process();
    assert_eq!(of_process.class, SCHED_OTHER, "the test expects an ordinary process");
    let processor = *of_process.processors.last().unwrap();
    for (class, nice) in [(SCHED_BATCH, of_process.nice), (SCHED_IDLE, 5), (SCHED_FIFO, 0), (SCHED_RR, -5)] {
        let is_privileged = class != SCHED_BATCH;
        // SAFETY: the call takes nothing.
        if is_privileged && unsafe { libc::geteuid() } != 0 {
            continue;
        }
        let of_threads = std::thread::scope(|scope| {
            let host = || {
                assert!(schedule_here(class, nice, processor), "class {class}");
                let client = demo.client("host");
                client.call("activate_license", &Value::Null).ok();
                let (lease, _) = client.acquire(&Value::Null);
                client.submit("check_license", &Value::Null).unwrap();
                client.wait_for("COMPLETED");
                let of_threads = of_library();
                lease.release().ok();
                client.close();
                while !of_library().is_empty() {
                    std::thread::yield_now();
                }
                of_threads
            };
            scope.spawn(host).join().unwrap()
        });
        assert!(of_threads.len() >= 2, "class {class}: the main thread and one for the submitted call");
        for of_thread in of_threads {
            assert_eq!(of_thread, of_process, "class {class}");
        }
    }
}

/// Prints how the threads of the library are scheduled, for [`thread_keeps_what_is_set_for_the_process`].
#[test]
#[ignore = "run by another test"]
fn print_scheduling() {
    let demo = Demo::start();
    let client = demo.client("host");
    client.call("activate_license", &Value::Null).ok();
    let _lease = client.acquire(&json!({}));
    let of_threads = of_library();
    assert_eq!(of_threads.len(), 1);
    let Scheduling { class, nice, processors } = &of_threads[0];
    std::fs::write(std::env::var("FLOATLEASE_TEST_REPORT").unwrap(), format!("{class} {nice} {processors:?}")).unwrap();
}

#[test]
fn thread_keeps_what_is_set_for_the_process() {
    let processor = *of_process().processors.last().unwrap();
    let report = support::target_dir().join(format!("scheduling.{}", std::process::id()));
    let mut command: Command = tool("taskset");
    command.args(["-c", &processor.to_string(), "nice", "-n", "3", "chrt", "-b", "0"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", "print_scheduling", "--ignored"]);
    run(command.env("FLOATLEASE_TEST_REPORT", &report));
    let told = std::fs::read_to_string(&report).unwrap();
    std::fs::remove_file(report).unwrap();
    let nice = of_process().nice + 3;
    assert_eq!(told, format!("{SCHED_BATCH} {nice} {:?}", [processor]));
}
