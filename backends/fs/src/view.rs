//! What a handle knows of the journal, and how it learns of what others committed.
//!
//! Readers take no lock. They look at the `state` file, read the records that have come since, and answer
//! from the overlay or, for keys that it does not name, from the files. **Invariant:** of every key that was
//! changed since the files were last made durable the journal has the last value, so a file is believed only
//! where the journal says nothing. A crash therefore needs no repair before the next reader.
//!
//! What [`state`](crate::journal::state) vouches for and the journal does not hold is an error, for everybody
//! who opens the folder or takes the lock: [`View::recover`] decides it.

use std::sync::{Arc, Mutex, PoisonError};

use pflow_backend::{Error, ErrorKind, Result};

use crate::{
    error::failed,
    folder::{Folder, OpenFile},
    journal::{
        self, JOURNAL, LOG, STATE,
        frame::Position,
        log::{Begun, Found, Log, damaged},
        lost::LostTail,
        record::Record,
        state::{STATE_BYTES, State},
    },
    medium::{FileId, Open},
    overlay::Overlay,
    root::Root,
};

/// How often a reader looks again when the journal changes under it. Each look that fails means that somebody
/// got on meanwhile.
const LOOKS: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The last state that was acted on.
    pub(crate) seen: Option<State>,
    /// Where the next record goes; none at rest.
    pub(crate) position: Option<Position>,
    pub(crate) overlay: Overlay,
    /// The end of the journal was looked for under the lock once, so that a state which a crash of the
    /// machine left behind was set right.
    pub(crate) verified: bool,
    /// What a crash left in the state file, where nobody may set it right; no bytes where there is no such
    /// file.
    remains: Option<Vec<u8>>,
    /// For reading; others may have put a new file in its place.
    log: Option<Arc<Log>>,
    place: Option<Arc<Place>>,
}

/// Takes in what was committed since, without a lock between processes.
///
/// IMPORTANT: between two looks the view is free, so that whoever commits through the same handle can go on.
///
/// # Errors
/// The journal cannot be read, or its state makes no sense; `Unavailable` if the latter may mend itself.
pub(crate) fn catch_up(view: &Mutex<View>, root: &Root) -> Result<()> {
    for _ in 0..LOOKS {
        if view.lock().unwrap_or_else(PoisonError::into_inner).try_catch_up(root)? {
            return Ok(());
        }
        std::thread::yield_now();
    }
    let what = format!(
        "The journal in {} does not fit its state; a commit through any handle sets it right",
        root.path().display()
    );
    Err(Error::not_applied(ErrorKind::Unavailable, what))
}

/// A moment in the history of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    pub(crate) epoch: u64,
    tail: u64,
}

/// The state file as it was opened last, and what must still be there for it to be the right one.
#[derive(Debug)]
struct Place {
    journal: Folder,
    journal_id: FileId,
    file: OpenFile,
    file_id: FileId,
}

/// What a view went by at one moment.
#[derive(Debug)]
pub(crate) struct Known {
    seen: State,
    place: Arc<Place>,
}

impl Known {
    /// Whether nothing was committed since, so that there is nothing to take in.
    pub(crate) fn is_current(&self, root: &Root) -> bool {
        let state = || {
            let mut bytes = [0; STATE_BYTES];
            let read = self.place.file.read_at(&mut bytes, 0).ok()?;
            State::decode(bytes.get(..read)?)
        };
        self.place.is_in_place(root).unwrap_or(false) && state() == Some(self.seen)
    }
}

/// What the state file holds.
enum Look {
    /// It is not there.
    Missing,
    /// Somebody is writing it, or a crash tore it.
    Torn(Vec<u8>),
    Whole(State),
}

impl View {
    /// Looks once, without a lock, and takes in what was committed since; false if the journal changed under
    /// the look.
    fn try_catch_up(&mut self, root: &Root) -> Result<bool> {
        match self.look(root)? {
            Look::Missing => self.is_nothing_missing(root),
            // What a crash left is known to whoever may not mend it.
            Look::Torn(bytes) => Ok(self.remains.as_ref() == Some(&bytes)),
            Look::Whole(state) if Some(state) == self.seen => Ok(true),
            Look::Whole(state) => self.follow(root, state),
        }
    }

    /// Whether there is no state file because nobody has committed here yet, or because it was removed at
    /// rest, when it is not needed.
    ///
    /// # Errors
    /// `Unavailable` if the file was removed while the journal had work: under the lock it is written again.
    fn is_nothing_missing(&mut self, root: &Root) -> Result<bool> {
        if self.remains.as_ref().is_some_and(Vec::is_empty) {
            return Ok(true);
        }
        let has_work = || {
            let folder = journal::find(root.folder())?;
            let log = folder.map(|folder| folder.look(LOG)).transpose()?.flatten();
            Ok::<_, Error>(log.is_some_and(|status| status.size > 0))
        };
        if self.seen.is_some_and(|state| !state.is_rest()) || has_work()? {
            let what = format!(
                "The file {JOURNAL}/{STATE} in {} was removed while the journal was in use",
                root.path().display()
            );
            return Err(Error::not_applied(ErrorKind::Unavailable, what));
        }
        if self.seen.is_some() {
            self.forget();
        }
        Ok(true)
    }

    /// What this view goes by, to be held against what is there without keeping others from the view.
    pub(crate) fn what_it_knows(&self) -> Option<Known> {
        Some(Known { seen: self.seen?, place: self.place.clone()? })
    }

    /// What tells whether anything was committed between two looks.
    pub(crate) fn stamp(&self) -> Stamp {
        let state = self.position.or(self.seen.map(|state| state.position));
        state.map_or_else(Stamp::default, |at| Stamp { epoch: at.epoch, tail: at.tail })
    }

    /// Takes over a state that says what this view knows already.
    pub(crate) fn agree(&mut self, state: State) {
        self.position = (!state.is_rest()).then_some(state.position);
        if state.is_rest() {
            self.overlay.clear();
            self.log = None;
        }
        self.seen = Some(state);
    }

    /// Knows nothing any more, so that it is all looked at again.
    pub(crate) fn forget(&mut self) {
        (self.seen, self.position, self.log) = (None, None, None);
        self.overlay = self.overlay.emptied();
    }

    /// Reads everything that the journal holds and that has not ended: up to what `state` vouches for at
    /// least. Under the lock, or where nobody can write. `log` is none if the file is missing.
    ///
    /// # Errors
    /// `Corrupt` if what the state vouches for cannot be read, or a whole record is behind a damaged one;
    /// nothing has changed then. With `accept_tail` that is no error, and the answer says what is lost. The
    /// journal is a newer program's, or cannot be read.
    pub(crate) fn recover(
        &mut self,
        root: &Root,
        log: Option<&Log>,
        state: Option<State>,
        accept_tail: bool,
    ) -> Result<Recovered> {
        let accepted = |error: &Error| accept_tail && error.kind() == ErrorKind::Corrupt;
        let (begun, unreadable) = match log.map_or(Ok(None), Log::begin) {
            Err(error) if accepted(&error) => (None, Some(LostTail::all())),
            begun => (begun?, None),
        };
        let start = start_of(begun, state);
        let vouched = state.filter(|state| !state.is_rest()).map(|state| state.position);
        // A later epoch has begun: what the state vouches for is in the files.
        let vouched = vouched.filter(|it| start.is_none_or(|start| start.epoch <= it.epoch));
        let missing = |end: &Position| LostTail {
            epoch: Some(end.epoch),
            first: end.sequence + 1,
            last: vouched.map(|it| it.sequence),
            keys: Vec::new(),
        };
        let (Some(start), Some(log)) = (start, log) else {
            if let Some(start) = start.filter(|_| vouched.is_some_and(|it| it.sequence > 0)) {
                return Err(damaged(&root.path().join(JOURNAL).join(LOG), missing(&start)));
            }
            (self.overlay, self.position, self.log) = (self.overlay.emptied(), None, None);
            return Ok(Recovered { renew: false, lost: unreadable });
        };
        // What was appended before a failed sync was answered as unknown, and has been seen not to be there
        // since. It stays out.
        let stop = vouched.filter(|_| state.is_some_and(|state| state.poisoned));
        let read = Reading { overlay: self.overlay.emptied(), end: start, reached: false, torn: false };
        let read = read.on(log, vouched, stop, &accepted)?;
        let lost = match (read.reached, accept_tail) {
            (false, false) => {
                let lost = log.what_is_lost(&read.end, vouched.map(|it| it.sequence))?;
                return Err(log.corrupt(lost.unwrap_or_else(|| missing(&read.end))));
            }
            (_, true) => log.what_is_lost(&read.end, vouched.map(|it| it.sequence))?,
            (true, false) => {
                if stop.is_none() {
                    log.check_nothing_behind(&read.end)?;
                }
                None
            }
        };
        let is_begun = begun.is_some_and(|begun| begun.has_header && begun.start == start);
        let is_vouched_for = state.is_some_and(|state| state.position == read.end);
        let renew = !is_begun || !is_vouched_for || read.torn || lost.is_some();
        (self.overlay, self.position, self.log) = (read.overlay, Some(read.end), None);
        Ok(Recovered { renew, lost })
    }

    /// Takes what the state file holds for what belongs to all that was [read](Self::recover), whatever it
    /// is, until somebody writes another one.
    pub(crate) fn believe_what_was_read(&mut self, root: &Root) -> Result<()> {
        (self.seen, self.remains) = match self.look(root)? {
            // Where nothing was read there is nothing to miss.
            Look::Missing => (None, self.position.is_some().then(Vec::new)),
            Look::Torn(bytes) => (None, Some(bytes)),
            Look::Whole(state) => (Some(state), None),
        };
        Ok(())
    }

    /// What the state file says at this moment.
    pub(crate) fn state(&mut self, root: &Root) -> Result<Option<State>> {
        Ok(match self.look(root)? {
            Look::Whole(state) => Some(state),
            Look::Missing | Look::Torn(_) => None,
        })
    }

    /// Goes to where the state says; false if the journal does not lead there.
    pub(crate) fn follow(&mut self, root: &Root, state: State) -> Result<bool> {
        if state.is_rest() {
            self.agree(state);
            return Ok(true);
        }
        let goal = state.position;
        if goal.sequence == 0 {
            // It has just begun anew, and perhaps its header is being written: there is nothing to read in
            // any case.
            self.overlay.clear();
            (self.position, self.seen, self.log) = (Some(goal), Some(state), None);
            return Ok(true);
        }
        let known =
            self.position.filter(|at| (at.epoch, at.salt) == (goal.epoch, goal.salt) && at.tail <= goal.tail);
        let (log, overlay, start) = match (known, self.log.clone()) {
            (Some(start), Some(log)) => (log, None, start),
            (known, _) => {
                let Some(log) = open_log(root)? else { return Ok(false) };
                match known {
                    Some(known) => (Arc::new(log), None, known),
                    None => {
                        // IMPORTANT: only the end of an epoch begins the one right behind it; a journal that
                        // is renewed passes one over. So a handle that saw the epoch before knows that no
                        // file holds what a crash left, and cannot know it of a later one.
                        let has_ended = self.position.is_some_and(|at| at.epoch + 1 == goal.epoch);
                        let fresh = if has_ended { Overlay::default() } else { self.overlay.emptied() };
                        (Arc::new(log), Some(fresh), Log::start(goal.epoch, goal.salt))
                    }
                }
            }
        };
        // All of them or none: what does not lead to the goal is of another epoch, perhaps.
        let (more, end) = records(&log, start, Some(&goal))?;
        if end != goal {
            self.log = None;
            return Ok(false);
        }
        if let Some(fresh) = overlay {
            self.overlay = fresh;
        }
        more.iter().for_each(|record| self.overlay.absorb(record));
        (self.position, self.seen, self.log) = (Some(end), Some(state), Some(log));
        Ok(true)
    }

    fn look(&mut self, root: &Root) -> Result<Look> {
        let place = match self.place.take() {
            Some(place) if place.is_in_place(root)? => place,
            _ => match Place::find(root)? {
                Some(place) => Arc::new(place),
                None => return Ok(Look::Missing),
            },
        };
        let mut bytes = [0; STATE_BYTES];
        let read = place.file.read_at(&mut bytes, 0)?;
        self.place = Some(place);
        let bytes = bytes.get(..read).unwrap_or_default();
        Ok(State::decode(bytes).map_or_else(|| Look::Torn(bytes.to_vec()), Look::Whole))
    }
}

impl Place {
    fn find(root: &Root) -> Result<Option<Self>> {
        let Some(journal) = journal::find(root.folder())? else { return Ok(None) };
        if journal.look(STATE)?.is_none() {
            return Ok(None);
        }
        let file = journal
            .open_own(STATE, Open::Read)
            .map_err(|error| failed("open", &journal.path_of(STATE), error))?;
        let (journal_id, file_id) = (journal.id()?, file.status()?.id);
        Ok(Some(Self { journal, journal_id, file, file_id }))
    }

    fn is_in_place(&self, root: &Root) -> Result<bool> {
        Ok(root.folder().look(JOURNAL)?.is_some_and(|it| it.id == self.journal_id)
            && self.journal.look(STATE)?.is_some_and(|it| it.id == self.file_id))
    }
}

/// The journal's file for reading; none if there is none.
pub(crate) fn open_log(root: &Root) -> Result<Option<Log>> {
    let Some(journal) = journal::find(root.folder())? else { return Ok(None) };
    match journal.open_file(LOG)? {
        Some((file, _)) => Log::new(file).map(Some),
        None => Ok(None),
    }
}

/// What [`View::recover`] found.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Nothing may be appended to this file: it holds records that no state vouches for, or a part of one, or
    /// its header is damaged. What is not vouched for may not be durable although it can be read: after a
    /// failed sync the system may take it for clean, and writing the same bytes into the same file again
    /// changes nothing. A new file takes its place.
    pub(crate) renew: bool,
    /// What is given up.
    pub(crate) lost: Option<LostTail>,
}

/// Where the records begin that have not ended; none if there are none.
fn start_of(begun: Option<Begun>, state: Option<State>) -> Option<Position> {
    let ended = state.map_or(0, |state| state.ended());
    let newest = begun.map(|begun| begun.start).filter(|start| start.epoch > ended);
    // The state knows where its own epoch begins, whatever became of the header.
    let known = state.filter(|state| !state.is_rest()).map(|state| state.position);
    newest.or_else(|| known.map(|at| Log::start(at.epoch, at.salt)))
}

/// What was read of a journal from its beginning.
struct Reading {
    overlay: Overlay,
    end: Position,
    /// Everything that the state vouches for was read.
    reached: bool,
    /// There is a record at the end that is not whole.
    torn: bool,
}

impl Reading {
    /// Reads to the end, or to `stop`.
    fn on(
        self,
        log: &Log,
        vouched: Option<Position>,
        stop: Option<Position>,
        accepted: &dyn Fn(&Error) -> bool,
    ) -> Result<Self> {
        let mut read = self;
        loop {
            read.reached |= vouched.is_none_or(|vouched| vouched == read.end || vouched.sequence == 0);
            if stop == Some(read.end) {
                return Ok(read);
            }
            match log.read(&read.end) {
                Ok(Found::Record(record, next)) => {
                    read.overlay.absorb(&record);
                    read.end = next;
                }
                Ok(Found::End) => return Ok(read),
                Ok(Found::Torn) => {
                    read.torn = true;
                    return Ok(read);
                }
                Err(error) if accepted(&error) => return Ok(read),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The records from `start` on, up to `goal` if there is one; and where they end.
fn records(log: &Log, start: Position, goal: Option<&Position>) -> Result<(Vec<Record>, Position)> {
    let (mut records, mut at) = (Vec::new(), start);
    while goal.is_none_or(|goal| at.tail < goal.tail) {
        let Found::Record(record, next) = log.read(&at)? else { break };
        records.push(record);
        at = next;
    }
    Ok((records, at))
}
