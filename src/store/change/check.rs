use std::sync::{Arc, atomic::Ordering};

use futures::future::try_join;
use pflow_backend::{Batch, Commit, Key};

use super::{
    Change, actions,
    decide::{Decision, decide},
    plan::{Basis, Plan},
    request::Goal,
    state::{Attempt, Met, Phase},
};
use crate::{
    Error, Result,
    conflict::{Conflict, Expect},
    document::MediaType,
    flow::{Action, Node, Visit},
    format::{Head, StoredVersion, WorkflowId, keys},
    register::{Fate, Unsettled},
    repo::{Objects, StoredHead},
    store::{
        Shared,
        copy::{CopyState, LOOKS, Look},
    },
};

/// Reads the head with its lease and the working copy, settles earlier attempts, and decides whether the
/// change fits on top.
///
/// If the caller names the generation that it builds on and this process has that head cached, no read is
/// needed: the swap itself checks that the head is still the cached one. Only a decision to write is made on
/// the cached head; every other decision is made on a fresh read.
pub(super) struct CheckConflicts;

pub(super) struct Question {
    shared: Arc<Shared>,
    id: WorkflowId,
    expect: Expect,
    creates: bool,
    is_of_batch: bool,
    undeletes: bool,
    /// The caller names a lease of the workflow, so a head existed.
    has_leased: bool,
    known: Option<StoredHead>,
    attempts: Vec<Attempt>,
}

impl Question {
    /// Whether the workflow most likely has no head.
    fn is_likely_new(&self) -> bool {
        let batch_creates = || self.is_of_batch && self.shared.batch_creates.load(Ordering::Relaxed);
        self.expect == Expect::Absent || batch_creates()
    }

    /// Whether the caller has seen more than the head contains: a version, or a lease although there is no
    /// head.
    fn may_be_lost(&self, stored: &StoredHead) -> bool {
        match self.expect {
            Expect::Generation(generation) if generation > 0 => stored.head.current.is_none(),
            Expect::Generation(_) => stored.version.is_none(),
            _ => self.has_leased && stored.version.is_none(),
        }
    }
}

/// The result of the read.
pub(super) enum Seen {
    /// An earlier attempt has landed.
    Landed { plan: Arc<Plan>, head: Box<Head>, copy_error: Option<Error> },
    /// What a change would build on, the attempts that may still land, and those that cannot any more.
    Basis { basis: Box<Basis>, open: Vec<Attempt>, superseded: Vec<Unsettled> },
}

impl Node<Change, Error> for CheckConflicts {
    type Prep = Question;
    type Exec = Seen;

    fn name(&self) -> &str {
        "CheckConflicts"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::HANDLE_CONFLICT, actions::UNCHANGED, actions::UPDATE_INDEX] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Question> {
        Ok(Question {
            shared: Arc::clone(&change.shared),
            id: change.request.id.clone(),
            expect: change.request.expect,
            creates: change.goal()?.is_save(),
            is_of_batch: change.is_of_batch,
            undeletes: matches!(change.goal()?, Goal::Undelete),
            has_leased: change.request.lease.is_some(),
            known: known(change)?,
            attempts: change.doubts.open.clone(),
        })
    }

    async fn exec(&self, question: &Question, _: Visit<'_>) -> Result<Seen> {
        let Question { shared, id, .. } = question;
        let objects = &shared.objects;
        if let Some(stored) = question.known.clone() {
            let basis = seen_before(shared, stored);
            return Ok(Seen::Basis { basis: Box::new(basis), open: Vec::new(), superseded: Vec::new() });
        }
        let own: Vec<Key> =
            question.attempts.iter().flat_map(|attempt| attempt.swap.fresh.iter().cloned()).collect();
        let (stored, copy) = if question.creates && question.is_likely_new() {
            // The gate is checked in the same round trip.
            try_join(read(shared, id, &own), shared.gate.check_writer_again()).await?.0
        } else {
            let read = read(shared, id, &own).await?;
            if read.0.version.is_none() && question.creates {
                shared.gate.check_writer_again().await?;
            }
            read
        };
        if question.is_of_batch {
            shared.batch_creates.store(stored.version.is_none(), Ordering::Relaxed);
        }
        let (mut open, mut superseded) = (Vec::new(), Vec::new());
        for attempt in question.attempts.iter().cloned() {
            match attempt.swap.fate(objects, &stored).await? {
                Fate::Landed => return finish(objects, &stored, attempt).await,
                Fate::Dead => attempt.swap.clear(objects).await,
                Fate::Superseded => superseded.push(attempt.swap),
                Fate::Open => open.push(attempt),
            }
        }
        // A conflict with a lost head would not tell the caller about the loss.
        if question.may_be_lost(&stored) {
            shared.index.refuse_hurt(id, &own).await?;
        }
        let restored = if question.undeletes { last_content(objects, &stored).await? } else { None };
        let basis = seen(shared, stored, copy, restored);
        Ok(Seen::Basis { basis: Box::new(basis), open, superseded })
    }

    async fn post(&self, change: &mut Change, _: Question, seen: Seen, _: Visit<'_>) -> Result<Action> {
        let basis = match seen {
            Seen::Landed { plan, head, copy_error } => {
                change.doubts.open.clear();
                change.landed(&plan, *head, copy_error);
                return Ok(actions::UPDATE_INDEX);
            }
            Seen::Basis { basis, open, superseded } => {
                change.doubts.open = open;
                change.doubts.superseded.extend(superseded);
                *basis
            }
        };
        match judge(change, &basis)? {
            Decision::Write(plan) => {
                change.phase = Phase::Planned(Arc::from(plan));
                Ok(Action::DEFAULT)
            }
            // The same request on the same head wanted to write before.
            Decision::Unchanged if !change.doubts.open.is_empty() => {
                Err(Conflict::Busy { id: change.request.id.clone(), attempts: change.doubts.tries.lost() }
                    .into())
            }
            Decision::Unchanged => {
                change.left_as_it_is(basis.stored.head);
                Ok(actions::UNCHANGED)
            }
            Decision::Conflict(conflict) => {
                change.phase = Phase::Conflict(Box::new(Met { conflict, basis, obstacle: None }));
                Ok(actions::HANDLE_CONFLICT)
            }
        }
    }
}

fn judge(change: &Change, basis: &Basis) -> Result<Decision> {
    let identity = change.shared.objects.environment.identity();
    decide(&change.request, change.goal()?, &change.consent.agreed, basis, identity)
}

/// Builds the basis from a fresh read, judged now.
fn seen(shared: &Shared, stored: StoredHead, copy: CopyState, restored: Option<StoredVersion>) -> Basis {
    let standing = shared.locks.standing(&stored.head);
    Basis { stored, standing, copy, restored, now: shared.objects.now() }
}

/// Builds the basis from the cached head, judged now.
fn seen_before(shared: &Shared, stored: StoredHead) -> Basis {
    let standing = shared.locks.standing_as_known(&stored.head);
    Basis { stored, standing, copy: CopyState::Absent, restored: None, now: shared.objects.now() }
}

/// Returns the cached head, if the caller builds on exactly that one and the change fits on top of it.
/// Returns none on storage with plain files, where the working copy must be read anyway, and after a lost
/// race or a conflict, which show that the cache is outdated.
fn known(change: &Change) -> Result<Option<StoredHead>> {
    let Expect::Generation(generation) = change.request.expect else { return Ok(None) };
    if change.doubts.tries.lost() > 0 || change.consent.answers > 0 || !change.goal()?.is_save() {
        return Ok(None);
    }
    let objects = &change.shared.objects;
    if objects.traits.plain_files {
        return Ok(None);
    }
    let Some(stored) = objects.known_head(&change.request.id).map(|stored| (*stored).clone()) else {
        return Ok(None);
    };
    if stored.head.generation() != generation {
        return Ok(None);
    }
    let basis = seen_before(&change.shared, stored);
    let fits = matches!(judge(change, &basis)?, Decision::Write(_));
    Ok(fits.then_some(basis.stored))
}

/// Writes the copies of an attempt that landed without them, unless the head has changed since.
async fn finish(objects: &Objects, stored: &StoredHead, attempt: Attempt) -> Result<Seen> {
    let Attempt { swap, plan } = attempt;
    let mut copy_error = None;
    if stored.head.nonce == swap.head.nonce {
        match objects.backend.commit(Batch::new().stage(swap.after)).await {
            Ok(Commit::Committed(_)) => {}
            Ok(refused) => tracing::debug!(id = %swap.head.id, ?refused, "the copies changed meanwhile"),
            Err(error) => copy_error = Some(Error::Storage(error)),
        }
    }
    Ok(Seen::Landed { plan, head: Box::new(swap.head), copy_error })
}

/// Reads the head and, on storage with plain files, the state of the working copy at the same moment. `own`
/// are the versions of earlier attempts of the change.
///
/// # Errors
/// A copy that looks edited may be the content of a version that a lost head had. Then the head is hurt, and
/// that is the error.
async fn read(shared: &Shared, id: &WorkflowId, own: &[Key]) -> Result<(StoredHead, CopyState)> {
    let objects = &shared.objects;
    if !objects.traits.plain_files {
        return Ok((objects.head(id).await?, CopyState::Absent));
    }
    let copy_key = keys::content(id, MediaType::Json);
    let (stored, copy) = try_join(objects.head(id), objects.get(&copy_key)).await?;
    if let Some(state) = CopyState::at_a_glance(objects, &stored.head, copy.as_ref()) {
        return Ok((stored, state));
    }
    match Look::from(objects, stored).await? {
        Some(Look { stored, state }) => {
            if matches!(state, CopyState::Edited(..)) {
                shared.index.refuse_hurt(id, own).await?;
            }
            Ok((stored, state))
        }
        None => Err(Conflict::Busy { id: id.clone(), attempts: LOOKS }.into()),
    }
}

/// Returns the last version before a deletion.
async fn last_content(objects: &Objects, stored: &StoredHead) -> Result<Option<StoredVersion>> {
    let deleted = stored.head.current.as_ref().filter(|current| current.record.deleted);
    match deleted.and_then(|current| current.record.parents.first()) {
        Some(parent) => objects.named_version(&stored.head.id, parent).await.map(Some),
        None => Ok(None),
    }
}
