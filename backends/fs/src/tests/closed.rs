//! A folder that this process cannot read costs what is in it, and nothing else.

use pflow_backend::{ErrorKind, Result, StorageBackend};
use rustix::io::Errno;

use super::{
    disk::{Disk, Traits, Trouble},
    model::Model,
    player::{Player, Step, runtime},
    scripts::{put, save},
};
use crate::FsOptions;

/// What waits after a store was closed in which two workflows were saved, while something was wrong with
/// folders or files.
fn waits(troubles: &[Trouble]) -> Result<Vec<String>> {
    let (runtime, disk) = (runtime(), Disk::new(Traits::LINUX));
    let mut player = Player::new(disk.process(), 7, &FsOptions::new().follow(false), Model::empty());
    player.mortal = true;
    let before = [save("a", 1), put("workflows/a/theirs/x", "theirs")].map(|batch| Step::Commit(vec![batch]));
    let saves = [save("a", 2), save("b", 1)].map(|batch| Step::Commit(vec![batch]));
    let steps = [&[Step::Open], &before[..], &[Step::Close], &saves[..]].concat();
    runtime.block_on(player.play(&steps)).unwrap();
    troubles.iter().for_each(|trouble| player.medium.afflict(*trouble));
    let backend = player.backend.clone().unwrap();
    runtime.block_on(async {
        backend.close().await?;
        let waiting = backend.waiting().await?;
        Ok(waiting.into_iter().map(|it| it.key.as_str().to_owned()).collect())
    })
}

/// One file cannot be written, so that all names are given again.
const STUCK: Trouble = Trouble::Of("workflows/b/metadata.json", Errno::ACCESS);

#[test]
fn a_folder_that_cannot_be_opened_costs_its_keys_alone() {
    let closed = Trouble::Closed("versions/a", Errno::ACCESS);
    assert_eq!(waits(&[closed]).unwrap(), ["versions/a/2"]);
    let closed = Trouble::Closed("/workflows", Errno::ACCESS);
    let all = ["a/metadata.json", "a/workflow.json", "b/metadata.json", "b/workflow.json"];
    assert_eq!(waits(&[closed]).unwrap(), all.map(|name| format!("workflows/{name}")));
}

#[test]
fn a_foreign_folder_below_a_workflow_costs_nothing() {
    for errno in [Errno::ACCESS, Errno::IO] {
        let closed = Trouble::Closed("workflows/a/theirs", errno);
        assert_eq!(waits(&[STUCK, closed]).unwrap(), ["workflows/b/metadata.json"]);
    }
}

#[test]
fn a_lack_of_descriptors_concerns_everything() {
    let closed = Trouble::Closed("workflows/a/theirs", Errno::MFILE);
    assert_eq!(waits(&[STUCK, closed]).unwrap_err().kind(), ErrorKind::Exhausted);
}
