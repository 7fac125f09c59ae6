//! Ten processes save into one folder, and one after the other is killed at a random moment. No acknowledged
//! save is lost.
//!
//! `PFLOW_TEST_KILL_SECONDS` says for how long (10 unless set), `PFLOW_TEST_SEED` which moments are chosen.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use futures::TryStreamExt;
use pflow_backend_fs::FsBackend;
use pflow_store::{
    Error, Expect, Store, StoreBuilder,
    backend::{Environment, ManualEnvironment, Prefix, SystemEnvironment},
    document::ContentHash,
};
use pflow_testkit::child::{Process, files, place_of_a_child, say, unfinished};
use pflow_testkit::{chain, generations, id, notices, save, seed};

const PROCESSES: u64 = 10;
/// The number of workflows that all processes save. Each process also has one of its own.
const SHARED: u64 = 4;
const NUMBER: &str = "PFLOW_TEST_CHILD_NUMBER";
const SEED: &str = "PFLOW_TEST_CHILD_SEED";

fn duration() -> Duration {
    let seconds = std::env::var("PFLOW_TEST_KILL_SECONDS").map_or(10, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

async fn backend(place: &Path) -> Arc<FsBackend> {
    Arc::new(FsBackend::open(place, Arc::new(SystemEnvironment::new().unwrap())).await.unwrap())
}

/// Opens the store so that it folds often: some kills then happen during a fold.
fn on(backend: Arc<FsBackend>) -> StoreBuilder {
    Store::on(backend).fold_after(12)
}

/// Saves, and prints each save after it has returned. One in four children closes the store and ends by
/// itself.
#[tokio::test]
async fn the_child() {
    let Some(place) = place_of_a_child() else { return };
    let variable = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (number, seed) = (variable(NUMBER), variable(SEED));
    let random = ManualEnvironment::new(seed);
    let store = on(backend(&place).await).open().await.unwrap();
    let saves = if random.random().is_multiple_of(4) { 40 + random.random() % 100 } else { u64::MAX };
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for n in 0..saves {
        let workflow = match random.random() % 2 {
            0 => format!("own{number}"),
            _ => format!("shared{}", random.random() % SHARED),
        };
        let expect = match seen.get(&workflow) {
            Some(generation) => Expect::Generation(*generation),
            None => Expect::Absent,
        };
        match store.save(save(&workflow, &format!("{seed}.{n}"), expect)).await {
            Ok(saved) => {
                // A copy or an index that was not written would be no loss, but on a healthy disk that must
                // not happen.
                assert!(saved.copy_error.is_none() && saved.index_error.is_none(), "{saved:?}");
                say(&format!("saved {workflow} {} {}", saved.generation, saved.hash.unwrap()));
                seen.insert(workflow, saved.generation);
            }
            Err(Error::Conflict(_)) => {
                say("refused");
                seen.insert(workflow.clone(), store.show(&id(&workflow)).await.unwrap().generation());
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    store.close().await.unwrap();
}

/// What the children printed, by workflow and generation.
#[derive(Debug, Default)]
struct Told {
    saved: BTreeMap<(String, u64), String>,
    refused: u64,
}

impl Told {
    fn hear(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["saved", workflow, generation, hash] => {
                let place = (workflow.to_owned(), generation.parse().unwrap());
                let before = self.saved.insert(place, hash.to_owned());
                assert_eq!(before, None, "acknowledged twice: {line}");
                true
            }
            ["refused"] => {
                self.refused += 1;
                false
            }
            _ => false,
        }
    }
}

/// A line of a child, or its end.
type Said = (usize, Option<String>);

struct Children<'a> {
    place: &'a Path,
    random: ManualEnvironment,
    running: Vec<Process>,
    killed: Vec<bool>,
    lives: u64,
    sender: Sender<Said>,
}

impl Children<'_> {
    /// Starts a child in the place of one that has ended.
    fn start(&mut self, number: usize) {
        self.lives += 1;
        let life = seed().wrapping_mul(1_000_003).wrapping_add(self.lives);
        let variables = [(NUMBER, number.to_string()), (SEED, life.to_string())];
        let mut child = Process::start("disk_kills::the_child", self.place, &variables);
        let (lines, sender) = (child.lines(), self.sender.clone());
        thread::spawn(move || {
            let said = lines.map(Some).chain([None]);
            said.for_each(|line| drop(sender.send((number, line))));
        });
        match self.running.get_mut(number) {
            Some(place) => *place = child,
            None => self.running.push(child),
        }
    }

    fn kill_one(&mut self) {
        let number = (self.random.random() % PROCESSES) as usize;
        // Killed during its current operation or the next one.
        (0..self.random.random() % 3_000).for_each(|_| thread::yield_now());
        self.kill(number);
    }

    fn kill(&mut self, number: usize) {
        self.killed[number] = true;
        self.running[number].kill();
    }
}

/// Lets the children work until the time is over, and then kills all of them. Returns what they printed and
/// the number of kills.
fn work(place: &Path) -> (Told, u64) {
    let clock = SystemEnvironment::new().unwrap();
    let end = clock.monotonic() + duration();
    let (sender, said): (_, Receiver<Said>) = channel();
    let killed = vec![false; PROCESSES as usize];
    let random = ManualEnvironment::new(seed());
    let mut children = Children { place, random, running: Vec::new(), killed, lives: 0, sender };
    (0..PROCESSES as usize).for_each(|number| children.start(number));
    let (mut told, mut kills, mut alive, mut patience) = (Told::default(), 0, PROCESSES, 20);
    let mut over = false;
    while alive > 0 {
        let (number, line) = said.recv().unwrap();
        match line {
            Some(line) => patience -= u64::from(told.hear(&line)),
            None => {
                let (well, killed) = (children.running[number].ended(), children.killed[number]);
                assert!(well || killed, "process {number} failed by itself, seed {}", seed());
                kills += u64::from(!well);
                children.killed[number] = false;
                match over {
                    true => alive -= 1,
                    false => children.start(number),
                }
            }
        }
        if !over && patience == 0 {
            patience = 3 + children.random.random() % 30;
            children.kill_one();
        }
        if !over && clock.monotonic() > end {
            over = true;
            patience = u64::MAX;
            (0..PROCESSES as usize).for_each(|number| children.kill(number));
        }
    }
    (told, kills)
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_when_processes_are_killed() {
    let _turn = pflow_testkit::turn().await;
    let place = tempfile::tempdir().unwrap();
    on(backend(place.path()).await).init().await.unwrap().close().await.unwrap();
    let (told, kills) = work(place.path());

    let store = on(backend(place.path()).await).open().await.unwrap();
    let workflows =
        (0..SHARED).map(|n| format!("shared{n}")).chain((0..PROCESSES).map(|n| format!("own{n}")));
    let (mut listed, mut silent, mut found) = (Vec::new(), 0, 0);
    for workflow in workflows {
        let texts = chain(&store, &workflow).await;
        for (generation, text) in (1..).zip(&texts) {
            let hash = ContentHash::of(text.as_bytes()).to_string();
            match told.saved.get(&(workflow.clone(), generation)) {
                Some(acknowledged) => {
                    assert_eq!(hash, *acknowledged, "{workflow}@{generation}, seed {}", seed())
                }
                None => silent += 1,
            }
        }
        let last =
            told.saved.keys().filter(|(it, _)| *it == workflow).map(|(_, generation)| *generation).max();
        let there = texts.len() as u64;
        assert!(
            last.unwrap_or(0) <= there,
            "{workflow}@{last:?} was acknowledged, and lost; seed {}",
            seed()
        );
        for generation in (1..=there).rev().take(40).chain([1]).filter(|it| *it <= there) {
            let loaded = store.load_generation(&id(&workflow), generation).await.unwrap();
            assert_eq!(loaded.content, texts[generation as usize - 1]);
        }
        if there > 0 {
            listed.push(format!("{workflow}@{there}"));
        }
        found += there;
    }
    println!(
        "seed {}: {} acknowledged, {} refused, {kills} kills, {silent} saved and not acknowledged, {found} in the chains",
        seed(),
        told.saved.len(),
        told.refused
    );
    // A killed process leaves at most one save that it did not report.
    assert!(silent <= kills, "{silent} unreported saves, {kills} kills; seed {}", seed());
    assert!(
        kills > PROCESSES && told.refused > 0,
        "{kills} kills, {} refused: that was no test",
        told.refused
    );
    listed.sort();
    assert_eq!(generations(&store).await, listed);
    let report = store.verify().await.unwrap();
    // Each killed process left at most one version and one record that nothing refers to.
    assert!(notices(&report).len() as u64 <= 2 * kills, "{:#?}", report.findings);

    // The store can still be changed, and at rest it consists of plain files.
    store.save(save("last", "1", Expect::Absent)).await.unwrap();
    let keys = store.backend().list(&Prefix::root(), None).map_ok(|it| it.key.to_string());
    let keys: Vec<String> = keys.try_collect().await.unwrap();
    store.close().await.unwrap();
    drop(store);
    // A file that the last checkpoint replaced stays until the next one, because an editor may have it open.
    on(backend(place.path()).await).open().await.unwrap().close().await.unwrap();
    assert_eq!(unfinished(place.path()), [""; 0]);
    assert_eq!(files(place.path()).into_keys().collect::<Vec<_>>(), keys);
}
