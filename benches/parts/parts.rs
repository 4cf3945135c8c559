//! What the parts cost, each by itself: `cargo bench -p procmgr-parts`.
//!
//! The kept bytes of a stream, the table of keys, a snapshot, and calls through the C interface and the same calls in Rust.
//! What whole commands cost is measured in `compare`.

#![allow(unsafe_code)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

/// The store itself, which the library does not export. It depends on the standard library alone.
#[path = "../../src/output/store.rs"]
#[allow(dead_code)]
mod store;

use std::ffi::CString;
use std::hint::black_box;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::ptr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use procmgr::ffi::*;
use procmgr::{Config, Manager, Process, ReadOptions, Request, Stream};

use store::{Filled, Store};

const HEAD: usize = 16 << 10;
const TAIL: usize = 16 << 10;
/// What a child typically writes at once.
const WRITE: usize = 4 << 10;

fn parts(criterion: &mut Criterion) {
    stores(criterion);
    snapshots(criterion);
    keys(criterion);
    calls(criterion);
}

/// Writes as the reader does, but from memory: measures the book-keeping and the copy that the kernel makes.
fn stores(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    let chunk = [b'x'; WRITE];
    group.throughput(Throughput::Bytes(WRITE as u64));
    let mut store = full_store(&chunk);
    group.bench_function("write 4 KiB, full", |bencher| {
        bencher.iter(|| write(&mut store, &chunk));
    });
    group.throughput(Throughput::Bytes((HEAD + TAIL) as u64));
    group.bench_function("write 32 KiB, new", |bencher| {
        bencher.iter(|| full_store(&chunk));
    });
    group.bench_function("keep 32 KiB", |bencher| bencher.iter(|| store.kept()));
    group.finish();
}

fn full_store(chunk: &[u8]) -> Store {
    let mut store = Store::new(HEAD, TAIL, false);
    while store.total() < (HEAD + TAIL) as u64 {
        write(&mut store, chunk);
    }
    store
}

fn write(store: &mut Store, bytes: &[u8]) {
    let filled = store.fill(false, |pieces: &mut [IoSliceMut<'_>]| {
        let mut done = 0;
        for piece in pieces {
            let count = piece.len().min(bytes.len() - done);
            piece[..count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        Ok(done)
    });
    assert!(matches!(filled, Ok(Filled::Bytes(1..))));
}

/// Of output that has more than is kept.
fn snapshots(criterion: &mut Criterion) {
    let outputs = [
        (
            "usual lines",
            "yes 'a line of output as it is usual, about seventy characters long'",
        ),
        ("one line", "cat /dev/zero"),
        ("short lines", "yes"),
        ("characters of two bytes", "yes ééééééééééééééééééééééééé"),
    ];
    let mut group = criterion.benchmark_group("snapshot of 32 KiB");
    let manager = Manager::open(Config::new()).expect("it opens");
    for (name, command) in outputs {
        let process = run(&manager, &format!("{command} | head -c 100000"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| process.output(Stream::Stdout).expect("it is kept"));
        });
    }
    group.finish();
}

/// What a retry costs that finds its key started, among many others.
fn keys(criterion: &mut Criterion) {
    const OTHERS: usize = 1_000;
    let manager = Manager::open(Config::new()).expect("it opens");
    for number in 0..OTHERS {
        let key = format!("other {number}");
        manager.cancel(key.as_bytes(), None).expect("it is unknown");
    }
    let request = Request::new(":").key("known");
    let process = manager.start(&request).expect("it starts");
    process.wait().expect("it ends");
    let mut group = criterion.benchmark_group("keys");
    group.bench_function("attach", |bencher| {
        bencher.iter(|| {
            let attached = manager.start(&request).expect("it is known");
            assert!(attached.is_attached());
            attached
        });
    });
    group.bench_function("find", |bencher| bencher.iter(|| manager.find(b"known")));
    group.finish();
}

/// The same call in Rust and through C.
fn calls(criterion: &mut Criterion) {
    let command = format!("head -c {WRITE} /dev/zero");
    let manager = Manager::open(Config::new()).expect("it opens");
    let process = run(&manager, &command);
    let face = Face::new(&command);
    let mut buffer = [0; WRITE];

    let mut group = criterion.benchmark_group("inspect");
    group.bench_function("Rust", |bencher| {
        bencher.iter(|| inspect(&manager, &process));
    });
    group.bench_function("C", |bencher| bencher.iter(|| face.inspect()));
    group.finish();

    let mut group = criterion.benchmark_group("read 4 KiB");
    group.bench_function("Rust", |bencher| {
        bencher.iter(|| read(&manager, &process, &mut buffer));
    });
    group.bench_function("C", |bencher| bencher.iter(|| face.read(&mut buffer)));
    group.finish();
    mgr_release(face.manager);
}

fn run(manager: &Manager, command: &str) -> Process {
    let process = manager.start(&Request::new(command)).expect("it starts");
    process.wait().expect("it ends");
    process
}

/// As the C interface does, finds the process by its id first.
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

/// A command that has ended, used through the C interface.
struct Face {
    manager: mgr_t,
    id: mgr_id,
}

impl Face {
    fn new(command: &str) -> Self {
        let mut face = Face {
            manager: 0,
            id: mgr_id { text: [0; 37] },
        };
        let mut request = 0;
        let text = CString::new(command).expect("no NUL");
        // SAFETY: all pointers are to variables of the right types, and the texts end with a NUL.
        unsafe {
            assert_eq!(mgr_open(0, &mut face.manager), MGR_OK);
            assert_eq!(mgr_request_new(text.as_ptr(), &mut request), MGR_OK);
            let started = mgr_start(face.manager, request, &mut face.id, ptr::null_mut());
            assert_eq!(started, MGR_OK);
            let id = face.id.text.as_ptr();
            assert_eq!(mgr_wait(face.manager, id, -1, ptr::null_mut()), MGR_OK);
        }
        mgr_request_free(request);
        face
    }

    fn inspect(&self) {
        let mut process = MaybeUninit::<mgr_process>::zeroed();
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

criterion_group!(benches, parts);
criterion_main!(benches);
