//! Idempotent starts under load: whatever several threads do with the same keys at the same time, no
//! key runs twice, a canceled one never runs, and every answer agrees with what happened.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use procmgr::{Canceled, Config, EndedBy, Error, Id, Manager, Process, Request, State, Status};

mod common;
use common::{FOREVER, in_time, open, start_request, wait};

const CALLERS: usize = 64;
const ROUNDS: usize = 100;

/// A command that adds a line to the file of its key, and does the rest.
fn adds_a_line(file: &Path, rest: &str) -> String {
    format!("echo run >> '{}'; {rest}", file.display())
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

#[test]
fn of_many_callers_at_once_one_starts_and_the_others_attach() {
    let directory = tempfile::tempdir().expect("a directory");
    let place: Arc<Path> = directory.path().into();
    let manager = open();
    let barrier = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (manager, barrier, place) =
                (manager.clone(), Arc::clone(&barrier), Arc::clone(&place));
            thread::spawn(move || {
                let start = |round: usize| {
                    let file = place.join(round.to_string());
                    let request = Request::new(adds_a_line(&file, ":")).key(format!("key {round}"));
                    barrier.wait();
                    let process = start_request(&manager, &request);
                    (process.id(), process.is_attached())
                };
                (0..ROUNDS).map(start).collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().expect("a caller"))
        .collect();
    for round in 0..ROUNDS {
        let ids: HashSet<_> = answers.iter().map(|answers| answers[round].0).collect();
        let attached = answers.iter().filter(|answers| answers[round].1).count();
        assert_eq!((ids.len(), attached), (1, CALLERS - 1), "round {round}");
        for id in ids {
            let process = manager.get(id).expect("it is known");
            assert_eq!(wait(&process).state, State::Exited(0));
        }
        assert_eq!(lines(&place.join(round.to_string())), 1, "round {round}");
    }
    assert_eq!(manager.list(Some(0)).expect("a list").total, ROUNDS);
}

const THREADS: usize = 8;
const KEYS: usize = 200;
const STEPS: usize = 250;

/// The answer of one call.
enum Answer {
    Started(Process),
    Refused(Error),
    Canceled(Canceled),
    Found(Id),
    Waited(Status),
}

/// A small generator, of which only the spread matters (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn timeout(&mut self) -> Option<Duration> {
        [None, Some(Duration::ZERO), Some(Duration::from_millis(2))][self.below(3)]
    }
}

#[derive(Clone)]
struct Game {
    manager: Manager,
    place: PathBuf,
}

impl Game {
    fn file(&self, key: usize) -> PathBuf {
        self.place.join(key.to_string())
    }

    fn request(&self, key: usize) -> Request {
        // Half of them end by themselves.
        let rest = ["exit 3", FOREVER][key % 2];
        Request::new(adds_a_line(&self.file(key), rest))
            .directory(&self.place)
            .key(name(key))
    }

    /// One random call for one random key.
    fn step(&self, random: &mut Random, known: &mut BTreeMap<usize, Process>) -> (usize, Answer) {
        let key = random.below(KEYS);
        let answer = match random.below(8) {
            0..=3 => match self
                .manager
                .start(&self.request(key).start_timeout(random.timeout()))
            {
                Ok(process) => {
                    known.insert(key, process.clone());
                    Answer::Started(process)
                }
                Err(error) => Answer::Refused(error),
            },
            4 => match self.manager.cancel(&name(key), random.timeout()) {
                Ok(canceled) => Answer::Canceled(canceled),
                Err(error) => Answer::Refused(error),
            },
            5 | 6 => match self.manager.find(&name(key)) {
                Ok(id) => Answer::Found(id),
                Err(error) => Answer::Refused(error),
            },
            _ => {
                let index = random.below(known.len().max(1));
                let Some((key, process)) = known.iter().nth(index) else {
                    return (key, Answer::Refused(Error::UnknownKey));
                };
                let status = match process.wait_timeout(Duration::from_millis(2)) {
                    Ok(Some(status)) => status,
                    _ => process.status().expect("a status"),
                };
                return (*key, Answer::Waited(status));
            }
        };
        (key, answer)
    }
}

fn name(key: usize) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

/// The processes that run in this directory: those that the game has started, and their children.
fn left_in(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").expect("a process table");
    let processes = entries.filter_map(|entry| Some(entry.ok()?.path()));
    processes
        .filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == place))
        .collect()
}

#[test]
fn whatever_is_done_every_answer_agrees_with_what_happened() {
    for seed in 1..=2 {
        let place = tempfile::tempdir().expect("a directory");
        let game = Game {
            manager: Manager::open(Config::new()).expect("a manager"),
            place: place.path().canonicalize().expect("a path"),
        };
        let answers = in_time("all threads are through", {
            let game = game.clone();
            move || play(&game, seed)
        });
        // It may be closed already by a step. Wakes threads in the middle of a step.
        game.manager.close().expect("a close");
        let mut ran = 0;
        for key in 0..KEYS {
            let what = format!("key {key} of seed {seed}");
            ran += judge(
                &game,
                key,
                answers.get(&key).map_or(&[], Vec::as_slice),
                &what,
            );
        }
        assert_eq!(left_in(&game.place), Vec::<PathBuf>::new());
        // The game was not trivial.
        assert!(ran > KEYS / 4, "{ran} keys ran");
    }
}

fn play(game: &Game, seed: u64) -> BTreeMap<usize, Vec<Answer>> {
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (game, barrier) = (game.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                let mut random = Random(
                    (seed << 8 | number as u64 | 1 << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15),
                );
                let (mut known, mut answers) = (BTreeMap::new(), Vec::new());
                barrier.wait();
                for step in 0..STEPS {
                    if number == 0 && step == STEPS * 4 / 5 {
                        game.manager.close().expect("a close");
                    }
                    answers.push(game.step(&mut random, &mut known));
                }
                answers
            })
        })
        .collect();
    let mut by_key: BTreeMap<usize, Vec<Answer>> = BTreeMap::new();
    for thread in threads {
        for (key, answer) in thread.join().expect("a thread") {
            by_key.entry(key).or_default().push(answer);
        }
    }
    by_key
}

/// Compares the answers about one key with the final state. 1 if it ran.
fn judge(game: &Game, key: usize, answers: &[Answer], what: &str) -> usize {
    let lines = lines(&game.file(key));
    assert!(lines <= 1, "{what}: {lines} lines");
    let started: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Started(process) => Some(process),
            _ => None,
        })
        .collect();
    let own = started
        .iter()
        .filter(|process| !process.is_attached())
        .count();
    let Some(process) = started.first() else {
        judge_never_started(game, key, answers, what);
        assert_eq!(lines, 0, "{what}");
        return 0;
    };
    assert_eq!(own, 1, "{what}");
    let end = process.status().expect("a status");
    assert!(!end.is_running(), "{what}: {end:?}");
    assert_eq!(
        game.manager.find(&name(key)).expect("it was started"),
        end.id,
        "{what}"
    );
    if end.state == State::Exited(3) {
        assert_eq!(lines, 1, "{what}");
    }
    if end.ended_by == EndedBy::Nobody {
        assert_eq!(end.state, State::Exited(3), "{what}");
    }
    let mut was_canceled = false;
    let ended_alike = |status: &Status| {
        let (then, now) = ((status.state, status.ended_by), (end.state, end.ended_by));
        assert_eq!((status.id, then), (end.id, now), "{what}");
    };
    for answer in answers {
        match answer {
            Answer::Started(process) => assert_eq!(process.id(), end.id, "{what}"),
            Answer::Found(id) => assert_eq!(*id, end.id, "{what}"),
            Answer::Canceled(Canceled::Ended(status)) => {
                was_canceled = true;
                ended_alike(status);
            }
            Answer::Canceled(Canceled::TimedOut(status)) => {
                was_canceled = true;
                let id = status.as_ref().map(|status| status.id);
                assert!(id.is_none_or(|id| id == end.id), "{what}");
                assert!(
                    status.as_ref().is_none_or(|status| status.is_running()),
                    "{what}"
                );
            }
            Answer::Waited(status) if status.is_running() => {
                assert_eq!(status.id, end.id, "{what}")
            }
            Answer::Waited(status) => ended_alike(status),
            Answer::Refused(Error::UnknownKey | Error::StartPending | Error::Closed) => {}
            Answer::Canceled(_) | Answer::Refused(_) => {
                // This answer says that it was never started, but it was.
                let shown = match answer {
                    Answer::Canceled(canceled) => format!("{canceled:?}"),
                    Answer::Refused(error) => format!("{error:?}"),
                    _ => String::new(),
                };
                panic!("{what}: {shown}");
            }
        }
    }
    if end.ended_by == EndedBy::Cancel {
        assert!(was_canceled, "{what}: it was not canceled");
    }
    lines
}

/// No caller got a process: then no answer may name one.
fn judge_never_started(game: &Game, key: usize, answers: &[Answer], what: &str) {
    assert!(
        matches!(game.manager.find(&name(key)), Err(Error::UnknownKey)),
        "{what}"
    );
    for answer in answers {
        match answer {
            Answer::Canceled(Canceled::NeverStarted | Canceled::TimedOut(None)) => {}
            Answer::Refused(
                Error::UnknownKey | Error::StartPending | Error::Closed | Error::Canceled,
            ) => {}
            Answer::Canceled(canceled) => panic!("{what}: {canceled:?}"),
            Answer::Refused(error) => panic!("{what}: {error:?}"),
            Answer::Started(_) | Answer::Found(_) | Answer::Waited(_) => panic!("{what}: found"),
        }
    }
}
