//! The frame around each record, which tells a record of this journal from everything else that may stand in its place.
//!
//! ```text
//! magic (8), payload length (u64), sequence (u64), salt (16), check of the record before (32), check (32), payload, zeros up to 8 bytes
//! ```
//! `check` is the SHA-256 of all that stands before it and of the payload. It chains the records: one that was left over from before
//! the journal began anew, or that a shorter one was written over, has another salt or another predecessor.

use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"pflowrec";
/// Frames begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;
/// What stands before the payload.
pub(crate) const HEADER_BYTES: usize = 104;
const CHECKED: usize = 72;

pub(crate) type Salt = [u8; 16];
pub(crate) type Check = [u8; 32];

/// Where the next record goes, and what it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// Rises whenever the journal begins anew.
    pub(crate) epoch: u64,
    pub(crate) salt: Salt,
    /// Of the next record, from 0.
    pub(crate) sequence: u64,
    /// Where it begins in the file.
    pub(crate) tail: u64,
    /// Of the record before; zeros before the first.
    pub(crate) check: Check,
}

/// A frame's header as it stands there, believed by nobody yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u64,
    pub(crate) sequence: u64,
    pub(crate) salt: Salt,
    before: Check,
    check: Check,
}

impl Header {
    /// What the bytes say; none without the magic.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize, length: usize| bytes.get(at..at + length);
        (field(0, 8)? == MAGIC).then_some(())?;
        Some(Self {
            length: u64::from_le_bytes(field(8, 8)?.try_into().ok()?),
            sequence: u64::from_le_bytes(field(16, 8)?.try_into().ok()?),
            salt: field(24, 16)?.try_into().ok()?,
            before: field(40, 32)?.try_into().ok()?,
            check: field(CHECKED, 32)?.try_into().ok()?,
        })
    }

    /// Whether header and payload belong together.
    pub(crate) fn is_whole(&self, payload: &[u8]) -> bool {
        payload.len() as u64 == self.length
            && checked(self.length, self.sequence, &self.salt, &self.before, payload).1 == self.check
    }

    /// Whether it is what comes at `position`.
    pub(crate) fn follows(&self, position: &Position) -> bool {
        self.sequence == position.sequence && self.salt == position.salt && self.before == position.check
    }

    /// Where the record behind this one goes.
    pub(crate) fn next(&self, position: &Position) -> Position {
        Position {
            sequence: position.sequence + 1,
            tail: position.tail + frame_bytes(self.length),
            check: self.check,
            ..*position
        }
    }
}

/// Room for the header of a frame. The payload is appended to it.
pub(crate) fn begin() -> Vec<u8> {
    vec![0; HEADER_BYTES]
}

/// The bytes of a record for `position`, and where the next one goes.
pub(crate) fn finish(position: &Position, mut frame: Vec<u8>) -> (Vec<u8>, Position) {
    let length = frame.len().saturating_sub(HEADER_BYTES) as u64;
    let payload = frame.get(HEADER_BYTES..).unwrap_or_default();
    let (mut bytes, check) = checked(length, position.sequence, &position.salt, &position.check, payload);
    bytes.extend(check);
    frame.splice(..HEADER_BYTES, bytes);
    frame.resize(usize::try_from(frame_bytes(length)).unwrap_or(frame.len()), 0);
    let header =
        Header { length, sequence: position.sequence, salt: position.salt, before: position.check, check };
    (frame, header.next(position))
}

/// How much room a record takes.
pub(crate) fn frame_bytes(payload: u64) -> u64 {
    (HEADER_BYTES as u64 + payload).next_multiple_of(ALIGN)
}

fn checked(length: u64, sequence: u64, salt: &Salt, before: &Check, payload: &[u8]) -> (Vec<u8>, Check) {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(length.to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(salt);
    bytes.extend(before);
    let check = Sha256::new().chain_update(&bytes).chain_update(payload).finalize().into();
    (bytes, check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Position {
        Position { epoch: 3, salt: [7; 16], sequence: 0, tail: 4096, check: [0; 32] }
    }

    fn encode(position: &Position, payload: &[u8]) -> (Vec<u8>, Position) {
        finish(position, [begin(), payload.to_vec()].concat())
    }

    #[test]
    fn records_chain_and_nothing_else_fits_in_between() {
        let (first, second) = encode(&start(), b"first");
        let (frame, third) = encode(&second, b"second!");
        assert_eq!((second.tail, second.sequence), (4096 + 112, 1));
        let header = Header::parse(&frame).unwrap();
        assert!(header.follows(&second) && header.is_whole(b"second!"));
        assert_eq!(header.next(&second), third);
        assert!(!header.follows(&start()) && !header.is_whole(b"seconds"));
        assert!(!header.follows(&Position { salt: [8; 16], ..second }));
        // The same number in a history where another record came first.
        let (_, other) = encode(&start(), b"other");
        assert!(!header.follows(&other));
        assert_eq!(Header::parse(&first[8..]), None);
        assert_eq!(Header::parse(&first[..50]), None);
    }
}
