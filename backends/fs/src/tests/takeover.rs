//! What a process left that died of a failed sync, and what happens without the lock.

use std::{path::Path, sync::Mutex};

use pflow_backend::{Environment, ErrorKind, ManualEnvironment, Outcome, WriteKind};

use super::{
    disk::{Call, Called, Disk, Traits, Trouble},
    model::Model,
    player::{Player, ROOT, Step, runtime},
    scripts::{key, put},
};
use crate::{
    FsOptions,
    journal::record::{Before, Change, Record, Value},
    lock::{Attempt, StoreLock},
    root::Root,
    writer::{Journal, Writer},
};

fn options() -> FsOptions {
    FsOptions::new().follow(false)
}

fn commit(name: &str) -> Step {
    Step::Commit(vec![put(name, "x")])
}

/// Plays two commits in a process that ends by these troubles, which depend on where the second one writes
/// and syncs.
fn dies(disk: &std::sync::Arc<Disk>, troubles: impl Fn(&[Called]) -> Vec<Trouble>) -> Player {
    let steps = [Step::Open, commit("first"), commit("second")];
    let runtime = runtime();
    let mut rehearsal = Player::new(Disk::new(Traits::LINUX).process(), 7, &options(), Model::empty());
    runtime.block_on(rehearsal.play(&steps)).unwrap();
    let mut player = Player::new(disk.process(), 7, &options(), Model::empty());
    troubles(&rehearsal.medium.made()).into_iter().for_each(|trouble| player.medium.afflict(trouble));
    runtime.block_on(player.play(&steps)).unwrap();
    player.medium.kill();
    player.backend = None;
    player
}

/// Where the second record is written and where it is synced.
fn second_record(calls: &[Called]) -> (usize, usize) {
    let is_journal = |it: &&(usize, &Called)| it.1.path.ends_with("/.journal/journal");
    let of = |call: Call| {
        let mut all: Vec<_> = calls.iter().enumerate().filter(|it| is_journal(&it)).collect();
        all.retain(|(_, it)| it.call == call);
        all.last().unwrap().0
    };
    (of(Call::Write), of(Call::SyncData))
}

/// Another process goes on, writes nothing into the file that the dead one left, and keeps its promises.
fn next_goes_on(disk: &std::sync::Arc<Disk>, model: Model) {
    let runtime = runtime();
    let mut next = Player::new(disk.process(), 8, &options(), model);
    next.mortal = true;
    runtime.block_on(next.play(&[Step::Open, Step::Look, commit("third"), Step::Look])).unwrap();
    let calls = next.medium.made();
    let at_journal = calls.iter().filter(|it| it.path.ends_with("/.journal/journal") && it.changed);
    let first = at_journal.map(|it| it.call).next();
    assert_eq!(first, Some(Call::Rename), "a new file takes its place before anything is written");
    let after = disk.after(&disk.worst());
    let mut last = Player::new(after.process(), 9, &options(), next.model.clone());
    last.mortal = true;
    runtime.block_on(last.play(&[Step::Open, Step::Look])).unwrap();
}

#[test]
fn a_record_whose_sync_failed_goes_into_a_new_journal() {
    let disk = Disk::new(Traits::LINUX);
    let player = dies(&disk, |calls| {
        let (_, sync) = second_record(calls);
        let before = calls.iter().take(sync).filter(|it| it.call.is_sync()).count();
        vec![Trouble::LosingSync(before), Trouble::DeadFrom(sync + 1)]
    });
    next_goes_on(&disk, player.model);
}

#[test]
fn a_part_of_a_record_is_not_written_over() {
    let disk = Disk::new(Traits::LINUX);
    let player = dies(&disk, |calls| vec![Trouble::DeadWithin(second_record(calls).0 + 1)]);
    next_goes_on(&disk, player.model);
}

#[test]
fn a_state_that_others_wrote_gets_a_new_file_at_rest() {
    let (runtime, disk) = (runtime(), Disk::new(Traits::LINUX));
    let mut one = Player::new(disk.process(), 7, &options(), Model::empty());
    one.mortal = true;
    runtime.block_on(one.play(&[Step::Open, commit("first")])).unwrap();
    // Nobody is told of it but the process that ends here.
    disk.fail_in_background(|path| path.ends_with("/.journal/state"));
    one.medium.kill();
    one.backend = None;
    let mut two = Player::new(disk.process(), 8, &options(), one.model.clone());
    two.mortal = true;
    runtime.block_on(two.play(&[Step::Open, commit("second"), Step::Close])).unwrap();
    let calls = two.medium.made();
    assert!(calls.iter().any(|it| it.call == Call::Rename && it.path.ends_with("/.journal/state")));
    for crash in [disk.worst(), disk.mildest()] {
        let mut last = Player::new(disk.after(&crash).process(), 9, &options(), two.model.clone());
        last.mortal = true;
        runtime.block_on(last.play(&[Step::Open, Step::Look])).unwrap();
    }
}

#[test]
fn without_its_lock_file_nothing_is_appended() {
    let (runtime, disk) = (runtime(), Disk::new(Traits::LINUX));
    let mut player = Player::new(disk.process(), 7, &options(), Model::empty());
    player.mortal = true;
    runtime.block_on(player.play(&[Step::Open, commit("first")])).unwrap();

    let environment = ManualEnvironment::new(8);
    let root = Root::open(disk.process(), Path::new(ROOT)).unwrap();
    let Attempt::Taken(lock) = StoreLock::try_take(&root, environment.identity()).unwrap() else {
        panic!("the lock is free")
    };
    let (view, mut writer) = (Mutex::default(), Writer::default());
    let mut journal = Journal::begin(&root, &lock, &view, &mut writer, &environment, false).unwrap();
    disk.remove(&format!("{ROOT}/.journal/lock"));
    let after = Some((WriteKind::Swap, Value::inline("x".into())));
    let changes = vec![Change { key: key("second"), before: Before::Unknown, after }];
    let error = journal.append(&Record { time: environment.now(), changes, carries: false }).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied { applied: 0 }));
    assert!(journal.end(true).is_err());
    runtime.block_on(player.play(&[Step::Look, commit("third"), Step::Look])).unwrap();
}

#[test]
fn a_state_at_rest_is_durable_with_its_name() {
    let (runtime, disk) = (runtime(), Disk::new(Traits::LINUX));
    let mut player = Player::new(disk.process(), 7, &options(), Model::empty());
    player.mortal = true;
    let state = format!("{ROOT}/.journal/state");
    let is_durable = || disk.after(&disk.worst()).files().get(&state) == disk.files().get(&state);
    runtime.block_on(player.play(&[Step::Open, commit("first"), Step::Close])).unwrap();
    assert!(is_durable(), "after the first commit of all");
    // The journal and its state are replaced, and the first close finds it so.
    player.mortal = false;
    runtime.block_on(player.play(&[commit("second"), Step::LoseSync, commit("third")])).unwrap();
    player.mortal = true;
    runtime.block_on(player.play(&[commit("fourth"), Step::Close])).unwrap();
    assert!(is_durable(), "after a renewal");
}
