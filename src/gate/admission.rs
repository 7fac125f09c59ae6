use tokio_util::sync::CancellationToken;

use crate::{
    Error, Result,
    behind::{Behind, Token},
};

/// The changes under way in one store, and whether more may begin.
///
/// Invariant: when [`shut`](Self::shut) returns, every admission that was given is dropped, and none will be
/// given. A change takes its token before it looks whether the store is shut down. So either it sees that, or
/// the token exists before the generation of tokens is closed that `shut` waits for.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    under_way: Behind,
    shut: CancellationToken,
}

/// The permission for one change. The change holds it to its end: a shutdown waits for that.
#[derive(Debug)]
#[must_use = "the change is under way as long as this exists"]
pub(crate) struct Admission {
    _token: Token,
}

impl Admissions {
    pub(super) fn is_shut(&self) -> bool {
        self.shut.is_cancelled()
    }

    /// Admits a change unless the store is shut down.
    pub(super) fn admit(&self) -> Result<Admission> {
        let admission = Admission { _token: self.under_way.token() };
        if self.is_shut() { Err(Error::ShutDown) } else { Ok(admission) }
    }

    /// Admits no more changes, ends the waits of [`unless_shut`](Self::unless_shut), and waits for the end of
    /// every change that was admitted. If the future is dropped, the store stays shut down.
    pub(super) async fn shut(&self) {
        self.shut.cancel();
        self.under_way.rest().await;
    }

    /// Awaits `waiting`, or drops it when the store is shut down. Only for what changes nothing by being
    /// dropped.
    pub(super) async fn unless_shut<T>(&self, waiting: impl Future<Output = T>) -> Result<T> {
        self.shut.run_until_cancelled(waiting).await.ok_or(Error::ShutDown)
    }
}
