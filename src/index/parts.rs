//! The root and the immutable parts that it names.
//!
//! The root is one line of JSON with a checksum. A part is lines of JSON: a header, then a line for each
//! thing it holds.

use bytes::Bytes;
use pflow_backend::Key;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    Entry,
    entry::{Gained, Unconfirmed},
};
use crate::{
    document::ContentHash,
    format::{
        FormatError, Kind, VersionId, WorkflowId, decode, decode_sealed, encode_line, encode_sealed_line,
        parse,
    },
};

/// `ops/checkpoint`: which parts make the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    format: String,
    /// Fresh at every rewrite, as a head's.
    pub(super) nonce: String,
    /// Rises by one at every rewrite.
    pub(super) sequence: u64,
    pub(super) base: Option<Part>,
    /// On top of the base, the oldest first.
    pub(super) segments: Vec<Part>,
    /// The newest segment ever written: from it the operation history goes back, also past the base.
    pub(super) last_segment: Option<Part>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Names an immutable part so that nothing else can be taken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) key: String,
    /// Of all its bytes.
    pub(super) hash: ContentHash,
    /// In bytes.
    pub(super) size: u64,
    /// How many entries it holds.
    pub(super) entries: u64,
    /// Fields that a later program wrote.
    #[serde(flatten)]
    pub(super) extra: Map<String, Value>,
}

/// What changed since the segment before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Segment {
    /// Of the root that first named it. So the newest one is known even if all roots are lost.
    pub(super) sequence: u64,
    /// The segment before it.
    pub(super) previous: Option<Part>,
    pub(super) entries: Vec<Entry>,
    /// Every version that the chains of these entries gained.
    pub(super) gained: Vec<Gained>,
    /// Versions that were found ahead of their head and fenced.
    pub(super) unconfirmed: Vec<Unconfirmed>,
    /// What pending records of operations told. A fold that died before it deleted them is followed by one
    /// that tells it again: whoever reads the history takes each operation id once.
    pub(super) operations: Vec<Operation>,
}

/// An operation that made no version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Operation {
    /// The workflow; none for one that concerns the whole store.
    pub(super) id: Option<WorkflowId>,
    pub(super) operation_id: VersionId,
    pub(super) body: Value,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    /// Of the root that first named it.
    sequence: u64,
    /// Only a segment has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<Part>,
    lines: u64,
}

/// A line of a segment. A later program may add kinds behind a feature that readers must know.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Entry(Entry),
    Gained(Gained),
    Unconfirmed(Unconfirmed),
    Operation(Operation),
}

impl Root {
    pub(super) fn empty(nonce: String) -> Self {
        let format = Kind::INDEX_ROOT.tag();
        Self {
            format,
            nonce,
            sequence: 0,
            base: None,
            segments: Vec::new(),
            last_segment: None,
            extra: Map::new(),
        }
    }

    /// The next state of the root: the caller changes what it came for and swaps it in.
    pub(super) fn next(&self, nonce: String) -> Self {
        Self { nonce, sequence: self.sequence.saturating_add(1), ..self.clone() }
    }

    pub(super) fn encode(&self) -> Result<Bytes, FormatError> {
        encode_sealed_line(self).map(Bytes::from)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode_sealed(Kind::INDEX_ROOT, bytes)
    }

    /// The same without its parts, which were lost. What came before still came before.
    pub(super) fn without_parts(self) -> Self {
        Self { base: None, segments: Vec::new(), ..self }
    }

    /// How many entries readers would save if everything were one base.
    pub(super) fn entries_in_segments(&self) -> u64 {
        self.segments.iter().map(|part| part.entries).sum()
    }

    /// How many bytes there are in all parts.
    pub(super) fn size(&self) -> u64 {
        self.base.iter().chain(&self.segments).map(|part| part.size).sum()
    }

    pub(super) fn entries_in_base(&self) -> u64 {
        self.base.as_ref().map_or(0, |part| part.entries)
    }
}

impl Part {
    pub(super) fn new(key: &Key, bytes: &[u8], entries: usize) -> Self {
        let (hash, size) = (ContentHash::of(bytes), bytes.len() as u64);
        Self { key: key.to_string(), hash, size, entries: entries as u64, extra: Map::new() }
    }
}

/// A base: all entries, in the order of their ids; about `size` bytes.
pub(super) fn encode_base<'a>(
    sequence: u64,
    size: u64,
    entries: impl Iterator<Item = &'a Entry> + Clone,
) -> Result<Bytes, FormatError> {
    let header = Header {
        format: Kind::INDEX_BASE.tag(),
        sequence,
        previous: None,
        lines: entries.clone().count() as u64,
    };
    // It may be the largest thing in memory: growing step by step it would be there twice.
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    bytes.extend(encode_line(&header)?);
    for entry in entries {
        bytes.extend(encode_line(entry)?);
    }
    Ok(bytes.into())
}

pub(super) fn decode_base(bytes: &[u8]) -> Result<Vec<Entry>, FormatError> {
    decode_lines(Kind::INDEX_BASE, bytes).map(|(_, entries)| entries)
}

impl Segment {
    pub(super) fn is_empty(&self) -> bool {
        self.lines() == 0
    }

    fn lines(&self) -> usize {
        self.entries.len() + self.gained.len() + self.unconfirmed.len() + self.operations.len()
    }

    pub(super) fn encode(&self) -> Result<Bytes, FormatError> {
        let header = Header {
            format: Kind::INDEX_SEGMENT.tag(),
            sequence: self.sequence,
            previous: self.previous.clone(),
            lines: self.lines() as u64,
        };
        let mut bytes = encode_line(&header)?;
        for entry in &self.entries {
            bytes.extend(encode_line(&Line::Entry(entry.clone()))?);
        }
        for gained in &self.gained {
            bytes.extend(encode_line(&Line::Gained(gained.clone()))?);
        }
        for unconfirmed in &self.unconfirmed {
            bytes.extend(encode_line(&Line::Unconfirmed(unconfirmed.clone()))?);
        }
        for operation in &self.operations {
            bytes.extend(encode_line(&Line::Operation(operation.clone()))?);
        }
        Ok(bytes.into())
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (header, lines) = decode_lines(Kind::INDEX_SEGMENT, bytes)?;
        let mut segment = Self { sequence: header.sequence, previous: header.previous, ..Self::default() };
        for line in lines {
            match line {
                Line::Entry(entry) => segment.entries.push(entry),
                Line::Gained(gained) => segment.gained.push(gained),
                Line::Unconfirmed(unconfirmed) => segment.unconfirmed.push(unconfirmed),
                Line::Operation(operation) => segment.operations.push(operation),
            }
        }
        Ok(segment)
    }
}

fn decode_lines<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<(Header, Vec<T>), FormatError> {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let header: Header = decode(kind, lines.next().unwrap_or_default())?;
    let values = lines.map(|line| parse(kind, line)).collect::<Result<Vec<T>, _>>()?;
    if values.len() as u64 != header.lines {
        let (has, says) = (values.len(), header.lines);
        return Err(FormatError::Contradiction(format!("it has {has} lines, its header says {says}")));
    }
    Ok((header, values))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;
    use crate::{
        document::MediaType,
        format::{WorkflowId, version::tests::record},
        index::entry::NamedVersion,
    };

    fn version_id() -> VersionId {
        VersionId::parse("v".repeat(26)).unwrap()
    }

    fn entry(id: &str) -> Entry {
        let now = ManualEnvironment::new(1).now();
        Entry {
            id: WorkflowId::parse(id).unwrap(),
            generation: 1,
            version_id: version_id(),
            hash: None,
            size: 0,
            media_type: MediaType::Json.into(),
            name: Some("a\nb".to_owned()),
            description: None,
            tags: Arc::default(),
            nodes: Arc::default(),
            version: None,
            created: now,
            modified: now,
            author: "a@b".into(),
            deleted: false,
        }
    }

    #[test]
    fn parts_read_back() {
        let entries = [entry("a"), entry("b")];
        assert_eq!(decode_base(&encode_base(1, 0, entries.iter()).unwrap()).unwrap(), entries);
        let version = NamedVersion {
            generation: 1,
            version_id: version_id(),
            hash: None,
            record_hash: ContentHash::of(b""),
        };
        let id = WorkflowId::parse("a").unwrap();
        let segment = Segment {
            previous: Some(Part {
                key: "k".to_owned(),
                hash: ContentHash::of(b""),
                size: 0,
                entries: 1,
                extra: Map::new(),
            }),
            entries: entries.to_vec(),
            sequence: 7,
            gained: vec![Gained::of(&id, &record(1, b"{}"), ContentHash::of(b""))],
            unconfirmed: vec![Unconfirmed { id: id.clone(), version }],
            operations: vec![Operation {
                id: Some(id),
                operation_id: version_id(),
                body: serde_json::json!({"kind": "gc"}),
            }],
        };
        assert_eq!(Segment::decode(&segment.encode().unwrap()).unwrap(), segment);
    }

    #[test]
    fn a_part_that_was_cut_is_refused() {
        let bytes = encode_base(1, 0, [entry("a"), entry("b")].iter()).unwrap();
        for end in 0..bytes.len() - 1 {
            assert!(decode_base(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn unknown_fields_of_the_root_survive() {
        let mut value: Value =
            serde_json::from_slice(&Root::empty("n".to_owned()).encode().unwrap()).unwrap();
        value["later"] = 1.into();
        value["base"] = serde_json::json!(
            {"key": "k", "hash": ContentHash::of(b""), "size": 1, "entries": 2, "later": {"a": 1}}
        );
        value.as_object_mut().unwrap().remove("checksum").unwrap();
        let root = Root::decode(&encode_sealed_line(&value).unwrap()).unwrap();
        let mut again: Value = serde_json::from_slice(&root.encode().unwrap()).unwrap();
        again.as_object_mut().unwrap().remove("checksum").unwrap();
        assert_eq!(again, value);
    }
}
