//! Every single bit of the journal and its state, and every length of both: no acknowledged value is answered
//! wrong or older in silence.

use std::sync::Arc;

use pflow_backend::ErrorKind;
use tokio::runtime::Runtime;

use super::{
    disk::{Disk, Traits},
    model::{Model, Objects},
    observe::{Seen, observe},
    player::{Player, ROOT, Step, runtime},
    scripts::put,
};
use crate::FsOptions;

/// A store with an epoch that has ended and a journal of six records of the next one.
struct Store {
    runtime: Runtime,
    disk: Arc<Disk>,
    expected: Objects,
}

/// What came of looking at it after damage.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    told: usize,
    right: usize,
}

fn options() -> FsOptions {
    FsOptions::new().follow(false).journal_limit(5_500)
}

impl Store {
    fn new() -> Self {
        let runtime = runtime();
        let disk = Disk::new(Traits::LINUX);
        let mut player = Player::new(disk.process(), 7, &options(), Model::empty());
        player.mortal = true;
        let commit = |name: &str, text: &'static str| Step::Commit(vec![put(name, text)]);
        let mut steps =
            vec![Step::Open, commit("a", "one"), commit("old", "in its file"), commit("b", "one")];
        steps.push(Step::Commit(vec![put("filler", super::scripts::text("filler", 1_000))]));
        // Here the journal is full and begins again.
        for text in ["two", "three", "four"] {
            steps.extend([commit("a", text), commit("b", text)]);
        }
        runtime.block_on(player.play(&steps)).unwrap();
        let expected = runtime.block_on(observe(player.backend.as_ref().unwrap(), [].iter())).unwrap();
        drop(player);
        let store = Self { runtime, disk, expected };
        assert_eq!(store.records().len(), 6);
        store
    }

    /// What a file holds. Of the journal without most of the zeros at its end, which take time and tell
    /// nothing.
    fn bytes(&self, name: &str) -> Vec<u8> {
        let mut bytes = self.disk.files()[&path(name)].to_vec();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate((end + 1_000).next_multiple_of(8));
        bytes
    }

    /// Where the records begin that are no leftovers.
    fn records(&self) -> Vec<usize> {
        let bytes = self.bytes("journal");
        let epoch = |at: usize| u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap());
        let starts = (4096..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"pflowrec"));
        starts.filter(|at| epoch(*at) == epoch(4096)).collect()
    }

    /// Opens a machine on which a file holds this, and reads everything.
    fn look(&self, name: &str, bytes: &[u8], what: &dyn Fn() -> String) -> Count {
        let disk = self.disk.after(&self.disk.mildest());
        disk.edit(&path(name), bytes, true);
        let mut player = Player::new(disk.process(), 8, &options(), Model::empty());
        let seen: Result<Objects, Seen> = self.runtime.block_on(async {
            player.open().await?;
            observe(player.backend.as_ref().unwrap(), self.expected.keys()).await
        });
        match seen {
            Ok(seen) => {
                assert!(seen == self.expected, "{}: a wrong or older value in silence", what());
                Count { right: 1, told: 0 }
            }
            Err(Seen::Failed(error)) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{}: {error}", what());
                Count { right: 0, told: 1 }
            }
            Err(Seen::Contradiction(words)) => panic!("{}: {words}", what()),
        }
    }

    fn flip(&self, name: &str, places: impl Iterator<Item = usize>) -> Count {
        let whole = self.bytes(name);
        let bits = places.flat_map(|at| (0..8).map(move |bit| (at, bit)));
        let counts = bits.map(|(at, bit)| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            self.look(name, &bytes, &|| format!("bit {bit} of byte {at} of {name}"))
        });
        counts.fold(Count::default(), Count::and)
    }

    fn cut(&self, name: &str, lengths: impl Iterator<Item = usize>) -> Count {
        let whole = self.bytes(name);
        let counts = lengths
            .map(|length| self.look(name, &whole[..length], &|| format!("{name} with {length} bytes")));
        counts.fold(Count::default(), Count::and)
    }
}

impl Count {
    fn and(self, other: Self) -> Self {
        Self { told: self.told + other.told, right: self.right + other.right }
    }
}

fn path(name: &str) -> String {
    format!("{ROOT}/.journal/{name}")
}

#[test]
fn no_flipped_bit_of_the_journal_hides_a_value() {
    let store = Store::new();
    let last = *store.records().last().unwrap();
    // Both headers, and all records with their ends.
    let places = (0..88).chain(512..600).chain(4096..last + 200);
    let count = store.flip("journal", places);
    println!("flipped bits of the journal: {count:?}, wrong in silence: 0");
    assert!(count.told > 0 && count.right > 0);
}

#[test]
fn no_flipped_bit_and_no_length_of_the_state_hides_a_value() {
    let store = Store::new();
    let length = store.bytes("state").len();
    let count = store.flip("state", 0..length).and(store.cut("state", 0..length));
    println!("flipped bits and lengths of the state: {count:?}, wrong in silence: 0");
    assert_eq!(count.told, 0, "the journal itself is whole");
}

#[test]
fn no_flipped_bit_and_no_length_of_the_instance_hides_a_value() {
    let store = Store::new();
    let length = store.bytes("instance").len();
    let count = store.flip("instance", 0..length).and(store.cut("instance", 0..length));
    println!("flipped bits and lengths of the instance: {count:?}, wrong in silence: 0");
    assert_eq!(count.told, 0, "the journal itself is whole");
}

#[test]
fn no_length_of_the_journal_hides_a_value() {
    let store = Store::new();
    let (last, length) = (*store.records().last().unwrap(), store.bytes("journal").len());
    let few = (0..4096).step_by(37);
    let lengths = few.chain(4096..last + 300).chain((last + 300..length).step_by(997));
    let count = store.cut("journal", lengths);
    println!("lengths of the journal: {count:?}, wrong in silence: 0");
    assert!(count.told > 0 && count.right > 0);
}
