//! Eight processes swap the same few keys of one folder and are killed at random moments. Their replies fit
//! one order of the operations.

use std::{path::Path, sync::Arc, thread};

use crate::linear_support::{Asked, Client, Event, Line, Told, check, events};
use pflow_backend_fs::FsBackend;
use pflow_store::backend::{Environment, ManualEnvironment, StorageBackend, SystemEnvironment};
use pflow_testkit::{
    child::{Process, place_of_a_child, say, unfinished},
    layers::{Careless, Carelessness},
    seed,
};
use rustix::time::{ClockId, clock_gettime};

const PROCESSES: u64 = 8;
/// How often each process is started. All lives but the last end by a kill.
const LIVES: u64 = 20;
/// The approximate maximum of operations in one life.
const OPERATIONS: u64 = 40;
const KEYS: [&str; 2] = ["head", "folder/head"];

/// The variables of a child, besides its folder.
const NUMBER: &str = "PFLOW_TEST_CHILD_NUMBER";
const CARELESS: &str = "PFLOW_TEST_CHILD_IS_CARELESS";
/// Set for a child that ends by itself.
const LAST: &str = "PFLOW_TEST_CHILD_IS_THE_LAST";

/// Nanoseconds on the clock that all processes of this machine share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

async fn open(place: &Path) -> Arc<dyn StorageBackend> {
    let environment = Arc::new(SystemEnvironment::new().unwrap());
    Arc::new(FsBackend::open(place, environment).await.unwrap())
}

/// Sends one operation. It prints the operation before it is sent and the reply after it.
async fn ask(client: &mut Client, key: &str, asked: Asked, mut tell: impl FnMut(Line)) {
    tell(Line::Began(now(), key.to_owned(), asked));
    let answer = client.ask(key, asked).await;
    tell(Line::Ended(now(), answer));
}

#[tokio::test]
async fn the_child() {
    let Some(place) = place_of_a_child() else { return };
    let number: u64 = std::env::var(NUMBER).unwrap().parse().unwrap();
    let mut backend = open(&place).await;
    if std::env::var(CARELESS).is_ok() {
        backend = Arc::new(Careless::new(backend, Carelessness::IgnoresConditions, 2));
    }
    let mut client = Client::new(backend.clone(), &KEYS, number, seed());
    let operations = if std::env::var(LAST).is_ok() { OPERATIONS } else { u64::MAX };
    for _ in 0..operations {
        let (key, asked) = client.choose();
        ask(&mut client, &key, asked, |line| say(&line.write())).await;
    }
    backend.close().await.unwrap();
}

/// Runs a child process once and returns what it printed. It ends by itself unless `kill` says when to kill
/// it.
fn live(place: &Path, number: u64, careless: bool, kill: Option<(u64, u64)>) -> Vec<Line> {
    let mut variables = vec![(NUMBER, number.to_string())];
    variables.extend(careless.then(|| (CARELESS, "1".to_owned())));
    variables.extend(kill.is_none().then(|| (LAST, "1".to_owned())));
    let mut child = Process::start("linear_processes::the_child", place, &variables);
    let mut said = Vec::new();
    for line in child.lines() {
        said.extend(Line::read(&line));
        if let Some((lines, moments)) = kill
            && said.len() as u64 == lines
        {
            (0..moments).for_each(|_| thread::yield_now());
            child.kill();
        }
    }
    assert_eq!(child.ended(), kill.is_none(), "process {number} of seed {}", seed());
    said
}

/// Runs the processes and returns the history of all lives, with a final read of each key.
fn history(place: &Path, processes: u64, lives: u64, careless: bool) -> Vec<Event> {
    let mut said: Vec<Vec<Line>> = thread::scope(|scope| {
        let processes: Vec<_> = (0..processes)
            .map(|process| {
                scope.spawn(move || {
                    let random = ManualEnvironment::new(seed().wrapping_add(process));
                    let life = |life| {
                        // Killed after some line and a random number of yields: a commit takes some thousand
                        // yields.
                        let when = (1 + random.random() % (2 * OPERATIONS), random.random() % 3_000);
                        live(place, process * 100 + life, careless, (life + 1 < lives).then_some(when))
                    };
                    (0..lives).map(life).collect::<Vec<_>>()
                })
            })
            .collect();
        processes.into_iter().flat_map(|process| process.join().unwrap()).collect()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    said.push(runtime.block_on(async {
        let backend = open(place).await;
        let mut client = Client::new(backend.clone(), &KEYS, processes * 100, seed());
        let mut last = Vec::new();
        for key in KEYS {
            ask(&mut client, key, Asked::Read, |line| last.push(line)).await;
        }
        // This commit cleans up after the last killed process.
        let asked = loop {
            if let (key, asked @ Asked::Swap { .. }) = client.choose() {
                break (key, asked);
            }
        };
        ask(&mut client, &asked.0, asked.1, |line| last.push(line)).await;
        backend.close().await.unwrap();
        last
    }));
    events(said.iter().map(Vec::as_slice))
}

#[test]
fn whatever_processes_were_told_before_they_were_killed_fits_one_order() {
    let _turn = pflow_testkit::blocking_turn();
    let place = tempfile::tempdir().unwrap();
    let events = history(place.path(), PROCESSES, LIVES, false);
    let looked = check(&events).unwrap_or_else(|broken| panic!("seed {}: {broken}", seed()));
    let told = |kind: fn(&Told) -> bool| events.iter().filter(|event| kind(&event.told)).count();
    let done = told(|told| matches!(told, Told::Done));
    let refused = told(|told| matches!(told, Told::Refused(_)));
    let unknown = told(|told| matches!(told, Told::Unknown));
    // The swaps during which a process was killed, and of them those whose value a later read returned.
    let value = |event: &Event| match event.asked {
        Asked::Swap { new, .. } => new,
        Asked::Read => None,
    };
    let seen = |value| events.iter().any(|event| event.told == Told::Read(Some(value)));
    let late = events.iter().filter(|event| event.told == Told::Unknown && value(event).is_some_and(seen));
    println!(
        "seed {}: {} events, {done} done, {refused} refused, {unknown} unknown, of which {} were seen; {looked} positions",
        seed(),
        events.len(),
        late.count()
    );
    assert!(done > 100 && refused > 100 && unknown > 5, "that was no race among the dying");
    assert_eq!(unfinished(place.path()), [""; 0]);
}

#[test]
fn processes_that_ignore_conditions_are_found_out() {
    let _turn = pflow_testkit::blocking_turn();
    let place = tempfile::tempdir().unwrap();
    let words = check(&history(place.path(), PROCESSES, 3, true)).expect_err("not found out");
    assert!(words.contains("no order explains"), "{words}");
}
