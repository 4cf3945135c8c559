//! What a call through the C face costs beside the same call in Rust: `cargo bench --bench face`.
//!
//! The two are run turn by turn in one run, so that what else the machine does falls on both. Prints the median of many
//! turns for each, and the difference.

#![allow(unsafe_code)]

use std::hint::black_box;
use std::ptr;
use std::time::{Duration, Instant};

use procmgr::ffi::*;
use procmgr::{Config, Manager, Process, ReadOptions, Request, Stream};

const TURNS: usize = 2_000;
const CALLS: u32 = 100;

struct Face {
    manager: mgr_t,
    id: mgr_id,
}

fn main() {
    let (face, rust, process) = setup();
    row("inspect", || inspect(&rust, &process), || face.inspect());
    let mut buffer = [0u8; 4096];
    let mut other = [0u8; 4096];
    row(
        "read 4 KiB",
        || read(&rust, &process, &mut buffer),
        || face.read(&mut other),
    );
    mgr_release(face.manager);
}

/// The same command, ended, in two managers: 4 KiB of output.
fn setup() -> (Face, Manager, Process) {
    let command = "head -c 4096 /dev/zero";
    let rust = Manager::open(Config::new()).expect("it opens");
    let process = rust.start(&Request::new(command)).expect("it starts");
    process.wait().expect("it ends");

    let mut face = Face {
        manager: 0,
        id: mgr_id { text: [0; 37] },
    };
    let mut request = 0;
    let text = std::ffi::CString::new(command).expect("no NUL");
    // SAFETY: all pointers are to variables of the right types, and the text ends with a NUL.
    unsafe {
        assert_eq!(mgr_open(0, &mut face.manager), MGR_OK);
        assert_eq!(mgr_request_new(text.as_ptr(), &mut request), MGR_OK);
        let started = mgr_start(face.manager, request, &mut face.id, ptr::null_mut());
        assert_eq!(started, MGR_OK);
        let id = face.id.text.as_ptr();
        assert_eq!(mgr_wait(face.manager, id, -1, ptr::null_mut()), MGR_OK);
    }
    (face, rust, process)
}

/// What the C face does too: it finds the process by its id.
fn inspect(manager: &Manager, process: &Process) {
    let found = manager.get(process.id()).expect("it is there");
    black_box(found.status().expect("a status"));
}

fn read(manager: &Manager, process: &Process, buffer: &mut [u8]) {
    let found = manager.get(process.id()).expect("it is there");
    let chunk = found.read(Stream::Stdout, 0, buffer, None, ReadOptions::default());
    assert_eq!(chunk.expect("a chunk").length, buffer.len());
    black_box(buffer);
}

impl Face {
    fn inspect(&self) {
        let mut process = std::mem::MaybeUninit::<mgr_process>::zeroed();
        // SAFETY: zeroes are a valid mgr_process, whose size is then set; the id ends with a NUL.
        unsafe {
            (*process.as_mut_ptr()).struct_size = size_of::<mgr_process>();
            let code = mgr_inspect(self.manager, self.id.text.as_ptr(), process.as_mut_ptr());
            assert_eq!(code, MGR_OK);
            black_box(process.assume_init());
        }
    }

    fn read(&self, buffer: &mut [u8]) {
        let (mut cursor, mut length) = (0, 0);
        // SAFETY: all pointers are to variables of the right types, the buffer has its length, the id ends with a NUL.
        let code = unsafe {
            mgr_read(
                self.manager,
                self.id.text.as_ptr(),
                MGR_STDOUT,
                &mut cursor,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut length,
                ptr::null_mut(),
                -1,
            )
        };
        assert_eq!((code, length), (MGR_OK, buffer.len()));
        black_box(buffer);
    }
}

/// One row: both ways, turn by turn.
fn row(name: &str, mut rust: impl FnMut(), mut face: impl FnMut()) {
    let (mut in_rust, mut through_face) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        in_rust.push(turn(&mut rust));
        through_face.push(turn(&mut face));
    }
    let (rust, face) = (median(in_rust), median(through_face));
    println!(
        "{name:12} {rust:8.1} ns in Rust {face:8.1} ns through C {:8.1} ns more",
        face - rust
    );
}

fn turn(call: &mut impl FnMut()) -> Duration {
    let begun = Instant::now();
    (0..CALLS).for_each(|_| call());
    begun.elapsed() / CALLS
}

/// In nanoseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_nanos() as f64
}
