use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

thread_local! {
    /// The call that the suite is polling on this thread.
    static POLLED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Sees on which thread a storage works: see [`Site::watched`](super::Site::watched).
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    works: AtomicUsize,
    blocked: Mutex<Vec<&'static str>>,
}

impl Watch {
    /// Says that the storage works on the present thread: it reads or writes files, waits for a connection,
    /// or runs a statement of an embedded database.
    pub fn works(&self) {
        self.0.works.fetch_add(1, Ordering::SeqCst);
        if let Some(call) = POLLED.get() {
            self.0.blocked.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        }
    }

    /// How often the storage said that it works.
    pub(super) fn count(&self) -> usize {
        self.0.works.load(Ordering::SeqCst)
    }

    /// The calls that worked on the thread that polled them.
    pub(super) fn blocked(&self) -> Vec<&'static str> {
        self.0.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Marks the thread as the one that polls `call`, until it is dropped.
pub(super) struct Polling;

impl Polling {
    pub(super) fn begin(call: &'static str) -> Self {
        POLLED.set(Some(call));
        Self
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        POLLED.set(None);
    }
}

/// Awaits a future of `call` with its thread marked during each poll.
pub(super) async fn polled<F: Future>(call: &'static str, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _polling = Polling::begin(call);
        future.as_mut().poll(context)
    })
    .await
}
