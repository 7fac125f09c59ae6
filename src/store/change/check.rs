use std::sync::{Arc, atomic::Ordering};

use futures::future::try_join;
use pflow_backend::Key;

use super::{
    Change, actions,
    attempt::Attempt,
    decide::{Decision, decide},
    join_versions::join_versions,
    plan::{Basis, Joined, Plan, Target},
    state::{ChangePhase, Met},
};
use crate::{
    Error, Result,
    conflict::{ChangeKind, Conflict, Expect, Goal},
    document::MediaType,
    flow::{Action, Node, Visit},
    format::{Head, StoredVersion, WorkflowId, keys},
    register::Fate,
    repo::{Objects, ParentWalk, StoredHead},
    store::{
        Shared,
        copy::{CopyState, EditedCopy, LOOKS, Look},
    },
};

/// Reads the head with its lease and the working copy, settles earlier attempts, and decides whether the
/// change fits on top.
///
/// If the caller names the generation that it builds on and this process has that head cached, no read is
/// needed: the swap itself checks that the head is still the cached one. Only a decision to write is made on
/// the cached head; every other decision is made on a fresh read.
pub(super) struct CheckConflicts;

pub(super) struct ToCheck {
    shared: Arc<Shared>,
    id: WorkflowId,
    goal: Goal,
    expect: Expect,
    is_of_batch: bool,
    /// The caller names a lease of the workflow, so a head existed.
    has_leased: bool,
    /// The plan on top of the cached head, if that is enough.
    planned: Option<Arc<Plan>>,
    attempts: Vec<Attempt>,
}

impl ToCheck {
    fn creates(&self) -> bool {
        self.goal.kind() == ChangeKind::Save
    }

    /// Whether the workflow most likely has no head.
    fn is_likely_new(&self) -> bool {
        let batch_creates = || self.is_of_batch && self.shared.batch_creates.load(Ordering::Relaxed);
        self.expect == Expect::Absent || batch_creates()
    }

    /// Whether the caller has seen more than the head contains: a version, or a lease although there is no
    /// head.
    fn may_be_lost(&self, stored: &StoredHead) -> bool {
        match &self.expect {
            expect if expect.version().is_some() => stored.head.current.is_none(),
            Expect::Generation(_) => stored.version.is_none(),
            _ => self.has_leased && stored.version.is_none(),
        }
    }
}

/// The result of the read.
pub(super) enum Checked {
    /// The change fits on top of the cached head.
    Planned(Arc<Plan>),
    /// An earlier attempt has landed.
    Landed { attempt: Box<Attempt>, copy_error: Option<Error> },
    /// What a change would build on, the attempts that may still land, and those that cannot any more.
    Basis { basis: Box<Basis>, open: Vec<Attempt>, superseded: Vec<Attempt> },
}

impl Node<Change, Error> for CheckConflicts {
    type Prep = ToCheck;
    type Exec = Checked;

    fn name(&self) -> &str {
        "CheckConflicts"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::HANDLE_CONFLICT, actions::UNCHANGED, actions::UPDATE_INDEX] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<ToCheck> {
        let goal = change.input(self.name(), |phase| match phase {
            ChangePhase::Open(goal) => Some(goal.clone()),
            _ => None,
        })?;
        Ok(ToCheck {
            shared: Arc::clone(&change.shared),
            id: change.request.id.clone(),
            expect: change.request.expect,
            is_of_batch: change.is_of_batch,
            has_leased: change.request.lease.is_some(),
            planned: planned_on_known(change, &goal)?,
            goal,
            attempts: change.doubts.open.clone(),
        })
    }

    async fn exec(&self, question: &ToCheck, _: Visit<'_>) -> Result<Checked> {
        let ToCheck { shared, id, .. } = question;
        let objects = &shared.objects;
        if let Some(plan) = &question.planned {
            return Ok(Checked::Planned(Arc::clone(plan)));
        }
        let own: Vec<Key> =
            question.attempts.iter().flat_map(|attempt| attempt.fresh.iter().cloned()).collect();
        let (stored, copy) = if question.creates() && question.is_likely_new() {
            // The gate is checked in the same round trip.
            try_join(read(shared, id, &own), shared.gate.check_writer_again()).await?.0
        } else {
            let read = read(shared, id, &own).await?;
            if read.0.version.is_none() && question.creates() {
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
                Fate::Landed => {
                    let copy_error = attempt.finish(objects, &stored).await.err();
                    return Ok(Checked::Landed { attempt: Box::new(attempt), copy_error });
                }
                Fate::Dead => attempt.clear_if_dead(objects, &stored).await,
                Fate::Superseded => superseded.push(attempt),
                Fate::Open => open.push(attempt),
            }
        }
        // A conflict with a lost head would not tell the caller about the loss.
        if question.may_be_lost(&stored) {
            shared.index.refuse_hurt(id, &own).await?;
        }
        let restored = match question.goal {
            Goal::Undelete => last_content(objects, &stored).await?,
            Goal::Save { .. } | Goal::Delete | Goal::Merge(_) => None,
        };
        let joined = match &question.goal {
            Goal::Merge(with) => Some(join_versions(shared, &stored, with).await?),
            Goal::Save { .. } | Goal::Delete | Goal::Undelete => None,
        };
        let next = match (&question.goal, &restored, &joined) {
            (Goal::Save { document, .. }, ..) => Some(document.media_type()),
            (_, Some(restored), _) => restored.record.media_type.known().ok(),
            (_, _, Some(Joined::Merged(draft))) => draft.described.media_type.known().ok(),
            _ => None,
        };
        let target = match next {
            Some(media_type) => target(objects, &stored.head, media_type).await?,
            None => None,
        };
        if target.is_some() {
            // It may be the copy of a version that a lost head had.
            shared.index.refuse_hurt(id, &own).await?;
        }
        let standing = shared.locks.standing(&stored.head);
        let now = objects.now();
        let basis = Box::new(Basis { stored, standing, copy, target, restored, joined, now });
        Ok(Checked::Basis { basis, open, superseded })
    }

    async fn post(
        &self,
        change: &mut Change,
        question: ToCheck,
        seen: Checked,
        _: Visit<'_>,
    ) -> Result<Action> {
        let goal = question.goal;
        let basis = match seen {
            Checked::Planned(plan) => {
                change.phase = ChangePhase::Planned { goal, plan };
                return Ok(Action::DEFAULT);
            }
            Checked::Landed { attempt, copy_error } => {
                change.doubts.open.clear();
                change.landed(&attempt.plan, attempt.swap.head, copy_error);
                return Ok(actions::UPDATE_INDEX);
            }
            Checked::Basis { basis, open, superseded } => {
                change.doubts.open = open;
                change.doubts.superseded.extend(superseded);
                *basis
            }
        };
        match judge(change, &goal, &basis)? {
            Decision::Write(plan) => {
                change.phase = ChangePhase::Planned { goal, plan: Arc::from(plan) };
                Ok(Action::DEFAULT)
            }
            // The same request on the same head wanted to write before.
            Decision::Unchanged if !change.doubts.open.is_empty() => {
                Err(Conflict::Busy { id: change.request.id.clone(), attempts: change.doubts.tries.lost() }
                    .into())
            }
            Decision::Unchanged => {
                change.phase = ChangePhase::unchanged(&basis);
                Ok(actions::UNCHANGED)
            }
            Decision::Conflict(conflict) => {
                change.phase = ChangePhase::Conflict(Arc::new(Met { goal, conflict, basis, obstacle: None }));
                Ok(actions::HANDLE_CONFLICT)
            }
        }
    }
}

fn judge(change: &Change, goal: &Goal, basis: &Basis) -> Result<Decision> {
    let identity = change.shared.objects.environment.identity();
    decide(&change.request, goal, &change.consent.agreed, basis, identity)
}

/// Returns the plan on top of the cached head, if the caller builds on exactly that version and the change
/// fits. Returns none on storage with plain files, where the working copy must be read anyway, and after a
/// lost race or a conflict, which show that the cache is outdated.
fn planned_on_known(change: &Change, goal: &Goal) -> Result<Option<Arc<Plan>>> {
    let Change { shared, request, doubts, consent, .. } = change;
    let Some(expected) = request.expect.version() else { return Ok(None) };
    let is_first_try = doubts.tries.lost() == 0 && consent.answers == 0;
    if !is_first_try || goal.kind() != ChangeKind::Save || shared.objects.traits.plain_files {
        return Ok(None);
    }
    let known = shared.objects.known_head(&request.id).map(|stored| (*stored).clone());
    let Some(stored) = known.filter(|stored| expected.is(stored.head.current.as_ref())) else {
        return Ok(None);
    };
    let standing = shared.locks.standing_as_known(&stored.head);
    let now = shared.objects.now();
    let (copy, target) = (CopyState::Absent, None);
    let basis = Basis { stored, standing, copy, target, restored: None, joined: None, now };
    Ok(match judge(change, goal, &basis)? {
        Decision::Write(plan) => Some(Arc::from(plan)),
        Decision::Unchanged | Decision::Conflict(_) => None,
    })
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
    let (stored, copy) = shared.head_and_copy(id).await?;
    let is_seldom = copy.is_none() && stored.head.live().is_some();
    if !is_seldom && let Some(state) = CopyState::at_a_glance(objects, &stored.head, copy.as_ref(), 0).await?
    {
        return Ok((stored, state));
    }
    match Look::from(objects, stored).await? {
        Some(Look { stored, state, .. }) => {
            // The version that a lost head had may have another format, whose copy has another name.
            let is_missing = state == CopyState::Absent && stored.head.live().is_some();
            if is_missing || matches!(state, CopyState::Edited(..)) {
                shared.index.refuse_hurt(id, own).await?;
            }
            Ok((stored, state))
        }
        None => Err(Conflict::Busy { id: id.clone(), attempts: LOOKS }.into()),
    }
}

/// Reads the file that is there under the name of the working copy of the next version, if that is another
/// name than that of the present one.
async fn target(objects: &Objects, head: &Head, next: MediaType) -> Result<Option<Target>> {
    let key = keys::copy(&head.id, next);
    if !objects.traits.plain_files || key == keys::copy_of(head) {
        return Ok(None);
    }
    Ok(objects.get(&key).await?.map(|object| Target {
        version: object.meta.version,
        found: EditedCopy::of(key, Some(next), &object.bytes),
    }))
}

/// Returns the last version before a deletion. The parents of a merged deletion may be deletions themselves;
/// then it is the last version before those, the first parent's first.
async fn last_content(objects: &Objects, stored: &StoredHead) -> Result<Option<StoredVersion>> {
    let id = &stored.head.id;
    let mut walk = ParentWalk::default();
    if let Some(current) = stored.head.current.as_ref().filter(|current| current.record.deleted) {
        walk.go_on(&current.record, true);
    }
    while let Some((named, is_first)) = walk.next() {
        let version = objects.named_version(id, &named).await?;
        if !version.record.deleted {
            return Ok(Some(version));
        }
        walk.go_on(&version.record, is_first);
    }
    Ok(None)
}
