use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::join;
use pflow_backend::{Batch, Commit, Identity, Key, Operation, Outcome, Precondition};

use super::{
    Change, actions,
    plan::{LeasePlan, Plan},
    state::{Attempt, Phase},
};
use crate::{
    Error, Result,
    flow::{Action, Failure, Node, Retry, Visit},
    format::{Current, Ended, Head, VersionId, keys},
    lock::{MirrorUpdate, broken},
    register::{Around, Derived, EncodedHead, RETRY, Swapped, Unsettled, swap_head},
    repo::{Objects, unreadable},
    store::{Shared, copy::CopyState},
};

/// Commits the change: the version and its pending record, then the head, then the copies. A person's edit
/// that is kept is a version of its own in the same batch, below the new one, so that after a crash the chain
/// has both or neither.
///
/// Invariant: the swap of the head is the commit point. Before it nothing refers to the version. After it the
/// change is committed, whatever happens to the copies. On a storage with atomic batches a crash leaves the
/// whole batch or nothing. On other storages it leaves, by stage: a version and a record that nothing refers
/// to; the new head with outdated copies, which readers detect by their hash; or everything. A cancelled
/// write leaves one of these, or continues to its end in the backend.
///
/// Before the first version of a workflow is written, its existing versions are listed: nothing is saved over
/// a lost head.
///
/// Every attempt has its own version id, so a version in the chain proves that its attempt landed. That
/// settles an attempt whose reply was lost; see [`Unsettled`].
pub(super) struct WriteAtomic;

#[derive(Debug)]
pub(super) enum Attempted {
    Committed {
        head: Box<Head>,
        copy_error: Option<Error>,
    },
    LostRace,
    /// The swap may have landed: there was an error, or it was refused in a way that may be a conflict with
    /// itself.
    InDoubt {
        swap: Box<Unsettled>,
        error: Option<pflow_backend::Error>,
    },
    Failed(Error),
}

impl Node<Change, Error> for WriteAtomic {
    type Prep = (Arc<Shared>, Arc<Plan>, Vec<Key>);
    type Exec = Attempted;

    fn name(&self) -> &str {
        "WriteAtomic"
    }

    fn actions(&self) -> &[Action] {
        const { &[actions::UPDATE_INDEX, actions::HANDLE_CONFLICT, actions::WRITE_ERROR] }
    }

    fn retry(&self) -> Retry {
        RETRY
    }

    /// Retries only what certainly did not happen, and only if the error is transient.
    fn is_retryable(&self, failure: &Failure<Error>) -> bool {
        matches!(failure, Failure::Error(error) if error.may_pass())
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        let Phase::Planned(plan) = &change.phase else { return Err(change.misplaced(self.name())) };
        let earlier = change.doubts.open.iter().flat_map(|attempt| attempt.swap.fresh.iter().cloned());
        Ok((Arc::clone(&change.shared), Arc::clone(plan), earlier.collect()))
    }

    async fn exec(&self, (shared, plan, earlier): &Self::Prep, _: Visit<'_>) -> Result<Attempted> {
        attempt(shared, plan, earlier).await
    }

    async fn exec_fallback(
        &self,
        _: &Self::Prep,
        failure: Failure<Error>,
        _: Visit<'_>,
    ) -> std::result::Result<Attempted, Failure<Error>> {
        match failure {
            Failure::Error(error) => Ok(Attempted::Failed(error)),
            timeout @ Failure::Timeout(_) => Err(timeout),
        }
    }

    async fn post(
        &self,
        change: &mut Change,
        (_, plan, _): Self::Prep,
        attempted: Attempted,
        _: Visit<'_>,
    ) -> Result<Action> {
        match attempted {
            Attempted::Committed { head, copy_error } => {
                // Only one swap of a version can land, so the attempts that named the same version are dead.
                // See `Fate` for which of their objects may be deleted.
                let open = std::mem::take(&mut change.doubts.open).into_iter().map(|attempt| attempt.swap);
                let superseded = std::mem::take(&mut change.doubts.superseded);
                for dead in open.chain(superseded) {
                    if dead.head.generation() <= head.generation() {
                        dead.clear(&change.shared.objects).await;
                    }
                }
                change.landed(&plan, *head, copy_error);
                Ok(actions::UPDATE_INDEX)
            }
            Attempted::LostRace => {
                change.phase = Phase::LostRace;
                Ok(actions::HANDLE_CONFLICT)
            }
            Attempted::InDoubt { swap, error } => {
                change.doubts.open.push(Attempt { swap: *swap, plan });
                let goes_on = change.doubts.tries.doubt(error);
                change.phase = Phase::LostRace;
                Ok(if goes_on { actions::HANDLE_CONFLICT } else { actions::WRITE_ERROR })
            }
            Attempted::Failed(error) => {
                change.phase = Phase::Failed(error);
                Ok(actions::WRITE_ERROR)
            }
        }
    }
}

/// Makes one attempt. `earlier` are the versions and records of earlier attempts of the same change.
async fn attempt(shared: &Shared, plan: &Plan, earlier: &[Key]) -> Result<Attempted> {
    let objects = &shared.objects;
    let head = plan.stored.head.next(objects.environment.new_id());
    let (head, fresh) = with_version(shared, plan, head)?;
    let environment = &objects.environment;
    let head = with_lease(&plan.lease, plan.breaks.is_some(), head, environment.identity(), objects.now());
    let mirror = mirror(objects, plan, &head).await?;
    let after = copies(objects, plan, &head, mirror.write)?;
    let next = EncodedHead::of(&head)?;
    let is_first = plan.stored.head.current.is_none();
    let is_put = is_first && !objects.traits.atomic_batch;
    if is_put {
        put_first(shared, &head, &fresh, earlier).await?;
    } else if is_first {
        shared.index.refuse_hurt(&head.id, earlier).await?;
    }
    let before = if is_put { Vec::new() } else { puts(&fresh) };
    let around = Around { before, beside: mirror.keep, after: after.clone() };
    let base = plan.stored.head.generation();
    match swap_head(objects, plan.stored.version.as_ref(), next, around).await {
        Swapped::Landed(_, derived) => {
            let copy_error = match derived {
                Derived::InPlace => None,
                Derived::Changed => {
                    tracing::warn!(id = %head.id, "a copy changed while it was being written; it was left alone");
                    None
                }
                Derived::Failed(error) => Some(Error::Storage(error)),
            };
            Ok(Attempted::Committed { head: Box::new(head), copy_error })
        }
        // The swap did not happen and never will, so nothing will ever refer to this version.
        Swapped::Lost { leaves } => {
            if leaves || is_put {
                clear(objects, base, &head, &fresh).await;
            }
            Ok(Attempted::LostRace)
        }
        Swapped::Failed { error, leaves } => {
            if leaves || is_put {
                clear(objects, base, &head, &fresh).await;
            }
            Err(Error::Storage(error))
        }
        Swapped::InDoubt(error) => {
            let fresh = fresh.into_iter().map(|(key, _)| key).collect();
            let swap = Unsettled { named: plan.stored.version.clone(), head, fresh, after };
            Ok(Attempted::InDoubt { swap: Box::new(swap), error })
        }
        Swapped::Unknown(source) => {
            Err(Error::OutcomeUnknown { what: format!("the change of {}", head.id), source })
        }
    }
}

/// Puts the first version of a workflow and its record, and in the same round trip looks for other versions,
/// which a lost head must have reached. Used only without atomic batches: there the swap is a commit of its
/// own, and the look is answered before it.
///
/// # Errors
/// Errors of the puts and of the look. The swap was not sent, so the objects are garbage and are deleted.
async fn put_first(shared: &Shared, head: &Head, fresh: &Fresh, earlier: &[Key]) -> Result<()> {
    let objects = &shared.objects;
    let own: Vec<Key> = fresh.iter().map(|(key, _)| key).chain(earlier).cloned().collect();
    let batch = Batch::new().stage(puts(fresh));
    let (put, looked) = join(objects.backend.commit(batch), shared.index.refuse_hurt(&head.id, &own)).await;
    let put = match put {
        Ok(Commit::Committed(_)) => Ok(()),
        // The ids are new, so the storage is at fault.
        Ok(refused) => Err(Error::Internal(format!("a new version of {} was refused: {refused:?}", head.id))),
        Err(error) => Err(Error::Storage(error.with_outcome(Outcome::NotApplied { applied: 0 }))),
    };
    let ready = looked.and(put);
    if ready.is_err() {
        clear(objects, 0, head, fresh).await;
    }
    ready
}

/// Deletes the objects of an attempt on top of generation `base` whose swap certainly did not happen.
///
/// IMPORTANT: reads the head first. A person may have removed or restored the head since, and a repair may
/// then have moved it to this very version. If the head is behind `base`, or may contain the version, the
/// objects are kept.
async fn clear(objects: &Objects, base: u64, head: &Head, fresh: &Fresh) {
    match objects.head(&head.id).await {
        Ok(stored) if stored.head.generation() >= base && !may_have(&stored.head, head) => {}
        Ok(_) => {
            tracing::warn!(id = %head.id, "its head may have the version or was put back: what a lost attempt left stays");
            return;
        }
        Err(error) => {
            tracing::debug!(id = %head.id, %error, "what a lost attempt left stays until it is collected");
            return;
        }
    }
    let garbage = Batch::new().stage(fresh.iter().map(|(key, _)| Operation::delete(key.clone())));
    if let Err(error) = objects.backend.commit(garbage).await {
        tracing::debug!(id = %head.id, %error, "what a lost attempt left stays until it is collected");
    }
}

/// Whether the version of `attempt` may be in the chain of `now`. The chain is read only as far as the head
/// remembers it; beyond that the answer is yes.
fn may_have(now: &Head, attempt: &Head) -> bool {
    let (Some(now), Some(ours)) = (&now.current, &attempt.current) else { return false };
    let (generation, version_id) = (ours.record.generation, &ours.record.version_id);
    let mut remembered = now.lineage().skip_while(|known| known.generation > generation);
    match remembered.next() {
        Some(known) => known.version_id == *version_id,
        None => true,
    }
}

fn puts(fresh: &Fresh) -> Vec<Operation> {
    fresh.iter().map(|(key, bytes)| Operation::put(key.clone(), bytes.clone()).absent().fresh()).collect()
}

type Fresh = Vec<(Key, Bytes)>;

/// Returns the head with the new version, on top of the edit that it keeps, and the objects that must be in
/// place before it.
fn with_version(shared: &Shared, plan: &Plan, mut head: Head) -> Result<(Head, Fresh)> {
    let mut fresh = Vec::new();
    for draft in plan.kept.iter().chain(&plan.version) {
        let version_id = VersionId::of_new(shared.objects.environment.new_id());
        let version_id = version_id.map_err(|source| unreadable(&keys::head(&head.id), source))?;
        let parents = head.current.iter().map(Current::reference).collect();
        let record = draft.record(version_id, parents);
        let key = keys::version(&head.id, record.generation, &record.version_id);
        let pending = keys::pending(&head.id, record.generation, &record.version_id);
        let (object, record_hash) =
            record.encode(&head.id, &draft.content).map_err(|source| unreadable(&key, source))?;
        head.current = Some(Current::after(head.current.as_ref(), record, record_hash));
        fresh.extend([(key, object), (pending, Bytes::new())]);
    }
    Ok((head, fresh))
}

/// Applies a lease plan to a head. `breaks`: the lease that it takes away is live.
pub(crate) fn with_lease(
    plan: &LeasePlan,
    breaks: bool,
    head: Head,
    identity: &Identity,
    now: DateTime<Utc>,
) -> Head {
    let how = |otherwise| if breaks { Ended::BROKEN } else { otherwise };
    match plan {
        LeasePlan::Keep => head,
        LeasePlan::Remove => head.without_lease(how(Ended::OVERRIDDEN), identity.to_string(), now),
        LeasePlan::Grant(claim) => {
            let hash = head.current.as_ref().and_then(|current| current.record.hash);
            let lease = claim.grant(identity, head.fence.saturating_add(1), hash, now);
            head.with_lease(lease, how(Ended::TAKEN_OVER), identity.to_string(), now)
        }
    }
}

/// Returns the update of the lease's mirror.
async fn mirror(objects: &Objects, plan: &Plan, head: &Head) -> Result<MirrorUpdate> {
    match plan.lease {
        LeasePlan::Keep => Ok(MirrorUpdate::default()),
        LeasePlan::Remove | LeasePlan::Grant(_) => MirrorUpdate::of(objects, &plan.stored.head, head).await,
    }
}

/// Returns the writes that follow the head: the content under its well-known name, the mirror of the lease,
/// and the record of a broken lease.
fn copies(objects: &Objects, plan: &Plan, head: &Head, mirror: Option<Operation>) -> Result<Vec<Operation>> {
    let plain_files = objects.traits.plain_files;
    let mut copies = Vec::new();
    if let Some(draft) = &plan.version {
        let media_type = draft.described.media_type.known();
        let media_type = media_type.map_err(|source| unreadable(&keys::head(&head.id), source))?;
        let key = keys::content(&head.id, media_type);
        // If people edit the copy, only the content that was compared may be overwritten.
        let when = match (plain_files, &plan.copy) {
            (false, _) => Precondition::Always,
            (true, CopyState::Absent) => Precondition::Absent,
            (true, seen) => seen.version().cloned().map_or(Precondition::Absent, Precondition::Is),
        };
        if !draft.described.is_deletion() {
            copies.push(Operation::put(key, draft.content.clone()).copy().when(when));
        } else if when != Precondition::Absent {
            copies.push(Operation::delete(key).when(when));
        }
    }
    copies.extend(mirror);
    if let Some(broken) = &plan.breaks {
        // Recorded in the operation history like an explicit break. If it is written again with the copies,
        // it is the same record.
        copies.push(broken::record(objects, &head.id, broken, &broken::new_id(objects, &head.id)?)?);
    }
    Ok(copies)
}
