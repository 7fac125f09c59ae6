use std::sync::{Mutex, PoisonError};

use crate::lock::Turn;

/// The place of a change in the line for the lock of its workflow. Kept where a node that only sees the
/// change can take it along.
#[derive(Default)]
pub(super) struct Place(Mutex<Option<Turn>>);

impl Place {
    pub(super) fn take(&self) -> Option<Turn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same place, which this no longer is.
    pub(super) fn moved(&self) -> Self {
        Self(Mutex::new(self.take()))
    }

    /// Lets the next in line go on.
    pub(super) fn leave(&self) {
        drop(self.take());
    }

    /// The place that comes with a turn; none without one.
    pub(super) fn of(turn: Option<Turn>) -> Self {
        Self(Mutex::new(turn))
    }
}
