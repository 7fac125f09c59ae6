//! Locks: leases in the head, taken, renewed and given back by the same compare-and-swap that saves.
//!
//! `workflow.lock` mirrors the lease in the seed's lockfile format, for people and older tools. It decides
//! nothing.
//!
//! **Why a lock cannot hurt.** Every grant, takeover and break raises the fence in the swap that makes it,
//! and a write under a lease compares the lease in the head in the swap that writes. So whoever lost a lease,
//! and has not noticed, writes nothing. Clocks, processes and waiting decide only when a takeover is polite
//! ([`Standing`]).

mod acts;
pub(crate) mod broken;
pub(crate) mod change;
pub(crate) mod decide;
mod grants;
mod guard;
mod inspect;
mod keeper;
mod line;
mod mirror;
mod moment;
mod node;
mod observer;
mod orders;
mod pending;
mod request;
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
    Error, Result,
    behind::Behind,
    flow::Flow,
    format::Lease,
    index::Index,
    repo::{Gate, Objects},
};
use grants::Grants;
pub use guard::LeaseGuard;
pub use inspect::{Inspection, LockList, LockState};
pub use mirror::Mirror;
pub(crate) use request::Claim;
pub use request::LeaseRequest;

/// What became of the wish, or of a lease that was given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The lease, with its id and its fence.
    pub lease: Lease,
    /// Whether the caller had it already: it had chosen the id itself, and a reply had got lost.
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
    /// What goes on behind callers that are gone: the store waits for it when it is closed.
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
