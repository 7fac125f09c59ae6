use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
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
    register::{Around, Derived, RETRY, Swapped, Unsettled, swap_head},
    repo::{Objects, unreadable},
    store::{Shared, copy::CopyState},
};

/// Commits the change: the version beside its pending record, then the head, then the copies. A person's edit
/// that is kept is a version of its own in the same batch, below that one, so that a crash leaves both or
/// neither in the chain.
///
/// Invariant: the swap of the head is the commit point. Before it nothing refers to the version, after it the
/// change stands whatever becomes of the copies. On a storage with atomic batches a crash leaves all of the
/// batch or nothing. Elsewhere it leaves, by stages: a version and a record that nothing refers to; the new
/// head with copies that lag, which readers notice by their hash; or everything. A cancelled write leaves the
/// same, or goes on to its end in the backend.
///
/// Before the first version of a workflow its other versions are looked at: over a head that was lost nothing
/// is saved.
///
/// Every attempt has a version id of its own, so that a version that is found in a chain tells that its
/// attempt succeeded. That is what settles an attempt whose reply got lost; [`Unsettled`] says how.
pub(super) struct WriteAtomic;

#[derive(Debug)]
pub(super) enum Attempted {
    Committed {
        head: Box<Head>,
        copy_error: Option<Error>,
    },
    LostRace,
    /// It may have landed: because of an error, or because it was refused in a way that may be a conflict
    /// with itself.
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

    /// Only what surely did not happen may be tried again blindly, and only where a moment may make a
    /// difference.
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
                // Only one swap of a version can land, so the attempts that named the same one are dead. See
                // `Fate` for what may be deleted of them.
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

/// `earlier` are the versions and records of earlier attempts of the same change.
async fn attempt(shared: &Shared, plan: &Plan, earlier: &[Key]) -> Result<Attempted> {
    let objects = &shared.objects;
    let head = plan.stored.head.next(objects.environment.new_id());
    let (head, fresh) = with_version(shared, plan, head)?;
    let environment = &objects.environment;
    let head = with_lease(&plan.lease, plan.breaks.is_some(), head, environment.identity(), objects.now());
    let mirror = mirror(objects, plan, &head).await?;
    let after = copies(objects, plan, &head, mirror.write)?;
    let is_first = plan.stored.head.current.is_none();
    let is_put = is_first && !objects.traits.atomic_batch;
    if is_put {
        put_first(shared, &head, &fresh, earlier).await?;
    } else if is_first {
        shared.index.refuse_hurt(&head.id, earlier).await?;
    }
    let before = if is_put { Vec::new() } else { puts(&fresh) };
    let around = Around { before, beside: mirror.keep, after: after.clone() };
    // Where the swap surely did not happen, nothing will ever refer to this version.
    let base = plan.stored.head.generation();
    let swapped = swap_head(objects, plan.stored.version.as_ref(), &head, around).await;
    if swapped.is_err() && is_put {
        clear(objects, base, &head, &fresh).await;
    }
    match swapped? {
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

/// Puts the first version of a workflow and its record, and looks in the same round trip whether other
/// versions are there that a lost head must have reached. Without atomic batches only: then the swap is a
/// commit of its own, and the look has been answered before it.
///
/// # Errors
/// Those of the puts and of the look. The swap was not sent, so what was put is garbage, and is deleted.
async fn put_first(shared: &Shared, head: &Head, fresh: &Fresh, earlier: &[Key]) -> Result<()> {
    let objects = &shared.objects;
    let own: Vec<Key> = fresh.iter().map(|(key, _)| key).chain(earlier).cloned().collect();
    let batch = Batch::new().stage(puts(fresh));
    let (put, looked) =
        futures::join!(objects.backend.commit(batch), shared.index.refuse_hurt(&head.id, &own));
    let put = match put {
        Ok(Commit::Committed(_)) => Ok(()),
        // The ids are new, so this was the storage's doing.
        Ok(refused) => Err(Error::Internal(format!("a new version of {} was refused: {refused:?}", head.id))),
        Err(error) => Err(Error::Storage(error.with_outcome(Outcome::NotApplied { applied: 0 }))),
    };
    let ready = looked.and(put);
    if ready.is_err() {
        clear(objects, 0, head, fresh).await;
    }
    ready
}

/// Deletes what an attempt on top of generation `base` left, whose swap surely did not happen.
///
/// IMPORTANT: not before a look at the head. A person may have removed it or put it back since, and a person
/// may have it moved to this very version then. Where the head is behind `base`, or may have the version, it
/// stays.
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

/// Whether the version of `attempt` may be in the chain of `now`: further back than a head remembers is not
/// looked.
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

/// The head with the new version, behind the edit that it keeps, and the objects that must be there before
/// it.
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

/// Applies a plan for the lease to a head. `breaks`: the lease that it takes away is live.
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

/// What becomes of the mirror of the lease.
async fn mirror(objects: &Objects, plan: &Plan, head: &Head) -> Result<MirrorUpdate> {
    match plan.lease {
        LeasePlan::Keep => Ok(MirrorUpdate::default()),
        LeasePlan::Remove | LeasePlan::Grant(_) => MirrorUpdate::of(objects, &plan.stored.head, head).await,
    }
}

/// What follows from the head: the content under the name that people know, the mirror of the lease, and the
/// record of a lease that was broken.
fn copies(objects: &Objects, plan: &Plan, head: &Head, mirror: Option<Operation>) -> Result<Vec<Operation>> {
    let plain_files = objects.traits.plain_files;
    let mut copies = Vec::new();
    if let Some(draft) = &plan.version {
        let media_type = draft.described.media_type.known();
        let media_type = media_type.map_err(|source| unreadable(&keys::head(&head.id), source))?;
        let key = keys::content(&head.id, media_type);
        // Where people edit the copy, only what was judged may be overwritten.
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
        // For the operation history, as when it is broken by itself. It may be written again with the copies,
        // and is the same then.
        copies.push(broken::record(objects, &head.id, broken, &broken::new_id(objects, &head.id)?)?);
    }
    Ok(copies)
}
