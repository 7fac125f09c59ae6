//! A model of the lease protocol: everything that two holders, a saver without a lease, a breaker and a
//! folder can do to one head, in every order.
//!
//! The decisions are the program's own: the model calls [`crate::lock::decide`] and
//! [`crate::store::change::decide`] with the heads that its registers represent. The model itself provides
//! the register, which compares and swaps, and the network: a reply may be lost, and then the swap lands at
//! once, later, after its sender's death, or never. Every actor may be stopped between any two steps for any
//! time, like a suspended or slow process. Holders die and return as other processes. At every read, the wall
//! clock may be ahead or behind by more than a lease lasts.
//!
//! No actor is careful: a holder continues to save until it is told that its lease is lost. So the laws that
//! hold here do not depend on guards, timely renewals or clocks.
//!
//! The model leaves out: guards and waiting, which safety does not depend on; the copies and the mirror,
//! which no decision depends on; the detection of a dead process, which has the same effect as a clock that
//! is ahead; and a save that acquires a lease.

mod heads;
mod laws;
mod quick;
mod rules;
mod search;
mod steps;
mod world;

use rules::Rules;
use search::search;
use world::{Left, World};

/// Possible flaws of the protocol; each is known from a real system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A save is made under whatever lease is in the head.
    SaveForgetsItsLease,
    /// A takeover or a break does not raise the fence.
    TakeoverKeepsTheFence,
    /// A save without a lease over a stale lease leaves that lease in place.
    SaverLeavesAStaleLease,
    /// A break removes whatever lease is in the head.
    BreaksWhateverIsThere,
    /// The last writer wins.
    SwapsWithoutComparing,
    /// A save compares only the generation, after a read of the lease.
    ComparesTheGeneration,
    /// A swap without a reply counts as one that did not happen.
    LostReplyIsAFailure,
    /// Staleness is judged by wall clocks alone.
    TrustsEveryClock,
}

/// The limits of each actor: one word per role, in the order of `Role::ALL`, with the digits of `Left`. All
/// limits at once would be too many worlds to search, so each scene raises some of them. CI adds scenes with
/// `PFLOW_TEST_LEASE_SCENES`, separated by commas.
const SCENES: [&str; 4] = [
    "110000 100000 010000 000100 000100",
    "110111 110010 000000 000100 000000",
    "210101 110000 010000 000000 000000",
    "110010 000000 010010 000000 000110",
];
/// The minimum number of worlds that the search visits. Fewer would mean that an actor can no longer do what
/// the scenes are for.
const WORLDS: usize = 200_000;

fn world(scene: &str) -> World {
    let words: Vec<Vec<u8>> =
        scene.split(' ').map(|word| word.bytes().map(|digit| digit - b'0').collect()).collect();
    World::new(|role| match words[role as usize][..] {
        [wishes, saves, renewals, others, lost_replies, deaths] => {
            Left { wishes, saves, renewals, others, lost_replies, deaths }
        }
        _ => panic!("six digits for each of five: {scene}"),
    })
}

#[test]
fn stale_holder_never_writes_after_its_successor() {
    let own = std::env::var("PFLOW_TEST_LEASE_SCENES").unwrap_or_default();
    let scenes = SCENES.into_iter().chain(own.split(',').filter(|scene| !scene.is_empty()));
    let mut states = 0;
    for scene in scenes {
        let searched =
            search(world(scene), &mut Rules::new(None)).unwrap_or_else(|broken| panic!("{scene}:\n{broken}"));
        println!("{scene}: {searched:?}");
        states += searched.states;
    }
    println!("{states} states");
    assert!(states > WORLDS, "{states} states");
}

/// A scene in which every flaw shows.
const BROKEN: &str = "110010 110000 010010 000100 000000";

#[test]
fn every_flaw_of_the_protocol_is_detected() {
    for (flaw, law) in [
        (Flaw::SaveForgetsItsLease, "lands after its successor's"),
        (Flaw::TakeoverKeepsTheFence, "under a fence that was there before"),
        (Flaw::SaverLeavesAStaleLease, "does not lose it"),
        (Flaw::BreaksWhateverIsThere, "is to be broken"),
        (Flaw::SwapsWithoutComparing, "under a fence that was there before"),
        (Flaw::ComparesTheGeneration, "the fence falls"),
        (Flaw::LostReplyIsAFailure, "refused that may happen yet"),
        (Flaw::TrustsEveryClock, "waits for ever"),
    ] {
        let found = search(world(BROKEN), &mut Rules::new(Some(flaw))).expect_err("not found out");
        println!("{flaw:?}, found in {} steps:\n{found}", found.way.len());
        assert!(found.law.contains(law), "{flaw:?}: {found}");
    }
}
