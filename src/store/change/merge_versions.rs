use std::sync::Arc;

use bytes::Bytes;

use super::{
    Change, actions,
    agreed::Instead,
    describe::{Described, describe},
    keep_edit::{Edit, Sought},
    resolve::question,
    state::{ChangePhase, Met},
};
use crate::{
    Error, Result, blocking,
    conflict::{Case, Goal, How, Obstacle},
    document::{Document, DocumentError, Limits, Metadata, Strictness},
    flow::{Action, Node, Visit},
    format::{Given, Operation, StoredVersion, VersionRecord},
    merge::{self, Merge, merge_fields},
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
    given: Given,
    edit: Option<Sought>,
    limits: Limits,
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
    given: Given,
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
        let limits = change.shared.settings.limits;
        change.input(self.name(), |phase| {
            let ChangePhase::Merging(met) = phase else { return None };
            let Goal::Save { document, given } = &met.goal else { return None };
            let case = Case::new(Arc::new(change.shared.objects.clone()), question(change, met));
            let (ours, given, edit) = (Arc::clone(document), given.clone(), Sought::of(change, met));
            Some(Sides { met: Arc::clone(met), case, ours, given, edit, limits })
        })
    }

    async fn exec(&self, sides: &Sides, _: Visit<'_>) -> Result<MergeOutcome> {
        let Sides { case, ours, given, edit, limits, .. } = sides;
        let edit = match edit {
            None => None,
            Some(sought) => match sought.read().await? {
                Edit::Usable(document) => Some(document),
                Edit::Gone => return Ok(MergeOutcome::Moved),
                Edit::Unusable(source) => return Ok(MergeOutcome::Blocked(sought.obstacle(source))),
            },
        };
        let base = case.base_version().await?;
        if let Some(generation) = case.base_generation()
            && base.as_ref().is_none_or(|base| base.content.is_none() && !base.record.deleted)
        {
            return Ok(MergeOutcome::Blocked(Obstacle::BaseMissing { generation }));
        }
        let current = case.head().current.as_ref();
        let theirs = match (&edit, current) {
            (Some(edit), _) => {
                Theirs::Edit { document: edit.clone(), before: current.map(|it| it.record.clone()) }
            }
            (None, Some(current)) => Theirs::Version(case.theirs_version(current).await?),
            (None, None) => return Ok(MergeOutcome::Blocked(Obstacle::Deletion)),
        };
        let work = Work { base, ours: Arc::clone(ours), given: given.clone(), theirs, limits: *limits };
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
                let Merged { document, given, edit } = *merged;
                let of_edit = edit.as_ref().map(Document::hash);
                let instead = Instead { document, given: Some(given), operation: Operation::SAVE, of_edit };
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
    given: Given,
    theirs: Theirs,
    limits: Limits,
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
        let Self { base, ours, given, theirs, limits } = self;
        let read = |content: &Bytes| Document::parse(content.clone(), &limits.strictness(Strictness::Plain));
        let base_record = base.as_ref().map(|base| &base.record).filter(|record| !record.deleted);
        let base_document = base.as_ref().and_then(|base| base.content.as_ref()).map(read).transpose()?;
        let (theirs, their, edit) = match theirs {
            Theirs::Version(StoredVersion { record, content: Some(content), .. }) => {
                (read(&content)?, Described::of(&record), None)
            }
            Theirs::Version(_) => {
                // They deleted the workflow. If ours equals what they deleted, the result is the deletion.
                let same = base_record
                    .is_some_and(|base| describe(&ours, &given, Some(&base.given)).says_the_same_as(base));
                return Ok(if same {
                    MergeOutcome::Theirs
                } else {
                    MergeOutcome::Blocked(Obstacle::Deletion)
                });
            }
            Theirs::Edit { document, before } => {
                let before = before.filter(|before| !before.deleted);
                let before = before.as_ref().map(|before| &before.given);
                let described = describe(&document, &Given::default(), before);
                (document.clone(), described, Some(document))
            }
        };
        let our = describe(&ours, &given, Some(base_record.map_or(&their.given, |base| &base.given)));
        let base_said = base_record.map(|base| said(&Described::of(base)));
        let fields = merge_fields(base_said.as_ref(), &said(&our), &said(&their));
        let document = merge::merge(base_document.as_ref(), &ours, &theirs, &limits);
        let (document, fields) = match (document, fields) {
            (Merge::Clean(document), Ok(fields)) => (document, fields),
            (Merge::TooMuch(source), _) => return Ok(MergeOutcome::Blocked(Obstacle::TooMuch { source })),
            (Merge::Refused(source), Ok(_)) => return Err(source),
            (Merge::Overlapping(overlaps), Ok(_)) => {
                return Ok(MergeOutcome::Blocked(Obstacle::Overlaps(overlaps)));
            }
            (document, Err(more)) => {
                let mut overlaps = match document {
                    Merge::Overlapping(overlaps) => overlaps,
                    _ => Vec::new(),
                };
                // An overlap in a title inside the document is already reported by the document merge.
                let known: Vec<_> = overlaps.iter().map(|overlap| overlap.path.clone()).collect();
                overlaps.extend(more.into_iter().filter(|overlap| !known.contains(&overlap.path)));
                return Ok(MergeOutcome::Blocked(Obstacle::Overlaps(overlaps)));
            }
        };
        let before = base_record.map(|base| base.given.clone()).unwrap_or_default();
        let given = given_after(&before, &our.given, &their.given, fields, document.metadata());
        Ok(MergeOutcome::Merged(Box::new(Merged { document, given, edit })))
    }
}

/// Returns the metadata fields of a version.
fn said(record: &Described) -> merge::Fields {
    merge::Fields {
        name: record.name.clone(),
        description: record.description.clone(),
        tags: record.tags.clone(),
    }
}

/// Returns the metadata to give beside a merged document, so that its description has the merged `fields`.
/// For each field this is the merge of what was given, if that results in the merged field, and else the
/// merged field itself. So a field that both sides take from the document still comes from the document.
fn given_after(base: &Given, ours: &Given, theirs: &Given, fields: merge::Fields, own: &Metadata) -> Given {
    let name = field(
        [&base.name, &ours.name, &theirs.name],
        fields.name.unwrap_or_default(),
        own.name.clone().unwrap_or_default(),
    );
    let description = field(
        [&base.description, &ours.description, &theirs.description],
        fields.description.unwrap_or_default(),
        own.description.clone().unwrap_or_default(),
    );
    let tags = field([&base.tags, &ours.tags, &theirs.tags], fields.tags, own.tags.clone());
    Given { name, description, tags }
}

/// Returns one field of it, from what the base, ours and theirs give, the merged field, and the value in the
/// merged document. Empty means not set.
fn field<T: Clone + PartialEq>([base, ours, theirs]: [&Option<T>; 3], merged: T, own: T) -> Option<T> {
    let given = if ours == theirs || theirs == base {
        ours.clone()
    } else if ours == base {
        theirs.clone()
    } else {
        Some(merged.clone())
    };
    if *given.as_ref().unwrap_or(&own) == merged { given } else { Some(merged) }
}
