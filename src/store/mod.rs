//! The store: saving, loading, listing and deleting workflows on any backend.

mod batch;
pub(crate) mod builder;
pub(crate) mod change;
mod config;
pub(crate) mod copy;
mod delete;
mod doctor;
mod folder;
mod in_line;
mod instance;
mod join;
pub(crate) mod load;
pub(crate) mod location;
mod locks;
mod open;
mod place;
mod repair;
mod repair_heads;
mod repository;
pub(crate) mod request;
pub(crate) mod save;
mod settings;
mod shared;
mod status;
mod upkeep;
mod verify;
mod waiting;
mod what_changed;
pub(crate) mod workflow;

use std::sync::Arc;

use futures::{
    StreamExt, TryFutureExt,
    stream::{self, BoxStream},
};
use pflow_backend::{Environment, StorageBackend};

use change::Flows;
pub use doctor::Diagnosis;
pub(crate) use load::Loaded;
pub(crate) use location::Location;
pub use repair::Repaired;
pub use repair_heads::{HeadMove, RepairPlan, RepairReport, UndecidedHead, VersionTip};
pub(crate) use request::ChangeRequest;
pub(crate) use save::{SaveRequest, Saved};
use shared::Shared;
pub use status::{IndexStatus, Status};
pub use verify::{Finding, Report, Severity};

use crate::{
    Error, Result,
    format::{Head, WorkflowId},
    index::{Entry, Query},
};

/// Workflows on one storage. Cheap to clone; clones share their cache of the index.
///
/// ```
/// use pflow_store::{Expect, SaveRequest, Store, StoreBuilder, WorkflowId};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pflow_store::Error> {
/// let store = Store::builder("memory:").init().await?;
/// let id = WorkflowId::parse("greet")?;
/// let text = r#"{ "nodes": [ { "id": "hello", "type": "echo" } ] }"#;
///
/// let saved = store.save(SaveRequest::new(id.clone(), text, Expect::Absent).tags(["demo"])).await?;
/// assert_eq!(saved.generation, 1);
///
/// // A writer cannot overwrite a version that it has not seen.
/// let again = store.save(SaveRequest::new(id.clone(), "{}", Expect::Absent)).await;
/// assert!(again.is_err());
///
/// assert_eq!(store.load(&id).await?.content, text);
/// # Ok(())
/// # }
/// ```
///
/// # Cancellation
/// Dropping the future of a method that changes something leaves its outcome unknown, as
/// [`Error::OutcomeUnknown`] does. In either case the store is consistent: it has the old state or the new
/// one.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
    flows: Arc<Flows>,
}

impl Store {
    /// Returns the head of a workflow: everything that is stored about it except the content. A deleted
    /// workflow has a head as well.
    ///
    /// # Errors
    /// [`Error::WorkflowMissing`] if there has never been a version, [`Error::HeadHurt`] if the head was
    /// lost; errors of the storage.
    pub async fn show(&self, id: &WorkflowId) -> Result<Head> {
        let head = self.shared.objects.head(id).await?.head;
        if head.current.is_none() {
            let missing = Error::WorkflowMissing { id: id.clone(), deleted: false };
            return Err(self.shared.explain(missing).await);
        }
        Ok(head)
    }

    /// Lists the workflows that match, in the order that the query asks for. The stream is lazy. It includes
    /// every change that was acknowledged before it was first polled.
    ///
    /// # Errors
    /// [`Error::Unreadable`], after the workflows, for each workflow that cannot be read now, in the order of
    /// their ids; the list is complete otherwise. Whether such a workflow matches is not known, so every list
    /// has them; an entry of the same workflow is what was known before. Any other error is of the storage and
    /// is the only item. A damaged index is not an error: the workflows are read instead, and a warning is
    /// logged.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use pflow_store::{Query, Store};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), pflow_store::Error> {
    /// # let store = Store::builder("memory:").init().await?;
    /// let mut found = store.list(Query::new().tags(["etl"]));
    /// while let Some(workflow) = found.try_next().await? {
    ///     println!("{} {}", workflow.id, workflow.generation);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self, query: Query) -> BoxStream<'static, Result<Arc<Entry>>> {
        let shared = self.shared.clone();
        let found = async move {
            let view = shared.index.view().await?;
            let found = query.select(view.iter()).into_iter().map(Ok);
            let unreadable = view.unreadable.into_iter().map(|it| Err(Error::Unreadable(it)));
            Ok(stream::iter(found.chain(unreadable)))
        };
        found.try_flatten_stream().boxed()
    }

    /// Rebuilds the index and its exports from the heads. Returns the number of workflows in it. A workflow
    /// whose head is damaged keeps its old entry.
    ///
    /// # Errors
    /// [`Error::IndexBusy`] if other clients kept rewriting the index;
    /// [`ErrorKind::Incompatible`](crate::ErrorKind) if only a newer program can read a head, because an
    /// index without that workflow's present version would hide it; errors of the storage. In these cases the
    /// old index stays in use.
    pub async fn reindex(&self) -> Result<usize> {
        let _admission = self.shared.gate.admit_writer().await?;
        self.shared.index.rebuild().await
    }

    /// Returns the location, for people.
    pub fn location(&self) -> &str {
        self.shared.gate.location()
    }

    /// Returns the storage backend.
    pub fn backend(&self) -> &Arc<dyn StorageBackend> {
        &self.shared.objects.backend
    }

    /// Returns the source of time, randomness and identity.
    pub fn environment(&self) -> &Arc<dyn Environment> {
        &self.shared.objects.environment
    }

    /// Completes background work: waits for work that operations before this call left to do after their
    /// answer (a fold of the index, on a bucket the working copies, the release of leases whose
    /// guards were dropped). Several callers may close at the same time. Saved data is durable without this
    /// call.
    ///
    /// It ends nothing: changes of other tasks that are under way are not waited for, new ones may begin
    /// meanwhile and afterwards, and guards that are held stay held. [`shutdown`](Self::shutdown) is for the
    /// end of a program.
    ///
    /// # Errors
    /// The work could not be completed, or a copy could not be written; no data is lost.
    pub async fn close(&self) -> Result<()> {
        self.shared.upkeep.rest().await;
        self.shared.objects.backend.close().await.map_err(Error::Storage)
    }

    /// Ends the changes through this handle and its clones, and brings the storage to rest: admits no new
    /// change, waits for those that are under way in other tasks, and then [closes](Self::close).
    ///
    /// - A change that begins afterwards fails with [`Error::ShutDown`] and changes nothing. Reads work, if the
    ///   backend answers after its `close`, as those of this project do.
    /// - A change that waits for a lock or for a resolver is not waited for. It fails in the same way, unless
    ///   an earlier attempt of it is in doubt ([`Error::OutcomeUnknown`]).
    /// - **A change whose future is kept and not polled is waited for without end**, and so is a load, which may
    ///   refresh the working copy. After a `select!` drop the futures, or go on polling them beside the shutdown. A
    ///   dropped change has an unknown outcome.
    /// - A guard that is held is not waited for. It goes on renewing its lease, because its holder may rely on
    ///   the lease for things outside of the store, and it can be released. Release the guards first for a
    ///   program that ends.
    /// - Other handles of the same store that were opened apart from this one are not affected.
    ///
    /// If the future is dropped, no change is admitted all the same; another call waits again.
    ///
    /// # Errors
    /// As [`close`](Self::close). Every acknowledged change is durable nevertheless.
    ///
    /// ```
    /// # use pflow_store::{Error, Expect, Store, WorkflowId};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let store = Store::builder("memory:").init().await?;
    /// store.shutdown().await?;
    /// let late = store.workflow(&WorkflowId::parse("late")?).save("{}", Expect::Any).await;
    /// assert!(matches!(late, Err(Error::ShutDown)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(&self) -> Result<()> {
        self.shared.gate.shut().await;
        self.close().await
    }
}
