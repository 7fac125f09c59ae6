//! Brings working copies and mirrors that differ from the head in line with it.

use pflow_backend::{Batch, Key, Operation, Precondition, Version};

use super::{
    Store,
    copy::{CopyState, Look, has_version},
};
use crate::{
    Error, Result,
    document::ContentHash,
    format::{Current, WorkflowId, keys},
};

/// How often a copy is written or deleted. A second time is needed only if the workflow changed between the
/// read and the write.
const ROUNDS: u32 = 3;

impl Store {
    /// Brings the working copy and `workflow.lock` of a workflow in line with its head. Returns the keys of
    /// the files that were corrected.
    ///
    /// Invariant: the head decides, so the effect of a request that lands late (see
    /// `docs/decisions/0050-late-copies.md`) is found and undone by a later call. No data of a person is
    /// lost: a foreign file in place of the mirror is kept beside the new mirror, and an edited
    /// working copy is not changed.
    pub(super) async fn bring_in_line(&self, id: &WorkflowId) -> Result<Vec<Key>> {
        let mut changed = Vec::new();
        if self.shared.locks.inspect(id).await?.mended {
            changed.push(keys::lockfile(id));
        }
        if self.bring_copy_in_line(id).await? {
            let stored = self.shared.objects.head(id).await?;
            changed.push(keys::copy_of(&stored.head));
        }
        changed.extend(self.remove_other_copies(id).await?);
        Ok(changed)
    }

    /// Removes objects under names that the working copy had when the format was another one, and that a late
    /// request wrote again. Where people put files into the folder nothing is removed, and elsewhere only the
    /// content of a version.
    async fn remove_other_copies(&self, id: &WorkflowId) -> Result<Vec<Key>> {
        let objects = &self.shared.objects;
        let mut removed = Vec::new();
        if objects.traits.plain_files {
            return Ok(removed);
        }
        for key in keys::copies(id) {
            let Some(found) = objects.get(&key).await? else { continue };
            // The head is read after the copy: a copy is written after its head.
            let head = objects.head(id).await?.head;
            let knows_name = |current: &Current| current.record.media_type.known().is_ok();
            if key == keys::copy_of(&head) || !head.current.as_ref().is_some_and(knows_name) {
                continue;
            }
            // Other bytes than those of a version belong to a person.
            if !has_version(objects, &head, ContentHash::of(&found.bytes)).await? {
                continue;
            }
            // The copy of a version that a lost head had is the witness of that version.
            self.shared.index.refuse_hurt(id, &[]).await?;
            self.remove_copy(key.clone(), &found.meta.version).await?;
            removed.push(key);
        }
        if !removed.is_empty() {
            // IMPORTANT: an unconditional deletion may remove the copy of a version that was saved after the read.
            self.bring_copy_in_line(id).await?;
        }
        Ok(removed)
    }

    /// The same for the working copy alone. Returns false if it was in line already, or is still not in line.
    pub(super) async fn bring_copy_in_line(&self, id: &WorkflowId) -> Result<bool> {
        let mut was_not = false;
        for _ in 0..ROUNDS {
            let Some(Look { stored, state, .. }) = Look::at(&self.shared.objects, id).await? else {
                return Ok(false);
            };
            let Some(current) = &stored.head.current else { return Ok(false) };
            if current.record.media_type.known().is_err() {
                return Ok(false);
            }
            match (stored.head.live().is_some(), &state) {
                (true, CopyState::Current(_) | CopyState::Noted(..)) | (false, CopyState::Absent) => {
                    return Ok(was_not);
                }
                (_, CopyState::Edited(..)) => return Ok(false),
                (true, CopyState::Absent | CopyState::Lagging(_)) => match Box::pin(self.load(id)).await {
                    // A new edit or a deletion is not judged here.
                    Ok(_) | Err(Error::Conflict(_) | Error::WorkflowMissing { .. }) => {}
                    Err(other) => return Err(other),
                },
                // IMPORTANT: an unconditional deletion may remove the copy of a workflow that was restored
                // after the read, so the copy is compared with the head again.
                (
                    false,
                    CopyState::Current(version) | CopyState::Noted(version, _) | CopyState::Lagging(version),
                ) => {
                    self.remove_copy(keys::copy_of(&stored.head), version).await?;
                }
            }
            was_not = true;
        }
        Ok(false)
    }

    async fn remove_copy(&self, key: Key, version: &Version) -> Result<()> {
        let objects = &self.shared.objects;
        let when = match objects.traits.conditional_delete {
            true => Precondition::Is(version.clone()),
            false => Precondition::Always,
        };
        let what = || format!("the deletion of the copy {key}");
        let remove = Operation::delete(key.clone()).when(when);
        objects.commit(Batch::new().stage([remove]), what).await.map(drop)
    }
}
