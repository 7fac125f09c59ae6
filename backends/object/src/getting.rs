//! Tracks whether an attempt is still waiting for its credentials, so that its request was certainly not
//! sent.
//!
//! object_store asks for credentials in the middle of a request, and its calls cannot pass data there. Each
//! attempt is one request: its credentials are fetched before it, in the same task.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

tokio::task_local! {
    static GETTING: Arc<AtomicBool>;
}

/// The state of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Getting(Arc<AtomicBool>);

impl Getting {
    /// Wraps the attempt to track it. If object_store polls it in another task, its state is unknown.
    pub(crate) fn watch<T>(&self, attempt: impl Future<Output = T>) -> impl Future<Output = T> {
        GETTING.scope(self.0.clone(), attempt)
    }

    /// Whether the attempt is waiting for credentials.
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// While this value exists, the attempt of this task is waiting for its credentials.
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "without a cloud there are no credentials")
)]
pub(crate) struct Begun(());

#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "without a cloud there are no credentials")
)]
impl Begun {
    pub(crate) fn new() -> Self {
        set(true);
        Self(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        set(false);
    }
}

/// Sets the state. Outside of an attempt there is none.
fn set(is_under_way: bool) {
    if GETTING.try_with(|it| it.store(is_under_way, Ordering::Relaxed)).is_err() {
        tracing::trace!("credentials are got outside of an attempt");
    }
}
