//! The frame around each record, which tells a record of this journal from everything else at its place.
//!
//! ```text
//! magic (8), payload length (u64), epoch (u64), sequence (u64), salt (16), check of the record before (32), check (32),
//! payload, zeros up to 8 bytes
//! ```
//! `check` is the SHA-256 of all that comes before it and of the payload. It chains the records: one that is
//! left over from an earlier epoch has another epoch and salt, and one that a shorter record was written over
//! has another predecessor. The first record of an epoch names the epoch itself, so a damaged header of the
//! file hides no record.

use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"pflowrec";
/// Frames begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;
/// What stands before the payload.
pub(crate) const HEADER_BYTES: usize = 112;
const CHECKED: usize = 80;

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

/// A frame's header as it was read. Nothing in it is trusted before [`Header::is_whole`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) length: u64,
    pub(crate) epoch: u64,
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
            epoch: u64::from_le_bytes(field(16, 8)?.try_into().ok()?),
            sequence: u64::from_le_bytes(field(24, 8)?.try_into().ok()?),
            salt: field(32, 16)?.try_into().ok()?,
            before: field(48, 32)?.try_into().ok()?,
            check: field(CHECKED, 32)?.try_into().ok()?,
        })
    }

    /// Whether header and payload belong together.
    pub(crate) fn is_whole(&self, payload: &[u8]) -> bool {
        payload.len() as u64 == self.length && self.is_check(self.hasher().chain_update(payload))
    }

    /// A hash that has taken in what the header says. The payload is to follow, for
    /// [`is_check`](Self::is_check).
    pub(crate) fn hasher(&self) -> Sha256 {
        Sha256::new().chain_update(self.checked())
    }

    /// Whether a [hash](Self::hasher) of header and payload is the one that the header gives.
    pub(crate) fn is_check(&self, hash: Sha256) -> bool {
        Check::from(hash.finalize()) == self.check
    }

    /// Whether it is what comes at `position`.
    pub(crate) fn follows(&self, position: &Position) -> bool {
        (self.epoch, self.sequence) == (position.epoch, position.sequence)
            && self.salt == position.salt
            && self.before == position.check
    }

    /// The position of the first record of an epoch, if this header can be of one.
    pub(crate) fn as_first(&self, tail: u64) -> Option<Position> {
        let check = [0; 32];
        let is_first = self.sequence == 0 && self.before == check;
        is_first.then_some(Position { epoch: self.epoch, salt: self.salt, sequence: 0, tail, check })
    }

    fn checked(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.epoch.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.salt);
        bytes.extend(self.before);
        bytes
    }

    /// Where the record behind this one goes.
    pub(crate) fn next(&self, position: &Position) -> Position {
        Position {
            sequence: position.sequence + 1,
            tail: position.tail.saturating_add(frame_bytes(self.length)),
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
    let Position { epoch, salt, sequence, check: before, .. } = *position;
    let mut header = Header { length, epoch, sequence, salt, before, check: [0; 32] };
    let payload = frame.get(HEADER_BYTES..).unwrap_or_default();
    header.check = header.hasher().chain_update(payload).finalize().into();
    let mut bytes = header.checked();
    bytes.extend(header.check);
    frame.splice(..HEADER_BYTES, bytes);
    frame.resize(usize::try_from(frame_bytes(length)).unwrap_or(frame.len()), 0);
    (frame, header.next(position))
}

/// How much room a record takes.
pub(crate) fn frame_bytes(payload: u64) -> u64 {
    (HEADER_BYTES as u64).saturating_add(payload).checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX)
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
        assert_eq!((second.tail, second.sequence), (4096 + 120, 1));
        let header = Header::parse(&frame).unwrap();
        assert!(header.follows(&second) && header.is_whole(b"second!"));
        assert_eq!(header.next(&second), third);
        assert!(!header.follows(&start()) && !header.is_whole(b"seconds"));
        assert!(!header.follows(&Position { salt: [8; 16], ..second }));
        assert!(!header.follows(&Position { epoch: 4, ..second }));
        assert_eq!(header.as_first(4096), None);
        assert_eq!(Header::parse(&first).unwrap().as_first(4096), Some(start()));
        // The same number in a history where another record came first.
        let (_, other) = encode(&start(), b"other");
        assert!(!header.follows(&other));
        assert_eq!(Header::parse(&first[8..]), None);
        assert_eq!(Header::parse(&first[..50]), None);
    }
}
