//! The store: saving, loading, listing and deleting workflows on any backend.

mod batch;
pub(crate) mod change;
pub(crate) mod copy;
mod delete;
mod doctor;
mod in_line;
mod load;
mod location;
mod locks;
mod open;
mod options;
mod place;
mod repair;
mod repair_heads;
mod repository;
mod save;
mod shared;
mod status;
mod upkeep;
mod verify;
mod waiting;
mod what_changed;

use std::sync::Arc;

use pflow_backend::{Environment, StorageBackend};

use change::Flows;
pub use change::{Drawing, flows};
pub use delete::{DeleteRequest, UndeleteRequest};
pub use doctor::Diagnosis;
pub use load::Loaded;
pub use location::Location;
pub use options::StoreOptions;
pub use pflow_backend::Waiting;
pub use pflow_backend_fs::LostTail;
pub use repair::Repaired;
pub use repair_heads::{HeadMove, RepairPlan, RepairReport, UndecidedHead, VersionTip};
pub use save::{SaveRequest, Saved};
use shared::Shared;
pub use status::Status;
pub use verify::{Finding, Report, Severity};

use crate::{
    Error, Result,
    format::{Config, Head, WorkflowId},
    index::{Listing, Query},
};

/// Workflows on one storage. Cheap to clone; clones share what they have read of the index.
///
/// ```
/// use pflow_store::{Expect, SaveRequest, Store, StoreOptions, WorkflowId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pflow_store::Error> {
/// let store = Store::init_url("memory:", StoreOptions::system()?).await?;
/// let id = WorkflowId::parse("greet")?;
/// let text = r#"{ "nodes": [ { "id": "hello", "type": "echo" } ] }"#;
///
/// let saved = store.save(SaveRequest::new(id.clone(), text, Expect::Absent).tags(["demo"])).await?;
/// assert_eq!(saved.generation, 1);
///
/// // Nobody can overwrite what they have not seen.
/// let again = store.save(SaveRequest::new(id.clone(), "{}", Expect::Absent)).await;
/// assert!(again.is_err());
///
/// assert_eq!(store.load(&id).await?.content, text);
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
/// Dropping the future of a method that changes something leaves its outcome open, as
/// [`Error::OutcomeUnknown`] does. Whatever it was, the store is whole: the old state or the new one.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    flows: Arc<Flows>,
}

impl Store {
    /// The head of a workflow: all that is known of it but the content. A deleted workflow has one too.
    ///
    /// # Errors
    /// [`Error::WorkflowMissing`] where there has never been a version, [`Error::HeadHurt`] where the head was lost; errors of the storage.
    pub async fn show(&self, id: &WorkflowId) -> Result<Head> {
        let head = self.shared.objects.head(id).await?.head;
        if head.current.is_none() {
            let missing = Error::WorkflowMissing { id: id.clone(), deleted: false };
            return Err(self.shared.explain(missing).await);
        }
        Ok(head)
    }

    /// The workflows that match, as the index has them: everything that was acknowledged before this call is
    /// in it, and what cannot be read is named.
    ///
    /// # Errors
    /// Errors of the storage. A damaged index is none: it is read from the workflows instead, and a warning
    /// says so.
    pub async fn list(&self, query: &Query) -> Result<Listing> {
        let view = self.shared.index.view().await?;
        Ok(Listing { workflows: query.select(view.iter()), unreadable: view.unreadable })
    }

    /// Makes the index anew from the heads, and the exports with it; how many workflows it holds. A workflow
    /// whose head is damaged keeps the entry that it had.
    ///
    /// # Errors
    /// [`Error::IndexBusy`] if other clients kept rewriting it; [`ErrorKind::Incompatible`](crate::ErrorKind) if only a newer program can read a head, because an index
    /// without its present version would hide that; errors of the storage. The old index stays in use then.
    pub async fn reindex(&self) -> Result<usize> {
        self.shared.gate.admit_writer().await?;
        self.shared.index.rebuild().await
    }

    /// What makes this place a store.
    pub fn config(&self) -> Config {
        self.shared.gate.config()
    }

    /// Where it is, for people.
    pub fn location(&self) -> &str {
        self.shared.gate.location()
    }

    /// The storage below.
    pub fn backend(&self) -> &Arc<dyn StorageBackend> {
        &self.shared.objects.backend
    }

    /// Where it gets time, randomness and its identity from.
    pub fn environment(&self) -> &Arc<dyn Environment> {
        &self.shared.objects.environment
    }

    /// Brings the storage to rest: waits for what follows the answers that came before this call (a fold of
    /// the index, on a bucket the copies in `workflow.json`, the giving back of leases whose guards were
    /// dropped). A guard that is held goes on, and is not waited for, nor is what begins meanwhile. Several
    /// callers may close at the same time. Everything that was saved is durable without it.
    ///
    /// # Errors
    /// Rest was not reached, or a copy could not be written; nothing is lost.
    pub async fn close(&self) -> Result<()> {
        self.shared.upkeep.rest().await;
        self.shared.objects.backend.close().await.map_err(Error::Storage)
    }
}
