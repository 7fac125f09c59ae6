//! Looking at locks.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use pflow_backend::{Batch, Precondition};

use super::{
    Locks,
    mirror::{Mirror, Pair},
};
use crate::{
    Result,
    format::{Ended, Head, Lease, WorkflowId, keys},
    index::Unreadable,
    lease::Standing,
};

/// How many locks are looked at side by side.
const LOOK_AHEAD: usize = 32;
/// How often one look mends the mirror. A second time is needed only if another client was granted a lease
/// between the look and a deletion without a condition.
const MENDS: u32 = 3;

/// The lock of a workflow at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockState {
    /// The workflow.
    pub id: WorkflowId,
    /// The lease in its head; none if it is not locked.
    pub lease: Option<Lease>,
    /// Whether others must respect it.
    pub live: bool,
    /// Why it is live or stale; none if it is not locked.
    pub standing: Option<Standing>,
    /// How the last lease ended that was taken away from its holder, if one was.
    pub ended: Option<Ended>,
    /// How many leases were ever granted or overridden.
    pub fence: u64,
    /// When this was looked at, by our clock.
    pub now: DateTime<Utc>,
}

/// A lock, and what stands in `workflow.lock` for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What the head says, which decides.
    pub state: LockState,
    /// What `workflow.lock` was worth.
    pub mirror: Mirror,
    /// It was brought in line with the head.
    pub mended: bool,
    /// Where something is kept that somebody else had put in its place.
    pub kept: Option<String>,
}

/// What a listing of locks found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockList {
    /// Every lease, stale ones included, and every `workflow.lock` that is not what the head says; in the
    /// order of their ids.
    pub locks: Vec<Inspection>,
    /// Workflows whose head cannot be read.
    pub unreadable: Vec<Unreadable>,
}

impl Locks {
    /// What the head says.
    pub(crate) async fn state(&self, id: &WorkflowId) -> Result<LockState> {
        Ok(self.state_of(self.objects.head(id).await?.head))
    }

    /// Whether the lease in `head`, which was read just now, must be respected; none if there is none.
    pub(crate) fn standing(&self, head: &Head) -> Option<Standing> {
        self.observer.standing(head)
    }

    /// The same of a head that was read some time ago.
    pub(crate) fn standing_as_known(&self, head: &Head) -> Option<Standing> {
        self.observer.standing_as_known(head)
    }

    /// Looks at the mirror as well, and brings it in line. What somebody else put there is kept beside it.
    pub(crate) async fn inspect(&self, id: &WorkflowId) -> Result<Inspection> {
        let mut pair = Pair::read(&self.objects, id).await?;
        let mut inspection = self.inspected(&pair);
        if !self.gate.is_open_to_writers() {
            return Ok(inspection);
        }
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
                    // IMPORTANT: a deletion without a condition may have taken the mirror of a lease that was
                    // granted after the look, so the mirror is compared with the head again.
                    pair = match Pair::read(&self.objects, id).await {
                        Ok(pair) => pair,
                        // What was seen before is still an answer.
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
                // A client that only wants to look may not be allowed to write.
                Err(error) => {
                    tracing::debug!(%id, %error, "the mirror of the lease was not mended");
                    break;
                }
            }
        }
        Ok(inspection)
    }

    /// Every lock in the store. The heads say which there are: a mirror may be missing. One listing, a read
    /// for each workflow, and one for each lock or mirror.
    pub(crate) async fn list(&self) -> Result<LockList> {
        let keys = self.objects.keys(&keys::workflows()).await?;
        let mirrored: BTreeSet<WorkflowId> = keys.iter().filter_map(keys::parse_lockfile).collect();
        let mut ids = mirrored.clone();
        ids.extend(keys.iter().filter_map(keys::parse_head));
        let looks = stream::iter(ids).map(|id| {
            let is_mirrored = mirrored.contains(&id);
            async move {
                let found = self.found(&id, is_mirrored).await;
                (id, found)
            }
        });
        let mut looks = looks.buffered(LOOK_AHEAD);
        let mut list = LockList::default();
        while let Some((id, found)) = looks.next().await {
            match found {
                Ok(found) => list.locks.extend(found),
                Err(error) if error.spares_others() => list.unreadable.push(Unreadable::new(id, &error)),
                Err(other) => return Err(other),
            }
        }
        Ok(list)
    }

    /// The lock of a workflow, or what is in its mirror's place; none if there is neither.
    async fn found(&self, id: &WorkflowId, is_mirrored: bool) -> Result<Option<Inspection>> {
        let stored = self.objects.head(id).await?;
        if stored.head.lease.is_none() && !is_mirrored {
            return Ok(None);
        }
        let pair = Pair::beside(&self.objects, stored).await?;
        let worth_telling = pair.stored.head.lease.is_some() || pair.seen.mirror != Mirror::Faithful;
        Ok(worth_telling.then(|| self.inspected(&pair)))
    }

    /// What a head that was read just now says.
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

    /// None: it was left as it is.
    async fn mend(&self, pair: &Pair) -> Result<Option<Mended>> {
        let head = &pair.stored.head;
        let by_condition = head.lease.is_some() || self.objects.traits.conditional_delete;
        let update = pair.seen.update(head)?;
        let Some(write) = update.write else { return Ok(None) };
        let write = if by_condition { write } else { write.when(Precondition::Always) };
        let kept = update.keep.as_ref().map(|operation| operation.key().to_string());
        // IMPORTANT: what somebody put there is kept before it is replaced.
        let batch = Batch::new().stage(update.keep).stage([write]);
        let what = || format!("the mending of the mirror of {}", head.id);
        let done = self.objects.commit(batch, what).await?.into_result().is_ok();
        Ok(done.then_some(Mended { kept, by_condition }))
    }
}

/// A mirror that was brought in line.
struct Mended {
    /// Where what somebody else had put in its place is kept.
    kept: Option<String>,
    /// Nothing else can have been replaced or deleted than what was looked at.
    by_condition: bool,
}
