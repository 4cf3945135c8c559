//! Starting is the same with each start method: directory, environment, search of `PATH`, argv[0], and
//! the errors of failed starts.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use procmgr::{
    Config, Environment, Error, ID_VARIABLE, Manager, Process, Request, StartMethod, State, Step,
};

mod common;
use common::{start_request, text, wait};

/// Runs a test with each way of starting; the manager's other options are the test's.
fn in_every_way(test: impl Fn(Config) + Sync) {
    for (name, method, blocked) in [
        ("automatic", StartMethod::Automatic, false),
        ("automatic, signals blocked", StartMethod::Automatic, true),
        ("std", StartMethod::Std, false),
    ] {
        eprintln!("{name}:");
        let test = &test;
        thread::scope(|scope| {
            // The mask belongs to the thread.
            scope.spawn(move || {
                if blocked {
                    block_a_signal();
                }
                test(Config::new().start_method(method));
            });
        });
    }
}

fn block_a_signal() {
    // SAFETY: all zeroes is a valid set, which sigemptyset then makes an empty one; a null old set is
    // not written.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

fn open(config: Config) -> Manager {
    Manager::open(config).expect("a manager")
}

/// Runs a request to its end, and returns its output.
fn output(manager: &Manager, request: &Request) -> String {
    let process = start_request(manager, request);
    assert_eq!(wait(&process).state, State::Exited(0), "{}", text(&process));
    text(&process)
}

/// The step and the error number of a start that fails.
fn failure(manager: &Manager, request: &Request) -> (Step, i32) {
    let error = manager.start(request).expect_err("it cannot be started");
    match (error.step(), error.os_error()) {
        (Some(step), Some(number)) => (step, number),
        _ => panic!("no failed start: {error}"),
    }
}

/// A directory with files for the tests. Made by another program, because a file that is open for
/// writing in the child of another thread's fork cannot be executed.
fn things(script: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(&directory)
        .status();
    assert!(made.expect("a shell").success());
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
    directory
}

/// The manager's directory is checked only after a start in it has failed.
#[test]
fn kernel_a_directory_that_comes_and_goes() {
    let things = things("");
    let root = things.path().canonicalize().expect("it is there");
    in_every_way(|config| {
        let place = root.join("place");
        let manager = open(config.clone().directory(&place));
        for round in 0..3 {
            let is_there = round % 2 == 1;
            if is_there {
                fs::create_dir(&place).expect("room");
            }
            for _ in 0..2 {
                let process = start_request(&manager, &Request::new("pwd -P"));
                let reported = wait(&process).directory().to_owned();
                assert_eq!(reported == place, is_there);
                assert_eq!(text(&process), format!("{}\n", reported.display()));
            }
            if is_there {
                fs::remove_dir(&place).expect("it is empty");
            }
        }
        // So does a search that is relative to it.
        let searched = |manager: &Manager| {
            let request = Request::program("sh").variable("PATH", "../../../../bin");
            let request = request.argument("-c").argument("pwd -P");
            wait(&start_request(manager, &request)).state
        };
        let other = open(config.directory(&place));
        assert_eq!(searched(&other), State::Exited(0));
        // The request's directory is used, or the start fails.
        let given = Request::new("pwd -P").directory(&place);
        let error = manager.start(&given).expect_err("it is gone");
        assert!(matches!(error, Error::Spawn { step, .. } if step == Step::Directory));
    });
}

#[test]
fn kernel_the_directory() {
    let things = things("mkdir a 'b c'; ln -s a link; : > file");
    let root = things.path().canonicalize().expect("it is there");
    in_every_way(|config| {
        let manager = open(config.clone().directory(root.join("a")));
        for (directory, real) in [("b c", "b c"), ("link", "a"), ("a/../b c", "b c")] {
            let request = Request::new("pwd -P").directory(root.join(directory));
            let process = start_request(&manager, &request);
            let status = wait(&process);
            assert_eq!(status.directory(), root.join(directory));
            assert_eq!(text(&process), format!("{}\n", root.join(real).display()));
        }
        let of_manager = output(&manager, &Request::new("pwd -P"));
        assert_eq!(of_manager, format!("{}\n", root.join("a").display()));
        // One that is not a directory is skipped.
        let elsewhere = open(config.directory(root.join("file")));
        let process = start_request(&elsewhere, &Request::new("pwd -P"));
        assert_ne!(wait(&process).directory(), root.join("file"));
        assert_eq!(
            text(&process),
            format!("{}\n", wait(&process).directory().display())
        );
        // A relative one is relative to the host's.
        let request = Request::program("pwd").argument("-P").directory(".");
        let own = std::env::current_dir().expect("we have one");
        let own = own.canonicalize().expect("it is there");
        assert_eq!(output(&manager, &request), format!("{}\n", own.display()));
    });
}

#[test]
fn the_environment() {
    let mut base = Environment::new();
    base.insert("PATH".into(), "/usr/bin:/bin".into());
    base.insert("BASE".into(), "1".into());
    base.insert("EMPTY".into(), "".into());
    let odd = OsString::from_vec(vec![b'\n', 0xff, b'=', b' ']);
    in_every_way(|config| {
        let manager = open(config.environment(base.clone()).owner_variable("OWNER"));
        let request = Request::program("env")
            .argument("-0")
            .variable("BASE", "2")
            .variable("ODD", &odd)
            .owner("me");
        let process = start_request(&manager, &request);
        wait(&process);
        let mut bytes = vec![0; 4096];
        let chunk = process.read(
            procmgr::Stream::Stdout,
            0,
            &mut bytes,
            None,
            Default::default(),
        );
        bytes.truncate(chunk.expect("a read").length);
        let variables = bytes.split(|byte| *byte == 0).filter_map(|variable| {
            let at = variable.iter().position(|byte| *byte == b'=')?;
            Some((variable[..at].to_vec(), variable[at + 1..].to_vec()))
        });
        let mut variables: BTreeMap<Vec<u8>, Vec<u8>> = variables.collect();
        let id = variables.remove(ID_VARIABLE.as_bytes());
        assert_eq!(id, Some(process.id().to_string().into_bytes()));
        variables.remove(procmgr::HOST_VARIABLE.as_bytes());
        variables.remove(procmgr::OWNER_VARIABLE.as_bytes());
        variables.remove(procmgr::ANCESTORS_VARIABLE.as_bytes());
        let expected = [
            ("PATH", b"/usr/bin:/bin".as_slice()),
            ("BASE", b"2"),
            ("EMPTY", b""),
            ("ODD", odd.as_bytes()),
            ("OWNER", b"me"),
        ];
        let expected = expected.map(|(name, value)| (name.into(), value.to_vec()));
        assert_eq!(variables, BTreeMap::from(expected));
    });
}

#[test]
fn the_search_of_path() {
    let things = things(
        "sh=$(command -v sh)
         mkdir -p bin other refused/tool plain broken
         ln -s $sh bin/tool; ln -s $sh other/tool; ln -s $sh tool
         : > plain/tool; chmod 644 plain/tool; ln -s nowhere broken/tool",
    );
    let root = things.path().canonicalize().expect("it is there");
    let at = |entry: &str| root.join(entry).display().to_string();
    // Whichever is found, argv[0] is the requested name.
    let tool = |path: &str| {
        Request::program("tool")
            .arguments(["-c", "tr '\\0' '\\n' </proc/$$/cmdline | head -n 1"])
            .variable("PATH", path.to_owned() + ":/usr/bin:/bin")
            .directory(&root)
    };
    in_every_way(|config| {
        let manager = open(config);
        let absolute = at("bin");
        let after_missing = at("missing") + ":" + &at("bin");
        let after_directory = at("refused") + ":" + &at("bin");
        let after_refused = at("plain") + ":" + &at("other");
        let after_broken = at("broken") + ":" + &at("other");
        for path in [
            &absolute,
            &after_missing,
            &after_directory,
            &after_refused,
            &after_broken,
            "bin",
            "./bin",
            "missing:other",
            "",
            ".",
            "missing:",
            ":missing",
        ] {
            assert_eq!(output(&manager, &tool(path)), "tool\n", "PATH {path:?}");
        }
        let searched = |path: &str| {
            let request = Request::program("tool").variable("PATH", path);
            failure(&manager, &request.directory(&root))
        };
        let not_found = (Step::Execute, libc::ENOENT);
        let refused = (Step::Execute, libc::EACCES);
        assert_eq!(searched("missing:/usr/bin"), not_found);
        // A directory is no program.
        assert_eq!(searched(&at("refused")), not_found);
        assert_eq!(searched(&at("broken")), not_found);
        assert_eq!(searched(&at("plain")), refused);
        assert_eq!(searched(&(at("plain") + ":" + &at("missing"))), refused);

        // The new process's PATH counts, not the host's. Without one there is a default.
        let bare = Config::new().environment(Environment::new());
        let manager = open(bare);
        assert_eq!(output(&manager, &Request::program("true")), "");
        let request = Request::program("true").variable("PATH", at("other"));
        assert_eq!(failure(&manager, &request), not_found);
        // A name with a slash is not searched for, and is relative to the new directory.
        let request = Request::program("bin/tool").arguments(["-c", "echo here"]);
        assert_eq!(output(&manager, &request.directory(&root)), "here\n");
    });
}

#[test]
fn the_first_of_several_is_taken() {
    let things = things("mkdir a b; ln -s /bin/echo a/tool; ln -s /bin/true b/tool");
    in_every_way(|config| {
        let manager = open(config);
        let tool = |path| {
            let request = Request::program("tool").argument("said");
            output(
                &manager,
                &request.variable("PATH", path).directory(things.path()),
            )
        };
        assert_eq!(tool("a:b"), "said\n");
        assert_eq!(tool("b:a"), "");
    });
}

#[test]
fn the_name_that_it_is_called_by() {
    in_every_way(|config| {
        let manager = open(config);
        let own = "tr '\\0' ' ' </proc/$$/cmdline";
        for name in ["sh", "/bin/sh", "/bin/../bin/sh"] {
            let request = Request::program(name).arguments(["-c", own, "zero", "", "a b"]);
            let shown = output(&manager, &request);
            assert_eq!(shown, format!("{name} -c {own} zero  a b "));
        }
        let request = Request::new("printf '%s|' \"$0\" \"$@\"").arguments(["zero", "", "a b"]);
        assert_eq!(output(&manager, &request), "zero||a b|");
    });
}

#[test]
fn kernel_what_a_failed_start_says() {
    let things = things(
        "printf '#!/no/such/interpreter\\n' > lost; printf 'echo no\\n' > bare; chmod 755 lost bare
         printf '#!/bin/sh\\n' > refused; chmod 644 refused; mkdir directory; : > empty; chmod 755 empty
         ln -s loop loop",
    );
    let at = |name: &str| things.path().join(name);
    let program = |name: &str| Request::program(at(name));
    let argument = "x".repeat(131_071);
    let directory = |name: &str| Request::new(":").directory(at(name));
    let cases = [
        (directory("missing"), Step::Directory, libc::ENOENT),
        (directory("refused"), Step::Directory, libc::ENOTDIR),
        (directory("refused/below"), Step::Directory, libc::ENOTDIR),
        (directory("loop"), Step::Directory, libc::ELOOP),
        (program("missing"), Step::Execute, libc::ENOENT),
        (program("directory"), Step::Execute, libc::EACCES),
        (program("refused"), Step::Execute, libc::EACCES),
        (program("refused/below"), Step::Execute, libc::ENOTDIR),
        (program("loop"), Step::Execute, libc::ELOOP),
        (program("lost"), Step::Execute, libc::ENOENT),
        (program("bare"), Step::Execute, libc::ENOEXEC),
        (program("empty"), Step::Execute, libc::ENOEXEC),
        (
            Request::program("no-such-program"),
            Step::Execute,
            libc::ENOENT,
        ),
        // Both wrong: the directory comes first.
        (
            program("missing").directory(at("missing")),
            Step::Directory,
            libc::ENOENT,
        ),
        // More in total than the kernel accepts, each of maximum length.
        (
            Request::program("/bin/true").arguments(std::iter::repeat_n(argument, 60)),
            Step::Execute,
            libc::E2BIG,
        ),
    ];
    in_every_way(|config| {
        let manager = open(config);
        for (request, step, number) in &cases {
            let error = failure(&manager, request);
            assert_eq!(error, (*step, *number), "{:?}", shown(request));
            assert_eq!(manager.list(None).expect("a list").total, 0);
        }
        assert_eq!(output(&manager, &Request::new("echo on")), "on\n");
        // They name the cause.
        let error = manager.start(&cases[0].0).expect_err("no directory");
        assert!(
            error
                .to_string()
                .contains(&at("missing").display().to_string())
        );
    });
}

fn shown(request: &Request) -> String {
    format!("{request:?}").chars().take(200).collect()
}

#[test]
fn a_shell_that_is_not_there() {
    let things = things(": > plain; ln -s \"$(command -v sh)\" shell");
    in_every_way(|config| {
        for (shell, number) in [
            ("missing", libc::ENOENT),
            ("plain", libc::EACCES),
            (".", libc::EACCES),
        ] {
            let manager = open(config.clone().shell(things.path().join(shell)));
            let error = manager.start(&Request::new("echo no")).expect_err(shell);
            assert_eq!(
                (error.step(), error.os_error()),
                (Some(Step::Execute), Some(number))
            );
            assert!(matches!(error, Error::Spawn { .. }));
            // What needs no shell starts.
            assert_eq!(output(&manager, &Request::program("true")), "");
        }
        let manager = open(config.clone().shell(things.path().join("shell")));
        assert_eq!(output(&manager, &Request::new("echo yes")), "yes\n");
    });
}

/// Set in the copy of this program that drops root's rights.
const WITHOUT_RIGHTS: &str = "PROCMGR_TEST_WITHOUT_RIGHTS";

#[test]
fn kernel_without_permission() {
    let Some(directory) = std::env::var_os(WITHOUT_RIGHTS) else {
        let things = things(
            "mkdir closed open; chmod 755 open; ln -s \"$(command -v sh)\" closed/tool
             : > open/tool; chmod 744 open/tool",
        );
        for (name, mode) in [("closed", 0o600), ("open", 0o755)] {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(things.path().join(name), mode).expect("it is ours");
        }
        let program = std::env::current_exe().expect("the test knows where it is");
        let output = Command::new(program)
            .args(["--exact", "kernel_without_permission", "--nocapture"])
            .env(WITHOUT_RIGHTS, things.path())
            .output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        return;
    };
    let root = Path::new(&directory);
    // SAFETY: these take numbers, and setgroups reads no memory for zero groups. 65534 is the user
    // `nobody` by convention.
    unsafe {
        if libc::getuid() == 0 {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setgid(65_534), 0);
            assert_eq!(libc::setuid(65_534), 0);
        } else {
            eprintln!("note: not root: the files are our own");
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(root.join("open/tool"), mode).expect("it is ours");
        }
    }
    // That user may have no access to the working directory.
    std::env::set_current_dir("/").expect("there is a root");
    in_every_way(|config| {
        let manager = open(config.directory("/"));
        let refused = |step| (step, libc::EACCES);
        let closed = root.join("closed");
        let request = Request::new(":").directory(&closed);
        assert_eq!(failure(&manager, &request), refused(Step::Directory));
        let request = Request::new(":").directory(closed.join("below"));
        assert_eq!(failure(&manager, &request), refused(Step::Directory));
        for program in [closed.join("tool"), root.join("open/tool")] {
            let request = Request::program(program);
            assert_eq!(failure(&manager, &request), refused(Step::Execute));
        }
        let request = Request::program("tool").variable("PATH", root.join("open"));
        assert_eq!(failure(&manager, &request), refused(Step::Execute));
        assert_eq!(output(&manager, &Request::new("echo on")), "on\n");
    });
}

/// A start that was refused has not run anything.
#[test]
fn kernel_what_failed_has_not_run() {
    let things = things(":");
    let file = things.path().join("file");
    in_every_way(|config| {
        let manager = open(config);
        let command = format!("echo ran >> {}", file.display());
        let request = Request::new(command.as_str()).directory("/no/such/directory");
        assert!(manager.start(&request).is_err());
        let process: Process = start_request(&manager, &Request::new("wait"));
        wait(&process);
        assert!(!file.exists());
    });
}
