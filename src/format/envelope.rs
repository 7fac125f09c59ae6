//! The first line of a version object: how long its parts are, and where its content is.
//!
//! The record hash does not cover the envelope, so a content can be pruned or moved without a change of the
//! record. The envelope has a checksum of its own, a CRC-32C, because it is rewritten and not named by a hash.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    FormatError, Kind, VersionId, VersionRecord, check_format, encode_line, parse,
    seal::{CRC, seal, unseal},
};
use crate::document::ContentHash;

/// No envelope is longer, so a reader finds its end in the first bytes of an object.
const MAX_ENVELOPE_BYTES: usize = 2 * 1024;

/// Where the content of a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentPlace {
    /// The version has no content: it is a deletion.
    None,
    /// Behind the record in the same object.
    Inline,
    /// In an object of its own.
    External {
        /// The key of that object.
        object: String,
    },
    /// It was removed on purpose.
    Pruned {
        /// The operation that removed it.
        pruned_by: VersionId,
    },
}

/// The first line of a version object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(super) format: String,
    /// The length of the record without its line feed, in bytes.
    pub(super) record_bytes: u64,
    /// The hash of these bytes.
    pub(super) record_hash: ContentHash,
    pub(super) place: ContentPlace,
    /// The length of the content in bytes, wherever it is and also after it was pruned.
    pub(super) content_bytes: u64,
    /// Fields that a later program wrote.
    pub(super) extra: Map<String, Value>,
}

/// The fields of the line.
#[derive(Serialize, Deserialize)]
struct Line {
    format: String,
    record_bytes: u64,
    record_hash: ContentHash,
    content: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pruned_by: Option<VersionId>,
    content_bytes: u64,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The word for a [`ContentPlace`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    None,
    Inline,
    External,
    Pruned,
}

impl Envelope {
    pub(super) fn new(
        record_bytes: u64,
        record_hash: ContentHash,
        place: ContentPlace,
        content_bytes: u64,
    ) -> Self {
        let format = Kind::VERSION.tag();
        Self { format, record_bytes, record_hash, place, content_bytes, extra: Map::new() }
    }

    /// Encodes the line with its line feed.
    pub(super) fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let Self { format, record_bytes, record_hash, place, content_bytes, extra } = self.clone();
        let (content, object, pruned_by) = match place {
            ContentPlace::None => (Word::None, None, None),
            ContentPlace::Inline => (Word::Inline, None, None),
            ContentPlace::External { object } => (Word::External, Some(object), None),
            ContentPlace::Pruned { pruned_by } => (Word::Pruned, None, Some(pruned_by)),
        };
        let line =
            Line { format, record_bytes, record_hash, content, object, pruned_by, content_bytes, extra };
        let mut line = encode_line(&line)?;
        line.pop();
        let mut line = seal(&CRC, line);
        line.push(b'\n');
        Ok(line)
    }

    /// Decodes the envelope of a version object, and returns it with the bytes behind it.
    ///
    /// The checksum is checked before the `format`: every later format has it too, so a flipped bit is not
    /// taken for a newer program.
    pub(super) fn decode(object: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let end = object.iter().take(MAX_ENVELOPE_BYTES).position(|byte| *byte == b'\n');
        let (line, rest) = end.and_then(|end| object.split_at_checked(end)).ok_or(FormatError::NoChecksum)?;
        let line = unseal(&CRC, line)?;
        check_format(Kind::VERSION, &line)?;
        let line: Line = parse(Kind::VERSION, &line)?;
        let place = match (line.content, line.object, line.pruned_by) {
            (Word::None, None, None) => ContentPlace::None,
            (Word::Inline, None, None) => ContentPlace::Inline,
            (Word::External, Some(object), None) => ContentPlace::External { object },
            (Word::Pruned, None, Some(pruned_by)) => ContentPlace::Pruned { pruned_by },
            _ => {
                let reason = "its envelope does not say in one way where its content is";
                return Err(FormatError::Contradiction(reason.to_owned()));
            }
        };
        let Line { format, record_bytes, record_hash, content_bytes, extra, .. } = line;
        let envelope = Self { format, record_bytes, record_hash, place, content_bytes, extra };
        Ok((envelope, rest.get(1..).unwrap_or_default()))
    }

    /// Checks that this is an envelope of `record`.
    pub(super) fn check(&self, record: &VersionRecord) -> Result<(), FormatError> {
        let has_content = self.place != ContentPlace::None;
        let says = (record.hash.is_some(), record.size);
        let is_deletion = (!record.deleted, if record.deleted { 0 } else { record.size });
        if (has_content, self.content_bytes) == says && says == is_deletion {
            return Ok(());
        }
        let reason = "its envelope does not describe the content that its record says";
        Err(FormatError::Contradiction(reason.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(place: ContentPlace) -> Envelope {
        Envelope::new(812, ContentHash::of(b""), place, 7)
    }

    #[test]
    fn envelopes_read_back_and_keep_what_a_later_program_added() {
        let object = "contents/x".to_owned();
        let pruned_by = VersionId::parse("v".repeat(26)).unwrap();
        let external = ContentPlace::External { object };
        for place in [ContentPlace::None, ContentPlace::Inline, external, ContentPlace::Pruned { pruned_by }]
        {
            let mut envelope = envelope(place);
            envelope.extra.insert("later".to_owned(), serde_json::json!({"a": [1]}));
            let object = [&envelope.encode().unwrap()[..], b"rest\n"].concat();
            assert_eq!(Envelope::decode(&object).unwrap(), (envelope, &b"rest\n"[..]));
        }
    }

    #[test]
    fn is_written_as_the_page_of_the_format_says() {
        let line = String::from_utf8(envelope(ContentPlace::Inline).encode().unwrap()).unwrap();
        let hash = ContentHash::of(b"");
        let start = format!(
            r#"{{"format":"pflow-version/1","record_bytes":812,"record_hash":"{hash}","content":"inline","content_bytes":7,"crc32c":""#
        );
        assert!(line.starts_with(&start) && line.ends_with("\"}\n"), "{line}");
    }

    #[test]
    fn envelope_of_a_newer_program_is_told_from_a_damaged_one() {
        let newer = Envelope { format: "pflow-version/2".to_owned(), ..envelope(ContentPlace::Inline) };
        let line = newer.encode().unwrap();
        assert!(Envelope::decode(&line).unwrap_err().is_newer());
        let text = String::from_utf8(line).unwrap().replace("version/2", "version/3");
        assert!(!Envelope::decode(text.as_bytes()).unwrap_err().is_newer());
    }
}
