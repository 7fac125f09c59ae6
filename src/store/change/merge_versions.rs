use std::sync::Arc;

use bytes::Bytes;

use super::{
    Change, actions,
    agreed::Instead,
    describe::{Described, describe},
    keep_edit::{Edit, Sought},
    merge_sides::{Side, merge_sides},
    resolve::question,
    state::{ChangePhase, Met},
};
use crate::{
    Error, Result, blocking,
    conflict::{Case, Goal, How, Obstacle},
    document::{Document, DocumentError, DocumentReader, MediaType},
    flow::{Action, Node, Visit},
    format::{FieldChanges, Operation, SourcedFields, StoredVersion, VersionRecord},
};

/// Merges our document with the stored one, with the version that ours was built on as the base.
///
/// The result is saved like any other version, with theirs as its only parent: the common ancestor is an
/// ancestor of theirs anyway, and each version in a chain has one parent. If theirs is a person's edit, it
/// becomes a version of its own between the two.
pub(super) struct MergeVersions;

pub(super) struct Sides {
    met: Arc<Met>,
    case: Case,
    ours: Arc<Document>,
    fields: FieldChanges,
    edit: Option<Sought>,
    reader: DocumentReader,
}

pub(super) enum MergeOutcome {
    Merged(Box<Merged>),
    /// We changed nothing, so the result equals theirs, which may be a deletion.
    Theirs,
    /// The version or edit to merge has changed since.
    Moved,
    Blocked(Obstacle),
}

/// The merge result, and the edit that it contains.
pub(super) struct Merged {
    document: Document,
    fields: SourcedFields,
    edit: Option<Document>,
}

impl Node<Change, Error> for MergeVersions {
    type Prep = Sides;
    type Exec = MergeOutcome;

    fn name(&self) -> &str {
        "MergeVersions"
    }

    fn actions(&self) -> &[Action] {
        const { &[Action::DEFAULT, actions::HANDLE_CONFLICT, actions::TAKE_THEIRS] }
    }

    async fn prep(&self, change: &Change, _: Visit<'_>) -> Result<Sides> {
        let reader = &change.shared.settings.reader;
        change.input(self.name(), |phase| {
            let ChangePhase::Merging(met) = phase else { return None };
            let Goal::Save { document, fields } = &met.goal else { return None };
            let case = Case::new(Arc::new(change.shared.objects.clone()), question(change, met));
            let (ours, fields, edit) = (Arc::clone(document), fields.clone(), Sought::of(change, met));
            Some(Sides { met: Arc::clone(met), case, ours, fields, edit, reader: reader.clone() })
        })
    }

    async fn exec(&self, sides: &Sides, _: Visit<'_>) -> Result<MergeOutcome> {
        let Sides { case, ours, fields, edit, reader, .. } = sides;
        let edit = match edit {
            None => None,
            Some(sought) => match sought.read().await? {
                Edit::Usable(document) => Some(document),
                Edit::Gone => return Ok(MergeOutcome::Moved),
                Edit::Unusable(source) => return Ok(MergeOutcome::Blocked(sought.obstacle(source))),
            },
        };
        let base = case.base_version().await?;
        if let Some(version) = case.base_named()
            && base.as_ref().is_none_or(|base| base.content.is_none() && !base.record.deleted)
        {
            return Ok(MergeOutcome::Blocked(Obstacle::BaseMissing { version }));
        }
        let current = case.head().current.as_ref();
        let theirs = match (&edit, current) {
            (Some(edit), _) => {
                Theirs::Edit { document: edit.clone(), before: current.map(|it| it.record.clone()) }
            }
            (None, Some(current)) => Theirs::Version(case.theirs_version(current).await?),
            (None, None) => return Ok(MergeOutcome::Blocked(Obstacle::Deletion)),
        };
        let (ours, changes, reader) = (Arc::clone(ours), fields.clone(), reader.clone());
        let work = Work { base, ours, changes, theirs, reader };
        blocking::on_compared(work.size(), move || work.done()).await
    }

    async fn post(
        &self,
        change: &mut Change,
        sides: Sides,
        outcome: MergeOutcome,
        _: Visit<'_>,
    ) -> Result<Action> {
        let met = sides.met;
        match outcome {
            MergeOutcome::Moved => {}
            MergeOutcome::Blocked(obstacle) => {
                change.phase = met.blocked(obstacle);
                return Ok(actions::HANDLE_CONFLICT);
            }
            MergeOutcome::Theirs => {
                change.phase = ChangePhase::unchanged(&met.basis);
                change.resolved.how = Some(How::Merged);
                return Ok(actions::TAKE_THEIRS);
            }
            MergeOutcome::Merged(merged) => {
                let Merged { document, fields, edit } = *merged;
                let of_edit = edit.as_ref().map(Document::hash);
                let instead = Instead { document, fields: Some(fields), operation: Operation::SAVE, of_edit };
                change.consent.agree_to(&met.basis, Some(instead), edit);
                change.resolved.how = Some(How::Merged);
            }
        }
        change.phase = ChangePhase::Open(met.goal.clone());
        Ok(Action::DEFAULT)
    }
}

enum Theirs {
    Version(StoredVersion),
    Edit { document: Document, before: Option<VersionRecord> },
}

/// The inputs of a merge.
struct Work {
    base: Option<StoredVersion>,
    ours: Arc<Document>,
    changes: FieldChanges,
    theirs: Theirs,
    reader: DocumentReader,
}

impl Theirs {
    fn size(&self) -> usize {
        match self {
            Self::Version(version) => version.content.as_ref().map_or(0, Bytes::len),
            Self::Edit { document, .. } => document.bytes().len(),
        }
    }
}

impl Work {
    /// The bytes of all three documents.
    fn size(&self) -> usize {
        let base = self.base.as_ref().and_then(|base| base.content.as_ref()).map_or(0, Bytes::len);
        base + self.ours.bytes().len() + self.theirs.size()
    }

    fn done(self) -> MergeOutcome {
        self.merged().unwrap_or_else(|source| MergeOutcome::Blocked(Obstacle::Unmergeable { source }))
    }

    fn merged(self) -> std::result::Result<MergeOutcome, DocumentError> {
        let Self { base, ours, changes, theirs, reader } = self;
        let read = |record: &VersionRecord, content: &Bytes| {
            // The flow has refused an unknown one.
            let media_type = record.media_type.known().unwrap_or(MediaType::Opaque);
            reader.of_stored(media_type).read(content.clone())
        };
        let base_record = base.as_ref().map(|base| &base.record).filter(|record| !record.deleted);
        let base_fields = base_record.map(VersionRecord::sourced_fields);
        let base_content = base.as_ref().and_then(|base| Some((&base.record, base.content.as_ref()?)));
        let base_document = base_content.map(|(record, content)| read(record, content)).transpose()?;
        let (theirs, their, edit) = match theirs {
            Theirs::Version(StoredVersion { record, content: Some(content), .. }) => {
                (read(&record, &content)?, Described::of(&record), None)
            }
            Theirs::Version(_) => {
                // They deleted the workflow. If ours equals what they deleted, the result is the deletion.
                let same = base_record.is_some_and(|base| {
                    describe(&ours, &changes, base_fields.as_ref()).says_the_same_as(base)
                });
                return Ok(if same {
                    MergeOutcome::Theirs
                } else {
                    MergeOutcome::Blocked(Obstacle::Deletion)
                });
            }
            Theirs::Edit { document, before } => {
                let before = before.filter(|before| !before.deleted);
                let before = before.as_ref().map(VersionRecord::sourced_fields);
                let described = describe(&document, &FieldChanges::default(), before.as_ref());
                (document.clone(), described, Some(document))
            }
        };
        let our = describe(&ours, &changes, Some(base_fields.as_ref().unwrap_or(&their.fields)));
        let base = base_document.as_ref().zip(base_fields.as_ref());
        let base = base.map(|(document, fields)| Side { document, fields });
        let ours = Side { document: &ours, fields: &our.fields };
        let theirs = Side { document: &theirs, fields: &their.fields };
        Ok(match merge_sides(base, ours, theirs, &reader.limits) {
            Ok((document, fields)) => MergeOutcome::Merged(Box::new(Merged { document, fields, edit })),
            Err(obstacle) => MergeOutcome::Blocked(obstacle),
        })
    }
}
