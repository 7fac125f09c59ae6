use std::collections::BTreeSet;

use futures::{StreamExt, stream};

use super::{Shared, Store, copy::CopyState};
use crate::{
    Error, Result,
    document::MediaType,
    index::Query,
    lock::LockState,
    stored::{StoredHead, WorkflowId, layout},
};

/// How many workflows are looked at side by side.
const LOOK_AHEAD: usize = 32;

/// A store at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is.
    pub location: String,
    /// Its name for ever.
    pub store_id: String,
    /// How many workflows there are, without the deleted ones.
    pub workflows: usize,
    /// How many are deleted and can be brought back.
    pub deleted: usize,
    /// How many records wait to be folded into the index.
    pub pending: usize,
    /// The index was missing or damaged, and was read from the workflows instead.
    pub index_lost: bool,
    /// The locks, expired ones included.
    pub locked: Vec<LockState>,
    /// Workflows whose `workflow.json` a person edited in place.
    pub edited: Vec<WorkflowId>,
    /// Workflows that cannot be read, and why.
    pub unreadable: Vec<(WorkflowId, String)>,
}

impl Store {
    /// The store at a glance. It reads every head to find the locks, and where people may edit files in place every `workflow.json` to find their edits.
    ///
    /// # Errors
    /// Errors of the storage. What is damaged is listed instead.
    pub async fn status(&self) -> Result<Status> {
        let shared = &self.shared;
        let view = shared.index.view().await?;
        let count = |deleted| Query { deleted, ..Query::default() }.select(view.iter()).len();
        let (workflows, deleted) = (count(false), count(true));
        let keys = shared.objects.keys(&layout::workflows()).await?;
        let ids: BTreeSet<WorkflowId> = keys.iter().filter_map(layout::parse_head).collect();
        let mut status = Status {
            location: shared.gate.location().to_owned(),
            store_id: shared.gate.config().store_id,
            workflows,
            deleted,
            pending: view.pending,
            index_lost: view.lost.is_some(),
            locked: Vec::new(),
            edited: Vec::new(),
            unreadable: view.unreadable,
        };
        let looks = stream::iter(ids).map(|id| async move {
            let look = self.look(&id).await;
            (id, look)
        });
        let mut looks = looks.buffered(LOOK_AHEAD);
        while let Some((id, look)) = looks.next().await {
            match look {
                Ok((lock, copy)) => {
                    if matches!(copy, CopyState::Edited(..)) {
                        status.edited.push(id);
                    }
                    status.locked.extend(lock.lease.is_some().then_some(lock));
                }
                Err(error) => keep_unreadable(&mut status, id, error)?,
            }
        }
        drop(looks);
        status.unreadable.sort();
        status.unreadable.dedup_by(|a, b| a.0 == b.0);
        Ok(status)
    }

    /// The lock of a workflow, and what stands in its copy.
    async fn look(&self, id: &WorkflowId) -> Result<(LockState, CopyState)> {
        let Shared { objects, locks, .. } = self.shared.as_ref();
        if !objects.backend.capabilities().plain_files {
            return Ok((locks.state(id).await?, CopyState::Absent));
        }
        let (stored, copy) = self.head_and_copy(id).await?;
        Ok((locks.state_of(stored.head), copy))
    }

    /// What stands in a workflow's copy, judged by a head that was read after it.
    pub(super) async fn copy_state(&self, id: &WorkflowId) -> Result<CopyState> {
        self.head_and_copy(id).await.map(|(_, copy)| copy)
    }

    async fn head_and_copy(&self, id: &WorkflowId) -> Result<(StoredHead, CopyState)> {
        let objects = &self.shared.objects;
        let copy = objects.get(&layout::content(id, MediaType::Json)).await?;
        let stored = objects.head(id).await?;
        let state = CopyState::of(objects, &stored.head, copy.as_ref()).await?;
        Ok((stored, state))
    }
}

fn keep_unreadable(status: &mut Status, id: WorkflowId, error: Error) -> Result<()> {
    if !error.is_of_one_object() {
        return Err(error);
    }
    status.unreadable.push((id, error.to_string()));
    Ok(())
}
