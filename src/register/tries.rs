use std::time::Duration;

use pflow_backend::{Environment, Error as StorageError};

use crate::flow::Retry;

/// The retries of a node after a transient error that certainly changed nothing.
pub(crate) const RETRY: Retry = Retry::attempts(3).wait(Duration::from_secs(1)).jitter(0.5);
/// How many times a change is retried after a lost race. The limit lets many writers of one register all
/// succeed, and exposes a program that rewrites a head endlessly.
const RACES: u32 = 100;
/// How many errors leave a swap of a change in doubt before the change reports that its outcome is unknown. A
/// storage reports each only after a long timeout of its own.
const DOUBTS: u32 = 3;

/// Counts the swaps of one change that did not land, or may not have.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    lost: u32,
    doubts: u32,
    /// The error of the last swap in doubt, if it had one.
    doubt: Option<StorageError>,
}

impl Tries {
    /// Returns the number of lost races after which the change was retried.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// The number of the next lost race after which the change is tried again; none at the limit.
    pub(crate) fn next(&self) -> Option<u32> {
        (self.lost < RACES).then_some(self.lost + 1)
    }

    /// Counts a lost race. Returns whether the change is retried.
    pub(crate) fn lose(&mut self) -> bool {
        let goes_on = self.lost < RACES;
        self.lost += u32::from(goes_on);
        goes_on
    }

    /// Counts a swap in doubt and keeps its error. Returns whether the change goes on with a read that settles
    /// the swap.
    pub(crate) fn doubt(&mut self, error: Option<StorageError>) -> bool {
        self.doubts += u32::from(error.is_some());
        self.doubt = error.or(self.doubt.take());
        self.doubts < DOUBTS
    }

    /// Returns the error of the last swap in doubt, if it had one.
    pub(crate) fn take_doubt(&mut self) -> Option<StorageError> {
        self.doubt.take()
    }
}

/// Waits before another attempt after `lost` lost races: a random time below a limit that doubles from 2 ms
/// to 250 ms, so that the competing writers do not collide again.
pub(crate) async fn back_off(environment: &dyn Environment, lost: u32) {
    let limit = Duration::from_millis(2_u64.saturating_pow(lost.min(8)).min(250));
    environment.sleep(limit.mul_f64(environment.jitter())).await;
}

#[cfg(test)]
mod tests {
    use pflow_backend::ErrorKind;

    use super::*;

    #[test]
    fn retries_are_limited() {
        let mut tries = Tries::default();
        assert_eq!((0..1_000).filter(|_| tries.lose()).count(), 100);
        assert_eq!(tries.lost(), 100);
        let unknown = || Some(StorageError::not_applied(ErrorKind::Unavailable, "no answer"));
        assert!(tries.doubt(None) && tries.doubt(unknown()) && tries.doubt(None) && tries.doubt(unknown()));
        assert!(!tries.doubt(unknown()) && tries.take_doubt().is_some());
    }
}
