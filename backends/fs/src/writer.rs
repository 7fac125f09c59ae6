//! The journal in the hands of whoever holds the lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pflow_backend::{Environment, Error, ErrorKind, Outcome, Result};

use crate::{
    error::failed,
    folder::{Folder, OpenFile},
    journal::{
        LOG, NEW_LOG, STATE,
        frame::{Position, Salt},
        log::{Found, Log, encode},
        part,
        record::Record,
        state::State,
    },
    lock::StoreLock,
    medium::{FileId, Open},
    overlay::Overlay,
    root::Root,
    view::View,
};

/// The open files of the journal, kept from one lock to the next.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    log: Option<(Log, FileId)>,
    state: Option<(OpenFile, FileId)>,
    /// A sync failed under this handle, and the mark in the state file may not have come about.
    poisoned: bool,
}

/// A journal that has not taken its place yet.
#[derive(Debug)]
struct NewLog {
    log: Log,
    id: FileId,
    state: State,
}

/// The journal under the lock, up to date.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    pub(crate) root: &'a Root,
    pub(crate) folder: &'a Folder,
    view: &'a Mutex<View>,
    writer: &'a mut Writer,
    environment: &'a dyn Environment,
}

impl<'a> Journal<'a> {
    /// Brings the view up to date and makes the journal fit to be written to: what a process left that died is taken in, and after a failed sync
    /// a new file takes the place of the old one.
    ///
    /// # Errors
    /// It is damaged, or cannot be read or mended. Nothing that was committed is lost.
    pub(crate) fn begin(
        root: &'a Root,
        lock: &'a StoreLock,
        view: &'a Mutex<View>,
        writer: &'a mut Writer,
        environment: &'a dyn Environment,
    ) -> Result<Self> {
        let mut journal = Self { root, folder: lock.journal(), view, writer, environment };
        journal.open()?;
        journal.take_in()?;
        Ok(journal)
    }

    pub(crate) fn view(&self) -> MutexGuard<'a, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the file of records goes; 0 at rest.
    pub(crate) fn tail(&self) -> u64 {
        self.view().position.map_or(0, |position| position.tail)
    }

    /// Writes a record, durably, and lets everybody see it.
    ///
    /// # Errors
    /// The outcome tells: there was no room, and nothing happened; or a write or a sync failed, and nobody can tell.
    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        // By an earlier record under the same lock.
        if self.writer.poisoned {
            self.renew()?;
        }
        let known = self.view().position;
        let position = known.unwrap_or_else(|| Log::start(self.next_epoch(), self.salt()));
        let Some((frame, next)) = encode(&position, record) else {
            return Err(Error::new(ErrorKind::InvalidInput, "The batch is larger than a journal can say"));
        };
        let log = self.log()?;
        log.reserve(&position, frame.len() as u64)?;
        let written = log.append(&position, &frame).and_then(|()| log.sync());
        // IMPORTANT: only now. What can be seen is durable.
        let published = written.and_then(|()| self.publish(State::at(next)));
        if let Err(error) = published {
            self.poison();
            return Err(error.with_outcome(Outcome::Unknown));
        }
        let mut view = self.view();
        // A reader may have followed in between.
        if view.position != Some(next) {
            view.overlay.absorb(record);
        }
        view.agree(State::at(next));
        Ok(())
    }

    /// Ends the journal, whose every value is in its file for good: empties it, or begins it anew in the room that it has.
    ///
    /// # Errors
    /// It did not end; nothing is lost.
    pub(crate) fn end(&mut self, empty: bool) -> Result<()> {
        let start = Log::start(self.next_epoch(), self.salt());
        let state = if empty { State::rest(start.epoch) } else { State::at(start) };
        // IMPORTANT: said first, so that no reader is sent to records that are going away: the files have it all by now. Whoever dies in between leaves
        // records that whoever locks next takes in once more.
        let said = self.publish(state);
        let log = self.log()?;
        let ended = said.and_then(|()| match empty {
            true => log.clear(),
            // IMPORTANT: durable before the first record, which is written over one of the epoch before.
            false => log.write_header(&start).and_then(|()| log.sync()),
        });
        if let Err(error) = ended {
            self.poison();
            return Err(error);
        }
        let mut view = self.view();
        view.overlay.clear();
        view.agree(state);
        Ok(())
    }

    /// Ends the epoch, whose every value is in its file, durably, but for what is `left`: the next epoch begins with that, in a new file.
    ///
    /// **Invariant:** the record of what is left is durable before the new file takes the place of the old one. A crash leaves the old epoch, with
    /// everything, or the new one, with what is left.
    ///
    /// # Errors
    /// It did not end, or may not have; nothing is lost.
    pub(crate) fn carry(&mut self, left: Overlay) -> Result<()> {
        let record = Record { time: self.environment.now(), changes: left.as_changes(), carries: true };
        let new = self.write_new(Some(&record))?;
        let state = new.state;
        if let Err(error) = self.put_in_place(new) {
            // Which of the two files the name leads to after a crash is not known, so another one takes its place.
            self.poison();
            return Err(error);
        }
        let mut view = self.view();
        view.overlay = left;
        view.overlay.are_carried();
        view.agree(state);
        Ok(())
    }

    fn log(&mut self) -> Result<&mut Log> {
        let missing = || Error::new(ErrorKind::Unavailable, "The journal is not open");
        self.writer.log.as_mut().map(|(log, _)| log).ok_or_else(missing)
    }

    /// Opens what others may have replaced or taken away since.
    fn open(&mut self) -> Result<()> {
        let there = |name: &str| {
            let mut status = self.folder.look(name)?;
            if status.is_some_and(|status| status.has_other_names) {
                part(self.folder, name)?;
                status = self.folder.look(name)?;
            }
            Ok::<_, Error>(status.map(|status| status.id))
        };
        let (log_id, state_id) = (there(LOG)?, there(STATE)?);
        if log_id.is_none() || self.writer.log.as_ref().map(|(_, id)| *id) != log_id {
            let (file, id) = self.create(LOG)?;
            self.writer.log = Some((Log::new(file)?, id));
        }
        if log_id.is_none() || state_id.is_none() {
            // IMPORTANT: the names of the journal are durable before the state file exists. So whoever finds both need not sync them.
            self.folder.sync()?;
            self.root.folder().sync()?;
        }
        if state_id.is_none() || self.writer.state.as_ref().map(|(_, id)| *id) != state_id {
            self.writer.state = Some(self.create(STATE)?);
        }
        Ok(())
    }

    fn create(&self, name: &str) -> Result<(OpenFile, FileId)> {
        let path = self.folder.path_of(name);
        let file = self.folder.open_own(name, Open::Create).map_err(|error| failed("open", &path, error))?;
        let id = file.status()?.id;
        Ok((file, id))
    }

    /// Takes in what is there, whoever left it.
    fn take_in(&mut self) -> Result<()> {
        let root = self.root;
        let mut view = self.view();
        let state = view.state(root)?;
        let followed = match state {
            Some(state) => Some(state) == view.seen || view.follow(root, state)?,
            None => false,
        };
        let log = self.log()?;
        log.measure()?;
        let begun = log.begin()?;
        // The file was taken away, and this view is not behind what it held.
        let lost = begun.is_none() && followed && !view.overlay.is_empty();
        if lost || self.writer.poisoned || state.is_some_and(|it| it.poisoned) {
            if !followed {
                view.read_all(self.log()?)?;
            }
            drop(view);
            return self.renew();
        }
        // IMPORTANT: the header tells which journal this is. Whoever died before it could say that it began another one left the state of the one before,
        // and what is appended to that nobody finds again.
        let start = |position: Position| Log::start(position.epoch, position.salt);
        let known = if followed { view.position } else { None };
        if !view.verified || !followed || known.map(start) != begun {
            view.read_all(self.log()?)?;
        } else if let Some(mut at) = known {
            // What a process committed that died before it could say so.
            while let Found::Record(record, next) = self.log()?.read(&at)? {
                view.overlay.absorb(&record);
                at = next;
            }
            view.position = Some(at);
        }
        view.verified = true;
        let now = view.position.map_or_else(
            || State::rest(state.map_or(1, |state| state.position.epoch + u64::from(!state.is_rest()))),
            State::at,
        );
        if Some(now) != state {
            // IMPORTANT: a record that nobody vouches for may not be durable, and what a failed sync left may only look so. Written once more and
            // synced it is.
            let from = state.map(|state| state.position).filter(|it| {
                view.position
                    .is_some_and(|end| (it.epoch, it.salt) == (end.epoch, end.salt) && it.tail <= end.tail)
            });
            let durable = match view.position {
                Some(end) => self.log()?.write_again(from.as_ref(), &end),
                None => Ok(()),
            };
            if let Err(error) = durable.and_then(|()| self.publish(now)) {
                // Nobody may see here what others do not see, and what may be lost.
                view.forget();
                view.verified = false;
                return Err(error);
            }
        }
        view.agree(now);
        Ok(())
    }

    /// Puts a new file in the place of the journal, with what the old one says that can be seen.
    ///
    /// After a failed sync the system may take for clean what never reached the medium, so that a second sync proves nothing (Rebello et
    /// al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). What is written anew into a new file is synced for the first time.
    fn renew(&mut self) -> Result<()> {
        let changes = self.view().overlay.as_changes();
        let record = Record { time: self.environment.now(), changes, carries: false };
        let new = self.write_new(Some(&record).filter(|record| !record.changes.is_empty()))?;
        let state = new.state;
        self.put_in_place(new)?;
        self.writer.poisoned = false;
        let mut view = self.view();
        view.verified = true;
        view.agree(state);
        tracing::warn!(path = %self.root.path().display(), "a new journal took the place of one that could not be synced");
        Ok(())
    }

    /// Writes a new journal that begins with a record, durably, beside the one that is in use.
    fn write_new(&self, record: Option<&Record>) -> Result<NewLog> {
        self.folder.remove_file(NEW_LOG)?;
        let (file, id) = self.create(NEW_LOG)?;
        let mut log = Log::new(file)?;
        let mut state = State::rest(self.next_epoch());
        if let Some(record) = record {
            let start = Log::start(self.next_epoch(), self.salt());
            let too_large =
                || Error::new(ErrorKind::InvalidInput, "The journal is larger than one record can say");
            let (frame, next) = encode(&start, record).ok_or_else(too_large)?;
            log.reserve(&start, frame.len() as u64)?;
            log.append(&start, &frame)?;
            state = State::at(next);
        }
        log.sync()?;
        Ok(NewLog { log, id, state })
    }

    /// Puts a new journal in the place of the old one, and says so.
    fn put_in_place(&mut self, new: NewLog) -> Result<()> {
        self.folder.rename(NEW_LOG, (self.folder, LOG))?;
        // IMPORTANT: before anything is appended, which the old file would not have.
        self.folder.sync()?;
        self.writer.log = Some((new.log, new.id));
        self.publish(new.state)
    }

    /// Nobody appends any more to what could not be synced.
    fn poison(&mut self) {
        self.writer.poisoned = true;
        let seen = self.view().seen.unwrap_or_else(|| State::rest(1));
        if let Err(error) = self.publish(State { poisoned: true, ..seen }) {
            tracing::warn!(%error, "other processes do not learn of a failed sync");
        }
        self.view().seen = None;
    }

    fn publish(&self, state: State) -> Result<()> {
        let missing = || Error::new(ErrorKind::Unavailable, "The journal's state is not open");
        let (file, _) = self.writer.state.as_ref().ok_or_else(missing)?;
        file.write_at(&state.encode(), 0)
    }

    fn next_epoch(&self) -> u64 {
        let view = self.view();
        let seen = view.seen.map_or(0, |state| state.position.epoch);
        view.position.map_or(0, |position| position.epoch).max(seen) + 1
    }

    fn salt(&self) -> Salt {
        let mut salt = [0; 16];
        let (one, two) = salt.split_at_mut(8);
        one.copy_from_slice(&self.environment.random().to_le_bytes());
        two.copy_from_slice(&self.environment.random().to_le_bytes());
        salt
    }
}
