use std::sync::Arc;

use super::{
    Change, actions,
    agreed::{Instead, edited},
    parse::parse,
    state::{ChangePhase, Met},
};
use crate::{
    Error, Result,
    conflict::{Conflict, How, Obstacle, ReadSides},
    document::{ContentHash, Document, DocumentError, DocumentReader},
    flow::{Action, Node, Visit},
    format::Operation,
    repo::Objects,
};

/// Reads a person's edit of a working copy, so that the swap that overwrites the file makes it a version, or
/// so that it becomes the next version itself.
///
/// An edit that is not a workflow cannot become a version, and then the file is not overwritten.
pub(super) struct KeepEdit;

/// The edit to read.
pub(super) struct Sought {
    objects: Objects,
    key: String,
    hash: ContentHash,
    /// How a stored content of the edit's media type is read.
    reader: DocumentReader,
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
        let Conflict::ModifiedOutside { key, found, .. } = &met.conflict else { return None };
        let media_type = edited(&met.basis).filter(|edit| edit.hash == *found)?.media_type?;
        let reader = change.shared.settings.reader.of_stored(media_type);
        Some(Self { objects: change.shared.objects.clone(), key: key.clone(), hash: *found, reader })
    }

    pub(super) async fn read(&self) -> Result<Edit> {
        let found = self.objects.working_copy(&self.key).await?;
        let Some(bytes) = found.filter(|bytes| ContentHash::of(bytes) == self.hash) else {
            return Ok(Edit::Gone);
        };
        Ok(parse(bytes, self.reader.clone()).await?.map_or_else(Edit::Unusable, Edit::Usable))
    }

    pub(super) fn obstacle(&self, source: DocumentError) -> Obstacle {
        Obstacle::UnusableEdit { key: self.key.clone(), source }
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
