//! Events: each subscriber gets each event once, in order, and none of other owners; no thread waits
//! for a subscriber; a watch follows a stream; the descriptor works in a host's own loop.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use procmgr::{Config, EndedBy, Error, Event, Events, Id, MAX_EVENTS, Manager, ReadOptions};
use procmgr::{ReadState, Request, State, Stream};

mod common;
use common::wait_for_line;
use common::{FOREVER, TIMEOUT, eventually, in_time, open, start, start_request, wait};

fn next(events: &Events) -> Event {
    let event = events.next(Some(TIMEOUT)).expect("it is open");
    event.expect("an event in time")
}

fn none(events: &Events) {
    assert_eq!(events.next(Some(Duration::ZERO)).expect("it is open"), None);
}

/// The next events, sorted.
fn next_sorted(events: &Events, count: usize) -> Vec<String> {
    let mut names: Vec<_> = (0..count).map(|_| format!("{:?}", next(events))).collect();
    names.sort();
    names
}

fn sorted<const N: usize>(events: [Event; N]) -> Vec<String> {
    let mut names: Vec<_> = events.iter().map(|event| format!("{event:?}")).collect();
    names.sort();
    names
}

/// Whether the descriptor becomes readable within the timeout.
#[allow(unsafe_code)]
fn is_readable(descriptor: BorrowedFd<'_>, timeout: Duration) -> bool {
    let mut entry = libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = libc::c_int::try_from(timeout.as_millis()).expect("a short time");
    // SAFETY: the pointer is to one entry, which lives through the call, and its descriptor is borrowed.
    let ready = unsafe { libc::poll(&mut entry, 1, timeout) };
    assert!(ready >= 0);
    ready == 1 && entry.revents & libc::POLLIN != 0
}

fn is_readable_now(events: &Events) -> bool {
    is_readable(events.descriptor().expect("a descriptor"), Duration::ZERO)
}

/// A command that waits until the file is there.
fn until(file: &Path) -> String {
    format!("until [ -e '{}' ]; do sleep 0.01; done", file.display())
}

#[test]
fn a_process_is_started_and_ends_and_its_output_is_closed() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    none(&events);
    let id = start(&manager, "echo x; exit 3").id();
    assert_eq!(next(&events), Event::Started(id));
    let expected = sorted([Event::Ended(id), Event::OutputClosed(id)]);
    assert_eq!(next_sorted(&events, 2), expected);
    none(&events);
    // The status agrees with the event.
    let process = manager.get(id).expect("it is known");
    let status = process.status().expect("a status");
    assert_eq!(
        (status.state, status.output_open),
        (State::Exited(3), false)
    );
    assert_eq!(common::text(&process), "x\n");
}

#[test]
fn kernel_an_end_and_the_end_of_the_output_are_two_events() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let go = place.path().join("go");
    let events = manager.events().expect("a subscription");

    let id = start(&manager, &format!("({}) & exit 0", until(&go))).id();
    assert_eq!(
        [next(&events), next(&events)],
        [Event::Started(id), Event::Ended(id)]
    );
    none(&events);
    fs::write(&go, "").expect("a file");
    assert_eq!(next(&events), Event::OutputClosed(id));

    let process = start(&manager, &format!("exec >&- 2>&-; exec {FOREVER}"));
    let id = process.id();
    assert_eq!(
        [next(&events), next(&events)],
        [Event::Started(id), Event::OutputClosed(id)]
    );
    none(&events);
    process.stop(Duration::ZERO).expect("a stop");
    assert_eq!(next(&events), Event::Ended(id));

    // Of two streams the last one counts.
    let command = format!("exec 2>&-; echo closed; exec {FOREVER}");
    let process = start_request(&manager, &Request::new(command).separate_streams(true));
    wait_for_line(&process, "closed");
    assert_eq!(next(&events), Event::Started(process.id()));
    let mut buffer = [0; 8];
    let options = ReadOptions::default();
    let errors = process.read(Stream::Stderr, 0, &mut buffer, Some(TIMEOUT), options);
    assert_eq!(errors.expect("a read").state, ReadState::Eof);
    none(&events);
}

#[test]
fn starts_that_start_nothing_send_no_event() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let request = Request::new(FOREVER).key("key");
    let first = start_request(&manager, &request);
    assert_eq!(next(&events), Event::Started(first.id()));
    assert!(start_request(&manager, &request).is_attached());
    assert!(
        manager
            .start(&Request::new("true").directory("/no/such/directory"))
            .is_err()
    );
    assert!(manager.start(&Request::new("")).is_err());
    assert!(manager.cancel(b"other", None).is_ok());
    none(&events);
    first.stop(Duration::ZERO).expect("a stop");
    let expected = sorted([Event::Ended(first.id()), Event::OutputClosed(first.id())]);
    assert_eq!(next_sorted(&events, 2), expected);
}

#[test]
fn a_scope_receives_only_its_own_events() {
    let manager = open();
    let (mine, yours) = (
        manager.scope("me").expect("a scope"),
        manager.scope("you").expect("a scope"),
    );
    let [all, of_me, of_you] =
        [&manager, &mine, &yours].map(|view| view.events().expect("a subscription"));
    let unowned = start(&manager, FOREVER).id();
    let a = start(&mine, FOREVER).id();
    let b = start_request(&manager, &Request::new(FOREVER).owner("you")).id();
    let received = [next(&all), next(&all), next(&all)];
    assert_eq!(received, [unowned, a, b].map(Event::Started));
    assert_eq!(next(&of_me), Event::Started(a));
    assert_eq!(next(&of_you), Event::Started(b));
    none(&of_me);
    none(&of_you);
}

#[test]
fn a_background_stop_reports_its_end() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let process = start(&manager, "trap '' TERM; echo up; while :; do sleep 1; done");
    let id = process.id();
    assert_eq!(next(&events), Event::Started(id));
    wait_for_line(&process, "up");
    let (began, grace) = (Instant::now(), Duration::from_millis(200));
    process.stop_in_background(grace).expect("a thread");
    let received = next_sorted(&events, 3);
    assert!(began.elapsed() >= grace);
    assert_eq!(
        received,
        sorted([
            Event::Ended(id),
            Event::OutputClosed(id),
            Event::Stopped(id)
        ])
    );
    let status = process.status().expect("a status");
    assert!(
        matches!(status.state, State::Signaled { signal: 9, .. }),
        "{status:?}"
    );
    assert_eq!(status.ended_by, EndedBy::Stop);
}

#[test]
fn a_watch_is_notified_once_of_a_byte_past_the_cursor() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let file = |number: u32| place.path().join(number.to_string());
    let command = format!(
        "echo a; {}; echo b; {}; exit 0",
        until(&file(1)),
        until(&file(2))
    );
    let process = start(&manager, &command);
    wait_for_line(&process, "a");
    let events = manager.events().expect("a subscription");
    let readable = Event::Readable(process.id(), Stream::Stdout);
    let watch = |cursor| {
        events
            .watch(&process, Stream::Stdout, cursor)
            .expect("a watch")
    };

    // A byte is available already.
    watch(0);
    assert_eq!(next(&events), readable);
    none(&events);
    watch(1);
    assert_eq!(next(&events), readable);
    // Not yet; and the second watch replaces the first.
    watch(2);
    none(&events);
    watch(3);
    none(&events);
    fs::write(file(1), "").expect("a file");
    assert_eq!(next(&events), readable);
    none(&events);
    // With a cursor past the end, the end notifies too.
    watch(1_000);
    none(&events);
    fs::write(file(2), "").expect("a file");
    let expected = sorted([
        readable,
        Event::Ended(process.id()),
        Event::OutputClosed(process.id()),
    ]);
    assert_eq!(next_sorted(&events, 3), expected);
    // On a stream that has ended, a watch is notified at once.
    watch(u64::MAX);
    assert_eq!(next(&events), readable);
    let error = events
        .watch(&process, Stream::Stderr, 0)
        .expect_err("it is not separate");
    assert!(
        matches!(error, Error::Invalid { what: "stream", .. }),
        "{error:?}"
    );
}

#[test]
fn a_watch_is_notified_of_the_end_though_a_survivor_holds_the_output() {
    let manager = open();
    let place = tempfile::tempdir().expect("a directory");
    let go = place.path().join("go");
    let events = manager.events().expect("a subscription");
    let process = start(&manager, &format!("{FOREVER} & {}", until(&go)));
    assert_eq!(next(&events), Event::Started(process.id()));
    events.watch(&process, Stream::Stdout, 0).expect("a watch");
    none(&events);
    fs::write(&go, "").expect("a file");
    let expected = [
        Event::Ended(process.id()),
        Event::Readable(process.id(), Stream::Stdout),
    ];
    assert_eq!(next_sorted(&events, 2), sorted(expected));
    assert!(process.status().expect("a status").output_open);
}

#[test]
fn one_thread_follows_many_processes() {
    const PROCESSES: usize = 16;
    let manager = open();
    let events = manager.events().expect("a subscription");
    let processes: HashMap<Id, _> = (0..PROCESSES)
        .map(|number| {
            let command = format!("for i in 1 2 3 4 5; do echo {number} $i; sleep 0.01; done");
            let process = start_request(&manager, &Request::new(command).lossless(true));
            events.watch(&process, Stream::Stdout, 0).expect("a watch");
            (process.id(), (number, process))
        })
        .collect();
    let mut read: HashMap<Id, Vec<u8>> = HashMap::new();
    let (mut left, mut buffer) = (PROCESSES, [0; 64]);
    while left > 0 {
        let Event::Readable(id, stream) = next(&events) else {
            continue;
        };
        let (_, process) = &processes[&id];
        let all = read.entry(id).or_default();
        loop {
            let now = Some(Duration::ZERO);
            let cursor = all.len() as u64;
            let chunk = process.read(stream, cursor, &mut buffer, now, ReadOptions::default());
            let chunk = chunk.expect("a read");
            all.extend_from_slice(&buffer[..chunk.length]);
            match chunk.state {
                ReadState::Data => {}
                ReadState::Eof => {
                    left -= 1;
                    break;
                }
                _ => {
                    events
                        .watch(process, stream, all.len() as u64)
                        .expect("a watch");
                    break;
                }
            }
        }
    }
    for (id, (number, _)) in &processes {
        let expected: String = (1..=5).map(|i| format!("{number} {i}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&read[id]), expected);
    }
}

#[test]
fn a_queue_that_is_full_counts_what_it_could_not_take() {
    let manager = open();
    let process = start(&manager, &format!("echo x; exec {FOREVER}"));
    wait_for_line(&process, "x");
    let events = manager.events().expect("a subscription");
    // No thread waits for a subscriber that takes none.
    for _ in 0..MAX_EVENTS + 7 {
        events.watch(&process, Stream::Stdout, 0).expect("a watch");
    }
    assert!(is_readable_now(&events));
    assert_eq!(next(&events), Event::Missed(7));
    let readable = Event::Readable(process.id(), Stream::Stdout);
    for _ in 0..MAX_EVENTS {
        assert_eq!(next(&events), readable);
    }
    none(&events);
    assert!(!is_readable_now(&events));
    events.watch(&process, Stream::Stdout, 0).expect("a watch");
    assert_eq!(next(&events), readable);
}

#[test]
fn kernel_the_descriptor_is_readable_while_there_may_be_an_event() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    // Made when an event is queued already.
    let first = start(&manager, FOREVER);
    assert!(is_readable_now(&events));
    assert_eq!(next(&events), Event::Started(first.id()));
    // Taking until there is nothing makes it unreadable.
    none(&events);
    assert!(!is_readable_now(&events));

    let waiter = thread::scope(|scope| {
        let waiter =
            scope.spawn(|| is_readable(events.descriptor().expect("a descriptor"), TIMEOUT));
        first.stop(Duration::ZERO).expect("a stop");
        waiter.join().expect("a thread")
    });
    assert!(waiter);
    let expected = sorted([Event::Ended(first.id()), Event::OutputClosed(first.id())]);
    assert_eq!(next_sorted(&events, 2), expected);
    none(&events);
    assert!(!is_readable_now(&events));

    manager.close().expect("a close");
    let descriptor = events.descriptor().expect("a descriptor");
    assert!(is_readable(descriptor, TIMEOUT));
    assert!(matches!(events.next(None), Err(Error::Closed)));
    // And so it stays.
    assert!(is_readable_now(&events));
}

#[test]
fn a_loop_over_the_descriptor_misses_nothing() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let starter = {
        let manager = manager.clone();
        thread::spawn(move || {
            (0..100)
                .map(|_| start(&manager, ":").id())
                .collect::<Vec<_>>()
        })
    };
    let mut received: HashMap<Id, usize> = HashMap::new();
    let mut count = 0;
    while count < 300 {
        assert!(
            is_readable(events.descriptor().expect("a descriptor"), TIMEOUT),
            "{count}"
        );
        while let Some(event) = events.next(Some(Duration::ZERO)).expect("it is open") {
            let (Event::Started(id) | Event::Ended(id) | Event::OutputClosed(id)) = event else {
                panic!("{event:?}");
            };
            *received.entry(id).or_default() += 1;
            count += 1;
        }
    }
    let ids = starter.join().expect("a thread");
    assert!(ids.iter().all(|id| received[id] == 3), "{received:?}");
}

#[test]
fn threads_that_share_a_subscription_divide_the_events() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let taken = [(); 4].map(|()| AtomicUsize::new(0));
    let sum = || {
        taken
            .iter()
            .map(|count| count.load(Ordering::SeqCst))
            .sum::<usize>()
    };
    thread::scope(|scope| {
        for taken in &taken {
            scope.spawn(|| {
                while let Ok(Some(_)) = events.next(Some(TIMEOUT)) {
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..50 {
            wait(&start(&manager, ":"));
        }
        eventually("all events are taken", || sum() >= 150);
        manager.close().expect("a close");
    });
    assert_eq!(sum(), 150);
}

#[test]
fn close_is_reported_after_the_ends_that_it_caused() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let process = start(&manager, FOREVER);
    assert_eq!(next(&events), Event::Started(process.id()));
    let waiter = thread::spawn(move || {
        let mut received = Vec::new();
        loop {
            match events.next(None) {
                Ok(event) => received.push(event.expect("it waits for ever")),
                Err(error) => return (received, error),
            }
        }
    });
    manager.close().expect("a close");
    let (received, error) = in_time("the subscriber is woken", move || {
        waiter.join().expect("a thread")
    });
    assert!(matches!(error, Error::Closed), "{error:?}");
    assert!(
        received.contains(&Event::Ended(process.id())),
        "{received:?}"
    );
    let error = manager.events().expect_err("it is closed");
    assert!(matches!(error, Error::Closed), "{error:?}");
}

#[test]
fn closing_a_subscription_wakes_its_own_waiters_only() {
    let manager = Manager::open(Config::new()).expect("a manager");
    let (closed, open) = (
        manager.events().expect("a subscription"),
        manager.events().expect("another"),
    );
    thread::scope(|scope| {
        let waiter = scope.spawn(|| closed.next(Some(TIMEOUT)));
        closed.close().expect("a close");
        let answer = waiter.join().expect("a thread");
        assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
    });
    closed.close().expect("closing again changes nothing");
    let id = start(&manager, ":").id();
    assert_eq!(next(&open), Event::Started(id));
    assert!(matches!(closed.next(None), Err(Error::Closed)));
    // A dropped subscription does not matter either.
    drop(open);
    wait(&start(&manager, ":"));
}

#[test]
fn a_wait_for_events_ends_with_its_timeout() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let (began, timeout) = (Instant::now(), Duration::from_millis(50));
    assert_eq!(events.next(Some(timeout)).expect("it is open"), None);
    assert!(began.elapsed() >= timeout);
    // After a scope was closed, its subscribers still see what is left of it: nothing.
    let scope = manager.scope("me").expect("a scope");
    let of_me = scope.events().expect("a subscription");
    let process = start(&scope, FOREVER);
    assert_eq!(next(&of_me), Event::Started(process.id()));
    scope.close().expect("a close");
    let expected = sorted([
        Event::Ended(process.id()),
        Event::OutputClosed(process.id()),
    ]);
    assert_eq!(next_sorted(&of_me, 2), expected);
}

/// A subscriber that follows survivors is not notified repeatedly that the process has ended.
#[test]
fn the_end_of_the_process_is_reported_once_to_a_watch() {
    let manager = open();
    let events = manager.events().expect("a subscription");
    let process = start(&manager, "sleep 600 & echo ok");
    wait(&process);
    let readable = |wait: Duration| loop {
        match events.next(Some(wait)).expect("it is open") {
            Some(Event::Readable(..)) => return true,
            Some(_) => {}
            None => return false,
        }
    };
    let total = process.status().expect("a status").output_bytes;
    events
        .watch(&process, Stream::Stdout, total)
        .expect("a watch");
    assert!(readable(TIMEOUT));
    events
        .watch(&process, Stream::Stdout, total)
        .expect("a watch");
    assert!(!readable(Duration::ZERO));
    // Bytes and the end of the stream are reported as before.
    events.watch(&process, Stream::Stdout, 0).expect("a watch");
    assert!(readable(TIMEOUT));
    events
        .watch(&process, Stream::Stdout, total)
        .expect("a watch");
    process.stop(Duration::ZERO).expect("a stop");
    assert!(readable(TIMEOUT));
}
