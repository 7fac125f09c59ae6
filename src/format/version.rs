use std::{borrow::Cow, fmt};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ChainPlace, ContentPlace, Envelope, FormatError, Jump, Kind, Sourced, SourcedFields, StoredMediaType,
    VersionId, WorkflowId, encode_line, generation, parse,
};
use crate::document::ContentHash;

/// The description of a version. It is stored in the version's object and, while the version is current, in
/// the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VersionRecord {
    /// The workflow that this is a version of.
    pub id: WorkflowId,
    /// One more than the highest generation among the parents of the same workflow; 1 without such a parent.
    /// No two versions of one chain have the same generation, but versions of different branches may.
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// The name of this version. A saved version has the id of the attempt that made it, which is random; a
    /// derived one has an id that follows from its record.
    pub version_id: VersionId,
    /// The operation that made it.
    pub operation: Operation,
    /// The versions that this one was made from, first the one that it replaced. Empty for the first version.
    pub parents: Vec<VersionRef>,
    /// The number of versions along the first parents of the same workflow, this one included.
    pub depth: u64,
    /// The number of versions with two parents of the same workflow among them. If a version and an ancestor
    /// along the first parents have the same number, no other branch came in between.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub merges: u64,
    /// An ancestor along the first parents, further back than the parent; see [`Jump`]. None for the first
    /// version.
    pub jump: Option<Jump>,
    /// The hash of the exact bytes of the content; none for a deletion, which has no content.
    pub hash: Option<ContentHash>,
    /// The size of the content in bytes.
    pub size: u64,
    /// The media type of the content.
    pub media_type: StoredMediaType,
    /// The hash of the content without its volatile parts; none if a document of this type has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyHash>,
    /// The last values that programs had noted about the workflow when this version was made, such as the
    /// count of its runs; at most 512 bytes as JSON. Statements of those programs, which nothing depends on.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub statistics: Map<String, Value>,
    /// The title.
    pub name: Sourced<Option<String>>,
    /// The description.
    pub description: Sourced<Option<String>>,
    /// The tags.
    pub tags: Sourced<Vec<String>>,
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
    /// A person's edit of the working copy was kept.
    pub const ADOPT: Self = Self(Cow::Borrowed("adopt"));
    /// Two stored versions were merged without a person's choice.
    pub const MERGE: Self = Self(Cow::Borrowed("merge"));
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

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The hash of the part of a content that people wrote, without the parts that programs change by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BodyHash {
    /// The rule by which the body is found: 1. Hashes by different rules cannot be compared.
    pub rule: u32,
    /// The hash of the body.
    pub hash: ContentHash,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl BodyHash {
    /// The rule by which this program finds the body of a document; `docs/format.md` has it.
    pub(crate) const RULE: u32 = 1;

    pub(crate) fn new(hash: ContentHash) -> Self {
        Self { rule: Self::RULE, hash, extra: Map::new() }
    }
}

/// An unambiguous reference to a version.
///
/// Two references are equal if they name the same version. The fields that a later program added to one of
/// them are kept, and do not count.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VersionRef {
    /// The workflow of the version; none if it is the workflow of the record that has this reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowId>,
    /// [`VersionRecord::generation`].
    #[serde(deserialize_with = "generation")]
    pub generation: u64,
    /// [`VersionRecord::version_id`].
    pub version_id: VersionId,
    /// The hash of the version's record.
    pub record_hash: ContentHash,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(crate) extra: Map<String, Value>,
}

impl PartialEq for VersionRef {
    fn eq(&self, other: &Self) -> bool {
        let Self { workflow, generation, version_id, record_hash, extra: _ } = self;
        (workflow, generation, version_id, record_hash)
            == (&other.workflow, &other.generation, &other.version_id, &other.record_hash)
    }
}

impl Eq for VersionRef {}

impl VersionRef {
    /// Returns the reference by which the records of the same workflow name this version.
    pub(crate) fn to(record: &VersionRecord, record_hash: ContentHash) -> Self {
        let (generation, version_id) = (record.generation, record.version_id);
        Self { workflow: None, generation, version_id, record_hash, extra: Map::new() }
    }

    /// Whether it names a version of the same workflow with a lower generation than `generation`. No other
    /// one can be an ancestor of that generation: following it could lead into a cycle.
    pub(crate) fn is_below(&self, generation: u64) -> bool {
        self.workflow.is_none() && self.generation < generation
    }
}

/// A version object as it is read: its record, the hash of the record, and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredVersion {
    /// The record.
    pub record: VersionRecord,
    /// The hash of the record as it is stored.
    pub record_hash: ContentHash,
    /// The content; none if it is not in this object, see [`place`](Self::place).
    pub content: Option<Bytes>,
    /// Where the content is.
    pub place: ContentPlace,
}

/// A version object as far as its record.
#[derive(Debug)]
pub(crate) struct StoredRecord {
    pub(crate) record: VersionRecord,
    pub(crate) record_hash: ContentHash,
    place: ContentPlace,
    /// The length of envelope and record.
    end: usize,
}

impl StoredRecord {
    /// Decodes envelope and record from the first bytes of an object that has `size` bytes, and checks that the
    /// object is as long as they say; none if these bytes end within the record.
    pub(crate) fn decode(id: &WorkflowId, bytes: &[u8], size: u64) -> Result<Option<Self>, FormatError> {
        let (envelope, rest) = Envelope::decode(bytes)?;
        let length = usize::try_from(envelope.record_bytes).unwrap_or(usize::MAX);
        if length > MAX_RECORD_BYTES {
            return Err(Self::cut());
        }
        if rest.len() <= length && (bytes.len() as u64) < size {
            return Ok(None);
        }
        let line = rest.get(..length).filter(|_| rest.get(length) == Some(&b'\n')).ok_or_else(Self::cut)?;
        let record_hash = ContentHash::of(line);
        if record_hash != envelope.record_hash {
            return Err(FormatError::Checksum);
        }
        let record: VersionRecord = parse(Kind::VERSION, line)?;
        if record.id != *id {
            return Err(FormatError::Contradiction(format!("it is a version of {}", record.id)));
        }
        envelope.check(&record)?;
        record.check_id(line)?;
        let end = bytes.len() - rest.len() + length + 1;
        let inline = if envelope.place == ContentPlace::Inline { record.size } else { 0 };
        if (end as u64).checked_add(inline) != Some(size) {
            return Err(Self::cut());
        }
        Ok(Some(Self { record, record_hash, place: envelope.place, end }))
    }

    fn cut() -> FormatError {
        FormatError::Contradiction("it is not as long as it was written".to_owned())
    }
}

/// The maximum length of a record, in bytes.
pub(crate) const MAX_RECORD_BYTES: usize = 16 * 1024;

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
        Self { depth: place.depth, merges: place.merges, jump: place.jumps.first().cloned(), ..self }
    }

    /// The same version with the id that follows from everything else in it; its present id does not count.
    pub(crate) fn derived(self) -> Result<Self, FormatError> {
        let zero = Self { version_id: VersionId::ZERO, ..self };
        let version_id = VersionId::derived(zero.modified, ContentHash::of(&zero.line()?));
        Ok(Self { version_id, ..zero })
    }

    /// Checks that the id of a derived version follows from its record as it is stored. A later program may
    /// have put fields into it, so the record is not encoded again.
    fn check_id(&self, line: &[u8]) -> Result<(), FormatError> {
        let field = |id: VersionId| format!("\"version_id\":\"{id}\"").into_bytes();
        let (own, zero) = (field(self.version_id), field(VersionId::ZERO));
        let at = line.windows(own.len()).position(|bytes| bytes == own);
        let zeroed = at.and_then(|at| Some([line.get(..at)?, &zero, line.get(at + own.len()..)?].concat()));
        let follows =
            |line: &Vec<u8>| VersionId::derived(self.modified, ContentHash::of(line)) == self.version_id;
        if !self.is_derived() || zeroed.as_ref().is_some_and(follows) {
            return Ok(());
        }
        Err(FormatError::Contradiction("its id does not follow from its record".to_owned()))
    }

    /// Whether it has two parents of the same workflow.
    pub(crate) fn is_merge(&self) -> bool {
        self.parents.iter().filter(|parent| parent.workflow.is_none()).count() > 1
    }

    /// Whether other writers may write this very version as well, so that no failed attempt may delete it.
    pub(crate) fn is_derived(&self) -> bool {
        self.operation == Operation::MERGE
    }

    /// The metadata fields that a person may give beside a document.
    pub(crate) fn sourced_fields(&self) -> SourcedFields {
        let (name, description, tags) = (self.name.clone(), self.description.clone(), self.tags.clone());
        SourcedFields { name, description, tags }
    }

    /// The parents in the same workflow that can be ancestors. A parent of the same or a higher generation is
    /// damage.
    pub(crate) fn older_parents(&self) -> impl DoubleEndedIterator<Item = &VersionRef> {
        self.parents.iter().filter(|parent| parent.is_below(self.generation))
    }

    /// The version that this one replaced; none for the first one, and if it cannot be an ancestor.
    pub(crate) fn replaced(&self) -> Option<&VersionRef> {
        self.parents.first().filter(|parent| parent.is_below(self.generation))
    }

    /// The ancestor to read next on the way along the first parents to the one of this generation: the
    /// furthest that is not behind it. None if there is no way to it, and if this is it.
    pub(crate) fn towards(&self, generation: u64) -> Option<VersionRef> {
        let is_on_the_way = |it: &VersionRef| it.is_below(self.generation) && it.generation >= generation;
        let jump = self.jump.as_ref().map(Jump::reference);
        jump.filter(is_on_the_way).or_else(|| self.parents.first().cloned().filter(is_on_the_way))
    }

    /// Encodes the version object with its content inline, and returns it with the hash of its record. The
    /// object is the envelope in one line of JSON, then the record in one line of JSON, then the content.
    pub(crate) fn encode(&self, content: &[u8]) -> Result<(Bytes, ContentHash), FormatError> {
        let line = self.line()?;
        let hash = ContentHash::of(&line);
        let place = if self.hash.is_some() { ContentPlace::Inline } else { ContentPlace::None };
        let envelope = Envelope::new(line.len() as u64, hash, place, content.len() as u64);
        let bytes = [&envelope.encode()?, &line, b"\n".as_slice(), content].concat();
        Ok((bytes.into(), hash))
    }

    /// The record as it is stored and hashed: one line of JSON, without its line feed.
    ///
    /// # Errors
    /// It is longer than any program reads. The bounds of the fields prevent that.
    pub(crate) fn line(&self) -> Result<Vec<u8>, FormatError> {
        let mut line = encode_line(self)?;
        line.pop();
        if line.len() <= MAX_RECORD_BYTES {
            return Ok(line);
        }
        let (has, most) = (line.len(), MAX_RECORD_BYTES);
        Err(FormatError::Contradiction(format!("its record has {has} bytes, at most {most} are allowed")))
    }
}

impl StoredVersion {
    /// Decodes a version object, and checks its record and its content against their hashes.
    pub(crate) fn decode(id: &WorkflowId, bytes: &Bytes) -> Result<Self, FormatError> {
        let StoredRecord { record, record_hash, place, end } =
            StoredRecord::decode(id, bytes, bytes.len() as u64)?.ok_or_else(StoredRecord::cut)?;
        let content = match place {
            ContentPlace::Inline => Some(bytes.slice(end.min(bytes.len())..)),
            ContentPlace::None | ContentPlace::External { .. } | ContentPlace::Pruned { .. } => None,
        };
        if let Some(content) = &content {
            record.check_content(content)?;
        }
        Ok(Self { record, record_hash, content, place })
    }

    /// The reference by which the records of the same workflow name this version.
    pub fn reference(&self) -> VersionRef {
        VersionRef::to(&self.record, self.record_hash)
    }
}

impl VersionRecord {
    /// Checks that these bytes are the content of this version.
    pub(crate) fn check_content(&self, content: &[u8]) -> Result<(), FormatError> {
        if self.hash == Some(ContentHash::of(content)) {
            return Ok(());
        }
        let reason = "its content does not have the hash that its record says";
        Err(FormatError::Contradiction(reason.to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{document::MediaType, format::Current};

    pub(crate) fn record(generation: u64, content: &[u8]) -> VersionRecord {
        VersionRecord {
            id: id(),
            generation,
            version_id: VersionId::parse(format!("{generation:026}")).unwrap(),
            operation: Operation::SAVE,
            parents: Vec::new(),
            depth: generation,
            merges: 0,
            jump: None,
            hash: Some(ContentHash::of(content)),
            size: content.len() as u64,
            media_type: MediaType::Json.into(),
            body: None,
            statistics: Map::new(),
            name: Sourced::Derived(Some("Naïve \n name".to_owned())),
            description: Sourced::Derived(None),
            tags: Sourced::Given(vec!["etl".to_owned()]),
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

    fn decode(bytes: &[u8]) -> Result<StoredVersion, FormatError> {
        StoredVersion::decode(&id(), &Bytes::copy_from_slice(bytes))
    }

    /// Returns the object with its envelope replaced.
    fn with_envelope(bytes: &[u8], place: ContentPlace, content: &[u8]) -> Vec<u8> {
        let (envelope, _) = Envelope::decode(bytes).unwrap();
        let line = record(3, b"{\n}\n").line().unwrap();
        let envelope = Envelope { place, ..envelope }.encode().unwrap();
        [&envelope, &line, b"\n".as_slice(), content].concat()
    }

    #[test]
    fn version_round_trips_with_multiline_content() {
        let content = b"{\n}\n";
        let (bytes, hash) = record(3, content).encode(content).unwrap();
        let read = decode(&bytes).unwrap();
        assert_eq!(read.record, record(3, content));
        assert_eq!((read.record_hash, read.content.as_deref()), (hash, Some(&content[..])));
        assert_eq!(hash, ContentHash::of(&record(3, content).line().unwrap()));
    }

    #[test]
    fn content_may_be_elsewhere_or_pruned_only_with_a_mark() {
        let content = b"{\n}\n";
        let (bytes, hash) = record(3, content).encode(content).unwrap();
        let pruned = ContentPlace::Pruned { pruned_by: VersionId::parse("p".repeat(26)).unwrap() };
        let external = ContentPlace::External { object: "contents/x".to_owned() };
        for place in [pruned, external] {
            let read = decode(&with_envelope(&bytes, place.clone(), b"")).unwrap();
            assert_eq!((read.record_hash, read.content, &read.place), (hash, None, &place));
            assert!(decode(&with_envelope(&bytes, place, content)).is_err(), "content that is not there");
        }
        assert!(decode(&with_envelope(&bytes, ContentPlace::Inline, b"")).is_err(), "content without a mark");
        assert!(decode(&with_envelope(&bytes, ContentPlace::None, b"")).is_err(), "not a deletion");
    }

    /// Flips each byte, cuts at each length, and puts each byte range of another version in place.
    #[test]
    fn every_damage_is_found() {
        let (bytes, _) = record(3, b"{\n}\n").encode(b"{\n}\n").unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 1 << bit;
                let refused = decode(&flipped).expect_err("flipped");
                assert!(!refused.is_newer(), "a flipped bit at {at} is no newer program");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(decode(&[&bytes[..], b"\n"].concat()).is_err(), "longer");
        let (other, _) = record(4, b"{\r}\n").encode(b"{\r}\n").unwrap();
        assert_eq!(other.len(), bytes.len());
        for (from, to) in (0..bytes.len()).flat_map(|from| [(0, from), (from, bytes.len())]) {
            let mixed = [&bytes[..from], &other[from..to], &bytes[to..]].concat();
            let is_whole = mixed == bytes[..] || mixed == other[..];
            assert_eq!(decode(&mixed).is_ok(), is_whole, "{from}..{to}");
        }
    }

    #[test]
    fn record_is_read_from_the_first_bytes() {
        let content = b"{\n}\n".repeat(100);
        let (bytes, hash) = record(3, &content).encode(&content).unwrap();
        let whole = bytes.len() - content.len();
        let size = bytes.len() as u64;
        let read = |prefix: usize, size| StoredRecord::decode(&id(), &bytes[..prefix], size);
        for prefix in whole..=bytes.len() {
            let read = read(prefix, size).unwrap().unwrap();
            assert_eq!((read.record_hash, read.record), (hash, record(3, &content)));
        }
        let envelope = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for prefix in envelope..whole {
            assert!(read(prefix, size).unwrap().is_none(), "{prefix}");
        }
        assert!(read(envelope - 1, size).is_err());
        for other in [size - 1, size + 1] {
            assert!(read(whole, other).is_err(), "the object has another length");
        }
    }

    #[test]
    fn a_version_that_contradicts_itself_is_refused() {
        let (bytes, _) = record(3, b"{}").encode(b"{]").unwrap();
        assert!(decode(&bytes).unwrap_err().to_string().contains("hash"));
        let other = VersionRecord { id: WorkflowId::parse("b").unwrap(), ..record(3, b"{}") };
        let (bytes, _) = other.encode(b"{}").unwrap();
        assert!(decode(&bytes).unwrap_err().to_string().contains("version of b"));
        assert!(decode(b"").is_err());
    }

    /// The worked example of the page is what this program writes.
    #[test]
    fn page_of_the_format_has_this_object() {
        let content = br#"{"nodes":[]}"#;
        let time = DateTime::from_timestamp(1_705_314_600, 0).unwrap();
        let greet = VersionRecord {
            id: WorkflowId::parse("greet").unwrap(),
            version_id: VersionId::parse("01hm6aqh20fqaswn6q70mqyxxe").unwrap(),
            name: Sourced::Given(Some("Greeting".to_owned())),
            tags: Sourced::Derived(Vec::new()),
            nodes: Vec::new(),
            created: time,
            modified: time,
            author: "ada@laptop".to_owned(),
            ..record(1, content)
        };
        let (object, _) = greet.encode(content).unwrap();
        let page = include_str!("../../docs/format.md");
        let example =
            page.split("```text\n").find(|block| block.starts_with("{\"format\":\"pflow-version/1\""));
        let example = example.and_then(|block| block.split("\n```").next()).unwrap_or_default();
        assert_eq!(example, String::from_utf8(object.to_vec()).unwrap());
    }

    #[test]
    fn unknown_fields_of_references_are_kept_and_do_not_count() {
        let mut value =
            serde_json::to_value(record(3, b"{}").line().map(|_| record(3, b"{}")).unwrap()).unwrap();
        let named = serde_json::json!({
            "workflow": "old-name",
            "generation": 9,
            "version_id": "v".repeat(26),
            "record_hash": ContentHash::of(b""),
            "later": {"a": 1},
        });
        value["parents"] = serde_json::json!([named]);
        value["jump"] = serde_json::json!({"depth": 1, "later": 2, "generation": 1,
            "version_id": "v".repeat(26), "record_hash": ContentHash::of(b"")});
        value["body"] = serde_json::json!({"rule": 7, "hash": ContentHash::of(b""), "later": 3});
        let record: VersionRecord = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), value);
        let parent = record.parents.first().unwrap();
        assert_eq!(*parent, VersionRef { extra: Map::new(), ..parent.clone() });
        assert!(record.replaced().is_none(), "a version of another workflow is no ancestor in this one");
    }
}
