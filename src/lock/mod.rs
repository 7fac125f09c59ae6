//! Locks are leases in the head. Acquiring, renewing and releasing a lease is the same compare-and-swap of
//! the head that a save uses.
//!
//! `workflow.lock` mirrors the lease in the seed's lockfile format, for people and older tools. No decision
//! depends on it.
//!
//! **Leases are fenced.** Every grant, takeover and break raises the fence in its own swap of the head. A
//! write under a lease compares that lease with the lease in the head in the swap that writes. So a client
//! that has lost its lease without noticing cannot write. Clocks, process checks and waiting only decide
//! whether a takeover is polite ([`Standing`]); safety does not depend on them.

mod acts;
pub(crate) mod broken;
pub(crate) mod change;
pub(crate) mod decide;
mod grants;
pub(crate) mod guard;
mod inspect;
mod keeper;
mod line;
mod mirror;
mod moment;
mod node;
mod observer;
mod orders;
mod pending;
pub(crate) mod request;
mod shared_by_key;
mod waiting;

use std::sync::Arc;

use change::LockChange;
use line::Lines;
pub(crate) use line::Turn;
pub(crate) use mirror::MirrorUpdate;
pub(crate) use node::lock_flow;
pub(crate) use observer::Observer;
use waiting::Pace;

pub use crate::lease::{Holder, Live, Sight, Stale, Standing};
use crate::{
    Error, Result, behind::Behind, flow::Flow, format::Lease, gate::Gate, index::Index, repo::Objects,
};
use grants::Grants;
pub(crate) use guard::LeaseGuard;
pub use inspect::{Inspection, LockState};
pub use mirror::Mirror;
pub(crate) use request::{LeaseClaim, LeaseRequest};

/// The result of a lock operation: the lease that was granted, renewed, released or broken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The lease, with its id and its fence.
    pub lease: Lease,
    /// Whether the caller held the lease already: it chose the id itself and the reply to an earlier request
    /// was lost.
    pub already_held: bool,
}

/// The locks of one store.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    objects: Objects,
    gate: Arc<Gate>,
    index: Arc<Index>,
    observer: Observer,
    flow: Arc<Flow<LockChange, Error>>,
    lines: Arc<Lines>,
    pace: Pace,
    /// Tasks that outlive their callers. Closing the store waits for them.
    behind: Behind,
    grants: Arc<Grants>,
}

impl Locks {
    pub(crate) fn new(
        objects: Objects,
        gate: Arc<Gate>,
        index: Arc<Index>,
        observer: Observer,
        behind: Behind,
    ) -> Result<Self> {
        let grants = Grants::of_store(&objects, &gate.config().store_id);
        let pace = Pace::of(objects.traits);
        let flow = Arc::new(lock_flow()?);
        let lines = Arc::default();
        Ok(Self { objects, gate, index, observer, flow, lines, pace, behind, grants })
    }
}
