//! A model of the lease protocol: everything that two holders, a saver without a lease, a breaker and a
//! folder can do to one head, in every order.
//!
//! The decisions are the program's: [`crate::lock::decide`] and [`crate::store::change::decide`] are called with
//! the heads that the model's registers represent. The model's own are the register, which compares and swaps, and the network:
//! a reply may get lost, and then the swap lands at once, later, after its sender's death, or never. Anybody
//! may be stopped between any two steps for any time, which is what a suspended process or a slow one is.
//! Holders die and come back as others. Wall clocks jump by more than a lease lasts, ahead and behind, at
//! every look.
//!
//! Nobody in here is careful: a holder goes on to save until it is told that its lease is lost. So what holds
//! here does not lean on guards, renewals in time or clocks.
//!
//! Left out: guards and waiting, which only keep people polite; the copies and the mirror, which decide
//! nothing; that a dead process is seen, which comes to the same as a clock that is ahead; and a save that
//! takes a lease along.

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

/// What could be wrong with the protocol: each of them somebody's real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A save is made under whatever lease is there.
    SaveForgetsItsLease,
    /// Who takes over a lease, or breaks it, goes on with its fence.
    TakeoverKeepsTheFence,
    /// Who saves without a lease over a stale one leaves it there.
    SaverLeavesAStaleLease,
    /// A break takes away whatever lease is there.
    BreaksWhateverIsThere,
    /// The last writer wins.
    SwapsWithoutComparing,
    /// A save is conditional on the generation alone, after a look at the lease.
    ComparesTheGeneration,
    /// A swap without an answer counts as one that did not happen.
    LostReplyIsAFailure,
    /// Staleness is told by wall clocks alone.
    TrustsEveryClock,
}

/// How often everybody may do what: five words, of `Role::ALL`, each with the digits of `Left`. All of it
/// together would be too much to look at, so each scene has more of something. CI adds to them by
/// `PFLOW_TEST_LEASE_SCENES`, separated by commas.
const SCENES: [&str; 4] = [
    "110000 100000 010000 000100 000100",
    "110111 110010 000000 000100 000000",
    "210101 110000 010000 000000 000000",
    "110010 000000 010010 000000 000110",
];
/// So many worlds are looked at in them at least. Fewer would mean that somebody cannot do any more what the
/// scenes are about.
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
fn no_write_of_a_stale_holder_lands_after_its_successors_first_in_any_order_of_anything() {
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

/// Enough for every flaw to show.
const BROKEN: &str = "110010 110000 010010 000100 000000";

#[test]
fn a_broken_protocol_is_found_out() {
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
