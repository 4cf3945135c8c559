//! What hosts that have ended left behind is ended, and nothing else.

#![allow(unsafe_code)]

mod common;
mod isolated;
mod tools;

use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use common::{FOREVER, eventually, is_alive, open, start, wait_for_line};
use isolated::{Place, become_another_user, in_a_copy, mount, mount_over};
use procmgr::{HOST_VARIABLE, ID_VARIABLE};
use tools::{TIMEOUT, not_tested, run_to_end, tool};

/// The id in the cookies that are made here.
const ID: &str = "00000000-0000-4000-8000-000000000001";

/// Set in a program that sweeps and prints how many processes it has ended.
const SWEEPER: &str = "PROCMGR_TEST_SWEEPER";

/// The number of a namespace of this program; 0 if the kernel has none of this kind.
fn namespace(kind: &str) -> u64 {
    fs::metadata(format!("/proc/self/ns/{kind}")).map_or(0, |file| file.ino())
}

/// The variable that names a host with this pid and start time.
fn host(pid: u32, start_time: u64) -> String {
    let (pids, times) = (namespace("pid"), namespace("time"));
    format!("{ID}:{pids}:{pid}:{start_time}:{times}")
}

/// A host that never existed: this pid, started a tick after the boot.
fn host_that_is_gone() -> String {
    host(std::process::id(), 1)
}

fn start_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit_once(')').expect("a name").1;
    let field = fields.split_whitespace().nth(19).expect("it has 52");
    field.parse().expect("a number")
}

/// A command with the cookie of a host.
fn with_cookie(mut command: Command, host: &str) -> Command {
    command.env(ID_VARIABLE, ID).env(HOST_VARIABLE, host);
    command
}

fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("300");
    command
}

fn start_orphan() -> Child {
    with_cookie(sleep(), &host_that_is_gone())
        .spawn()
        .expect("it starts")
}

fn was_killed(child: &mut Child) -> bool {
    child.wait().expect("it ends").signal() == Some(libc::SIGKILL)
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().expect("it is a child").is_none()
}

#[test]
fn kernel_orphans_are_counted() {
    // In a pid namespace without other orphans and other sweeps.
    in_a_copy(Place::OwnTable, "kernel_orphans_are_counted", || {
        let manager = open();
        let own = start(&manager, "setsid sleep 300 & echo ready; sleep 300");
        wait_for_line(&own, "ready");
        let others = open();
        let other = start(&others, FOREVER);
        assert_eq!(manager.sweep_orphans().expect("it looks"), 0);
        let mut orphans = [start_orphan(), start_orphan()];
        assert_eq!(manager.sweep_orphans().expect("it looks"), 2);
        assert_eq!(manager.sweep_orphans().expect("it looks"), 0);
        assert!(orphans.iter_mut().all(was_killed));
        for process in [own, other] {
            assert!(process.status().expect("it is known").is_running());
        }
    });
}

#[test]
fn kernel_orphans_of_a_host_that_has_ended_are_ended() {
    let mut orphan = start_orphan();
    let manager = open();
    let own = start(&manager, FOREVER);
    // Another process on this system may end them first.
    manager.sweep_orphans().expect("it looks");
    assert!(was_killed(&mut orphan));
    assert!(own.status().expect("it is known").is_running());
}

/// What has wiped its environment is known by the group of an orphan that has not.
#[test]
fn kernel_members_of_the_group_of_an_orphan_are_ended() {
    let test = "kernel_members_of_the_group_of_an_orphan_are_ended";
    // In a pid namespace without other sweeps.
    in_a_copy(Place::OwnTable, test, || {
        let mut command = Command::new("sh");
        command
            .args(["-c", "env -i sleep 300 & echo $!; wait"])
            .process_group(0)
            .stdout(Stdio::piped());
        let mut orphan = with_cookie(command, &host_that_is_gone())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let output = orphan.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let member: u32 = line.trim().parse().expect("a pid");
        let shows = |file: &str| fs::read(format!("/proc/{member}/{file}")).expect("it runs");
        // The shell forks before the member has another environment.
        eventually("it has no cookie", || {
            shows("cmdline").starts_with(b"sleep") && shows("environ").is_empty()
        });
        assert_eq!(open().sweep_orphans().expect("it looks"), 2);
        assert!(was_killed(&mut orphan));
        assert!(!is_alive(member));
    });
}

/// Runs `sweep` in a program of its own: a copy of this one that runs the test again.
fn sweep_if_asked() -> bool {
    let is_asked = std::env::var_os(SWEEPER).is_some();
    if is_asked {
        // It has the cookie of this program.
        let mut child = sleep().spawn().expect("it starts");
        println!("swept {:?}", open().sweep_orphans());
        assert!(is_running(&mut child), "the child lives");
        child.kill().expect("it is a child");
        child.wait().expect("it ends");
    }
    is_asked
}

/// The arguments for a copy of this program that runs one test, which sweeps.
fn sweeper(test: &str) -> [String; 4] {
    let program = std::env::current_exe().expect("the test knows where it is");
    [
        program.to_string_lossy().into_owned(),
        "--exact".into(),
        test.into(),
        "--nocapture".into(),
    ]
}

/// A host can be started by a process of another host, which has ended since.
#[test]
fn kernel_a_sweep_spares_its_own_program_and_its_ancestors() {
    if sweep_if_asked() {
        return;
    }
    let test = "kernel_a_sweep_spares_its_own_program_and_its_ancestors";
    // In a pid namespace without other sweeps.
    in_a_copy(Place::OwnTable, test, || {
        let mut command = Command::new("sh");
        command
            .args(["-c", "\"$@\"; echo the ancestor lives", "sh"])
            .args(sweeper(test))
            .env(SWEEPER, "1");
        let output = run_to_end(with_cookie(command, &host_that_is_gone()), TIMEOUT);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("swept Ok(0)"), "{output:?}");
        assert!(printed.contains("the ancestor lives"), "{output:?}");
    });
}

/// With this option, `/proc` does not show the processes of other users: also not a host.
#[test]
fn a_sweep_spares_the_processes_of_hosts_that_proc_hides() {
    let test = "a_sweep_spares_the_processes_of_hosts_that_proc_hides";
    in_a_copy(Place::OwnTable, test, || {
        let mut hidden = sleep().spawn().expect("it starts");
        let cookie = host(hidden.id(), start_time(hidden.id()));
        mount(c"proc", c"/proc", c"proc", c"hidepid=2").expect("it can be mounted");
        if !become_another_user() {
            hidden.kill().expect("it is a child");
            hidden.wait().expect("it ends");
            return;
        }
        assert!(!fs::exists(format!("/proc/{}", hidden.id())).expect("it answers"));
        let mut process = with_cookie(sleep(), &cookie).spawn().expect("it starts");
        let manager = open();
        assert_eq!(manager.sweep_orphans().expect("it looks"), 0);
        assert!(is_running(&mut process) && is_running(&mut hidden));
    });
}

/// An error is no answer: the host may run.
#[test]
fn a_sweep_spares_the_processes_of_hosts_that_cannot_be_looked_at() {
    let test = "a_sweep_spares_the_processes_of_hosts_that_cannot_be_looked_at";
    in_a_copy(Place::OwnMounts, test, || {
        let mut living = sleep().spawn().expect("it starts");
        let mut process = with_cookie(sleep(), &host(living.id(), start_time(living.id())))
            .spawn()
            .expect("it starts");
        let stat = CString::new(format!("/proc/{}/stat", living.id())).expect("no NUL");
        mount_over(c"/dev/null", &stat).expect("it can be mounted");
        open().sweep_orphans().expect("it looks");
        assert!(is_running(&mut process));
        for child in [&mut living, &mut process] {
            child.kill().expect("it is a child");
            child.wait().expect("it ends");
        }
    });
}

/// There, `/proc` shows other start times.
#[test]
fn a_sweep_spares_the_processes_of_hosts_in_another_time_namespace() {
    if sweep_if_asked() {
        return;
    }
    let test = "a_sweep_spares_the_processes_of_hosts_in_another_time_namespace";
    in_a_copy(Place::OwnTable, test, || {
        let arguments = ["--time", "--boottime", "100000", "--fork"];
        let can = tool("unshare").is_some_and(|unshare| {
            let mut command = Command::new(unshare);
            command.args(arguments).arg("true").stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        });
        if !can {
            return not_tested("there are no other time namespaces here: a sweep in one is");
        }
        let manager = open();
        let process = start(&manager, FOREVER);
        let mut command = Command::new("unshare");
        command
            .args(arguments)
            .args(sweeper(test))
            .env(SWEEPER, "1");
        let output = run_to_end(command, TIMEOUT);
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("swept Ok(0)"), "{output:?}");
        assert!(process.status().expect("it is known").is_running());
    });
}
