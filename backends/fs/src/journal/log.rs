//! The file of records: two slots for a header, then records one behind the other.
//!
//! ```text
//! 0     header: magic (8), format (u32), zeros (4), epoch (u64), salt (16), check (32): the SHA-256 of what stands before it
//! 512   the other header
//! 4096  records ([`super::frame`]), then zeros or what is left of earlier epochs
//! ```
//! A journal begins anew by the header of the next epoch in the slot that the present one does not use: **the newest valid header wins**, so a
//! header that is torn leaves the epoch before, whose records are all in their files for good by then.
//!
//! # The end of the journal
//! A record is appended only when the one before it is durable. So what is damaged at the end was never acknowledged, and a valid record
//! **behind** a damaged one proves that something was lost that had been acknowledged.

use pflow_backend::{Bytes, Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::{
    frame::{self, ALIGN, HEADER_BYTES, Header, Position, Salt},
    record::Record,
};
use crate::folder::OpenFile;

const MAGIC: &[u8; 8] = b"pflowlog";
const FORMAT: u32 = 1;
const SLOTS: [u64; 2] = [0, 512];
const CHECKED: usize = 40;
const SLOT_BYTES: usize = CHECKED + 32;
/// Where records begin.
const RECORDS: u64 = 4096;
/// The file grows by its own length, at least by the first and at most by the second: a small folder stays small, and appending to what
/// is there costs a file system no change of its own books.
const SMALLEST_STEP: u64 = 64 * 1024;
const LARGEST_STEP: u64 = 1024 * 1024;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// How much is looked over at once where most of it is zeros.
const BLOCK: usize = 512;

/// The open file.
#[derive(Debug)]
pub(crate) struct Log {
    file: OpenFile,
    length: u64,
}

/// What stands at a position.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record that belongs there, and where the next one goes.
    Record(Record, Position),
    /// Nothing that belongs there.
    End,
}

impl Log {
    pub(crate) fn new(file: OpenFile) -> Result<Self> {
        let mut log = Self { file, length: 0 };
        log.measure()?;
        Ok(log)
    }

    /// Learns how long the file is by now: others let it grow and empty it. Under the lock.
    pub(crate) fn measure(&mut self) -> Result<()> {
        self.length = self.file.status()?.size;
        Ok(())
    }

    /// Where a journal with this header begins.
    pub(crate) fn start(epoch: u64, salt: Salt) -> Position {
        Position { epoch, salt, sequence: 0, tail: RECORDS, check: [0; 32] }
    }

    /// Where the first record is; none if the journal was never begun, or ended.
    ///
    /// # Errors
    /// `Incompatible` for a newer format, `Corrupt` where there is a record and no header is valid.
    pub(crate) fn begin(&self) -> Result<Option<Position>> {
        let mut newest: Option<Position> = None;
        let mut blank = true;
        for slot in SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            let read = self.file.read_at(&mut bytes, slot)?;
            blank &= bytes.iter().all(|byte| *byte == 0);
            let Some((format, position)) = bytes.get(..read).and_then(header) else { continue };
            if format > FORMAT {
                let what = format!(
                    "{} was left by a newer program, and this one cannot read it; open the store once with the newer \
                     program, which finishes its work",
                    self.file.path().display()
                );
                return Err(Error::new(ErrorKind::Incompatible, what));
            }
            if newest.is_none_or(|known| known.epoch < position.epoch) {
                newest = Some(position);
            }
        }
        // Whoever wrote the first header may have died in the middle of it. No record was written before it was whole.
        if newest.is_none() && !blank && self.has_record(RECORDS)? {
            return Err(self.corrupt("neither of its headers is valid"));
        }
        Ok(newest)
    }

    fn has_record(&self, at: u64) -> Result<bool> {
        let mut bytes = [0; HEADER_BYTES];
        let read = self.file.read_at(&mut bytes, at)?;
        Ok(bytes.get(..read).is_some_and(|bytes| Header::parse(bytes).is_some()))
    }

    /// The record at `position`, if one belongs there.
    ///
    /// # Errors
    /// It could not be read, or it is valid and says what no program of this format writes.
    pub(crate) fn read(&self, position: &Position) -> Result<Found> {
        let mut bytes = [0; HEADER_BYTES];
        let read = self.file.read_at(&mut bytes, position.tail)?;
        let header = bytes.get(..read).and_then(Header::parse).filter(|it| it.follows(position));
        let Some(header) = header else { return Ok(Found::End) };
        let Some(payload) = self.payload(position.tail, &header)? else { return Ok(Found::End) };
        match Record::decode(&payload) {
            Some(record) => Ok(Found::Record(record, header.next(position))),
            None => Err(self.corrupt(&format!("the record at {} makes no sense", position.tail))),
        }
    }

    /// Refuses a journal in which a valid record stands behind `position`, where none was found.
    pub(crate) fn check_nothing_behind(&self, position: &Position) -> Result<()> {
        let end = self.file.status()?.size;
        let length = usize::try_from(end.saturating_sub(position.tail)).unwrap_or(0);
        let mut rest = vec![0; length];
        let read = self.file.read_at(&mut rest, position.tail)?;
        rest.truncate(read);
        // Most of it is zeros.
        let blocks = rest.chunks(BLOCK).enumerate();
        let written =
            blocks.filter(|(_, block)| ZEROS.get(..block.len()).is_none_or(|zeros| zeros != *block));
        let starts = written.flat_map(|(number, block)| {
            let from = number * BLOCK;
            (from..from + block.len()).step_by(ALIGN as usize)
        });
        for at in starts {
            let Some(header) = rest.get(at..).and_then(Header::parse) else { continue };
            let (from, length) = (at + HEADER_BYTES, usize::try_from(header.length).unwrap_or(usize::MAX));
            let payload = from.checked_add(length).and_then(|to| rest.get(from..to));
            let is_later = header.salt == position.salt && header.sequence > position.sequence;
            if is_later && payload.is_some_and(|payload| header.is_whole(payload)) {
                return Err(self.corrupt(&format!(
                    "the record at {} is damaged, and what was committed after it stands at {}",
                    position.tail,
                    position.tail + at as u64
                )));
            }
        }
        Ok(())
    }

    /// Makes room for `more` bytes at `position`, so that appending them does not run out of space. The file was [measured](Self::measure) under this
    /// lock: what others appended is not written over.
    ///
    /// # Errors
    /// Nothing was appended.
    pub(crate) fn reserve(&mut self, position: &Position, more: u64) -> Result<()> {
        let needed = position.tail + more;
        if needed <= self.length {
            return Ok(());
        }
        let generous = self.length + self.length.clamp(SMALLEST_STEP, LARGEST_STEP);
        let target = needed.max(generous).next_multiple_of(RECORDS);
        let grown = self.grow(target).or_else(|error| match error.kind() {
            ErrorKind::Exhausted => self.grow(needed),
            _ => Err(error),
        });
        if grown.is_err() {
            self.measure()?;
        }
        grown
    }

    fn grow(&mut self, target: u64) -> Result<()> {
        while self.length < target {
            let step = usize::try_from(target - self.length).unwrap_or(usize::MAX).min(ZEROS.len());
            self.file.write_at(ZEROS.get(..step).unwrap_or(&ZEROS), self.length)?;
            self.length += step as u64;
        }
        Ok(())
    }

    /// Writes a record at `position`, and before the first one the header. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// Any part of it may be there, all of it too.
    pub(crate) fn append(&self, position: &Position, frame: &[u8]) -> Result<()> {
        if position.tail == RECORDS {
            self.write_header(position)?;
        }
        self.file.write_at(frame, position.tail)
    }

    /// Writes the header of an epoch.
    pub(crate) fn write_header(&self, start: &Position) -> Result<()> {
        let slot = if start.epoch.is_multiple_of(2) { SLOTS[0] } else { SLOTS[1] };
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(start.epoch.to_le_bytes());
        bytes.extend(start.salt);
        bytes.extend(Sha256::digest(&bytes));
        self.file.write_at(&bytes, slot)
    }

    /// Writes what stands from `from` up to `end` once more, with the header, and syncs it.
    pub(crate) fn write_again(&self, from: Option<&Position>, end: &Position) -> Result<()> {
        let start = from.map_or(RECORDS, |from| from.tail.max(RECORDS));
        let mut bytes = vec![0; usize::try_from(end.tail.saturating_sub(start)).unwrap_or_default()];
        let read = self.file.read_at(&mut bytes, start)?;
        self.write_header(&Self::start(end.epoch, end.salt))?;
        self.file.write_at(bytes.get(..read).unwrap_or_default(), start)?;
        self.sync()
    }

    /// Returns once everything that was written is durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    /// Empties the file, durably.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.file.set_length(0)?;
        self.length = 0;
        self.file.sync_data()
    }

    fn payload(&self, at: u64, header: &Header) -> Result<Option<Bytes>> {
        let from = at + HEADER_BYTES as u64;
        // What claims to be longer than the file was torn.
        let end = from.checked_add(header.length);
        if end.is_none_or(|end| end > self.length && self.file.status().is_ok_and(|it| end > it.size)) {
            return Ok(None);
        }
        let mut payload = vec![0; usize::try_from(header.length).unwrap_or_default()];
        let read = self.file.read_at(&mut payload, from)?;
        payload.truncate(read);
        Ok(header.is_whole(&payload).then(|| payload.into()))
    }

    fn corrupt(&self, why: &str) -> Error {
        let what = format!(
            "{} is damaged: {why}. Bring back a copy of the folder; or move this file away, and what it held alone is lost",
            self.file.path().display()
        );
        Error::new(ErrorKind::Corrupt, what)
    }
}

/// Format and beginning, if these are the bytes of a valid header.
fn header(bytes: &[u8]) -> Option<(u32, Position)> {
    let (checked, check) = bytes.split_at_checked(CHECKED)?;
    (check == Sha256::digest(checked).as_slice()).then_some(())?;
    let field = |at: usize, length: usize| checked.get(at..at + length);
    (field(0, 8)? == MAGIC).then_some(())?;
    let format = u32::from_le_bytes(field(8, 4)?.try_into().ok()?);
    let epoch = u64::from_le_bytes(field(16, 8)?.try_into().ok()?);
    Some((format, Log::start(epoch, field(24, 16)?.try_into().ok()?)))
}

/// The bytes of a record for `position`, and where the next one goes. None if it is larger than the format can say.
pub(crate) fn encode(position: &Position, record: &Record) -> Option<(Vec<u8>, Position)> {
    let mut frame = frame::begin();
    record.encode(&mut frame)?;
    Some(frame::finish(position, frame))
}
