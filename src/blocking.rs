//! Runs work whose processor time is proportional to the size of documents, off the async threads.

use tokio::sync::Semaphore;

use crate::{Error, Result};

/// Work on documents up to this total size is done in place: it takes a millisecond at most, and handing it
/// to another thread takes some microseconds. Larger work would delay other tasks.
const IN_PLACE: usize = 64 << 10;

/// Limits the large comparisons that run at a time in this process, because each may take hundreds of MiB.
static COMPARISONS: Semaphore = Semaphore::const_new(2);

/// Does `work` on `bytes` of documents, on a thread that may block if the documents are large.
///
/// Dropping the future does not stop work that has begun: it completes on its thread, and its result is
/// dropped. This changes nothing, because work on documents only reads.
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

/// The same for comparing and merging documents, which takes much more memory than their size: only a few
/// large comparisons run at a time.
pub(crate) async fn on_compared<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes <= IN_PLACE {
        return Ok(work());
    }
    // The semaphore is never closed, so a permit is always granted eventually.
    let permit = COMPARISONS.acquire().await;
    let working = move || {
        // The permit is held by the work and not by its caller, so that work whose caller is gone still
        // counts.
        let _permit = permit;
        work()
    };
    on_documents(bytes, working).await
}
