//! For tests that change their whole program, or its view of the system, and so would break other tests
//! in it. Each runs in a copy of the test program.

// Each test binary uses some of this.
#![allow(dead_code)]

use std::ffi::CStr;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::ptr;

use super::tools::{TIMEOUT, not_tested, run_to_end};

/// The variable that tells a copy of the program which test it runs.
const COPY: &str = "PROCMGR_TEST_COPY_OF";

/// What a copy does not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its own limits, directory, user and children.
    Here,
    /// Also its own mounts.
    OwnMounts,
    /// Also its own pid namespace. Its `/proc` still shows the outer one.
    OwnPids,
    /// Also its own `/proc`.
    OwnTable,
}

/// Runs `work` in a copy of this program that runs this test only. Reports a skip if such a place
/// cannot be made.
pub(crate) fn in_a_copy(place: Place, test: &str, work: impl FnOnce()) {
    if std::env::var_os(COPY).is_some_and(|copy| copy == test) {
        put_back_faults();
        work();
        return;
    }
    let mut command = Command::new(std::env::current_exe().expect("the test knows where it is"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(COPY, test)
        // One heap with room for all small allocations: only large ones and stacks are mapped.
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TOP_PAD_", (16 << 20).to_string());
    for variable in [
        procmgr::ID_VARIABLE,
        procmgr::HOST_VARIABLE,
        procmgr::OWNER_VARIABLE,
        procmgr::ANCESTORS_VARIABLE,
    ] {
        command.env_remove(variable);
    }
    // SAFETY: the function only makes system calls, all of them async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(reset_inherited_state) };
    if place != Place::Here {
        if let Err(error) = has_place(place) {
            return not_tested(&format!(
                "{test}: there can be no {place:?} here ({error}), so that it is"
            ));
        }
        // SAFETY: the function only makes system calls, all of them async-signal-safe, and allocates
        // nothing.
        unsafe { command.pre_exec(move || take_place(place)) };
    }
    let output = run_to_end(command, TIMEOUT);
    let said = String::from_utf8_lossy(&output.stderr);
    for note in said.lines().filter(|line| line.starts_with("note: ")) {
        // The test runner hides what a successful test prints, but not this.
        let _ = writeln!(io::stderr(), "{note}");
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    assert!(
        output.status.success() && printed.contains("1 passed"),
        "the copy of {test}: {}\n{printed}\n{said}",
        output.status
    );
}

/// The signals of bad memory accesses.
const FAULTS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// If these signals are not at their default action, the standard library installs no handlers for
/// them, as in a host that is not a Rust program. With handlers it maps memory at the start of each
/// thread, and aborts if that fails.
///
/// A copy does not inherit descriptors that the caller of the tests has left open either.
fn reset_inherited_state() -> io::Result<()> {
    // SAFETY: takes numbers.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    for signal in FAULTS {
        // SAFETY: takes two numbers.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(())
}

fn put_back_faults() {
    for signal in FAULTS {
        // SAFETY: takes two numbers.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Whether a place of this kind can be made.
fn has_place(place: Place) -> io::Result<()> {
    let mut trial = Command::new("/bin/true");
    // SAFETY: the function only makes system calls, all of them async-signal-safe, and allocates nothing.
    unsafe { trial.pre_exec(move || take_place(place)) };
    let status = trial.status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{status}"))),
    }
}

/// Called in a child before its exec: moves it into the place.
fn take_place(place: Place) -> io::Result<()> {
    let namespaces = match place {
        Place::Here => return Ok(()),
        Place::OwnMounts => libc::CLONE_NEWNS,
        Place::OwnPids | Place::OwnTable => libc::CLONE_NEWNS | libc::CLONE_NEWPID,
    };
    // SAFETY: unshare takes a number, prctl numbers, and mount texts that end with a NUL, or none.
    unsafe {
        check(libc::unshare(namespaces))?;
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        let none = ptr::null();
        check(libc::mount(none, c"/".as_ptr(), none, flags, none.cast()))?;
    }
    if place != Place::OwnMounts {
        // The first process of the pid namespace adopts all orphans, so the test runs in another one.
        continue_in_child(false)?;
        if place == Place::OwnTable {
            mount(c"proc", c"/proc", c"proc", c"")?;
        }
        continue_in_child(true)?;
    }
    Ok(())
}

/// Continues in a child, which ends with this process. This process waits for the child and ends as it
/// does. If `all`, it reaps every other child meanwhile.
fn continue_in_child(all: bool) -> io::Result<()> {
    // SAFETY: only system calls follow; the child of a fork may make them, and the pointers are to
    // valid memory.
    unsafe {
        let child = check(libc::fork())?;
        if child == 0 {
            // Only needed without a pid namespace, which ends with its first process.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            return Ok(());
        }
        // Close the inherited descriptors: the parent waits on one for the exec, and on another for the
        // end of the output.
        libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0);
        let target = if all { -1 } else { child };
        let mut status = 0;
        loop {
            let ended = libc::waitpid(target, &mut status, 0);
            if ended == child {
                break;
            }
            if ended == -1 && *libc::__errno_location() != libc::EINTR {
                libc::_exit(99);
            }
        }
        let status = std::process::ExitStatus::from_raw(status);
        libc::_exit(status.code().unwrap_or(100 + status.signal().unwrap_or(0)))
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Mounts a file system; allocates nothing.
pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, options: &CStr) -> io::Result<()> {
    // SAFETY: all texts end with a NUL.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            0,
            options.as_ptr().cast(),
        )
    })
    .map(drop)
}

/// Mounts a file or directory over another one.
pub(crate) fn mount_over(source: &CStr, target: &CStr) -> io::Result<()> {
    // SAFETY: all texts end with a NUL; the others may be missing.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            ptr::null(),
            libc::MS_BIND,
            ptr::null(),
        )
    })
    .map(drop)
}

/// Unmounts lazily, also while a process uses the mount.
pub(crate) fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: the text ends with a NUL.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// Changes to a user that no other process has, so that all resources counted for this user are ours;
/// without rights, home and name. Returns false and reports a skip if that is not allowed.
pub(crate) fn become_another_user() -> bool {
    let user = 100_000 + std::process::id();
    // SAFETY: these take numbers, and setgroups no memory for no groups.
    let changed = unsafe {
        libc::setgroups(0, ptr::null()) == 0 && libc::setgid(user) == 0 && libc::setuid(user) == 0
    };
    if !changed {
        not_tested("another user cannot be had here: what only befalls users without rights is");
    }
    // The user may not have access to the working directory.
    std::env::set_current_dir("/").expect("there is a root");
    changed
}
