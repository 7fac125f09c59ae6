use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use pflow_backend::Environment;

use crate::objects::Objects;

/// The objects, shared by all clones and listings.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Numbered>);

struct Numbered {
    /// Unique among the storages of this process.
    number: u64,
    /// Drawn when it is asked for first.
    instance: OnceLock<String>,
    objects: Mutex<Objects>,
}

impl Default for Shared {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Numbered { number, instance: OnceLock::new(), objects: Mutex::default() }))
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Objects> {
        // A panic under the lock leaves the objects unchanged: see `Objects::commit`.
        self.0.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names this storage among all storages of all processes.
    pub(crate) fn instance(&self, environment: &dyn Environment) -> String {
        self.0.instance.get_or_init(|| environment.new_id()).clone()
    }

    /// Names this storage within the process. An address would be reused once the storage is gone.
    pub(crate) fn location_id(&self) -> String {
        format!("memory:{}", self.0.number)
    }
}
