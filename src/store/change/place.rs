use std::sync::{Mutex, PoisonError};

use crate::lock::Turn;

/// The place of a change in the queue for the lock of its workflow. The interior mutability lets a node that
/// only has shared access to the change take it.
#[derive(Default)]
pub(super) struct Place(Mutex<Option<Turn>>);

impl Place {
    pub(super) fn take(&self) -> Option<Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Moves the place out of this one.
    pub(super) fn moved(&self) -> Self {
        Self(Mutex::new(self.take()))
    }

    /// Lets the next caller in the queue continue.
    pub(super) fn leave(&self) {
        drop(self.take());
    }

    /// Returns the place for a turn; empty without one.
    pub(super) fn of(turn: Option<Turn>) -> Self {
        Self(Mutex::new(turn))
    }
}
