//! Reads and reports locks.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::{
    StreamExt, TryFutureExt, TryStreamExt,
    stream::{self, BoxStream},
};
use pflow_backend::{Batch, Precondition};

use super::{
    Locks,
    mirror::{Mirror, Pair},
};
use crate::{
    Error, Result, Unreadable,
    format::{Ended, Head, Lease, WorkflowId, keys},
    lease::Standing,
};

/// How many locks are read concurrently.
const LOOK_AHEAD: usize = 32;
/// How many times one inspection repairs the mirror. A second repair is needed only if another client was
/// granted a lease between the read and an unconditional deletion.
const MENDS: u32 = 3;

/// The lock of a workflow at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockState {
    /// The workflow.
    pub id: WorkflowId,
    /// The lease in the head; none if the workflow is not locked.
    pub lease: Option<Lease>,
    /// Whether other clients must respect the lease.
    pub live: bool,
    /// Why the lease is live or stale; none if the workflow is not locked.
    pub standing: Option<Standing>,
    /// How the last lease that was taken away from its holder ended, if there was one.
    pub ended: Option<Ended>,
    /// The current fence: it rises by one with every grant, break and override.
    pub fence: u64,
    /// When the lock was read, by our clock.
    pub now: DateTime<Utc>,
}

/// A lock and the state of its mirror `workflow.lock`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The state in the head, which is authoritative.
    pub state: LockState,
    /// How `workflow.lock` compared with the head.
    pub mirror: Mirror,
    /// Whether the mirror was rewritten to match the head.
    pub mended: bool,
    /// The key that now keeps another program's or person's content of the mirror, if there was any.
    pub kept: Option<String>,
}

impl Locks {
    /// Returns the lock state in the head.
    pub(crate) async fn state(&self, id: &WorkflowId) -> Result<LockState> {
        Ok(self.state_of(self.objects.head(id).await?.head))
    }

    /// Returns whether the lease in `head`, which was read just now, must be respected; none if there is no
    /// lease.
    pub(crate) fn standing(&self, head: &Head) -> Option<Standing> {
        self.observer.standing(head)
    }

    /// Like [`standing`](Self::standing), for a head that was read some time ago.
    pub(crate) fn standing_as_known(&self, head: &Head) -> Option<Standing> {
        self.observer.standing_as_known(head)
    }

    /// Reads the lock and its mirror, and rewrites the mirror to match the head. Content of the mirror that
    /// the store did not write is kept beside it.
    pub(crate) async fn inspect(&self, id: &WorkflowId) -> Result<Inspection> {
        let mut pair = Pair::read(&self.objects, id).await?;
        let mut inspection = self.inspected(&pair);
        let Some(_admission) = self.gate.admit_optional() else { return Ok(inspection) };
        for _ in 0..MENDS {
            if matches!(pair.seen.mirror, Mirror::Faithful | Mirror::Unreadable) {
                break;
            }
            match self.mend(&pair).await {
                Ok(Some(Mended { kept, by_condition })) => {
                    inspection.mended = true;
                    inspection.kept = kept.or(inspection.kept);
                    if by_condition {
                        break;
                    }
                    // IMPORTANT: an unconditional deletion may have removed the mirror of a lease that was
                    // granted after the read, so the mirror is compared with the head again.
                    pair = match Pair::read(&self.objects, id).await {
                        Ok(pair) => pair,
                        // The first read is still a valid answer.
                        Err(error) => {
                            tracing::debug!(%id, %error, "the mirror of the lease was not looked at again");
                            break;
                        }
                    };
                }
                Ok(None) => {
                    tracing::debug!(%id, "the mirror of the lease was left as it is");
                    break;
                }
                // A client that only reads may not be allowed to write.
                Err(error) => {
                    tracing::debug!(%id, %error, "the mirror of the lease was not mended");
                    break;
                }
            }
        }
        Ok(inspection)
    }

    /// Lists every lock in the store. The heads are authoritative, because a mirror may be missing. This
    /// costs one listing, one read per workflow, and one more per lock or mirror.
    pub(crate) fn list(&self) -> BoxStream<'static, Result<Inspection>> {
        let locks = self.clone();
        let listing = async move {
            let keys = locks.objects.keys(&keys::workflows()).await?;
            let mirrored: BTreeSet<WorkflowId> = keys.iter().filter_map(keys::parse_lockfile).collect();
            let mut ids = mirrored.clone();
            ids.extend(keys.iter().filter_map(keys::parse_head));
            let looks = stream::iter(ids).map(move |id| {
                let (locks, is_mirrored) = (locks.clone(), mirrored.contains(&id));
                async move { locks.found(&id, is_mirrored).await.map_err(|error| Unreadable::of(&id, error)) }
            });
            Ok(looks.buffered(LOOK_AHEAD).try_filter_map(async |found| Ok(found)))
        };
        // Without its end at an error of the storage, a list of a storage that is gone would be one of errors.
        let until_it_fails = stream::unfold(Some(listing.try_flatten_stream().boxed()), async |listing| {
            let mut listing = listing?;
            let found = listing.next().await?;
            let goes_on = matches!(found, Ok(_) | Err(Error::Unreadable(_)));
            Some((found, goes_on.then_some(listing)))
        });
        until_it_fails.boxed()
    }

    /// Returns the lock of a workflow or its deviating mirror; none if there is neither.
    async fn found(&self, id: &WorkflowId, is_mirrored: bool) -> Result<Option<Inspection>> {
        let stored = self.objects.head(id).await?;
        if stored.head.lease.is_none() && !is_mirrored {
            return Ok(None);
        }
        let pair = Pair::beside(&self.objects, stored).await?;
        let worth_telling = pair.stored.head.lease.is_some() || pair.seen.mirror != Mirror::Faithful;
        Ok(worth_telling.then(|| self.inspected(&pair)))
    }

    /// Returns the lock state of a head that was read just now.
    pub(crate) fn state_of(&self, head: Head) -> LockState {
        let sight = self.observer.sight(&head);
        let standing = head.lease.as_ref().map(|lease| Standing::of(lease, &sight));
        let live = standing.is_some_and(|standing| standing.is_live());
        let Head { id, lease, ended, fence, .. } = head;
        LockState { id, lease, live, standing, ended, fence, now: sight.now }
    }

    fn inspected(&self, pair: &Pair) -> Inspection {
        let state = self.state_of(pair.stored.head.clone());
        Inspection { state, mirror: pair.seen.mirror, mended: false, kept: None }
    }

    /// Repairs the mirror. Returns none if it was left unchanged.
    async fn mend(&self, pair: &Pair) -> Result<Option<Mended>> {
        let head = &pair.stored.head;
        let by_condition = head.lease.is_some() || self.objects.traits.conditional_delete;
        let update = pair.seen.update(head)?;
        let Some(write) = update.write else { return Ok(None) };
        let write = if by_condition { write } else { write.when(Precondition::Always) };
        let kept = update.keep.as_ref().map(|operation| operation.key().to_string());
        // IMPORTANT: content that the store did not write is kept before it is replaced.
        let batch = Batch::new().stage(update.keep).stage([write]);
        let what = || format!("the mending of the mirror of {}", head.id);
        let done = self.objects.commit(batch, what).await?.into_result().is_ok();
        Ok(done.then_some(Mended { kept, by_condition }))
    }
}

/// A mirror that was rewritten to match the head.
struct Mended {
    /// The key that keeps the replaced content, if the store had not written it.
    kept: Option<String>,
    /// The write was conditional: only the content that was read can have been replaced or deleted.
    by_condition: bool,
}
