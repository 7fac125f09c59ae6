//! Sixteen processes acquire leases in one folder, work under them, pause for longer than they last, and are
//! killed. No process writes after its successor, and no dead process keeps a lock for longer than its lease
//! lasts.
//!
//! `PFLOW_TEST_LEASE_SECONDS` sets the duration (default 4), `PFLOW_TEST_SEED` the random choices.

use std::{collections::BTreeMap, path::Path, sync::Arc, thread, time::Duration};

use crate::lease_support::{
    Client, Life, Line, WORKFLOWS, check, duration, take_in_the_end, text_of, workflow,
};
use pflow_store::{
    Store,
    backend::{Environment, ManualEnvironment, SystemEnvironment},
};
use pflow_testkit::child::{Process, place_of_a_child, say, unfinished};
use pflow_testkit::{chain, damaged, seed};
use rustix::time::{ClockId, clock_gettime};

const PROCESSES: u64 = 16;
const LEASE: Duration = Duration::from_secs(1);
const SKEW: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(40);

const NUMBER: &str = "PFLOW_TEST_CHILD_NUMBER";
const SEED: &str = "PFLOW_TEST_CHILD_SEED";

/// Milliseconds on the clock that all processes of this machine share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000 + u64::try_from(now.tv_nsec).unwrap() / 1_000_000
}

async fn open(place: &Path) -> Store {
    let environment = Arc::new(SystemEnvironment::new().unwrap());
    Store::builder(place).environment(environment).clock_skew(SKEW).init().await.unwrap()
}

#[tokio::test]
async fn the_child() {
    let Some(place) = place_of_a_child() else { return };
    let variable = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let mut client = Client {
        store: open(&place).await,
        number: variable(NUMBER),
        random: ManualEnvironment::new(variable(SEED)),
        lease: LEASE,
        poll: POLL,
        renews: true,
        now: |_| now(),
        tell: |line: Line| say(&line.write()),
    };
    client.live(u64::MAX).await;
}

/// Runs one life after the other, each killed after some line, until `end`.
fn live(place: &Path, process: u64, end: u64) -> BTreeMap<u64, Life> {
    let random = ManualEnvironment::new(seed().wrapping_add(process));
    let mut lives = BTreeMap::new();
    for life in 0.. {
        let number = life * PROCESSES + process;
        let variables = [(NUMBER, number.to_string()), (SEED, random.random().to_string())];
        let mut child = Process::start("lease_processes::the_child", place, &variables);
        // A long life holds many leases one after the other; a process that is killed early held one.
        let patience = 1 + random.random() % 60;
        let mut lines = Vec::new();
        for line in child.lines() {
            lines.extend(Line::read(&line));
            if lines.len() as u64 >= patience || now() > end {
                child.kill();
            }
        }
        assert!(!child.ended(), "life {number} ended by itself, seed {}", seed());
        lives.insert(number, Life { lines, died: Some(now()) });
        if now() > end {
            break;
        }
    }
    lives
}

#[test]
fn stale_processes_cannot_write_and_the_dead_lose_locks() {
    let _turn = pflow_testkit::blocking_turn();
    let place = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { open(place.path()).await.close().await.unwrap() });
    let end = now() + u64::try_from(duration().as_millis()).unwrap();
    let numbered: BTreeMap<u64, Life> = thread::scope(|scope| {
        let place = place.path();
        let processes: Vec<_> =
            (0..PROCESSES).map(|process| scope.spawn(move || live(place, process, end))).collect();
        processes.into_iter().flat_map(|process| process.join().unwrap()).collect()
    });
    let (looks, chains) = runtime.block_on(async {
        let store = open(place.path()).await;
        let looks = take_in_the_end(&store, LEASE, POLL).await;
        let mut chains = BTreeMap::new();
        for number in 0..WORKFLOWS {
            let texts = chain(&store, &workflow(number)).await;
            chains.insert(workflow(number), texts.iter().map(|content| text_of(content)).collect());
        }
        assert_eq!(damaged(&store.verify().await.unwrap()), [""; 0], "seed {}", seed());
        store.close().await.unwrap();
        (looks, chains)
    });
    let lasts = u64::try_from((LEASE + SKEW).as_millis()).unwrap();
    let checked = check(&Life::all(numbered), &chains, lasts, cfg!(target_os = "linux"))
        .unwrap_or_else(|broken| panic!("seed {}: {broken}", seed()));
    println!("seed {}: {checked:?}; {looks} looks at most for the locks of the dead", seed());
    let most = (LEASE + SKEW).as_millis() / POLL.as_millis() + 3;
    assert!(u128::from(looks) <= most, "{looks} looks");
    assert!(
        checked.lost > 0 && checked.by_the_dead > 0 && checked.held_in_death > 2,
        "that was no race: {checked:?}"
    );
    assert_eq!(unfinished(place.path()), [""; 0]);
}
