//! How far the journal goes: what comes before this position is committed.
//!
//! The writer writes it in place, under the lock, **after** its record is durable: what can be seen is
//! durable. Readers look at it without the lock, so it carries a check.
//!
//! # What it vouches for
//! It is synced only when the journal ends. So on the medium it may be older than the journal, never newer,
//! and after a crash **a valid state vouches**:
//! - at a position of an epoch: the journal can be read up to exactly this position, or it has begun a later
//!   epoch. The changes of every earlier epoch are durable in the files.
//! - at rest: the changes of its epoch and of all before are durable in the files. Records of these epochs
//!   that are still in the journal are ignored; the journal may be empty or missing.
//!
//! # Where it vouches
//! It carries the mark of the [instance](crate::instance) that wrote it, and **it vouches at that place alone**.
//! In a copy of the folder the files are those that the copying program wrote, in its own order, perhaps while
//! a writer was at work, and perhaps not synced. What a foreign state says of the past holds there too: an
//! epoch that has ended stays ended, so that no record of it replaces what a file has got since, and records
//! behind a failed sync stay out.
//!
//! A journal that does not fit what a valid state vouches for is damaged, and nothing older is answered in
//! its place. A state that is missing or torn vouches for nothing: the records of the journal count as far as
//! they can be read.

use sha2::{Digest, Sha256};

use super::frame::Position;
use crate::instance::{Mark, UNMARKED};

const MAGIC: &[u8; 8] = b"pflowsta";
const CHECKED: usize = 112;
/// The whole file.
pub(crate) const STATE_BYTES: usize = CHECKED + 32;
const POISONED: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// At rest the sequence and the tail are 0: there is nothing in the journal. The epoch has risen all the
    /// same, so that the state differs from the one before, and every epoch up to it has ended.
    pub(crate) position: Position,
    /// A sync of the journal failed. Nobody appends to it any more; a new one takes its place first.
    pub(crate) poisoned: bool,
    /// Which handle has written files in this epoch: [`NOBODY`], the random id of a handle that alone did, or
    /// [`SEVERAL`].
    ///
    /// Only the handle that wrote a name is certain to be told that the system failed to write it back. A
    /// handle that finds another id than its own therefore gives all names of the epoch again before it ends
    /// the journal. A crash of the machine may leave an older value here, which does no harm: the page cache
    /// is gone then, and what can be read is on the medium.
    pub(crate) written_by: u64,
    /// The place that it vouches at.
    pub(crate) instance: Mark,
}

/// No handle has written a file in this epoch.
pub(crate) const NOBODY: u64 = 0;
/// More than one handle has, or it is not known which.
pub(crate) const SEVERAL: u64 = u64::MAX;

impl State {
    pub(crate) fn rest(epoch: u64) -> Self {
        let position = Position { epoch, salt: [0; 16], sequence: 0, tail: 0, check: [0; 32] };
        Self::at(position)
    }

    pub(crate) fn at(position: Position) -> Self {
        Self { position, poisoned: false, written_by: NOBODY, instance: UNMARKED }
    }

    pub(crate) fn is_rest(&self) -> bool {
        self.position.tail == 0
    }

    /// The changes of this epoch and of all before are durable in the files.
    pub(crate) fn ended(&self) -> u64 {
        if self.is_rest() { self.position.epoch } else { self.position.epoch.saturating_sub(1) }
    }

    pub(crate) fn encode(&self) -> [u8; STATE_BYTES] {
        let Position { epoch, salt, sequence, tail, check } = self.position;
        let mut bytes = Vec::with_capacity(STATE_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend((if self.poisoned { POISONED } else { 0 }).to_le_bytes());
        bytes.extend(epoch.to_le_bytes());
        bytes.extend(salt);
        bytes.extend(sequence.to_le_bytes());
        bytes.extend(tail.to_le_bytes());
        bytes.extend(check);
        bytes.extend(self.written_by.to_le_bytes());
        bytes.extend(self.instance);
        bytes.extend(Sha256::digest(&bytes));
        let mut fixed = [0; STATE_BYTES];
        fixed.copy_from_slice(&bytes);
        fixed
    }

    /// What the bytes say; none if they were torn, lost or never written.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, check) = bytes.split_at_checked(CHECKED)?;
        (check == Sha256::digest(checked).as_slice()).then_some(())?;
        let field = |at: usize, length: usize| checked.get(at..at + length);
        (field(0, 8)? == MAGIC).then_some(())?;
        let number = |at| Some(u64::from_le_bytes(field(at, 8)?.try_into().ok()?));
        let flags = u32::from_le_bytes(field(12, 4)?.try_into().ok()?);
        let position = Position {
            epoch: number(16)?,
            salt: field(24, 16)?.try_into().ok()?,
            sequence: number(40)?,
            tail: number(48)?,
            check: field(56, 32)?.try_into().ok()?,
        };
        let instance = field(96, 16)?.try_into().ok()?;
        Some(Self { position, poisoned: flags & POISONED != 0, written_by: number(88)?, instance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_nothing_else_is_one() {
        let position = Position { epoch: 5, salt: [1; 16], sequence: 9, tail: 8192, check: [2; 32] };
        let state = State { position, poisoned: true, written_by: 77, instance: [9; 16] };
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Some(state));
        assert!(State::decode(&State::rest(7).encode()).unwrap().is_rest());
        for at in 0..STATE_BYTES {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(State::decode(&torn), None, "{at}");
            assert_eq!(State::decode(&bytes[..at]), None, "{at}");
        }
    }
}
