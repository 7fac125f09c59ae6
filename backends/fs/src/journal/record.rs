//! What one record of the journal says, and its bytes.
//!
//! ```text
//! payload  time (milliseconds since the epoch, i64), number of changes (u32, highest bit: carries), changes
//! change   tags (u8), key length (u16), key, [version before (32)], if put: version (32), size (u64), content
//! tags     bits 0-1: 0 deleted, 1 Fresh, 2 Swap or Immutable, 3 Copy; bits 2-3: before unknown, absent, was; bits 4-5: content inline, kept, shared
//! content  inline: the bytes; kept: name length (u16), name in `values/`, where they begin in that file (u64); shared: where they begin in this payload (u64)
//! ```
//! All numbers are little-endian. A version is the SHA-256 of the bytes. `shared` saves the second copy of
//! bytes that end another value of the same record, as a workflow's content ends its version.

use pflow_backend::{Bytes, DateTime, Key, Utc, Version, WriteKind};

/// Values shorter than this are not worth looking for.
const SHORTEST_SHARED: usize = 64;
/// How many of the values before are looked at for the same bytes.
const SHARED_WITHIN: usize = 4;
/// Set in the number of changes of a record that carries what could not be written.
const CARRIES: u32 = 1 << 31;

/// What a group of batches changed, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The committer's wall clock, for people.
    pub(crate) time: DateTime<Utc>,
    pub(crate) changes: Vec<Change>,
    /// Nothing was committed by it: it holds the last values of keys whose files could not be written in the
    /// epoch before.
    pub(crate) carries: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Key,
    pub(crate) before: Before,
    /// None: deleted.
    pub(crate) after: Option<(WriteKind, Value)>,
}

/// What the key held before the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nobody looked: the change was unconditional and of a kind that nobody edits.
    Unknown,
    Absent,
    Was(Version),
}

/// The bytes of an object, or where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) version: Version,
    pub(crate) size: u64,
    pub(crate) content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Inline(Bytes),
    /// In the file in `values/` of this name, from this offset on.
    Kept {
        name: String,
        at: u64,
    },
}

impl Value {
    pub(crate) fn inline(bytes: Bytes) -> Self {
        let version = Version::of_content(&bytes);
        Self { version, size: bytes.len() as u64, content: Content::Inline(bytes) }
    }
}

impl Change {
    /// About how many bytes it takes.
    fn around(&self) -> usize {
        const BESIDES: usize = 96;
        let inline = match &self.after {
            Some((_, Value { content: Content::Inline(bytes), .. })) => bytes.len(),
            _ => 0,
        };
        BESIDES + self.key.as_str().len() + inline
    }
}

impl Record {
    /// Appends the payload; none if a key, a name or the number of changes is longer than the format can say,
    /// which no key is.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        out.reserve(self.changes.iter().map(Change::around).sum());
        out.extend(self.time.timestamp_millis().to_le_bytes());
        let count = u32::try_from(self.changes.len()).ok().filter(|count| count & CARRIES == 0)?;
        out.extend((if self.carries { count | CARRIES } else { count }).to_le_bytes());
        let mut values: Vec<(usize, &Bytes)> = Vec::new();
        for Change { key, before, after } in &self.changes {
            let shared = match after {
                Some((_, Value { content: Content::Inline(bytes), .. })) => shared(&values, bytes),
                _ => None,
            };
            out.push(tags(before, after.as_ref(), shared.is_some()));
            put_text(out, key.as_str())?;
            if let Before::Was(version) = before {
                out.extend(raw(version)?);
            }
            let Some((_, value)) = after else { continue };
            out.extend(raw(&value.version)?);
            out.extend(value.size.to_le_bytes());
            match (&value.content, shared) {
                (_, Some(at)) => out.extend((at as u64).to_le_bytes()),
                (Content::Kept { name, at }, None) => {
                    put_text(out, name)?;
                    out.extend(at.to_le_bytes());
                }
                (Content::Inline(bytes), None) => {
                    values.push((out.len() - start, bytes));
                    out.extend(bytes);
                }
            }
        }
        Some(())
    }

    /// What a payload says; none if it is none of ours.
    pub(crate) fn decode(payload: &Bytes) -> Option<Self> {
        let mut rest = Cursor { payload, at: 0 };
        let time = DateTime::from_timestamp_millis(i64::from_le_bytes(rest.array()?))?;
        let count = u32::from_le_bytes(rest.array()?);
        let (carries, count) = (count & CARRIES != 0, count & !CARRIES);
        let mut changes = Vec::new();
        for _ in 0..count {
            let [tags] = rest.array()?;
            let key = Key::parse(rest.text()?).ok()?;
            let before = match tags >> 2 & 3 {
                0 => Before::Unknown,
                1 => Before::Absent,
                2 => Before::Was(version(rest.array()?)),
                _ => return None,
            };
            let kind = match tags & 3 {
                0 => {
                    changes.push(Change { key, before, after: None });
                    continue;
                }
                1 => WriteKind::Fresh,
                2 => WriteKind::Swap,
                _ => WriteKind::Copy,
            };
            let version = version(rest.array()?);
            let size = u64::from_le_bytes(rest.array()?);
            let length = usize::try_from(size).ok()?;
            let content = match tags >> 4 {
                0 => Content::Inline(rest.bytes(length)?),
                1 => Content::Kept {
                    name: rest.text().filter(|name| is_name(name))?,
                    at: u64::from_le_bytes(rest.array()?),
                },
                2 => {
                    let at = usize::try_from(u64::from_le_bytes(rest.array()?)).ok()?;
                    let end = at.checked_add(length).filter(|end| *end <= rest.at)?;
                    Content::Inline(payload.slice(at..end))
                }
                _ => return None,
            };
            changes.push(Change { key, before, after: Some((kind, Value { version, size, content })) });
        }
        (rest.at == payload.len()).then_some(Self { time, changes, carries })
    }
}

/// Whether it can be a file of ours in `values/`, and not one somewhere else.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn tags(before: &Before, after: Option<&(WriteKind, Value)>, shared: bool) -> u8 {
    let before = match before {
        Before::Unknown => 0,
        Before::Absent => 1,
        Before::Was(_) => 2,
    };
    let (kind, content) = match after {
        None => (0, 0),
        Some((kind, value)) => {
            let kind = match kind {
                WriteKind::Fresh => 1,
                // Both are written in the same way. That an object is immutable decides before it is stored.
                WriteKind::Swap | WriteKind::Immutable => 2,
                WriteKind::Copy => 3,
            };
            let content = match (&value.content, shared) {
                (_, true) => 2,
                (Content::Kept { .. }, false) => 1,
                (Content::Inline(_), false) => 0,
            };
            (kind, content)
        }
    };
    kind | before << 2 | content << 4
}

/// Where in the payload these bytes stand already.
fn shared(values: &[(usize, &Bytes)], bytes: &Bytes) -> Option<usize> {
    if bytes.len() < SHORTEST_SHARED {
        return None;
    }
    let mut recent = values.iter().rev().take(SHARED_WITHIN);
    recent.find(|(_, earlier)| earlier.ends_with(bytes)).map(|(at, earlier)| at + earlier.len() - bytes.len())
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Option<()> {
    out.extend(u16::try_from(text.len()).ok()?.to_le_bytes());
    out.extend(text.as_bytes());
    Some(())
}

fn raw(version: &Version) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let decoded = base16ct::lower::decode(version.as_str(), &mut bytes).ok()?.len();
    (decoded == bytes.len()).then_some(bytes)
}

fn version(raw: [u8; 32]) -> Version {
    Version::new(base16ct::lower::encode_string(&raw))
}

struct Cursor<'a> {
    payload: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn bytes(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.payload.len())?;
        let bytes = self.payload.slice(self.at..end);
        self.at = end;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.as_ref().try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        String::from_utf8(self.bytes(length)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let key = |name: &str| Key::parse(name).unwrap();
        let line = Bytes::from([b"line\n".as_slice(), &[b'x'; 200]].concat());
        let content = line.slice(5..);
        let put = |name, kind, before, value| Change { key: key(name), before, after: Some((kind, value)) };
        let kept = Value {
            version: Version::of_content(b"large"),
            size: 5,
            content: Content::Kept { name: "01-2".to_owned(), at: 700 },
        };
        Record {
            time: DateTime::from_timestamp_millis(1_705_314_600_123).unwrap(),
            changes: vec![
                put("versions/a/1", WriteKind::Fresh, Before::Absent, Value::inline(line)),
                put("pending/a", WriteKind::Fresh, Before::Absent, Value::inline(Bytes::new())),
                put("head", WriteKind::Swap, Before::Was(Version::of_content(b"old")), kept),
                put("copy", WriteKind::Copy, Before::Unknown, Value::inline(content)),
                Change { key: key("gone"), before: Before::Was(Version::of_content(b"x")), after: None },
            ],
            carries: true,
        }
    }

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        record().encode(&mut out).unwrap();
        out
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_equal_bytes_are_written_once() {
        let payload = Bytes::from(encoded());
        assert_eq!(Record::decode(&payload).unwrap(), record());
        assert!(payload.len() < 205 + 200 + 200, "{}", payload.len());
    }

    #[test]
    fn what_is_cut_or_longer_is_no_record() {
        let payload = encoded();
        for length in 0..payload.len() {
            assert_eq!(Record::decode(&Bytes::copy_from_slice(&payload[..length])), None, "{length}");
        }
        assert_eq!(Record::decode(&Bytes::from([&payload[..], b"x"].concat())), None);
    }

    #[test]
    fn any_byte_may_be_wrong_without_a_panic() {
        let payload = encoded();
        for at in 0..payload.len() {
            for flip in [1, 0x80, 0xff] {
                let mut broken = payload.clone();
                broken[at] ^= flip;
                drop(Record::decode(&Bytes::from(broken)));
            }
        }
    }
}
