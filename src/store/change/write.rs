use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::join;
use pflow_backend::{
    Batch, Commit, Error as StorageError, Identity, Key, Operation, Outcome, Precondition, Version, WriteKind,
};

use super::{
    Change, actions,
    attempt::Attempt,
    plan::{LeasePlan, Parentage, Plan},
    state::{ChangePhase, Doubts},
};
use crate::{
    Error, NoContent, Result,
    conflict::Goal,
    flow::{Action, Failure, Node, Retry, Visit},
    format::{ChainPlace, Current, Ended, Head, VersionId, keys},
    lock::{MirrorUpdate, broken},
    operation::{is_transient, own_error},
    register::{Around, Derived, EncodedHead, HeadSwap, RETRY, Sign, Swapped, swap_head},
    repo::{Objects, corrupt, unreadable},
    store::Shared,
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
/// Every attempt to save has its own version id, so a version in the chain proves that its attempt landed. That
/// settles an attempt whose reply was lost; see [`HeadSwap`]. A derived version may be that of several attempts;
/// then it proves that one of them landed, which has the same result. So no attempt ever deletes one.
pub(super) struct WriteAtomic;

#[derive(Debug)]
pub(super) enum Attempted {
    Committed { head: Box<Head>, copy_error: Option<Error> },
    LostRace,
    InDoubt { attempt: Box<Attempt>, error: Option<StorageError> },
    Failed(Error),
}

/// The input of an attempt.
pub(super) struct ToWrite {
    shared: Arc<Shared>,
    goal: Goal,
    plan: Arc<Plan>,
    /// The versions and records of earlier attempts of the same change.
    earlier: Vec<Key>,
}

impl Node<Change, Error> for WriteAtomic {
    type Prep = ToWrite;
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
        is_transient(failure)
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<ToWrite> {
        let (goal, plan) = change.input(self.name(), |phase| match phase {
            ChangePhase::Planned { goal, plan } => Some((goal.clone(), Arc::clone(plan))),
            _ => None,
        })?;
        let earlier = change.doubts.open.iter().flat_map(|attempt| attempt.fresh.iter().cloned()).collect();
        Ok(ToWrite { shared: Arc::clone(&change.shared), goal, plan, earlier })
    }

    async fn exec(&self, input: &ToWrite, _: Visit<'_>) -> Result<Attempted> {
        attempt(&input.shared, &input.plan, &input.earlier).await
    }

    async fn exec_fallback(
        &self,
        _: &Self::Prep,
        failure: Failure<Error>,
        _: Visit<'_>,
    ) -> std::result::Result<Attempted, Failure<Error>> {
        own_error(failure).map(Attempted::Failed)
    }

    async fn post(
        &self,
        change: &mut Change,
        ToWrite { goal, plan, .. }: ToWrite,
        attempted: Attempted,
        _: Visit<'_>,
    ) -> Result<Action> {
        let (phase, action) = match attempted {
            Attempted::Committed { head, copy_error } => {
                // Only one swap of a version can land, so the attempts that named the same version are dead.
                // See `Fate` for which of their objects may be deleted.
                let Doubts { open, superseded, .. } = std::mem::take(&mut change.doubts);
                let objects = &change.shared.objects;
                let is_reached = |it: &&Attempt| it.swap.head.generation() <= head.generation();
                for dead in open.iter().filter(is_reached) {
                    dead.clear(objects).await;
                }
                // The head was put back behind these, and may have been moved to one of them since.
                for superseded in superseded.iter().filter(is_reached) {
                    superseded.clear_unless_found(objects).await;
                }
                change.landed(&plan, *head, copy_error);
                return Ok(actions::UPDATE_INDEX);
            }
            Attempted::LostRace => (ChangePhase::LostRace(goal), actions::HANDLE_CONFLICT),
            Attempted::InDoubt { attempt, error } => {
                change.doubts.open.push(*attempt);
                let goes_on = change.doubts.tries.doubt(error);
                let action = if goes_on { actions::HANDLE_CONFLICT } else { actions::WRITE_ERROR };
                (ChangePhase::InDoubt(goal), action)
            }
            Attempted::Failed(error) => (ChangePhase::Failed(error), actions::WRITE_ERROR),
        };
        change.phase = phase;
        Ok(action)
    }
}

/// Makes one attempt. `earlier` are the versions and records of earlier attempts of the same change.
async fn attempt(shared: &Shared, plan: &Arc<Plan>, earlier: &[Key]) -> Result<Attempted> {
    let objects = &shared.objects;
    let (head, fresh) = with_version(shared, plan)?;
    let identity = objects.environment.identity();
    let head = with_lease(&plan.lease, plan.breaks.is_some(), head, identity, objects.now());
    let mirror = mirror(objects, plan, &head).await?;
    let after = copies(objects, plan, &head, mirror.write)?;
    let derived = fresh.iter().find(|put| !is_fresh(put)).cloned();
    let fresh = match &derived {
        Some(_) if is_stored(objects, &head).await? => fresh.into_iter().filter(is_fresh).collect(),
        _ => fresh,
    };
    let attempt = Attempt {
        // IMPORTANT: not a derived version. Another writer may have written the same one, and a head may have it.
        fresh: fresh.iter().filter(|put| is_fresh(put)).map(|put| put.key().clone()).collect(),
        swap: HeadSwap { named: plan.stored.version.clone(), sign: sign(plan, &head), head },
        after: after.clone(),
        plan: Arc::clone(plan),
    };
    let next = EncodedHead::of(&attempt.swap.head)?;
    let (before, is_put) = if plan.stored.head.current.is_some() {
        (fresh, false)
    } else if objects.traits.atomic_batch {
        shared.index.refuse_hurt(&attempt.swap.head.id, earlier).await?;
        (fresh, false)
    } else {
        put_first(shared, &attempt, fresh, earlier).await?;
        (Vec::new(), true)
    };
    let around = Around { before, beside: mirror.keep, after };
    match swap_head(objects, plan.stored.version.as_ref(), next, around).await {
        Swapped::Landed(_, derived) => {
            let head = Box::new(attempt.swap.head);
            let copy_error = match derived {
                Derived::InPlace => None,
                Derived::Changed => {
                    tracing::warn!(id = %head.id, "a copy changed while it was being written; it was left alone");
                    None
                }
                Derived::Failed(error) => Some(Error::Storage(error)),
            };
            Ok(Attempted::Committed { head, copy_error })
        }
        // The swap did not happen and never will, so nothing will ever refer to this version.
        Swapped::Lost { leaves } => {
            if leaves || is_put {
                attempt.clear_unless_found(objects).await;
            }
            if derived.is_some() {
                // The refusal may have been that of its object.
                is_stored(objects, &attempt.swap.head).await?;
            }
            Ok(Attempted::LostRace)
        }
        Swapped::Failed { error, leaves } => {
            if leaves || is_put {
                attempt.clear_unless_found(objects).await;
            }
            Err(Error::Storage(error))
        }
        Swapped::InDoubt(error) => Ok(Attempted::InDoubt { attempt: Box::new(attempt), error }),
        Swapped::Unknown(source) => {
            Err(Error::OutcomeUnknown { what: format!("the change of {}", attempt.swap.head.id), source })
        }
    }
}

fn is_fresh(put: &Operation) -> bool {
    matches!(put, Operation::Put { kind: WriteKind::Fresh, .. })
}

/// Whether a derived version is there already, with its content. Its envelope may be another one, so the records
/// are compared.
///
/// # Errors
/// Another record is there, which is damage: every writer of the key writes the same one. Or its content is
/// damaged or was pruned, so no head may be moved to it.
async fn is_stored(objects: &Objects, head: &Head) -> Result<bool> {
    let Some(current) = &head.current else { return Ok(false) };
    let name = (current.record.generation, current.record.version_id);
    match objects.unvouched_record(&head.id, &name).await? {
        None => Ok(false),
        Some(stored) if stored.record_hash == current.record_hash => {
            let version = objects.named_version(&head.id, &current.reference()).await?;
            if version.content.is_none() && !version.record.deleted {
                let (id, generation) = (head.id.clone(), name.0);
                return Err(Error::GenerationMissing { id, generation, why: NoContent::Pruned });
            }
            Ok(true)
        }
        Some(_) => {
            let key = keys::version(&head.id, name.0, &name.1);
            Err(corrupt(&key, "it is not the version that has this id".to_owned()))
        }
    }
}

/// Returns what shows in a later head that the swap to `head` has landed.
fn sign(plan: &Plan, head: &Head) -> Option<Sign> {
    let version = plan.version.as_ref().and(head.current.as_ref()).map(|current| &current.record);
    match version {
        Some(record) => Some(Sign::Version((record.generation, record.version_id))),
        None => head.lease.as_ref().map(|lease| Sign::Lease(lease.id.clone())),
    }
}

/// Puts the first version of a workflow and its record, and in the same round trip looks for other versions,
/// which a lost head must have reached. Used only without atomic batches: there the swap is a commit of its
/// own, and the look is answered before it.
///
/// # Errors
/// Errors of the puts and of the look. The swap was not sent, so the objects are garbage and are deleted.
async fn put_first(shared: &Shared, attempt: &Attempt, fresh: Vec<Operation>, earlier: &[Key]) -> Result<()> {
    let (objects, id) = (&shared.objects, &attempt.swap.head.id);
    let own = [attempt.fresh.as_slice(), earlier].concat();
    let batch = Batch::new().stage(fresh);
    let (put, looked) = join(objects.backend.commit(batch), shared.index.refuse_hurt(id, &own)).await;
    let put = match put {
        Ok(Commit::Committed(_)) => Ok(()),
        // The ids are new, so the storage is at fault.
        Ok(refused) => Err(Error::Internal(format!("a new version of {id} was refused: {refused:?}"))),
        Err(error) => Err(Error::Storage(error.with_outcome(Outcome::NotApplied { applied: 0 }))),
    };
    let ready = looked.and(put);
    if ready.is_err() {
        attempt.clear_unless_found(objects).await;
    }
    ready
}

/// Returns the next head with the new version, on top of the edit that it keeps, and the writes of the objects
/// that must be in place before it.
fn with_version(shared: &Shared, plan: &Plan) -> Result<(Head, Vec<Operation>)> {
    let nonce = shared.objects.environment.new_id();
    let mut head = plan.stored.head.next(nonce.clone());
    let (mut fresh, mut versions) = (Vec::new(), 0);
    let put = |key, bytes| Operation::put(key, bytes).absent().fresh();
    for draft in plan.kept.iter().chain(&plan.version) {
        let invalid = |source| unreadable(&keys::head(&head.id), source);
        let (record, place) = match &draft.derived {
            None => {
                let version_id = VersionId::of_new(&shared.objects.environment.new_id()).map_err(invalid)?;
                let parents = head.current.iter().map(Current::reference).collect();
                let place = ChainPlace::above(head.current.as_ref());
                (draft.record(&head.id, version_id, parents).placed(&place), place)
            }
            Some(Parentage { parents, place }) => {
                let record = draft.record(&head.id, VersionId::ZERO, parents.clone()).placed(place);
                (record.derived().map_err(invalid)?, place.clone())
            }
        };
        let key = keys::version(&head.id, record.generation, &record.version_id);
        let (object, record_hash) =
            record.encode(&draft.content).map_err(|source| unreadable(&key, source))?;
        shared.objects.remember_record(&record, record_hash);
        head.current = Some(Current::placed(record, record_hash, place));
        fresh.push(match draft.derived {
            None => put(key, object),
            // Other writers write the same object.
            Some(_) => Operation::put(key, object).immutable(),
        });
        versions += 1;
    }
    if let Some(Current { record, .. }) = head.current.as_ref().filter(|_| versions > 0) {
        let unreadable = |source| unreadable(&keys::head(&head.id), source);
        let attempt = VersionId::of_new(&nonce).map_err(unreadable)?;
        let tip = (record.generation, &record.version_id);
        fresh.push(put(keys::pending(&head.id, tip, &attempt, versions), Bytes::new()));
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
        let (key, before) = (keys::copy(&head.id, media_type), keys::copy_of(&plan.stored.head));
        // If people edit the copy, only the content that was compared may be overwritten or removed.
        let is_seen = |seen: Option<&Version>| match (plain_files, seen) {
            (false, _) => Precondition::Always,
            (true, seen) => seen.cloned().map_or(Precondition::Absent, Precondition::Is),
        };
        let is_before = is_seen(plan.copy.version());
        let is_deletion = draft.described.is_deletion();
        if !is_deletion {
            let when = if key == before { is_before.clone() } else { is_seen(plan.target.as_ref()) };
            copies.push(Operation::put(key.clone(), draft.content.clone()).copy().when(when));
        }
        // A version of another format has its copy under another name.
        let has_no_copy = plan.stored.head.current.is_none() && !plain_files;
        if (is_deletion || key != before) && is_before != Precondition::Absent && !has_no_copy {
            copies.push(Operation::delete(before).when(is_before));
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
