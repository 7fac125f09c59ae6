//! Copies of a folder: each is a place of its own, whatever it was copied from and wherever a crash comes; and
//! a folder that is taken for a copy by mistake loses nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pflow_backend::{Bytes, ErrorKind, Operation, StorageBackend};
use tokio::runtime::Runtime;

use super::{
    disk::{Budget, Disk, Traits, Trouble},
    explorer::{Effort, power_fails_from, states_of},
    model::{Model, Objects},
    observe::{Seen, observe},
    player::{End, Player, ROOT, Step, runtime},
    scripts::{self, Script, put},
};

type Files = BTreeMap<String, Arc<Vec<u8>>>;

fn commit(name: &str) -> Step {
    Step::Commit(vec![put(name, "x")])
}

fn player(disk: &Arc<Disk>, seed: u64, script: &Script, model: &Model) -> Player {
    let mut player = Player::new(disk.process(), seed, &script.options, model.clone());
    player.mortal = true;
    player
}

fn play(runtime: &Runtime, player: &mut Player, steps: &[Step], what: &dyn Fn() -> String) {
    runtime.block_on(player.play(steps)).unwrap_or_else(|end| panic!("{}: {end:?}", what()));
}

fn instance(runtime: &Runtime, player: &Player) -> Option<String> {
    runtime.block_on(player.backend.as_ref().unwrap().instance()).unwrap()
}

/// A script that was played to its end on a disk of its own.
fn played(runtime: &Runtime, script: &Script, traits: Traits) -> (Arc<Disk>, Player) {
    let disk = Disk::new(traits);
    let mut first = player(&disk, 7, script, &Model::empty());
    play(runtime, &mut first, &script.steps, &|| script.name.to_owned());
    (disk, first)
}

/// The same without its close, so that the journal has work.
fn at_work(script: Script) -> Script {
    let steps = script.steps.into_iter().filter(|step| !matches!(step, Step::Close)).collect();
    Script { steps, ..script }
}

#[test]
fn each_place_keeps_an_id_of_its_own() {
    let runtime = runtime();
    for script in [scripts::saves(), at_work(scripts::saves()), at_work(scripts::large())] {
        let (disk, mut original) = played(&runtime, &script, Traits::LINUX);
        let first = instance(&runtime, &original).unwrap();
        let elsewhere = Disk::of_copies(&disk.files(), Traits::LINUX);
        let mut copy = player(&elsewhere, 8, &script, &original.model);
        play(&runtime, &mut copy, &[Step::Open, Step::Look], &|| "the copy".to_owned());
        assert_ne!(instance(&runtime, &copy).as_ref(), Some(&first));
        play(&runtime, &mut copy, &[commit("zz/copy"), Step::Look], &|| "the copy".to_owned());
        let second = instance(&runtime, &copy).unwrap();
        assert_ne!(second, first);
        play(&runtime, &mut original, &[commit("zz/original"), Step::Look], &|| "the original".to_owned());
        for (mut it, id) in [(original, &first), (copy, &second)] {
            let disk = it.medium.disk().clone();
            for crash in [disk.worst(), disk.mildest()] {
                let mut again = player(&disk.after(&crash), 9, &script, &it.model);
                play(&runtime, &mut again, &[Step::Open, Step::Look, commit("zz/b")], &|| id.clone());
                assert_eq!(instance(&runtime, &again).as_ref(), Some(id), "{}", script.name);
            }
            play(&runtime, &mut it, &[Step::Close, Step::Open, commit("zz/c"), Step::Close], &|| id.clone());
            assert_eq!(instance(&runtime, &it).as_ref(), Some(id));
        }
    }
}

#[test]
fn a_loss_of_power_takes_nothing_of_a_copy() {
    let runtime = runtime();
    let effort = |states: usize| {
        let states = states * Budget::multiplier();
        Effort { traits: Traits::LINUX, budget: Budget::new(128, 8), states, again: (states / 60, 15) }
    };
    for (script, states) in [
        (scripts::saves(), 150),
        (at_work(scripts::saves()), 300),
        (at_work(scripts::full()), 150),
        (at_work(scripts::large()), 40),
        (at_work(scripts::renewed()), 100),
    ] {
        let (disk, original) = played(&runtime, &script, Traits::LINUX);
        let copy = Disk::of_copies(&disk.files(), Traits::LINUX);
        let first = [Step::Open, Step::Look, commit("zz/one"), commit("zz/two"), Step::Close];
        let first = Script { name: "the first writer of a copy", steps: first.into(), ..script };
        power_fails_from(&copy, &original.model, &first, effort(states));
    }
}

#[test]
fn where_the_first_writer_of_a_copy_dies_the_next_one_goes_on() {
    let (runtime, script) = (runtime(), at_work(scripts::saves()));
    let (disk, original) = played(&runtime, &script, Traits::LINUX);
    let files = disk.files();
    let steps = [Step::Open, Step::Look, commit("zz/one"), Step::Close];
    let mut rehearsal = player(&Disk::of_copies(&files, Traits::LINUX), 8, &script, &original.model);
    play(&runtime, &mut rehearsal, &steps, &|| "rehearsal".to_owned());
    let calls = rehearsal.medium.made();
    let mut deaths = 0;
    for (at, called) in calls.iter().enumerate().filter(|(_, it)| it.changed) {
        let what = || format!("dead from {at}, {:?} {}", called.call, called.path);
        let copy = Disk::of_copies(&files, Traits::LINUX);
        let mut first = player(&copy, 8, &script, &original.model);
        first.medium.afflict(Trouble::DeadFrom(at));
        match runtime.block_on(first.play(&steps)) {
            Err(End::Died(_)) | Ok(()) => {}
            Err(End::Wrong(words)) => panic!("{}: {words}", what()),
        }
        first.medium.kill();
        first.backend = None;
        let mut next = player(&copy, 9, &script, &first.model);
        play(&runtime, &mut next, &[Step::Open, Step::Look, commit("zz/two"), Step::Look], &what);
        let id = instance(&runtime, &next).unwrap();
        let mut again = player(&copy.after(&copy.worst()), 10, &script, &next.model);
        play(&runtime, &mut again, &[Step::Open, Step::Look, Step::Close], &what);
        assert_eq!(instance(&runtime, &again), Some(id), "{}", what());
        deaths += 1;
    }
    println!("deaths: {deaths}");
    assert!(deaths > 20);
}

/// The files at every moment of a script.
fn moments(runtime: &Runtime, script: &Script) -> Vec<Files> {
    let (_, whole) = played(runtime, script, Traits::LINUX);
    let calls = whole.medium.made();
    let mut moments: Vec<Files> = Vec::new();
    for at in calls.iter().enumerate().filter(|(_, it)| it.changed).map(|(at, _)| at).chain([calls.len()]) {
        let disk = Disk::new(Traits::LINUX);
        let mut dies = player(&disk, 7, script, &Model::empty());
        dies.medium.afflict(Trouble::DeadFrom(at));
        drop(runtime.block_on(dies.play(&script.steps)));
        let files = disk.files();
        if moments.last() != Some(&files) {
            moments.push(files);
        }
    }
    moments
}

/// Everything that was ever put under each key.
fn ever_put(script: &Script) -> BTreeMap<String, BTreeSet<Bytes>> {
    let mut all: BTreeMap<String, BTreeSet<Bytes>> = BTreeMap::new();
    for step in &script.steps {
        let Step::Commit(batches) = step else { continue };
        for (_, operation) in batches.iter().flat_map(|batch| batch.operations()) {
            if let Operation::Put { key, bytes, .. } = operation {
                all.entry(key.as_str().to_owned()).or_default().insert(bytes.clone());
            }
        }
    }
    all
}

/// A copy that took some of its files at one moment and the others later, while a writer was at work. Files
/// that had gone by then are missing.
fn torn(early: &Files, late: &Files, is_late: &dyn Fn(&str) -> bool) -> Files {
    let some = |of: &Files, late: bool| {
        of.iter()
            .filter(|(path, _)| is_late(path) == late)
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect::<Vec<_>>()
    };
    some(early, false).into_iter().chain(some(late, true)).collect()
}

#[test]
fn a_copy_of_a_folder_in_use_opens_with_what_can_be_read() {
    const STATE: &str = "/.journal/state";
    const JOURNAL: &str = "/.journal/journal";
    /// What is copied later.
    type Late = (&'static str, fn(&str) -> bool);
    let kinds: [Late; 4] = [
        ("the state", |path| path.ends_with(STATE)),
        ("the journal", |path| path.ends_with(JOURNAL)),
        ("all of .journal", |path| path.contains("/.journal/")),
        ("the files", |path| !path.contains("/.journal/")),
    ];
    let (runtime, mut looked, mut lost) = (runtime(), 0, 0);
    for script in [scripts::saves(), scripts::full(), scripts::renewed(), scripts::idle()] {
        let (moments, ever) = (moments(&runtime, &script), ever_put(&script));
        let step = (moments.len() / (14 * Budget::multiplier())).max(1);
        let some: Vec<&Files> = moments.iter().step_by(step).collect();
        for (number, early) in some.iter().enumerate() {
            for late in some.iter().skip(number + 1) {
                for (name, is_late) in &kinds {
                    let files = torn(early, late, is_late);
                    // Before the writer had an id there is nothing that a copy could be told by.
                    if !files.contains_key(&format!("{ROOT}/.journal/instance")) {
                        continue;
                    }
                    let copy = Disk::of_copies(&files, Traits::LINUX);
                    let mut first = player(&copy, 8, &script, &Model::empty());
                    let what = || format!("{}, {name} later", script.name);
                    let seen = runtime.block_on(async {
                        first.open().await.unwrap_or_else(|error| panic!("{}: {error:?}", what()));
                        observe(first.backend.as_ref().unwrap(), [].iter()).await
                    });
                    let seen = seen.unwrap_or_else(|error| panic!("{}: {error:?}", what()));
                    for (key, bytes) in &seen {
                        // A file that was being written when it was copied is a part of its value, which only
                        // a hash of it tells.
                        let is_known = ever[key].iter().any(|put| put == bytes || put.starts_with(bytes));
                        assert!(is_known, "{}: {key} was never {bytes:?}", what());
                    }
                    lost += usize::from(first.backend.as_ref().unwrap().lost_tail().is_some());
                    first.model = Model::of(seen);
                    play(&runtime, &mut first, &[commit("zz/copy"), Step::Look], &what);
                    // From here on it is a store like any other, as strict as any.
                    let mut again = player(&copy.after(&copy.worst()), 9, &script, &first.model);
                    play(&runtime, &mut again, &[Step::Open, Step::Look, Step::Close, Step::Look], &what);
                    looked += 1;
                }
            }
        }
    }
    println!("torn copies: {looked}, of which {lost} lack records that their state names");
    assert!(looked > 500 && lost > 20);
}

/// What is seen of a disk.
fn seen_of(
    runtime: &Runtime,
    disk: &Arc<Disk>,
    script: &Script,
) -> (Result<Objects, ErrorKind>, Option<String>) {
    let mut next = player(disk, 8, script, &Model::empty());
    next.creates = false;
    let seen = runtime.block_on(async {
        next.open().await?;
        observe(next.backend.as_ref().unwrap(), [].iter()).await
    });
    let seen = seen.map_err(|error| match error {
        Seen::Failed(error) => error.kind(),
        Seen::Contradiction(words) => panic!("{}: {words}", script.name),
    });
    let id = next.backend.as_ref().and_then(|_| instance(runtime, &next));
    (seen, id)
}

/// Without birth times a device number that changes makes a folder look like a copy. Whatever a crash left and
/// a person edited since, what can be seen is the same.
#[test]
fn a_folder_that_is_taken_for_a_copy_shows_the_same() {
    let (runtime, mut states, mut taken) = (runtime(), 0, 0);
    let effort = Effort {
        traits: Traits::POOR,
        budget: Budget::new(32, 4),
        states: 120 * Budget::multiplier(),
        again: (0, 0),
    };
    for script in [scripts::saves(), scripts::full(), scripts::idle(), scripts::renewed()] {
        for state in states_of(&script, effort) {
            let disks = [state.disk(), state.disk()];
            let edited = format!("{ROOT}/workflows/a/metadata.json");
            let is_edited = disks[0].files().contains_key(&edited);
            for disk in disks.iter().filter(|_| is_edited) {
                disk.edit(&edited, b"a person's", true);
            }
            disks[1].renumber();
            let [(own, one), (copied, other)] = disks.map(|disk| seen_of(&runtime, &disk, &script));
            assert_eq!(own, copied, "{}, {state}", script.name);
            states += 1;
            taken += usize::from(one.is_some() && one != other);
        }
    }
    println!("states: {states}, of which {taken} were taken for copies");
    assert!(taken > 50);
}

#[test]
fn without_a_birth_time_the_device_number_tells() {
    let (runtime, script) = (runtime(), scripts::saves());
    for (traits, is_kept) in [(Traits::LINUX, true), (Traits::POOR, false)] {
        let (disk, original) = played(&runtime, &script, traits);
        let first = instance(&runtime, &original);
        let mut model = original.model;
        for _ in 0..2 {
            disk.renumber();
            let mut next = player(&disk, 8, &script, &model);
            let steps = [Step::Open, Step::Look, commit("zz/a"), Step::Close];
            play(&runtime, &mut next, &steps, &|| "the machine has started again".to_owned());
            assert_eq!(instance(&runtime, &next) == first, is_kept);
            model = next.model;
        }
    }
}
