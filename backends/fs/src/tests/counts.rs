//! What everything costs: syncs, and calls that change something.

use pflow_backend::{Batch, Operation, StorageBackend};

use super::{
    disk::{Call, Called, Disk, Traits},
    model::Model,
    player::{Player, Step, runtime},
    scripts::{key, put, save, text},
};
use crate::FsOptions;

/// A store, and what was asked for since the last look.
struct Counter {
    runtime: tokio::runtime::Runtime,
    player: Player,
}

impl Counter {
    fn new(traits: Traits, options: &FsOptions) -> Self {
        let mut player = Player::new(Disk::new(traits).process(), 7, options, Model::empty());
        player.mortal = true;
        Self { runtime: runtime(), player }
    }

    /// Does it and says what it cost.
    fn of(&mut self, steps: &[Step]) -> Cost {
        self.player.medium.take_made();
        self.runtime.block_on(self.player.play(steps)).unwrap();
        Cost(self.player.medium.take_made())
    }
}

#[derive(Debug)]
struct Cost(Vec<Called>);

impl Cost {
    fn syncs(&self) -> Vec<Call> {
        self.0.iter().map(|it| it.call).filter(|call| call.is_sync()).collect()
    }

    fn changes(&self) -> Vec<Call> {
        let changes = self.0.iter().filter(|it| it.changed && !it.call.is_sync());
        changes.map(|it| it.call).collect()
    }
}

fn quiet() -> FsOptions {
    FsOptions::new().follow(false)
}

fn one(batch: Batch) -> Step {
    Step::Commit(vec![batch])
}

/// Puts in many folders.
fn many(count: usize, text: &'static str) -> Batch {
    Batch::new().stage((0..count).map(|at| Operation::put(key(&format!("many/{}/{at}", at % 7)), text)))
}

#[test]
fn a_commit_costs_one_sync_and_two_writes() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    counter.of(&[Step::Open, one(save("a", 1))]);
    for generation in 2..6 {
        let cost = counter.of(&[one(save("a", generation))]);
        assert_eq!(cost.syncs(), [Call::SyncData]);
        assert_eq!(cost.changes(), [Call::Write, Call::Write]);
    }
}

#[test]
fn commits_that_come_together_cost_one_sync_together() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    counter.of(&[Step::Open, one(put("first", "x"))]);
    let cost = counter.of(&[Step::Commit((0..64).map(|at| save(&format!("w{at}"), 1)).collect())]);
    assert_eq!(cost.syncs(), [Call::SyncData]);
}

#[test]
fn a_full_journal_costs_two_syncs_however_many_files_follow() {
    for count in [40, 400] {
        let mut counter = Counter::new(Traits::LINUX, &quiet().journal_limit(6_000));
        counter.of(&[Step::Open, one(many(count, "one"))]);
        let cost = counter.of(&[one(put("after", "x"))]);
        // Of the files, of the header, and of the record itself.
        assert_eq!(cost.syncs(), [Call::SyncFileSystem, Call::SyncData, Call::SyncData]);
    }
}

#[test]
fn few_files_are_synced_one_by_one() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    counter.of(&[Step::Open, one(save("a", 1)), one(save("a", 2))]);
    let cost = counter.of(&[Step::Close]);
    // Two versions, two records, a head and a copy; the root, two folders of each kind of object, `ops` and
    // `ops/pending`; the journal.
    let (files, folders) = (6, 1 + 2 + 2 + 2);
    let syncs = cost.syncs();
    assert_eq!(syncs.iter().filter(|call| **call == Call::SyncData).count(), files + 1, "{syncs:?}");
    assert_eq!(syncs.iter().filter(|call| **call == Call::Sync).count(), folders, "{syncs:?}");
    assert_eq!(syncs.len(), files + folders + 1);
}

#[test]
fn files_that_followed_already_cost_close_two_syncs() {
    let mut counter = Counter::new(Traits::LINUX, &FsOptions::new());
    counter.of(&[Step::Open, one(save("a", 1)), one(save("a", 2))]);
    assert_eq!(counter.of(&[Step::Close]).syncs(), [Call::SyncFileSystem, Call::SyncData]);
}

#[test]
fn a_store_costs_syncs_when_it_is_made_and_none_when_it_is_opened_at_rest() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    // The names of the folder and of the one above it; both had to be made.
    assert_eq!(counter.of(&[Step::Open]).syncs(), [Call::Sync, Call::Sync]);
    // The id of the place, the names of the journal and of its folder, and the record.
    let first = counter.of(&[one(put("a", "x"))]);
    assert_eq!(first.syncs(), [Call::SyncData, Call::Sync, Call::Sync, Call::SyncData]);
    // The object, its name, and the journal.
    assert_eq!(counter.of(&[Step::Close]).syncs(), [Call::SyncData, Call::Sync, Call::SyncData]);
    // `create` cannot know who made the folder.
    assert_eq!(counter.of(&[Step::Open]).syncs(), [Call::Sync]);
    let rest = counter.of(&[Step::Look, Step::Close]);
    assert!(rest.syncs().is_empty() && rest.changes().is_empty());
    assert_eq!(counter.of(&[one(put("a", "y"))]).syncs(), [Call::SyncData]);
}

#[test]
fn the_first_commit_in_a_copy_costs_its_id_and_its_state() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    counter.of(&[Step::Open, one(put("a", "x")), Step::Close]);
    let copy = Disk::of_copies(&counter.player.medium.disk().files(), Traits::LINUX);
    counter.player = Player::new(copy.process(), 8, &quiet(), counter.player.model.clone());
    assert_eq!(counter.of(&[Step::Open]).syncs(), [Call::Sync], "of the folder's own name");
    // The id and its name, the state that is bound to it and its name, and the record.
    let first = [Call::SyncData, Call::Sync, Call::SyncData, Call::Sync, Call::SyncData];
    assert_eq!(counter.of(&[one(put("a", "y"))]).syncs(), first);
    assert_eq!(counter.of(&[one(put("a", "z"))]).syncs(), [Call::SyncData]);
}

#[test]
fn a_store_that_somebody_left_at_work_costs_one_sync_to_open() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    counter.of(&[Step::Open, one(save("a", 1))]);
    let cost = counter.of(&[Step::Open]);
    assert_eq!(
        cost.syncs(),
        [Call::Sync],
        "of the folder's own name alone: the journal says that it is durable"
    );
}

#[test]
fn a_value_of_its_own_costs_its_file_and_two_names() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    counter.of(&[Step::Open, one(put("a", "x"))]);
    let cost = counter.of(&[one(put("large", text("large", 300_000)))]);
    assert_eq!(cost.syncs(), [Call::SyncData, Call::Sync, Call::Sync, Call::SyncData]);
}

#[test]
fn a_batch_of_many_small_values_costs_as_many_syncs_as_one() {
    for (count, bytes) in [(40, 30_000), (4_000, 1_024)] {
        let mut counter = Counter::new(Traits::LINUX, &quiet());
        counter.of(&[Step::Open, one(put("a", "x"))]);
        let value = |at: usize| Operation::put(key(&format!("many/{}/{at}", at % 7)), text("value", bytes));
        let cost = counter.of(&[one(Batch::new().stage((0..count).map(value)))]);
        // The file of the values that the journal does not hold, its two names, and the record.
        assert_eq!(cost.syncs(), [Call::SyncData, Call::Sync, Call::Sync, Call::SyncData], "{count}");
    }
}

#[test]
fn an_immutable_object_that_is_there_costs_no_sync_and_no_write() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    let chunks = |names: &[&str]| {
        let put =
            |name: &&str| Operation::put(key(&format!("chunks/{name}")), text(name, 300_000)).immutable();
        one(Batch::new().stage(names.iter().map(put)))
    };
    counter.of(&[Step::Open, chunks(&["a", "b"])]);
    // In the journal, and in the files.
    for _ in 0..2 {
        let again = counter.of(&[chunks(&["a", "b"])]);
        assert!(again.syncs().is_empty() && again.changes().is_empty(), "{again:?}");
        counter.of(&[Step::Close]);
    }
    // Beside a new one it takes no room.
    counter.of(&[chunks(&["c"])]);
    let both = counter.of(&[chunks(&["a", "d"])]);
    let alone = counter.of(&[chunks(&["e"])]);
    assert_eq!(both.changes(), alone.changes());
}

/// How many bytes of a range are read.
fn bytes_of_range(counter: &Counter, range: std::ops::Range<u64>) -> usize {
    let backend = counter.player.backend.clone().unwrap();
    counter.player.medium.take_bytes_read();
    let found = counter.runtime.block_on(backend.get_range(&key("large"), range.clone())).unwrap().unwrap();
    let whole = text("large", 400_000);
    assert_eq!(found.size, 400_000);
    assert_eq!(found.bytes, whole[range.start as usize..range.end as usize]);
    counter.player.medium.take_bytes_read()
}

#[test]
fn a_range_reads_no_more_of_a_value_than_its_bytes() {
    let mut counter = Counter::new(Traits::LINUX, &quiet());
    // Behind another value in the file of their batch.
    let large = [("first", 300_000), ("large", 400_000)];
    let puts = large.map(|(name, length)| Operation::put(key(name), text(name, length)));
    counter.of(&[Step::Open, one(Batch::new().stage(puts))]);
    // Of a value that the journal does not hold itself, and of a file. The rest is the journal's state.
    for _ in 0..2 {
        let nothing = bytes_of_range(&counter, 7..7);
        for range in [0..1_000, 350_000..351_000, 399_000..400_000] {
            let read = bytes_of_range(&counter, range.clone());
            assert!(read >= 1_000 && read <= nothing + 1_000, "{range:?}: {read} and {nothing}");
        }
        counter.of(&[Step::Close]);
    }
}
