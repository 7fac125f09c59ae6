//! The file of records: two slots for a header, then the records.
//!
//! ```text
//! 0     header: magic (8), format (u32), zeros (4), epoch (u64), salt (16), instance (16), check (32): the SHA-256 of what comes
//!       before it
//! 512   the other header
//! 4096  records ([`super::frame`]), then zeros or what is left of earlier epochs
//! ```
//! A journal begins again by the header of the next epoch in the slot that the present one does not use:
//! **the newest valid header counts**. So a torn header leaves the epoch before, whose changes are all
//! durable in the files by then. Where the first record is whole and of a later epoch than every valid
//! header, its own header was damaged, and the record counts in its place.
//!
//! # The end of the journal
//! A record is appended only when the one before it is durable. `state` vouches for the records up to a
//! position ([`super::state`]): whatever of them cannot be read was acknowledged and is lost, which is an
//! error. Behind that position a damaged record at the end was never acknowledged; but a valid record
//! **behind** a damaged one proves that something was lost.

use std::path::Path;

use pflow_backend::{Bytes, Error, ErrorKind, Key, Result};
use sha2::{Digest, Sha256};

use super::{
    frame::{self, ALIGN, HEADER_BYTES, Header, Position, Salt, frame_bytes},
    lost::LostTail,
    record::Record,
};
use crate::{
    folder::OpenFile,
    instance::{Mark, UNMARKED},
};

const MAGIC: &[u8; 8] = b"pflowlog";
const FORMAT: u32 = 1;
const SLOTS: [u64; 2] = [0, 512];
const CHECKED: usize = 56;
const SLOT_BYTES: usize = CHECKED + 32;
/// Where records begin.
const RECORDS: u64 = 4096;
/// The file grows by its own length, at least by the first and at most by the second: a small folder stays
/// small, and appending to what is there costs a file system no change of its own books.
const SMALLEST_STEP: u64 = 64 * 1024;
const LARGEST_STEP: u64 = 1024 * 1024;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// How much is compared with zeros at once.
const BLOCK: usize = 512;
/// How much of the file is in memory at once while it is searched or hashed: its length may be anything.
const PIECE: usize = 1024 * 1024;

/// The open file.
#[derive(Debug)]
pub(crate) struct Log {
    file: OpenFile,
    length: u64,
}

/// What is at a position.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record that belongs there, and where the next one goes.
    Record(Record, Position),
    /// A record that belongs there and is not whole: a process died while it wrote it, or it was damaged
    /// since.
    Torn,
    /// Nothing that belongs there.
    End,
}

/// Where a journal begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) start: Position,
    /// There is a valid header. Otherwise the first record says it.
    pub(crate) has_header: bool,
    /// The place where the epoch began, as the header says; unmarked without one.
    pub(crate) instance: Mark,
}

/// A whole record behind one that cannot be read.
#[derive(Debug)]
pub(crate) struct Later {
    at: u64,
    header: Header,
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

    /// How long the file was when it was last [measured](Self::measure) or changed.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Where a journal with this header begins.
    pub(crate) fn start(epoch: u64, salt: Salt) -> Position {
        Position { epoch, salt, sequence: 0, tail: RECORDS, check: [0; 32] }
    }

    /// Where the newest epoch begins; none if the journal was never begun, or was emptied.
    ///
    /// # Errors
    /// `Incompatible` for a newer format, `Corrupt` where there is a record and neither it nor any header is
    /// valid.
    pub(crate) fn begin(&self) -> Result<Option<Begun>> {
        let mut newest: Option<(Position, Mark)> = None;
        let mut blank = true;
        for slot in SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            let read = self.file.read_at(&mut bytes, slot)?;
            blank &= bytes.iter().all(|byte| *byte == 0);
            let Some((format, position, instance)) = bytes.get(..read).and_then(header) else { continue };
            if format > FORMAT {
                let what = format!(
                    "{} was left by a newer program, and this one cannot read it; open the store once with the newer \
                     program, which finishes its work",
                    self.file.path().display()
                );
                return Err(Error::not_applied(ErrorKind::Incompatible, what));
            }
            if newest.is_none_or(|(known, _)| known.epoch < position.epoch) {
                newest = Some((position, instance));
            }
        }
        let first = self.header_at(RECORDS)?;
        if let Some((first, start)) = first.and_then(|first| Some((first, first.as_first(RECORDS)?)))
            && newest.is_none_or(|(known, _)| known.epoch < start.epoch)
            && self.is_whole_at(RECORDS, &first)?
        {
            return Ok(Some(Begun { start, has_header: false, instance: UNMARKED }));
        }
        // A process that died while it wrote the first header may have left it torn, but then it left no
        // record that looks like one.
        if newest.is_none() && !blank && first.is_some() {
            return Err(self.corrupt(LostTail::all()));
        }
        Ok(newest.map(|(start, instance)| Begun { start, has_header: true, instance }))
    }

    /// The record at `position`, if one belongs there.
    ///
    /// # Errors
    /// It could not be read, or it is valid and says what no program of this format writes.
    pub(crate) fn read(&self, position: &Position) -> Result<Found> {
        let header = self.header_at(position.tail)?.filter(|it| it.follows(position));
        let Some(header) = header else { return Ok(Found::End) };
        let Some(payload) = self.payload(position.tail, &header)? else { return Ok(Found::Torn) };
        match Record::decode(&payload) {
            Some(record) => Ok(Found::Record(record, header.next(position))),
            None => Err(self.lost_from(position, Some(position.sequence + 1), Vec::new())),
        }
    }

    /// Refuses a journal that has a valid record behind `position`, where none was found.
    pub(crate) fn check_nothing_behind(&self, position: &Position) -> Result<()> {
        match self.later(position, 1)?.first() {
            None => Ok(()),
            Some(later) => {
                let last = Some(later.header.sequence + 1);
                Err(self.lost_from(position, last, self.keys_of(std::slice::from_ref(later))?))
            }
        }
    }

    /// What is lost of a journal that can be read up to `end` and no further. `vouched` is how many records
    /// its state vouches for.
    pub(crate) fn what_is_lost(&self, end: &Position, vouched: Option<u64>) -> Result<Option<LostTail>> {
        let later = self.later(end, usize::MAX)?;
        let last = later.last().map(|it| it.header.sequence + 1).max(vouched);
        let last = last.filter(|last| *last > end.sequence);
        let keys = self.keys_of(&later)?;
        Ok(last.map(|last| LostTail {
            epoch: Some(end.epoch),
            first: end.sequence + 1,
            last: Some(last),
            keys,
        }))
    }

    /// The error of records that were committed and cannot be read.
    pub(crate) fn corrupt(&self, lost: LostTail) -> Error {
        damaged(self.file.path(), lost)
    }

    fn lost_from(&self, end: &Position, last: Option<u64>, keys: Vec<Key>) -> Error {
        self.corrupt(LostTail { epoch: Some(end.epoch), first: end.sequence + 1, last, keys })
    }

    /// Whole records of the same epoch behind `position`, at most so many, in bounded memory whatever the
    /// length of the file.
    fn later(&self, position: &Position, most: usize) -> Result<Vec<Later>> {
        let mut found: Vec<Later> = Vec::new();
        let mut piece = vec![0; PIECE];
        let mut at = position.tail;
        while found.len() < most {
            // A tail of holes costs nothing.
            let Some(from) = self.file.next_data(at)? else { break };
            let from = from.max(at) / ALIGN * ALIGN;
            let read = self.file.read_at(&mut piece, from)?;
            let bytes = piece.get(..read).unwrap_or_default();
            if read < HEADER_BYTES {
                break;
            }
            // Headers that begin further on are whole in the next piece.
            let looked = (read - HEADER_BYTES + 1).next_multiple_of(ALIGN as usize);
            at = from.saturating_add(looked as u64);
            for offset in starts(bytes, looked) {
                let Some(header) = bytes.get(offset..).and_then(Header::parse) else { continue };
                let is_later = (header.epoch, header.salt) == (position.epoch, position.salt)
                    && header.sequence > position.sequence;
                let start = from + offset as u64;
                if is_later && self.is_whole_at(start, &header)? {
                    found.push(Later { at: start, header });
                    // What it carries may look like a record too.
                    at = start.saturating_add(frame_bytes(header.length));
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The keys that whole records change, each once, in order.
    fn keys_of(&self, records: &[Later]) -> Result<Vec<Key>> {
        let mut keys = std::collections::BTreeSet::new();
        for Later { at, header } in records {
            let record = self.payload(*at, header)?.as_ref().and_then(Record::decode);
            keys.extend(record.into_iter().flat_map(|it| it.changes).map(|change| change.key));
        }
        Ok(keys.into_iter().collect())
    }

    /// Makes room for `more` bytes at `position`, so that appending them does not run out of space. The file
    /// was [measured](Self::measure) under this lock: what others appended is not written over.
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

    /// Writes a record at `position`, and before the first one the header, for an epoch that begins at the
    /// place `instance`. It is durable after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// Any part of it may be there, all of it too.
    pub(crate) fn append(&self, position: &Position, frame: &[u8], instance: Mark) -> Result<()> {
        if position.tail == RECORDS {
            self.write_header(position, instance)?;
        }
        self.file.write_at(frame, position.tail)
    }

    /// Writes the header of an epoch that begins at the place `instance`.
    pub(crate) fn write_header(&self, start: &Position, instance: Mark) -> Result<()> {
        let slot = if start.epoch.is_multiple_of(2) { SLOTS[0] } else { SLOTS[1] };
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(start.epoch.to_le_bytes());
        bytes.extend(start.salt);
        bytes.extend(instance);
        bytes.extend(Sha256::digest(&bytes));
        self.file.write_at(&bytes, slot)
    }

    /// Returns once everything that was written is durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    /// Empties the file. It need not be durable: a state that is says that what the file held has ended.
    pub(crate) fn empty(&mut self) -> Result<()> {
        self.file.set_length(0)?;
        self.length = 0;
        Ok(())
    }

    fn header_at(&self, at: u64) -> Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        let read = self.file.read_at(&mut bytes, at)?;
        Ok(bytes.get(..read).and_then(Header::parse))
    }

    /// The payload behind a header; none if it is not whole.
    fn payload(&self, at: u64, header: &Header) -> Result<Option<Bytes>> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        // A header that was torn may claim any length: a large payload is hashed piece by piece before all of
        // it is in memory.
        if !self.is_within(at, header)? || length > PIECE && !self.is_whole_at(at, header)? {
            return Ok(None);
        }
        let mut payload = vec![0; length];
        let read = self.file.read_at(&mut payload, at + HEADER_BYTES as u64)?;
        payload.truncate(read);
        Ok(header.is_whole(&payload).then(|| payload.into()))
    }

    /// Whether header and payload belong together, in bounded memory.
    fn is_whole_at(&self, at: u64, header: &Header) -> Result<bool> {
        if !self.is_within(at, header)? {
            return Ok(false);
        }
        let (mut from, mut left, mut hash) = (at + HEADER_BYTES as u64, header.length, header.hasher());
        let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let read = self.file.read_at(piece.get_mut(..wanted).unwrap_or_default(), from)?;
            if read < wanted {
                return Ok(false);
            }
            hash.update(piece.get(..read).unwrap_or_default());
            (from, left) = (from + read as u64, left - read as u64);
        }
        Ok(header.is_check(hash))
    }

    /// Whether the file is long enough for what a header claims.
    fn is_within(&self, at: u64, header: &Header) -> Result<bool> {
        let end = at.checked_add(HEADER_BYTES as u64).and_then(|from| from.checked_add(header.length));
        let Some(end) = end else { return Ok(false) };
        Ok(end <= self.length || end <= self.file.status()?.size)
    }
}

/// The error of a journal at `path` of which committed records cannot be read.
pub(crate) fn damaged(path: &Path, lost: LostTail) -> Error {
    Error::not_applied(ErrorKind::Corrupt, format!("{} is damaged", path.display())).with_source(lost).with_hint(
        "restore the folder from a backup; or open it without what cannot be read: `FsOptions::accept_tail`",
    )
}

/// Where records can begin in the first `looked` of these bytes: not in blocks of zeros, which most of it is.
fn starts(bytes: &[u8], looked: usize) -> impl Iterator<Item = usize> + '_ {
    let blocks = bytes.chunks(BLOCK).enumerate();
    let written = blocks.filter(|(_, block)| ZEROS.get(..block.len()).is_none_or(|zeros| zeros != *block));
    written
        .flat_map(|(number, block)| (number * BLOCK..number * BLOCK + block.len()).step_by(ALIGN as usize))
        .take_while(move |offset| *offset < looked)
}

/// Format, beginning and place, if these are the bytes of a valid header.
fn header(bytes: &[u8]) -> Option<(u32, Position, Mark)> {
    let (checked, check) = bytes.split_at_checked(CHECKED)?;
    (check == Sha256::digest(checked).as_slice()).then_some(())?;
    let field = |at: usize, length: usize| checked.get(at..at + length);
    (field(0, 8)? == MAGIC).then_some(())?;
    let format = u32::from_le_bytes(field(8, 4)?.try_into().ok()?);
    let epoch = u64::from_le_bytes(field(16, 8)?.try_into().ok()?);
    let start = Log::start(epoch, field(24, 16)?.try_into().ok()?);
    Some((format, start, field(40, 16)?.try_into().ok()?))
}

/// The bytes of a record for `position`, and where the next one goes. None if it is larger than the format
/// can say.
pub(crate) fn encode(position: &Position, record: &Record) -> Option<(Vec<u8>, Position)> {
    let mut frame = frame::begin();
    record.encode(&mut frame)?;
    Some(frame::finish(position, frame))
}
