//! What a person writes at the very moment at which a copy is put in its place is kept.

use pflow_backend::{Batch, Operation, StorageBackend};

use super::{
    disk::{Call, Disk, Hand, Traits, Trouble},
    model::Model,
    player::{Player, ROOT, Step, runtime},
    scripts::key,
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
