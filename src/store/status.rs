use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use pflow_backend::Waiting;

use super::{
    Shared, Store,
    copy::{CopyState, Look},
    verify::{Depth, Finding},
};
use crate::{
    Error, Result, Unreadable,
    format::{WorkflowId, keys},
    index::Query,
    lock::LockState,
};

/// How many workflows are read side by side.
const LOOK_AHEAD: usize = 32;

/// A summary of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Its location.
    pub location: String,
    /// Its permanent id.
    pub store_id: String,
    /// The id of this place of it: see [`Store::instance`].
    pub instance: Option<String>,
    /// What the index says.
    pub index: IndexStatus,
    /// The locks, expired ones included.
    pub locked: Vec<LockState>,
    /// Workflows whose working copy a person edited in place.
    pub edited: Vec<WorkflowId>,
    /// Workflows that cannot be read, and why.
    pub unreadable: Vec<Unreadable>,
    /// Files and objects that do not belong to the store, as [`Store::verify`] reports them; versions are not
    /// checked.
    pub strangers: Vec<Finding>,
    /// Objects that only the journal has, because their files cannot be written. See [`Store::waiting`].
    pub waiting: Vec<Waiting>,
}

/// A summary of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexStatus {
    /// The number of workflows, without the deleted ones.
    pub workflows: usize,
    /// The number of deleted workflows, which can be restored.
    pub deleted: usize,
    /// The number of pending records that are not folded into the index yet.
    pub pending: usize,
    /// The index was missing or damaged, and was read from the workflows instead.
    pub lost: bool,
}

impl Store {
    /// Summarizes the store. It reads every head to find the locks, and on storages where people may edit
    /// files it reads every working copy to find their edits.
    ///
    /// # Errors
    /// Errors of the storage. Damaged objects are listed instead.
    pub async fn status(&self) -> Result<Status> {
        let shared = &self.shared;
        let view = shared.index.view().await?;
        let count = |deleted| Query::new().deleted(deleted).select(view.iter()).len();
        let keys = shared.objects.keys(&keys::workflows()).await?;
        let heads: BTreeSet<WorkflowId> = keys.iter().filter_map(keys::parse_head).collect();
        let mut status = Status {
            location: shared.gate.location().to_owned(),
            store_id: shared.gate.config().store_id,
            instance: self.readable_instance().await?,
            index: IndexStatus {
                workflows: count(false),
                deleted: count(true),
                pending: view.pending,
                lost: view.lost.is_some(),
            },
            locked: Vec::new(),
            edited: Vec::new(),
            unreadable: view.unreadable.clone(),
            waiting: self.waiting().await?,
            strangers: self.strangers(Depth::WithoutVersions(&keys)).await?,
        };
        let looks = stream::iter(heads.clone()).map(|id| async move {
            let look = self.look(&id).await;
            (id, look)
        });
        let mut looks = looks.buffered(LOOK_AHEAD);
        while let Some((id, look)) = looks.next().await {
            match look {
                Ok((lock, copy)) => {
                    status.locked.extend(lock.lease.is_some().then_some(lock));
                    if !matches!(copy, Some(CopyState::Edited(..))) {
                        continue;
                    }
                    // A copy of a version that a lost head had is not an edit.
                    match shared.index.refuse_hurt(&id, &[]).await {
                        Ok(()) => status.edited.push(id),
                        Err(hurt) => keep_unreadable(&mut status, id, hurt)?,
                    }
                }
                Err(error) => keep_unreadable(&mut status, id, error)?,
            }
        }
        drop(looks);
        // A workflow that is in the index but has no head was not checked above.
        for entry in view.iter().filter(|entry| !heads.contains(&entry.id)) {
            if let Err(hurt) = shared.index.refuse_hurt(&entry.id, &[]).await {
                keep_unreadable(&mut status, entry.id.clone(), hurt)?;
            }
        }
        status.unreadable.sort_by(|a, b| a.id.cmp(&b.id));
        status.unreadable.dedup_by(|a, b| a.id == b.id);
        Ok(status)
    }

    /// Reads the lock and the state of the copy of a workflow; no copy if other writers changed the workflow
    /// at every attempt.
    async fn look(&self, id: &WorkflowId) -> Result<(LockState, Option<CopyState>)> {
        let Shared { objects, locks, .. } = self.shared.as_ref();
        if objects.traits.plain_files
            && let Some(look) = Look::at(objects, id).await?
        {
            return Ok((locks.state_of(look.stored.head), Some(look.state)));
        }
        Ok((locks.state(id).await?, None))
    }

    /// The state of the working copy of a workflow; none if other writers changed the workflow at every
    /// attempt.
    pub(super) async fn copy_state(&self, id: &WorkflowId) -> Result<Option<CopyState>> {
        Ok(Look::at(&self.shared.objects, id).await?.map(|look| look.state))
    }
}

fn keep_unreadable(status: &mut Status, id: WorkflowId, error: Error) -> Result<()> {
    if !error.spares_others() {
        return Err(error);
    }
    status.unreadable.push(Unreadable::new(id, &error));
    Ok(())
}
