//! The fuzz targets as bounded property tests: the kept corpus, what a store writes today, and mutations of
//! both.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, u8),
    Repeat(Index, u8),
    Insert(Index, Vec<u8>),
    /// The tail of another seed from there on.
    Splice(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation::*;
    prop_oneof![
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Set(at, byte)),
        any::<Index>().prop_map(Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Remove(at, count)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Repeat(at, count)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 1..16)).prop_map(|(at, bytes)| Insert(at, bytes)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, other)| Splice(at, other)),
    ]
}

fn mutated(seeds: &[Vec<u8>], from: Index, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = seeds[from.index(seeds.len())].clone();
    for mutation in mutations {
        let at = |index: &Index| index.index(bytes.len().max(1)).min(bytes.len());
        match mutation {
            Mutation::Flip(place, bit) if !bytes.is_empty() => {
                let place = at(place);
                bytes[place] ^= 1 << bit;
            }
            Mutation::Set(place, byte) if !bytes.is_empty() => {
                let place = at(place);
                bytes[place] = *byte;
            }
            Mutation::Flip(..) | Mutation::Set(..) => {}
            Mutation::Cut(place) => bytes.truncate(at(place)),
            Mutation::Remove(place, count) => {
                let place = at(place);
                let end = (place + usize::from(*count)).min(bytes.len());
                bytes.drain(place..end);
            }
            Mutation::Repeat(place, count) => {
                let place = at(place);
                let end = (place + usize::from(*count)).min(bytes.len());
                let part = bytes[place..end].to_vec();
                bytes.splice(place..place, part);
            }
            Mutation::Insert(place, inserted) => {
                let place = at(place);
                bytes.splice(place..place, inserted.iter().copied());
            }
            Mutation::Splice(place, other) => {
                let place = at(place);
                let other = &seeds[other.index(seeds.len())];
                bytes.truncate(place);
                bytes.extend_from_slice(other.get(place..).unwrap_or_default());
            }
        }
    }
    bytes
}

/// Returns the stored inputs of a fuzz target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "a corpus has something");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What the known store has under a key.
fn known(key: &str) -> Vec<u8> {
    let found = targets::known_objects().iter().find(|(name, _)| name == key);
    found.map(|(_, bytes)| bytes.to_vec()).unwrap_or_else(|| panic!("no {key}"))
}

fn known_file(name: &str) -> Vec<u8> {
    fs::read(targets::known_folder().join(".journal").join(name)).unwrap()
}

/// Runs a target with its corpus and today's bytes, then with mutations of these. What fails is printed with
/// its seed and shrunk.
fn run(target: &str, today: Vec<u8>, cases: u32, act: fn(&[u8])) {
    let mut seeds = corpus(target);
    seeds.push(today);
    seeds.push(Vec::new());
    for seed in &seeds {
        act(seed);
    }
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let inputs = (any::<Index>(), prop::collection::vec(mutation(), 1..6));
    let result = runner.run(&inputs, |(from, mutations)| {
        act(&mutated(&seeds, from, &mutations));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{target}: {failure}");
    }
}

#[test]
fn documents() {
    run("document", b"{\"nodes\":[]}".to_vec(), 2000, targets::document);
}

#[test]
fn markdown() {
    run("markdown", b"## Steps\n### a\nDoes it.\n- type: echo\n".to_vec(), 2000, targets::markdown);
}

#[test]
fn heads() {
    run("head", known(targets::HEAD), 500, targets::head);
}

#[test]
fn versions() {
    run("version", known(targets::version_key()), 500, targets::version);
}

#[test]
fn lockfiles() {
    run("lockfile", known(targets::LOCKFILE), 300, targets::lockfile);
}

#[test]
fn configs() {
    run("config", known(targets::CONFIG), 500, targets::config);
}

#[test]
fn journals() {
    run("journal", known_file("journal"), 60, targets::journal);
}

#[test]
fn states() {
    run("state", known_file("state"), 60, targets::state);
}

/// Writes what a store of today has into the corpus: `cargo test --workspace --test histories fuzz:: -- --ignored`.
#[test]
#[ignore = "writes into the repository"]
fn write_todays_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, bytes) in [
        ("head", known(targets::HEAD)),
        ("version", known(targets::version_key())),
        ("lockfile", known(targets::LOCKFILE)),
        ("config", known(targets::CONFIG)),
        ("journal", known_file("journal")),
        ("state", known_file("state")),
    ] {
        // A journal is as long as the room that it was given.
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 65).min(bytes.len()));
        let bytes = &bytes[..end];
        fs::create_dir_all(folder.join(target)).unwrap();
        fs::write(folder.join(target).join("today"), bytes).unwrap();
    }
}
