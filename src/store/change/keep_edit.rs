use std::sync::Arc;

use bytes::Bytes;

use super::{
    Change, actions,
    agreed::Instead,
    parse::parse,
    state::{ChangePhase, Met},
};
use crate::{
    Error, Result,
    conflict::{Conflict, How, Obstacle},
    document::{ContentHash, Document, DocumentError, Limits, MediaType, Strictness},
    flow::{Action, Node, Visit},
    format::{Operation, WorkflowId, keys},
    repo::Objects,
};

/// Reads a person's edit of `workflow.json`, so that the swap that overwrites the file makes it a version, or
/// so that it becomes the next version itself.
///
/// An edit that is not a workflow cannot become a version, and then the file is not overwritten.
pub(super) struct KeepEdit;

/// The edit to read.
pub(super) struct Sought {
    objects: Objects,
    id: WorkflowId,
    hash: ContentHash,
    limits: Limits,
}

pub(super) enum Edit {
    Usable(Document),
    Unusable(DocumentError),
    /// The file has changed since.
    Gone,
}

impl Sought {
    /// Returns the edit that the conflict is about; none if the conflict is about something else.
    pub(super) fn of(change: &Change, met: &Met) -> Option<Self> {
        let Conflict::ModifiedOutside { id, found, .. } = &met.conflict else { return None };
        let objects = change.shared.objects.clone();
        // An edit is kept even if it is not complete IR, whatever strictness the store demands of a save.
        let limits = change.shared.settings.limits.strictness(Strictness::Plain);
        Some(Self { objects, id: id.clone(), hash: *found, limits })
    }

    pub(super) async fn read(&self) -> Result<Edit> {
        let object = self.objects.get(&keys::content(&self.id, MediaType::Json)).await?;
        let Some(bytes) =
            object.map(|object| object.bytes).filter(|bytes: &Bytes| ContentHash::of(bytes) == self.hash)
        else {
            return Ok(Edit::Gone);
        };
        Ok(parse(bytes, self.limits).await?.map_or_else(Edit::Unusable, Edit::Usable))
    }

    pub(super) fn obstacle(&self, source: DocumentError) -> Obstacle {
        Obstacle::UnusableEdit { key: keys::content(&self.id, MediaType::Json).to_string(), source }
    }
}

impl Node<Change, Error> for KeepEdit {
    type Prep = (Sought, Arc<Met>, bool);
    type Exec = Edit;

    fn name(&self) -> &str {
        "KeepEdit"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::HANDLE_CONFLICT] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Self::Prep> {
        change.input(self.name(), |phase| match phase {
            ChangePhase::Keeping { met, takes } => Some((Sought::of(change, met)?, Arc::clone(met), *takes)),
            _ => None,
        })
    }

    async fn exec(&self, (sought, ..): &Self::Prep, _: Visit<'_>) -> Result<Edit> {
        sought.read().await
    }

    async fn post(
        &self,
        change: &mut Change,
        (sought, met, takes): Self::Prep,
        edit: Edit,
        _: Visit<'_>,
    ) -> Result<Action> {
        match edit {
            Edit::Usable(document) if takes => {
                let of_edit = Some(document.hash());
                let instead = Instead { document, fields: None, operation: Operation::ADOPT, of_edit };
                change.consent.agree_to(&met.basis, Some(instead), None);
                change.resolved.how = Some(How::Theirs);
            }
            Edit::Usable(document) => {
                change.consent.agreed.edit = Some(document);
                change.resolved.how = Some(How::Ours);
            }
            Edit::Gone => {}
            Edit::Unusable(source) => {
                change.phase = met.blocked(sought.obstacle(source));
                return Ok(actions::HANDLE_CONFLICT);
            }
        }
        change.phase = ChangePhase::Open(met.goal.clone());
        Ok(Action::DEFAULT)
    }
}
