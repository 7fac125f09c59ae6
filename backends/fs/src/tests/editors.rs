//! What a person writes at the very moment at which a copy is put in its place is kept.

use pflow_backend::{Batch, Operation, StorageBackend};

use super::{
    disk::{Call, Called, Disk, Hand, Traits, Trouble},
    model::Model,
    player::{Player, ROOT, Step, runtime},
    scripts::{key, put},
};
use crate::FsOptions;

const COPY: &str = "w/copy";
const EDIT: &str = "a person's work";

fn copy(text: &'static str) -> Step {
    Step::Commit(vec![Batch::new().stage([Operation::put(key(COPY), text).copy()])])
}

/// A store whose copy was committed and is not in its file yet, or an earlier one is.
fn committed(disk: &std::sync::Arc<Disk>, has_earlier: bool) -> Player {
    let mut player = Player::new(disk.process(), 7, &FsOptions::new().follow(false), Model::empty());
    let earlier = [copy("earlier"), Step::Close];
    let before = if has_earlier { &earlier[..] } else { &[] };
    let steps = [&[Step::Open], before, &[copy("saved")]].concat();
    runtime().block_on(player.play(&steps)).unwrap();
    player
}

/// Closes the store. What is under the name of the copy then, and what is in quarantine.
fn closed(player: &Player, disk: &Disk) -> (Option<String>, Vec<String>) {
    let backend = player.backend.clone().unwrap();
    runtime().block_on(async {
        backend.close().await.unwrap();
        assert_eq!(backend.waiting().await.unwrap(), []);
    });
    let copy = disk.files().get(&format!("{ROOT}/{COPY}")).map(|bytes| text(bytes));
    (copy, quarantined(disk))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn quarantined(disk: &Disk) -> Vec<String> {
    let quarantine = format!("{ROOT}/.journal/quarantine/");
    let files = disk.files().into_iter().filter(|(path, _)| path.starts_with(&quarantine));
    files.map(|(_, bytes)| text(&bytes)).collect()
}

#[test]
fn a_file_that_appears_before_the_rename_stays() {
    let disk = Disk::new(Traits::LINUX);
    let player = committed(&disk, false);
    player.medium.afflict(Trouble::Before(Call::RenameNew, COPY, Hand::Writes(EDIT)));
    assert_eq!(closed(&player, &disk), (Some(EDIT.to_owned()), vec![]));
}

#[test]
fn a_file_that_was_removed_before_the_exchange_is_written() {
    let disk = Disk::new(Traits::LINUX);
    let player = committed(&disk, true);
    player.medium.afflict(Trouble::Before(Call::Exchange, COPY, Hand::Removes));
    assert_eq!(closed(&player, &disk), (Some("saved".to_owned()), vec![]));
}

#[test]
fn a_file_that_is_replaced_while_it_is_exchanged_is_kept() {
    let disk = Disk::new(Traits::LINUX);
    let player = committed(&disk, true);
    player.medium.afflict(Trouble::Before(Call::Exchange, COPY, Hand::Removes));
    player.medium.afflict(Trouble::Before(Call::RenameNew, COPY, Hand::Writes(EDIT)));
    assert_eq!(closed(&player, &disk), (Some(EDIT.to_owned()), vec![]));

    let disk = Disk::new(Traits::LINUX);
    let player = committed(&disk, true);
    player.medium.afflict(Trouble::Before(Call::Exchange, COPY, Hand::Writes(EDIT)));
    assert_eq!(closed(&player, &disk), (Some("saved".to_owned()), vec![EDIT.to_owned()]));
}

#[test]
fn without_the_call_a_file_that_appears_is_replaced() {
    let disk = Disk::new(Traits::POOR);
    let player = committed(&disk, false);
    player.medium.afflict(Trouble::Before(Call::Rename, COPY, Hand::Writes(EDIT)));
    assert_eq!(closed(&player, &disk), (Some("saved".to_owned()), vec![]));
}

#[test]
fn what_is_kept_is_durable_whichever_sync_fails() {
    // With few files each is synced by itself, with many the whole file system is.
    for many in [false, true] {
        let start = || {
            let disk = Disk::new(Traits::LINUX);
            let mut player = committed(&disk, true);
            if many {
                let objects = (0..40).map(|at| Operation::put(key(&format!("many/{at}")), "x"));
                let batch = Batch::new().stage(objects);
                runtime().block_on(player.play(&[Step::Commit(vec![batch])])).unwrap();
            }
            player.medium.take_made();
            player.medium.afflict(Trouble::Before(Call::Exchange, COPY, Hand::Writes(EDIT)));
            (disk, player)
        };
        let (disk, player) = start();
        closed(&player, &disk);
        let syncs = player.medium.take_made().iter().filter(|it| it.call.is_sync()).count();
        for nth in 0..syncs {
            let (disk, player) = start();
            player.medium.lose_a_sync_after(nth);
            let backend = player.backend.clone().unwrap();
            let is_closed = runtime().block_on(backend.close()).is_ok();
            if !is_closed {
                runtime().block_on(backend.close()).unwrap();
            }
            let after = disk.after(&disk.worst());
            assert_eq!(quarantined(&after), [EDIT], "many: {many}, sync {nth} of {syncs}, {is_closed}");
        }
    }
}

#[test]
fn an_edit_in_a_moved_folder_comes_back_after_a_renewal() {
    let (runtime, disk) = (runtime(), Disk::new(Traits::LINUX));
    let open = |seed: u64, model: &Model| {
        Player::new(disk.process(), seed, &FsOptions::new().follow(seed == 7), model.clone())
    };
    let mut first = open(7, &Model::empty());
    first.mortal = true;
    runtime.block_on(first.play(&[Step::Open, copy("saved")])).unwrap();
    first.medium.kill();
    first.backend = None;
    let path = format!("{ROOT}/{COPY}");
    assert!(disk.has(&path), "the file has followed");
    disk.edit(&path, EDIT.as_bytes(), true);
    let mut model = first.model.clone();
    model.edited(COPY, EDIT);
    // It finds files of another handle, so that it gives their names again. It dies between the two moves.
    let rehearsal = disk.after(&disk.mildest());
    let moves = [Step::Open, Step::Commit(vec![put("more", "x")]), Step::Close];
    let mut second = Player::new(rehearsal.process(), 8, &FsOptions::new().follow(false), model.clone());
    runtime.block_on(second.play(&moves)).unwrap();
    let calls = second.medium.made();
    let is_moved = |it: &Called| it.call == Call::Rename && it.path.contains("/.journal/moved/");
    let at = calls.iter().position(is_moved).unwrap();
    let mut second = open(8, &model);
    second.medium.afflict(Trouble::DeadFrom(at + 1));
    drop(runtime.block_on(second.play(&moves)));
    second.medium.kill();
    second.backend = None;
    assert!(!disk.has(&path));
    // Without its state the journal is renewed, with a later epoch.
    disk.remove(&format!("{ROOT}/.journal/state"));
    let mut third = open(9, &model);
    runtime.block_on(third.play(&[Step::Open])).unwrap();
    assert_eq!(disk.files().get(&path).map(|bytes| text(bytes)).as_deref(), Some(EDIT));
    assert_eq!(quarantined(&disk), Vec::<String>::new());
}
