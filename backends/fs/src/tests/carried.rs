//! What waits in the journal stops nothing else.

use pflow_backend::{Commit, ErrorKind, StorageBackend};
use rustix::io::Errno;
use tokio::runtime::Runtime;

use super::{
    disk::{Disk, Traits, Trouble},
    model::Model,
    player::{Player, Step, runtime},
    scripts::{put, text},
};
use crate::{FsBackend, FsOptions};

const LIMIT: u64 = 200_000;

/// A store in which everything below a folder cannot be written.
fn store(blocked: &'static str) -> (Runtime, Player) {
    let (runtime, disk) = (runtime(), Disk::new(Traits::LINUX));
    let options = FsOptions::new().follow(false).journal_limit(LIMIT);
    let mut player = Player::new(disk.process(), 7, &options, Model::empty());
    player.mortal = true;
    let first = ["a/first", "other/first", "versions/first/1"];
    let first = first.map(|name| Step::Commit(vec![put(name, "x")]));
    runtime.block_on(player.play(&[&[Step::Open], &first[..], &[Step::Close]].concat())).unwrap();
    player.medium.afflict(Trouble::Below(blocked, Errno::ACCESS));
    (runtime, player)
}

/// Whether it was saved. Anything else than a refusal because too much waits is wrong.
async fn saves(backend: &FsBackend, name: &str, bytes: usize) -> bool {
    match backend.commit(put(name, text(name, bytes))).await {
        Ok(Commit::Committed(_)) => true,
        Ok(other) => panic!("{name}: {other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{name}: {error:?}");
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            assert!(error.to_string().contains("whose files cannot be written"), "{error}: {cause:?}");
            false
        }
    }
}

#[test]
fn new_folders_that_cannot_be_made_are_refused() {
    let (runtime, player) = store("/versions/new");
    let backend = player.backend.clone().unwrap();
    runtime.block_on(async {
        let mut refused = 0;
        for number in 0..60 {
            let is_saved = saves(&backend, &format!("versions/new{number}/1"), 10_000).await;
            refused += usize::from(!is_saved);
            assert_eq!(is_saved, refused == 0, "{number}");
            for name in ["other/first", "versions/first/2"] {
                assert!(saves(&backend, name, 5_000).await, "{number}");
            }
        }
        assert!(refused > 30, "{refused}");
        backend.close().await.unwrap();
    });
}

#[test]
fn what_one_epoch_adds_to_what_waits_stops_nothing_else() {
    let (runtime, player) = store("/a/");
    let backend = player.backend.clone().unwrap();
    runtime.block_on(async {
        for number in 0..9 {
            assert!(saves(&backend, &format!("a/{number}"), 10_000).await);
        }
        // Less than half of the limit waits now, so that an epoch may add all that it takes.
        backend.close().await.unwrap();
        let mut count = 9;
        while saves(&backend, &format!("a/{count}"), 10_000).await {
            count += 1;
        }
        assert!((15..30).contains(&count), "{count}");
        for _ in 0..60 {
            assert!(saves(&backend, "other/first", 5_000).await);
        }
        backend.close().await.unwrap();
        assert_eq!(backend.waiting().await.unwrap().len(), count);
    });
}
