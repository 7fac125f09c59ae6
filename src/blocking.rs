//! Work that takes processor time in proportion to documents, kept off the async threads.

use tokio::sync::Semaphore;

use crate::{Error, Result};

/// Work on documents up to this size together is done where it is: that takes a millisecond at most, and
/// handing it over takes some microseconds and another thread. Larger work would hold up other tasks.
const IN_PLACE: usize = 64 << 10;

/// So many large comparisons are under way at a time in this process, because each may take hundreds of MiB.
static COMPARISONS: Semaphore = Semaphore::const_new(2);

/// Does `work` on `bytes` of documents, on a thread that may block if that is much.
///
/// Dropping the future does not stop work that has begun: it goes on to its end on its thread, and its result
/// is dropped. It changes nothing, because work on documents only reads.
///
/// # Errors
/// The work panicked, or the runtime is shutting down.
pub(crate) async fn on_documents<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes <= IN_PLACE {
        return Ok(work());
    }
    let working = tokio::task::spawn_blocking(work);
    working.await.map_err(|_| Error::Internal("work on a document stopped before its end".to_owned()))
}

/// The same for comparing and merging documents, which takes much more memory than they have: a few large
/// ones at a time.
pub(crate) async fn on_compared<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes <= IN_PLACE {
        return Ok(work());
    }
    // Never closed, so there is always a permit in the end.
    let permit = COMPARISONS.acquire().await;
    let working = move || {
        // Held by the work and not by its caller, so that work whose caller is gone still counts.
        let _permit = permit;
        work()
    };
    on_documents(bytes, working).await
}
