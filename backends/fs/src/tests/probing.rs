//! A file system that cannot do what the store needs breaks a promise; one that fails says nothing about any.

use std::sync::Arc;

use pflow_backend::{
    ErrorKind, Prefix, Result, StorageBackend,
    probe::{Check, Verdict},
};
use rustix::io::Errno;

use super::{
    disk::{Call, Disk, Simulated, Traits, Trouble},
    model::Model,
    player::{Player, Step, runtime},
};
use crate::FsOptions;

/// What a probe says where one call fails; and whether it left anything but `.journal`.
fn examined(trouble: Trouble) -> (Result<Vec<Check>>, bool) {
    let runtime = runtime();
    let medium: Arc<Simulated> = Disk::new(Traits::LINUX).process();
    let mut player = Player::new(medium.clone(), 7, &FsOptions::new(), Model::empty());
    player.mortal = true;
    runtime.block_on(player.play(&[Step::Open])).unwrap();
    medium.take_made();
    medium.afflict(trouble);
    let backend = player.backend.clone().unwrap();
    let checks = runtime.block_on(backend.examine(&Prefix::parse("ops/probe/1").unwrap()));
    let is_clean = !medium.disk().has("/srv/store/ops");
    (checks, is_clean)
}

#[test]
fn a_file_system_that_cannot_sync_or_move_breaks_a_promise() {
    for (call, name) in [(Call::SyncData, "sync"), (Call::Sync, "sync"), (Call::Rename, "rename")] {
        let (checks, is_clean) = examined(Trouble::Nth(call, 0, Errno::INVAL));
        let checks = checks.unwrap();
        let is_broken = |check: &&Check| check.required && matches!(check.verdict, Verdict::Broken(_));
        let broken: Vec<&str> = checks.iter().filter(is_broken).map(|check| check.name).collect();
        assert_eq!(broken, [name], "{call:?}");
        assert!(is_clean, "{call:?}");
    }
}

#[test]
fn short_names_are_told_and_endanger_nothing() {
    // Before it two lock files and three files were opened: of `sync` and of `rename`, one of which was read.
    let opened = |nth| examined(Trouble::Nth(Call::Open, nth, Errno::NAMETOOLONG));
    let told = (0..10).filter_map(|nth| {
        let (checks, is_clean) = opened(nth);
        assert!(is_clean, "{nth}");
        checks
            .ok()?
            .into_iter()
            .find(|check| check.name == "names" && matches!(check.verdict, Verdict::Broken(_)))
    });
    assert!(told.map(|check| check.required).eq([false]));
}

#[test]
fn a_disk_that_fails_is_no_disk_that_lies() {
    for call in [Call::SyncData, Call::Sync, Call::Rename, Call::Write] {
        // The first write is the note in the lock file.
        let nth = usize::from(call == Call::Write);
        let (checks, is_clean) = examined(Trouble::Nth(call, nth, Errno::IO));
        assert_eq!(checks.unwrap_err().kind(), ErrorKind::Io, "{call:?}");
        assert!(is_clean, "{call:?}");
    }
}
