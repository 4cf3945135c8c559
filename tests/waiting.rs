//! Waiting for the end: any number of waiters, all woken by it, and a timeout that ends only the
//! waiting.

mod common;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{
    FOREVER, TIMEOUT, eventually, in_time, is_alive, open, start, start_request, text, wait,
    wait_for_line,
};
use procmgr::{EndedBy, Event, Request, Signal, State};

/// A process can be found as soon as it is in the table, before its tasks are started. A caller that
/// waits for it then must not see its end without its output.
#[test]
fn a_waiter_from_the_start_misses_nothing() {
    const STARTS: usize = 400;
    let manager = open();
    let events = manager.events().expect("a subscription");
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..STARTS {
                let process = manager.start(&Request::program("echo").argument("all"));
                wait(&process.expect("a start"));
            }
        });
        let mut started = 0;
        while started < STARTS {
            let event = events.next(Some(TIMEOUT)).expect("the manager is open");
            if let Some(Event::Started(id)) = event {
                started += 1;
                let process = manager.get(id).expect("it was started");
                wait(&process);
                assert_eq!(text(&process), "all\n", "start {started}");
            }
        }
    });
}

#[test]
fn kernel_a_timeout_ends_the_waiting_only() {
    let manager = open();
    let process = start(&manager, FOREVER);
    for milliseconds in [0, 1, 100] {
        let timeout = Duration::from_millis(milliseconds);
        let began = Instant::now();
        assert!(process.wait_timeout(timeout).expect("a wait").is_none());
        assert!(began.elapsed() >= timeout);
    }
    let status = process.status().expect("a status");
    assert_eq!(
        (status.state, status.ended_by),
        (State::Running, EndedBy::Nobody)
    );
    assert!(is_alive(process.pid()));
}

/// A waiter may publish the end. If all waiters time out before the exit, the reaper must see it. The
/// output does not end with the leader here, so nothing else wakes the library.
#[test]
fn kernel_the_end_is_seen_after_all_waiters_have_timed_out() {
    let manager = open();
    for _ in 0..20 {
        let process = start(&manager, &format!("{FOREVER} & exec sleep 0.05"));
        assert!(
            process
                .wait_timeout(Duration::from_millis(5))
                .expect("a wait")
                .is_none()
        );
        eventually("the end is seen by itself", || {
            !process.status().expect("a status").is_running()
        });
        assert!(process.status().expect("a status").output_open);
        process.stop(Duration::ZERO).expect("a stop");
    }
}

#[test]
fn kernel_all_waiters_are_woken_by_one_end() {
    const WAITERS: usize = 32;
    let manager = open();
    let process = start(
        &manager,
        "trap 'exit 5' USR1; echo ready; while :; do sleep 0.02; done",
    );
    wait_for_line(&process, "ready");
    let here = Barrier::new(WAITERS + 1);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..WAITERS)
            .map(|number| {
                let (process, here) = (&process, &here);
                scope.spawn(move || {
                    here.wait();
                    match number % 2 {
                        0 => wait(process),
                        _ => process.wait().expect("a wait"),
                    }
                })
            })
            .collect();
        here.wait();
        process.signal(Signal::User1).expect("it runs");
        for waiter in waiters {
            let status = waiter.join().expect("the thread did not panic");
            assert_eq!(status.state, State::Exited(5));
        }
    });
}

/// Waits that begin or time out at about the time of the end: none misses it, none reports it early.
#[test]
fn a_waiter_may_come_exactly_at_the_end() {
    const CHILDREN: u64 = 300;
    let manager = open();
    in_time("every wait is over", move || {
        for number in 0..CHILDREN {
            let process = start(&manager, "exit 6");
            // From before the usual end to after it.
            let timeout = Duration::from_micros(number % 100 * 30);
            thread::scope(|scope| {
                let early = scope.spawn(|| process.wait_timeout(timeout).expect("a wait"));
                let patient = scope.spawn(|| process.wait().expect("a wait"));
                if let Some(status) = early.join().expect("the thread did not panic") {
                    assert_eq!(status.state, State::Exited(6));
                }
                let status = patient.join().expect("the thread did not panic");
                assert_eq!(status.state, State::Exited(6));
            });
            // Long after it there is nothing to wait for.
            let late = process.wait_timeout(Duration::ZERO).expect("a wait");
            assert_eq!(late.map(|status| status.state), Some(State::Exited(6)));
        }
    });
}

#[test]
fn kernel_a_handle_waits_after_the_manager_was_dropped() {
    let manager = open();
    let (ended, running) = (start(&manager, "exit 4"), start(&manager, FOREVER));
    wait(&ended);
    drop(manager);
    let wait_now = |process: &procmgr::Process| {
        let status = process.wait_timeout(Duration::ZERO).expect("a wait");
        status.expect("it has ended")
    };
    assert_eq!(wait_now(&ended).state, State::Exited(4));
    assert_eq!(wait_now(&ended).ended_by, EndedBy::Nobody);
    assert_eq!(wait_now(&running).ended_by, EndedBy::Close);
}

/// A paused process has not ended, and can be ended like any other.
#[test]
fn kernel_a_paused_process_has_not_ended() {
    let manager = open();
    // Not a shell: it might be in a vfork, where it is in another state when both are paused.
    let process = start_request(&manager, &Request::program("/bin/sleep").argument("600"));
    process.signal(Signal::Stop).expect("it runs");
    common::eventually("it is paused", || {
        common::kernel_state(process.pid()) == Some('T')
    });
    let waited = process
        .wait_timeout(Duration::from_millis(50))
        .expect("a wait");
    assert!(waited.is_none());
    let began = Instant::now();
    let status = process.stop(TIMEOUT).expect("a stop").status;
    // By TERM: CONT was sent so that it handles the signal.
    let by_term = State::Signaled {
        signal: 15,
        core_dumped: false,
    };
    assert_eq!((status.state, status.ended_by), (by_term, EndedBy::Stop));
    assert!(began.elapsed() < TIMEOUT / 2);
}
