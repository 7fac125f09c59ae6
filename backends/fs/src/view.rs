//! What a handle knows of the journal, and how it learns of what others committed.
//!
//! Readers take no lock. They look at the `state` file, read the records that have come since, and answer from the overlay or, for keys that it
//! does not name, from the files. **Invariant:** of every key that was changed since the files were last made durable the journal has the
//! last value, so a file is believed only where the journal says nothing. A crash therefore needs no repair before the next reader.

use std::sync::{Arc, Mutex, PoisonError};

use pflow_backend::{Error, ErrorKind, Result};

use crate::{
    error::failed,
    folder::{Folder, OpenFile},
    journal::{
        self, JOURNAL, LOG, STATE,
        frame::Position,
        log::{Found, Log},
        record::Record,
        state::{STATE_BYTES, State},
    },
    medium::{FileId, Open},
    overlay::Overlay,
    root::Root,
};

/// How often a reader looks again when the journal changes under it. Each look that fails means that somebody got on meanwhile.
const LOOKS: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The last state that was acted on.
    pub(crate) seen: Option<State>,
    /// Where the next record goes; none at rest.
    pub(crate) position: Option<Position>,
    pub(crate) overlay: Overlay,
    /// The end of the journal was looked for under the lock once, so that a state which a crash of the machine left behind was set right.
    pub(crate) verified: bool,
    /// What a crash left in the state file, where nobody may set it right.
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
    Err(Error::new(ErrorKind::Unavailable, what))
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
    /// Looks once, without a lock, and takes in what was committed since; false if the journal changed under the look.
    fn try_catch_up(&mut self, root: &Root) -> Result<bool> {
        match self.look(root)? {
            Look::Missing => {
                // Nobody has committed here yet. Or somebody took the journal away, and with it what it alone held.
                if self.seen.is_some() {
                    self.forget();
                }
                Ok(true)
            }
            // What a crash left is known to whoever may not mend it.
            Look::Torn(bytes) => Ok(self.remains.as_ref() == Some(&bytes)),
            Look::Whole(state) if Some(state) == self.seen => Ok(true),
            Look::Whole(state) => self.follow(root, state),
        }
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

    /// Everything that the journal holds, whatever the state says. Under the lock, or where nobody can write.
    ///
    /// # Errors
    /// It is damaged, or a newer program's, or cannot be read.
    pub(crate) fn read_all(&mut self, log: &Log) -> Result<()> {
        let mut overlay = self.overlay.emptied();
        let end = match log.begin()? {
            None => None,
            Some(start) => {
                let (records, end) = records(log, start, None)?;
                records.iter().for_each(|record| overlay.absorb(record));
                log.check_nothing_behind(&end)?;
                Some(end)
            }
        };
        (self.overlay, self.position, self.log) = (overlay, end, None);
        Ok(())
    }

    /// Takes what the state file holds for what belongs to all that was [read](Self::read_all), whatever it is, until somebody writes another one.
    pub(crate) fn believe_what_was_read(&mut self, root: &Root) -> Result<()> {
        (self.seen, self.remains) = match self.look(root)? {
            Look::Missing => (None, None),
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
            // It has just begun anew, and perhaps its header is being written: there is nothing to read in any case.
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
                let Some(start) = log.begin()?.filter(|it| (it.epoch, it.salt) == (goal.epoch, goal.salt))
                else {
                    return Ok(false);
                };
                match known {
                    Some(known) => (Arc::new(log), None, known),
                    None => (Arc::new(log), Some(self.overlay.emptied()), start),
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
