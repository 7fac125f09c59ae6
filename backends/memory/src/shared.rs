use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::objects::Objects;

/// The objects, as every clone and every listing holds them.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Objects>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Objects> {
        // A caller that panicked under the lock had changed nothing: see `Objects::commit`.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names this storage within the process.
    pub(crate) fn location_id(&self) -> String {
        format!("memory:{:p}", Arc::as_ptr(&self.0))
    }
}
