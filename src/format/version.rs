use std::{borrow::Cow, fmt};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ChainPlace, FormatError, Given, Jump, Kind, StoredMediaType, VersionId, WorkflowId, decode_sealed,
    encode_sealed_line, generation,
};
use crate::document::ContentHash;

/// The description of a version. It is stored in the version's object and, while the version is current, in
/// the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VersionRecord {
    /// 1 for the first version, one more for each that follows.
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// The id of the attempt that made this generation.
    pub version_id: VersionId,
    /// The operation that made it.
    pub operation: Operation,
    /// The versions that this one was made from, first the one that it replaced. Empty for the first version.
    pub parents: Vec<VersionRef>,
    /// The number of versions along the first parents, this one included.
    pub depth: u64,
    /// An ancestor along the first parents, further back than the parent; see [`Jump`]. None for the first
    /// version.
    pub jump: Option<Jump>,
    /// The hash of the exact bytes of the content; none for a deletion, which has no content.
    pub hash: Option<ContentHash>,
    /// The size of the content in bytes.
    pub size: u64,
    /// The media type of the content.
    pub media_type: StoredMediaType,
    /// The title: the [`given`](Self::given) one, else the document's.
    pub name: Option<String>,
    /// The description, from the same sources.
    pub description: Option<String>,
    /// The tags, from the same sources.
    pub tags: Vec<String>,
    /// The metadata that a person gave beside the document, with this version or an earlier one.
    #[serde(default, skip_serializing_if = "Given::is_nothing")]
    pub given: Given,
    /// The types of its nodes, each once, in document order.
    pub nodes: Vec<String>,
    /// The version that the document itself states.
    pub version: Option<String>,
    /// When the workflow's first generation was made.
    pub created: DateTime<Utc>,
    /// When this generation was made.
    pub modified: DateTime<Utc>,
    /// `user@host` of the author.
    pub author: String,
    /// The author's message.
    pub message: Option<String>,
    /// Whether this generation is a deletion of the workflow.
    pub deleted: bool,
    /// Fields that a later program wrote. They belong to this version and are not copied to the next one.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

/// The operation that made a version, as a word of the operation history. Later programs add words; unknown
/// words are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operation(Cow<'static, str>);

impl Operation {
    /// The content or its metadata was saved.
    pub const SAVE: Self = Self(Cow::Borrowed("save"));
    /// The workflow was deleted.
    pub const DELETE: Self = Self(Cow::Borrowed("delete"));
    /// A person's edit of `workflow.json` was kept.
    pub const ADOPT: Self = Self(Cow::Borrowed("adopt"));
    /// The deleted workflow was restored.
    pub const UNDELETE: Self = Self(Cow::Borrowed("undelete"));

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An unambiguous reference to a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VersionRef {
    /// [`VersionRecord::generation`].
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// [`VersionRecord::version_id`].
    pub version_id: VersionId,
    /// The hash of the version's line, without its line feed.
    pub record_hash: ContentHash,
}

/// A version object as it is read: its record, the hash of the record's line, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredVersion {
    /// The record in its line.
    pub record: VersionRecord,
    /// The hash of the line, without its line feed.
    pub record_hash: ContentHash,
    /// The content; none if it was pruned, and for a deletion.
    pub content: Option<Bytes>,
}

#[derive(Serialize)]
struct Line<'a> {
    format: String,
    id: &'a WorkflowId,
    record: &'a VersionRecord,
}

#[derive(Deserialize)]
struct OwnedLine {
    id: WorkflowId,
    record: VersionRecord,
}

impl VersionRecord {
    /// The message of a person's edit that was kept by the commit that saved over it.
    pub(crate) const KEPT: &str = "edited in place, outside of the store";

    /// Whether this is a person's edit that was kept by the same commit that wrote `above`. One commit has
    /// one author and one time. They are only compared for equality, so no clock decides anything.
    pub(crate) fn is_kept_below(&self, above: &Self) -> bool {
        self.operation == Operation::ADOPT
            && self.message.as_deref() == Some(Self::KEPT)
            && (self.modified, &self.author) == (above.modified, &above.author)
    }

    /// The same version at this place of its chain.
    pub(crate) fn placed(self, place: &ChainPlace) -> Self {
        Self { depth: place.depth, jump: place.jumps.first().cloned(), ..self }
    }

    /// The parents that can be ancestors. A parent of the same or a higher generation is damage, and
    /// following it could lead into a cycle.
    pub(crate) fn older_parents(&self) -> impl DoubleEndedIterator<Item = &VersionRef> {
        self.parents.iter().filter(|parent| parent.generation < self.generation)
    }

    /// The version that this one replaced; none for the first one, and if it cannot be an ancestor.
    pub(crate) fn replaced(&self) -> Option<&VersionRef> {
        self.parents.first().filter(|parent| parent.generation < self.generation)
    }

    /// The ancestor to read next on the way along the first parents to the one of this generation: the
    /// furthest that is not behind it. None if there is no way to it, and if this is it.
    pub(crate) fn towards(&self, generation: u64) -> Option<VersionRef> {
        let is_on_the_way = |it: &VersionRef| (generation..self.generation).contains(&it.generation);
        let jump = self.jump.as_ref().map(Jump::reference);
        jump.filter(is_on_the_way).or_else(|| self.parents.first().cloned().filter(is_on_the_way))
    }

    /// Encodes the version object, and returns it with the hash of its line. The object is the record in one
    /// line of JSON with a checksum, then the content.
    pub(crate) fn encode(
        &self,
        id: &WorkflowId,
        content: &[u8],
    ) -> Result<(Bytes, ContentHash), FormatError> {
        let line = Line { format: Kind::VERSION.tag(), id, record: self };
        let mut bytes = encode_sealed_line(&line)?;
        let hash = ContentHash::of(line_of(&bytes));
        bytes.extend_from_slice(content);
        Ok((bytes.into(), hash))
    }
}

impl StoredVersion {
    /// Decodes a version object, and checks its content against the record.
    pub(crate) fn decode(id: &WorkflowId, bytes: &Bytes) -> Result<Self, FormatError> {
        let line = line_of(bytes);
        let OwnedLine { id: named, record } = decode_sealed(Kind::VERSION, line)?;
        if named != *id {
            return Err(FormatError::Contradiction(format!("it is a version of {named}")));
        }
        let content = bytes.slice((line.len() + 1).min(bytes.len())..);
        // A pruned version and a deletion have only the line.
        let content = if content.is_empty() { None } else { Some(content) };
        if let Some(content) = &content
            && record.hash != Some(ContentHash::of(content))
        {
            return Err(FormatError::Contradiction(
                "its content does not have the hash that its record says".to_owned(),
            ));
        }
        Ok(Self { record, record_hash: ContentHash::of(line), content })
    }

    /// The hash of the line of a version object. The line is not parsed.
    pub(crate) fn hash_of(bytes: &[u8]) -> ContentHash {
        ContentHash::of(line_of(bytes))
    }

    /// The reference by which other records name this version.
    pub fn reference(&self) -> VersionRef {
        let record = &self.record;
        let (generation, version_id) = (record.generation, record.version_id.clone());
        VersionRef { generation, version_id, record_hash: self.record_hash }
    }
}

/// The bytes before the first line feed.
fn line_of(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{document::MediaType, format::Current};

    pub(crate) fn record(generation: u64, content: &[u8]) -> VersionRecord {
        VersionRecord {
            generation,
            version_id: VersionId::parse(format!("{generation:026}")).unwrap(),
            operation: Operation::SAVE,
            parents: Vec::new(),
            depth: generation,
            jump: None,
            hash: Some(ContentHash::of(content)),
            size: content.len() as u64,
            media_type: MediaType::Json.into(),
            name: Some("Naïve \n name".to_owned()),
            description: None,
            tags: vec!["etl".to_owned()],
            given: Given::default(),
            nodes: vec!["llm".to_owned()],
            version: None,
            created: DateTime::from_timestamp(0, 0).unwrap(),
            modified: DateTime::from_timestamp(1, 0).unwrap(),
            author: "a@b".to_owned(),
            message: None,
            deleted: false,
            extra: Map::new(),
        }
    }

    /// The version of `record` above the one that was current `before`.
    pub(crate) fn next(before: Option<&Current>, record: VersionRecord) -> Current {
        let place = ChainPlace::above(before);
        let parents = before.map(Current::reference).into_iter().collect();
        let record = VersionRecord { parents, ..record }.placed(&place);
        Current::placed(record, ContentHash::of(b"line"), place)
    }

    fn id() -> WorkflowId {
        WorkflowId::parse("a").unwrap()
    }

    #[test]
    fn version_round_trips_with_multiline_content() {
        let content = b"{\n}\n";
        let (bytes, hash) = record(3, content).encode(&id(), content).unwrap();
        let read = StoredVersion::decode(&id(), &bytes).unwrap();
        assert_eq!(read.record, record(3, content));
        assert_eq!((read.record_hash, read.content.as_deref()), (hash, Some(&content[..])));
    }

    #[test]
    fn pruned_version_keeps_its_line_and_its_hash() {
        let (bytes, hash) = record(3, b"{}").encode(&id(), b"{}").unwrap();
        for pruned in [bytes.slice(..bytes.len() - 2), bytes.slice(..bytes.len() - 3)] {
            let read = StoredVersion::decode(&id(), &pruned).unwrap();
            assert_eq!((read.record_hash, read.content), (hash, None));
        }
    }

    #[test]
    fn a_version_that_contradicts_itself_is_refused() {
        let (bytes, _) = record(3, b"{}").encode(&id(), b"{]").unwrap();
        assert!(StoredVersion::decode(&id(), &bytes).unwrap_err().to_string().contains("hash"));
        let (bytes, _) = record(3, b"{}").encode(&WorkflowId::parse("b").unwrap(), b"{}").unwrap();
        assert!(StoredVersion::decode(&id(), &bytes).unwrap_err().to_string().contains("version of b"));
        assert!(StoredVersion::decode(&id(), &Bytes::new()).is_err());
    }
}
