use pflow_store::backend::WriteKind;
use proptest::prelude::*;

use super::world::Body;

/// An operation through one of the two handles.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit(Vec<Vec<Change>>),
    /// A commit whose future is dropped after one poll.
    Drop(Vec<Vec<Change>>),
    Get(usize),
    Stat(usize),
    /// A listing below the folder of the first key (or of everything) that starts after the second key (or at
    /// the first one).
    List(Option<usize>, Option<usize>),
    Close,
    /// Close the handle and open a new one.
    Reopen,
    /// Open a new handle without closing the old one.
    Forget,
}

/// One write of a batch, before the current state is known. Keys are numbers.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: usize,
    /// None: a delete.
    pub(crate) body: Option<Body>,
    pub(crate) kind: WriteKind,
    pub(crate) guess: Guess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    Always,
    Absent,
    /// The current version, or absent if there is none.
    Present,
    /// The version of this body, whether it is the current one or not.
    This(Body),
}

fn change() -> impl Strategy<Value = Change> {
    let guess = prop_oneof![
        4 => Just(Guess::Always),
        2 => Just(Guess::Absent),
        5 => Just(Guess::Present),
        1 => (0..4_u8).prop_map(Guess::This),
    ];
    let body = prop_oneof![16 => (0..4_u8).prop_map(Some), 1 => Just(Some(4)), 6 => Just(None)];
    let kind = prop_oneof![
        4 => Just(WriteKind::Swap),
        2 => Just(WriteKind::Copy),
        1 => Just(WriteKind::Fresh),
        2 => Just(WriteKind::Immutable),
    ];
    (0..8_usize, body, kind, guess).prop_map(|(key, body, kind, guess)| {
        // A fresh object has a name that was never used, so its condition is that the key is absent, as that of
        // an immutable one always is.
        let is_absent = matches!(kind, WriteKind::Fresh | WriteKind::Immutable) && body.is_some();
        let guess = if is_absent { Guess::Absent } else { guess };
        Change { key, body, kind, guess }
    })
}

fn stages() -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop_oneof![
        3 => change().prop_map(|change| vec![vec![change]]),
        4 => prop::collection::vec(prop::collection::vec(change(), 0..3), 1..4),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let key = || prop::option::of(0..8_usize);
    let step = prop_oneof![
        24 => stages().prop_map(Step::Commit),
        4 => stages().prop_map(Step::Drop),
        6 => (0..8_usize).prop_map(Step::Get),
        3 => (0..8_usize).prop_map(Step::Stat),
        5 => (key(), key()).prop_map(|(below, after)| Step::List(below, after)),
        1 => Just(Step::Close),
        2 => Just(Step::Reopen),
        2 => Just(Step::Forget),
    ];
    prop::collection::vec((0..2_usize, step), 1..50)
}
