use std::sync::Arc;

use futures::try_join;

use super::{
    Basis, Change, Kind, Trouble, Written, actions,
    decide::{Decision, decide},
};
use crate::{
    Error, Result,
    document::MediaType,
    flow::{Action, Node, Visit},
    store::{Shared, copy::CopyState},
    stored::{Objects, StoredHead, StoredVersion, WorkflowId, layout},
};

/// Reads the head, the lease in it and the copy, and decides whether the change fits on top.
pub(super) struct CheckConflicts;

pub(super) struct Question {
    shared: Arc<Shared>,
    id: WorkflowId,
    creates: bool,
    undeletes: bool,
}

impl Node<Change, Error> for CheckConflicts {
    type Prep = Question;
    type Exec = Basis;

    fn name(&self) -> &str {
        "CheckConflicts"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::HANDLE_CONFLICT, actions::UNCHANGED] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Question> {
        Ok(Question {
            shared: Arc::clone(&change.shared),
            id: change.request.id.clone(),
            creates: matches!(change.request.kind, Kind::Save { .. }),
            undeletes: matches!(change.request.kind, Kind::Undelete),
        })
    }

    async fn exec(&self, question: &Question, _: Visit<'_>) -> Result<Basis> {
        let Question { shared, id, .. } = question;
        let objects = &shared.objects;
        let (stored, copy) = read(objects, id).await?;
        if stored.version.is_none() && question.creates {
            shared.gate.check_writer_again().await?;
        }
        let restored = if question.undeletes { last_content(objects, &stored).await? } else { None };
        Ok(Basis { stored, copy, restored, now: objects.now() })
    }

    async fn post(&self, change: &mut Change, _: Question, basis: Basis, _: Visit<'_>) -> Result<Action> {
        let skew = change.shared.options.clock_skew;
        let environment = Arc::clone(&change.shared.objects.environment);
        let decision =
            decide(&change.request, change.document.as_ref(), &basis, environment.identity(), skew)?;
        let head = basis.stored.head.clone();
        change.basis = Some(basis);
        match decision {
            Decision::Write(plan) => {
                change.plan = Some(*plan);
                Ok(Action::DEFAULT)
            }
            Decision::Unchanged => {
                let (copy_error, index_error) = (None, None);
                change.written = Some(Written { head, unchanged: true, copy_error, index_error });
                Ok(actions::UNCHANGED)
            }
            Decision::Conflict(conflict) => {
                change.trouble = Some(Trouble::Conflict(conflict));
                Ok(actions::HANDLE_CONFLICT)
            }
        }
    }
}

/// The head, and where people edit copies what stands in the copy.
async fn read(objects: &Objects, id: &WorkflowId) -> Result<(StoredHead, CopyState)> {
    if !objects.backend.capabilities().plain_files {
        return Ok((objects.head(id).await?, CopyState::Absent));
    }
    let copy_key = layout::content(id, MediaType::Json);
    let (mut stored, mut copy) = try_join!(objects.head(id), objects.get(&copy_key))?;
    loop {
        let state = CopyState::of(objects, &stored.head, copy.as_ref()).await?;
        if !matches!(state, CopyState::Edited(..)) {
            return Ok((stored, state));
        }
        // It may belong to a head that is newer than the one we read.
        let again = objects.head(id).await?;
        if again == stored {
            return Ok((stored, state));
        }
        (stored, copy) = (again, objects.get(&copy_key).await?);
    }
}

/// The version that a deletion ended.
async fn last_content(objects: &Objects, stored: &StoredHead) -> Result<Option<StoredVersion>> {
    let deleted = stored.head.current.as_ref().filter(|current| current.record.deleted);
    match deleted.and_then(|current| current.record.parents.first()) {
        Some(parent) => objects.named_version(&stored.head.id, parent).await.map(Some),
        None => Ok(None),
    }
}
