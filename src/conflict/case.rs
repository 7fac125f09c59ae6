use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use pflow_backend::Key;

use super::{Conflict, Expect, ExpectedVersion, Obstacle};
use crate::{
    Error, Result, blocking,
    document::{Document, DocumentReader, Limits, MediaType},
    format::{Current, FieldChanges, Head, StoredVersion, VersionRecord, VersionRef, WorkflowId, keys},
    merge::{self, Change},
};

/// A conflict, with everything that a resolver may want to know. The sides are read from the storage only
/// when they are asked for.
#[derive(Debug)]
pub struct Case {
    question: Question,
    sides: Arc<dyn ReadSides>,
}

/// Reads the versions that a case is about.
#[async_trait]
pub(crate) trait ReadSides: Debug + Send + Sync {
    /// Returns the current version of a head.
    async fn current(&self, id: &WorkflowId, current: &Current) -> Result<StoredVersion>;

    /// Returns the version of this generation in the chain of a head; none if it is no longer kept.
    async fn base(&self, head: &Head, version: &ExpectedVersion) -> Result<Option<StoredVersion>>;

    /// Returns the content of a working copy.
    async fn working_copy(&self, key: &str) -> Result<Option<Bytes>>;
}

/// What the flow knows when it calls the resolver.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) conflict: Conflict,
    pub(crate) obstacle: Option<Obstacle>,
    /// The head that was read when the conflict was found.
    pub(crate) head: Head,
    pub(crate) expect: Expect,
    pub(crate) goal: Goal,
    pub(crate) answers: u32,
    pub(crate) waited: Duration,
    pub(crate) lock_timeout: Option<Duration>,
}

/// What a change does to a workflow. `D` is the document that a save writes: its bytes, until they are parsed.
#[derive(Debug, Clone)]
pub(crate) enum Goal<D = Arc<Document>> {
    /// Save the document with these changes of the fields beside it.
    Save {
        document: D,
        fields: FieldChanges,
    },
    Delete,
    Undelete,
    /// Merge another stored version into the current one.
    Merge(VersionRef),
}

/// The kind of change that met the conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// A save.
    Save,
    /// A deletion.
    Delete,
    /// The restoration of a deleted workflow.
    Undelete,
    /// A merge of two stored versions.
    Merge,
}

/// One side of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConflictSide {
    /// The record of the version; none for a person's edit of the working copy, which is not a version yet.
    pub record: Option<VersionRecord>,
    /// The exact bytes; none for a deletion, or if it was pruned.
    pub content: Option<Bytes>,
}

impl<D> Goal<D> {
    pub(crate) fn kind(&self) -> ChangeKind {
        match self {
            Self::Save { .. } => ChangeKind::Save,
            Self::Delete => ChangeKind::Delete,
            Self::Undelete => ChangeKind::Undelete,
            Self::Merge(_) => ChangeKind::Merge,
        }
    }
}

impl Case {
    pub(crate) fn new(sides: Arc<dyn ReadSides>, question: Question) -> Self {
        Self { question, sides }
    }

    /// The conflict; never of the kind [`Conflict::Unresolved`].
    pub fn conflict(&self) -> &Conflict {
        &self.question.conflict
    }

    /// Why the previous answer could not be carried out; none if it was, or if this is the first question
    /// about the present state.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        self.question.obstacle.as_ref()
    }

    /// The workflow. After [`super::Resolution::KeepBoth`] it is the new workflow.
    pub fn id(&self) -> &WorkflowId {
        &self.question.head.id
    }

    /// The number of answers given for this change before. Waits that saw the lock change hands are not
    /// counted.
    pub fn answers(&self) -> u32 {
        self.question.answers
    }

    /// How long this change has waited for locks.
    pub fn waited(&self) -> Duration {
        self.question.waited
    }

    /// How long this change may wait for locks, if the request says so.
    pub fn lock_timeout(&self) -> Option<Duration> {
        self.question.lock_timeout
    }

    /// The kind of the change.
    pub fn kind(&self) -> ChangeKind {
        self.question.goal.kind()
    }

    /// The document to be saved; none for other changes.
    pub fn ours(&self) -> Option<&Document> {
        match &self.question.goal {
            Goal::Save { document, .. } => Some(document),
            Goal::Delete | Goal::Undelete | Goal::Merge(_) => None,
        }
    }

    /// The head when the conflict was found.
    pub fn head(&self) -> &Head {
        &self.question.head
    }

    /// Reads the version that ours was built on; none if the caller named none and none can be derived, or if
    /// it is no longer kept.
    ///
    /// It is the generation that the caller expected. If the caller expected anything and the conflict is
    /// about a person's edit, both the caller and the person built on the current version.
    ///
    /// # Errors
    /// The storage failed, or stored data is damaged.
    pub async fn base(&self) -> Result<Option<ConflictSide>> {
        Ok(self.base_version().await?.map(ConflictSide::of))
    }

    /// Reads the other side: the current version, or the content of the working copy if the conflict is about
    /// a person's edit. None if there is neither.
    ///
    /// # Errors
    /// The storage failed, or stored data is damaged.
    pub async fn theirs(&self) -> Result<Option<ConflictSide>> {
        let head = self.head();
        if let Conflict::ModifiedOutside { key, .. } = self.conflict() {
            let edit = self.sides.working_copy(key).await?;
            return Ok(edit.map(|bytes| ConflictSide { record: None, content: Some(bytes) }));
        }
        match &head.current {
            Some(current) => self.theirs_version(current).await.map(ConflictSide::of).map(Some),
            None => Ok(None),
        }
    }

    /// Lists what they changed since the version that ours was built on; none if one of the two has no
    /// content, so that only `theirs` is available.
    ///
    /// # Errors
    /// As [`base`](Self::base) and [`theirs`](Self::theirs); [`crate::Error::Document`] for an edit that is
    /// not a workflow, [`crate::Error::TooMuch`] for documents that are too large to be compared.
    pub async fn their_changes(&self) -> Result<Option<Vec<Change>>> {
        let theirs = self.theirs().await?;
        self.since_base(theirs.and_then(|side| self.typed(side))).await
    }

    /// Lists what we changed since the version that ours was built on; none if one of the two has no content.
    ///
    /// # Errors
    /// As [`their_changes`](Self::their_changes).
    pub async fn our_changes(&self) -> Result<Option<Vec<Change>>> {
        self.since_base(self.ours().map(TypedContent::of)).await
    }

    async fn since_base(&self, content: Option<TypedContent>) -> Result<Option<Vec<Change>>> {
        let base = self.base().await?.and_then(|side| self.typed(side));
        match (base, content) {
            (Some(base), Some(content)) => differences(self.id(), base, content).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Lists the changes that replacing theirs by ours would make; none if one of them has no content.
    ///
    /// # Errors
    /// As [`theirs`](Self::theirs) and [`their_changes`](Self::their_changes).
    pub async fn difference(&self) -> Result<Option<Vec<Change>>> {
        let theirs = self.theirs().await?.and_then(|side| self.typed(side));
        match (theirs, self.ours().map(TypedContent::of)) {
            (Some(theirs), Some(ours)) => differences(self.id(), theirs, ours).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The content of a side with its media type; none if it has no content.
    fn typed(&self, side: ConflictSide) -> Option<TypedContent> {
        let media_type = match (&side.record, self.conflict()) {
            (Some(record), _) => record.media_type.known().ok()?,
            (None, Conflict::ModifiedOutside { key, .. }) => media_type_of_edit(self.head(), key)?,
            (None, _) => return None,
        };
        Some(TypedContent { media_type, content: side.content? })
    }

    pub(crate) async fn theirs_version(&self, current: &Current) -> Result<StoredVersion> {
        self.sides.current(&self.head().id, current).await
    }

    /// The version that ours was built on; none if it is not known.
    pub(crate) fn base_named(&self) -> Option<ExpectedVersion> {
        match (&self.question.expect, self.conflict()) {
            (Expect::Any, Conflict::ModifiedOutside { .. }) => {
                let current = self.head().live();
                current.map(|current| ExpectedVersion::Id(current.record.version_id))
            }
            (expect, _) => expect.version(),
        }
    }

    pub(crate) async fn base_version(&self) -> Result<Option<StoredVersion>> {
        match self.base_named() {
            Some(version) => self.sides.base(self.head(), &version).await,
            None => Ok(None),
        }
    }
}

impl ConflictSide {
    fn of(version: StoredVersion) -> Self {
        Self { record: Some(version.record), content: version.content }
    }
}

/// A content with its media type.
#[derive(Debug, Clone)]
pub(crate) struct TypedContent {
    pub(crate) media_type: MediaType,
    pub(crate) content: Bytes,
}

impl TypedContent {
    fn of(document: &Document) -> Self {
        Self { media_type: document.media_type(), content: document.bytes().clone() }
    }
}

/// The media type of a person's edit of a working copy.
pub(crate) fn media_type_of_edit(head: &Head, key: &str) -> Option<MediaType> {
    keys::media_type_of_copy(head, &Key::parse(key).ok()?)
}

/// Lists the changes from `before` to `after`, both parsed by [`accepted`]. Large documents are compared off
/// the async threads.
///
/// # Errors
/// [`Error::Document`], [`Error::TooMuch`].
pub(crate) async fn differences(
    id: &WorkflowId,
    before: TypedContent,
    after: TypedContent,
) -> Result<Vec<Change>> {
    let id = id.clone();
    let bytes = before.content.len() + after.content.len();
    let compare = move |before, after| {
        let (before, after) = (accepted(&id, before)?, accepted(&id, after)?);
        merge::changes(&before, &after).map_err(|source| Error::TooMuch { id, source })
    };
    blocking::on_compared(bytes, move || compare(before, after)).await?
}

/// Parses a stored content. It was accepted once, so the present limits for documents do not apply. A
/// person's edit may be anything.
fn accepted(id: &WorkflowId, TypedContent { media_type, content }: TypedContent) -> Result<Document> {
    let reader = DocumentReader::new().limits(Limits::of_stored()).of_stored(media_type);
    reader.read(content).map_err(|source| Error::Document { id: id.clone(), source })
}
