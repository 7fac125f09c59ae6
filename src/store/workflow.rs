use bytes::Bytes;

use super::{ChangeRequest, Loaded, SaveRequest, Saved, Store};
use crate::{
    Advice, Error, Result,
    conflict::Expect,
    format::{LeaseId, WorkflowId},
    lock::{LeaseGuard, LeaseRequest, LockState},
    register::{Tries, back_off},
};

/// One workflow of a store, which need not exist yet. Cheap to clone.
///
/// Each method is the one of [`Store`] with the same name. What has more settings, such as a message or a
/// resolver, is a request to the store.
///
/// ```
/// use pflow_store::{Error, Expect, Store, WorkflowId};
/// use serde_json::{Value, json};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let store = Store::builder("memory:").init().await?;
/// let counter = store.workflow(&WorkflowId::parse("counter")?);
/// counter.save(r#"{ "nodes": [], "runs": 7 }"#, Expect::Absent).await?;
///
/// let saved = counter
///     .update(|current| {
///         let old = current.map_or(Ok(json!({ "nodes": [] })), |loaded| loaded.json::<Value>())?;
///         let runs = old["runs"].as_u64().unwrap_or_default() + 1;
///         Ok::<_, Error>(json!({ "nodes": old["nodes"], "runs": runs }).to_string())
///     })
///     .await?;
/// assert_eq!(saved.generation, 2);
/// assert_eq!(counter.load().await?.json::<Value>()?["runs"], 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Workflow {
    store: Store,
    id: WorkflowId,
    lease: Option<LeaseId>,
}

impl Store {
    /// Returns a handle of one workflow, which need not exist yet. Nothing is read.
    pub fn workflow(&self, id: &WorkflowId) -> Workflow {
        Workflow { store: self.clone(), id: id.clone(), lease: None }
    }
}

impl Workflow {
    /// Returns the id.
    pub fn id(&self) -> &WorkflowId {
        &self.id
    }

    /// Returns a handle whose changes are made under this lease: if the lease was lost, they fail and change
    /// nothing. While a workflow is locked, changes without the lease are refused, the own ones as well.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pflow_store::{Error, Expect, LeaseRequest, Store, WorkflowId};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// # let store = Store::builder("memory:").init().await?;
    /// let plan = store.workflow(&WorkflowId::parse("plan")?);
    /// let guard = plan.lock(LeaseRequest::new("edit", Duration::from_secs(60))).await?;
    /// let locked = plan.under(guard.lease_id()?);
    /// locked.update(|_| Ok::<_, Error>(r#"{ "nodes": [] }"#)).await?;
    /// assert!(plan.save("{}", Expect::Any).await.is_err());
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn under(&self, lease: LeaseId) -> Self {
        Self { lease: Some(lease), ..self.clone() }
    }

    /// Returns the current content, verified by its hash.
    ///
    /// # Errors
    /// As [`Store::load`].
    pub async fn load(&self) -> Result<Loaded> {
        self.store.load(&self.id).await
    }

    /// Returns the content of one generation of the present chain.
    ///
    /// # Errors
    /// As [`Store::load_generation`].
    pub async fn load_generation(&self, generation: u64) -> Result<Loaded> {
        self.store.load_generation(&self.id, generation).await
    }

    /// Saves the content as a new generation, built on the state that `expect` names.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub async fn save(&self, content: impl Into<Bytes>, expect: Expect) -> Result<Saved> {
        let request = SaveRequest::new(self.id.clone(), content, expect);
        self.store.save(self.lease.iter().cloned().fold(request, SaveRequest::lease)).await
    }

    /// Deletes the workflow if its state is as `expect` says.
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub async fn delete(&self, expect: Expect) -> Result<Saved> {
        self.store.delete(self.change(expect)).await
    }

    /// Restores the deleted workflow if its state is as `expect` says.
    ///
    /// # Errors
    /// As [`Store::undelete`].
    pub async fn undelete(&self, expect: Expect) -> Result<Saved> {
        self.store.undelete(self.change(expect)).await
    }

    /// Locks the workflow, and renews the lease until the guard is released or dropped.
    ///
    /// # Errors
    /// As [`Store::lock`].
    ///
    /// # Panics
    /// As [`Store::lock`].
    pub async fn lock(&self, request: LeaseRequest) -> Result<LeaseGuard> {
        self.store.lock(&self.id, request).await
    }

    /// Returns who holds the lock, and whether others must respect it.
    ///
    /// # Errors
    /// As [`Store::lock_state`].
    pub async fn lock_state(&self) -> Result<LockState> {
        self.store.lock_state(&self.id).await
    }

    /// Saves what `change` makes of the current version. If another client saves or deletes the workflow
    /// meanwhile, the new version is loaded and `change` is called again.
    ///
    /// `change` gets none if the workflow does not exist or is deleted. The content that it returns is then
    /// saved over the deletion. It may be called many times and must have no other effect.
    ///
    /// Invariant: the version that is saved replaces the version that `change` was called with, and no other
    /// one, because the save expects its generation, or no version if there was none. So no change of another
    /// client is overwritten unseen. At most one version is saved: the save is repeated only after a conflict,
    /// which changed nothing.
    ///
    /// # Errors
    /// The error of `change`; nothing is changed then. The conflict if other clients were faster 100 times
    /// more. As [`Store::load`] and [`Store::save`] for everything else: a lock of another client and a
    /// person's edit are conflicts that end the update, and after [`Error::OutcomeUnknown`] it is not repeated.
    pub async fn update<C, E>(
        &self,
        mut change: impl FnMut(Option<&Loaded>) -> Result<C, E>,
    ) -> Result<Saved, E>
    where
        C: Into<Bytes>,
        E: From<Error>,
    {
        let mut tries = Tries::default();
        loop {
            let (loaded, expect) = self.current().await?;
            let content: Bytes = change(loaded.as_ref())?.into();
            match self.save(content, expect).await {
                Err(error) if error.advice() == Advice::Reload && tries.lose() => {
                    back_off(self.store.environment().as_ref(), tries.lost()).await;
                }
                saved => return Ok(saved?),
            }
        }
    }

    fn change(&self, expect: Expect) -> ChangeRequest {
        let request = ChangeRequest::new(self.id.clone(), expect);
        self.lease.iter().cloned().fold(request, ChangeRequest::lease)
    }

    /// The version to build on, none if there is none or it is a deletion, and the expectation for a change
    /// that replaces it.
    async fn current(&self) -> Result<(Option<Loaded>, Expect)> {
        let mut tries = Tries::default();
        loop {
            let deleted = match self.load().await {
                Ok(loaded) => {
                    let expect = loaded.expect();
                    return Ok((Some(loaded), expect));
                }
                Err(Error::WorkflowMissing { deleted: false, .. }) => return Ok((None, Expect::Absent)),
                Err(deleted @ Error::WorkflowMissing { .. }) => deleted,
                Err(other) => return Err(other),
            };
            let head = self.store.show(&self.id).await?;
            if head.live().is_none() {
                let deletion = head.current.map(|current| Expect::Version(current.record.version_id));
                return Ok((None, deletion.unwrap_or(Expect::Absent)));
            }
            // IMPORTANT: it was saved again between the two reads, so its content is still to be read.
            if !tries.lose() {
                return Err(deleted);
            }
            back_off(self.store.environment().as_ref(), tries.lost()).await;
        }
    }
}
