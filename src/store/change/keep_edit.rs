use bytes::Bytes;

use super::{
    Change, Trouble, actions,
    agreed::{Agreed, Instead},
    parse::parse,
};
use crate::{
    Error, Result,
    conflict::{Conflict, How, Obstacle},
    document::{ContentHash, Document, DocumentError, Limits, MediaType, Strictness},
    flow::{Action, Node, Visit},
    format::{Operation, WorkflowId, keys},
    repo::Objects,
};

/// Reads a person's edit of `workflow.json`, so that it becomes a version in the swap that writes over the
/// file, or the next version itself.
///
/// What is no workflow cannot be a version, and nothing is written over it then.
pub(super) struct KeepEdit;

/// Which edit.
pub(super) struct Sought {
    objects: Objects,
    id: WorkflowId,
    hash: ContentHash,
    limits: Limits,
}

pub(super) enum Edit {
    Usable(Document),
    Unusable(DocumentError),
    /// The file is another one by now.
    Gone,
}

impl Sought {
    /// The edit that the conflict is about; none if it is about something else.
    pub(super) fn of(change: &Change) -> Option<Self> {
        let Some(Trouble::Conflict(Conflict::ModifiedOutside { id, found, .. })) = &change.trouble else {
            return None;
        };
        let objects = change.shared.objects.clone();
        // Whatever may be kept may be kept of theirs too, complete or not.
        let limits = Limits { strictness: Strictness::Plain, ..change.shared.options.limits };
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
    type Prep = Sought;
    type Exec = Edit;

    fn name(&self) -> &str {
        "KeepEdit"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::HANDLE_CONFLICT] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Sought> {
        Sought::of(change).ok_or_else(|| Error::Internal("no edit is to be kept".to_owned()))
    }

    async fn exec(&self, sought: &Sought, _: Visit<'_>) -> Result<Edit> {
        sought.read().await
    }

    async fn post(&self, change: &mut Change, sought: Sought, edit: Edit, _: Visit<'_>) -> Result<Action> {
        let generation = change.basis.as_ref().map(|basis| basis.stored.head.generation());
        match edit {
            Edit::Usable(document) if change.takes_edit => {
                let of_edit = Some(document.hash());
                let instead = Instead { document, given: None, operation: Operation::ADOPT, of_edit };
                let lease = change.agreed.lease.take();
                change.agreed = Agreed { on_top_of: generation, instead: Some(instead), edit: None, lease };
                change.resolved.how = Some(How::Theirs);
                Ok(Action::DEFAULT)
            }
            Edit::Usable(document) => {
                change.agreed.edit = Some(document);
                change.resolved.how = Some(How::Ours);
                Ok(Action::DEFAULT)
            }
            Edit::Gone => Ok(Action::DEFAULT),
            Edit::Unusable(source) => {
                change.obstacle = Some(sought.obstacle(source));
                Ok(actions::HANDLE_CONFLICT)
            }
        }
    }
}
