//! The journal in the hands of whoever holds the lock.

use std::{
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pflow_backend::{Environment, Error, ErrorKind, Outcome, Result};

use crate::{
    error::failed,
    files::copy,
    folder::{Folder, OpenFile, Step},
    instance::{self, Instance, Mark, Told, UNMARKED},
    journal::{
        INSTANCE, JOURNAL, LOG, NEW_LOG, NEW_STATE, QUARANTINE, STATE, VALUES,
        frame::{Position, Salt},
        log::{Found, Log, encode},
        lost::LostTail,
        part,
        record::Record,
        state::{NOBODY, SEVERAL, State},
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
    /// The id of this place, and the file that says it.
    instance: Option<(Instance, FileId)>,
    /// What the state file says, as this handle read or wrote it last.
    said: Option<State>,
    /// Somebody else wrote this state file since it was durable, or a write or a sync of it failed here.
    /// Syncing it proves nothing then: a failure may have been told to somebody else alone. A new file takes
    /// its place before anything rests on it.
    state_in_doubt: bool,
    /// A sync failed under this handle, and the mark in the state file may not have come about.
    poisoned: bool,
    /// What this handle calls itself in [`State::written_by`]; none before it writes files, and after it
    /// could not make them durable.
    id: Option<u64>,
    /// What the state says of that now.
    written_by: u64,
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
    lock: &'a StoreLock,
    view: &'a Mutex<View>,
    writer: &'a mut Writer,
    environment: &'a dyn Environment,
    /// What the place was when the lock was taken.
    told: Place,
    /// The place has an id by now.
    is_named: bool,
    /// What was given up to open the journal.
    pub(crate) lost: Option<LostTail>,
    /// The epoch of the journal before it was renewed under this lock, if it was.
    renewed_from: Option<u64>,
}

/// What `.journal/instance` said when the lock was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Own,
    /// The folder is a copy.
    Copied,
    /// There was no id.
    Unnamed,
}

impl<'a> Journal<'a> {
    /// Brings the view up to date and makes the journal fit to be written to: what a process left that died
    /// is taken in, and where anything of the journal may not be durable a new file takes its place. A copy of
    /// another place becomes a place of its own.
    ///
    /// # Errors
    /// It is damaged, or cannot be read or mended. Nothing that was committed was changed. With `accept_tail`
    /// it is opened without what cannot be read, and
    /// [`lost`](Self::lost) says what that is.
    pub(crate) fn begin(
        root: &'a Root,
        lock: &'a StoreLock,
        view: &'a Mutex<View>,
        writer: &'a mut Writer,
        environment: &'a dyn Environment,
        accept_tail: bool,
    ) -> Result<Self> {
        let folder = lock.journal();
        let told = Place::Unnamed;
        let mut journal = Self {
            root,
            folder,
            lock,
            view,
            writer,
            environment,
            told,
            is_named: false,
            lost: None,
            renewed_from: None,
        };
        journal.open()?;
        journal.take_in(accept_tail)?;
        Ok(journal)
    }

    pub(crate) fn view(&self) -> MutexGuard<'a, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name that was never given before.
    pub(crate) fn new_id(&self) -> String {
        self.environment.new_id()
    }

    /// The epochs whose changes the journal has; none at rest. More than one if it was renewed under this
    /// lock.
    pub(crate) fn epochs(&self) -> Option<RangeInclusive<u64>> {
        let now = self.view().position?.epoch;
        Some(self.renewed_from.unwrap_or(now)..=now)
    }

    /// How far the file of records goes; 0 at rest.
    pub(crate) fn tail(&self) -> u64 {
        self.view().position.map_or(0, |position| position.tail)
    }

    /// Writes a record, durably, and lets everybody see it.
    ///
    /// # Errors
    /// The outcome tells: there was no room, and nothing happened; or a write or a sync failed, and nobody
    /// can tell.
    pub(crate) fn append(&mut self, record: &Record) -> Result<()> {
        // By an earlier record under the same lock.
        if self.writer.poisoned {
            let mut view = self.view();
            self.renew(&mut view)?;
        }
        let known = self.view().position;
        let position = match known {
            Some(position) => position,
            None => Log::start(self.newest_epoch(&self.view()) + 1, self.salt()),
        };
        let Some((frame, next)) = encode(&position, record) else {
            return Err(Error::not_applied(
                ErrorKind::InvalidInput,
                "The batch is larger than a journal can say",
            ));
        };
        let log = self.log()?;
        log.reserve(&position, frame.len() as u64)?;
        self.check_lock()?;
        let instance = self.mark();
        let log = self.log()?;
        let written = log.append(&position, &frame, instance).and_then(|()| log.sync());
        // IMPORTANT: only now. What can be seen is durable.
        let state = self.signed(State::at(next));
        let published = written.and_then(|()| {
            self.check_lock()?;
            self.publish(state)
        });
        if let Err(error) = published {
            self.writer.poisoned = true;
            // Without the lock the state is another process's, which may have written over the record too.
            if self.check_lock().is_ok() {
                self.poison();
            }
            return Err(error.with_outcome(Outcome::Unknown));
        }
        let mut view = self.view();
        // A reader may have followed in between.
        if view.position != Some(next) {
            view.overlay.absorb(record);
        }
        view.agree(state);
        Ok(())
    }

    /// Says to all processes that this handle writes files from now on; whether names that were written in
    /// this epoch must be given again.
    ///
    /// They must if any other handle has written files in it, or this one and a sync failed then. The system
    /// may have failed to write such a name back without telling this handle, and may call it clean, so that
    /// no sync makes it durable.
    ///
    /// # Errors
    /// It could not be said. No file may be written.
    pub(crate) fn claim_files(&mut self) -> Result<bool> {
        if self.writer.poisoned {
            let mut view = self.view();
            self.renew(&mut view)?;
        }
        let environment = self.environment;
        let is_id = |id: &u64| *id != NOBODY && *id != SEVERAL;
        let mut fresh = || std::iter::repeat_with(|| environment.random()).find(is_id).unwrap_or(SEVERAL);
        let id = *self.writer.id.get_or_insert_with(&mut fresh);
        let claimed = match self.writer.written_by {
            NOBODY => id,
            known if known == id => id,
            _ => SEVERAL,
        };
        if claimed != self.writer.written_by {
            let state = State { written_by: claimed, ..self.said() };
            self.publish(state)?;
            // IMPORTANT: only now. If it could not be said, the next attempt must say it.
            self.writer.written_by = claimed;
            self.view().agree(state);
        }
        Ok(claimed == SEVERAL)
    }

    /// What this handle wrote into files may be lost although it can be read: from now on it trusts its own
    /// files as little as those of others.
    pub(crate) fn distrust_files(&mut self) {
        self.writer.id = None;
    }

    /// Ends the journal, whose every value is durable in its file: empties it, or begins it again in the room
    /// that it has.
    ///
    /// **Invariant:** a state at rest is durable before the journal is emptied. So a journal that is empty or
    /// missing although a valid state vouches for records was damaged; and the emptying needs no sync,
    /// because what comes back of it after a crash has ended.
    ///
    /// # Errors
    /// It did not end; nothing is lost. Or it ended, and its file could not be emptied.
    pub(crate) fn end(&mut self, empty: bool) -> Result<()> {
        self.check_lock()?;
        if empty && self.writer.said.is_some_and(|said| said.is_rest() && !said.poisoned) {
            return self.log()?.empty();
        }
        let start = Log::start(self.newest_epoch(&self.view()) + 1, self.salt());
        self.writer.written_by = NOBODY;
        let state = self.signed(if empty { State::rest(start.epoch) } else { State::at(start) });
        let instance = self.mark();
        // IMPORTANT: said first, so that no reader is sent to records that are going away: the files have it
        // all by now.
        let ended = match empty {
            true => self.publish_durably(state),
            false => self.publish(state).and_then(|()| {
                // IMPORTANT: durable before the first record, which is written over one of the epoch before.
                let log = self.log()?;
                log.write_header(&start, instance).and_then(|()| log.sync())
            }),
        };
        if let Err(error) = ended {
            self.poison();
            return Err(error);
        }
        {
            let mut view = self.view();
            view.overlay.clear();
            view.agree(state);
        }
        self.renewed_from = None;
        if !empty {
            return Ok(());
        }
        self.folder.remove_file(NEW_STATE)?;
        self.log()?.empty()
    }

    /// Ends the epoch, whose every value is in its file, durably, but for what is `left`: the next epoch
    /// begins with that, in a new file.
    ///
    /// **Invariant:** the record of what is left is durable before the new file takes the place of the old
    /// one. A crash leaves the old epoch, with everything, or the new one, with what is left.
    ///
    /// # Errors
    /// It did not end, or may not have; nothing is lost.
    pub(crate) fn carry(&mut self, left: Overlay) -> Result<()> {
        let record = Record { time: self.environment.now(), changes: left.as_changes(), carries: true };
        // What could not be written may have lost its names too.
        self.writer.written_by = SEVERAL;
        let epoch = self.unused_epoch(&self.view())?;
        let new = self.write_new(epoch, Some(&record))?;
        let state = new.state;
        if let Err(error) = self.put_in_place(new) {
            // Which of the two files the name leads to after a crash is not known, so another one takes its
            // place.
            self.poison();
            return Err(error);
        }
        let mut view = self.view();
        view.overlay = left;
        view.overlay.are_carried();
        view.agree(state);
        self.renewed_from = None;
        Ok(())
    }

    fn log(&mut self) -> Result<&mut Log> {
        let missing = || Error::not_applied(ErrorKind::Unavailable, "The journal is not open");
        self.writer.log.as_mut().map(|(log, _)| log).ok_or_else(missing)
    }

    /// Opens what others may have replaced or taken away since.
    fn open(&mut self) -> Result<()> {
        let there = |name: &str| {
            let mut status = self.folder.look(name)?;
            let is_shared = status.is_some_and(|status| status.has_other_names);
            if is_shared && name == STATE {
                part(self.folder, name)?;
                status = self.folder.look(name)?;
            }
            Ok::<_, Error>((status, is_shared))
        };
        let ((log, is_shared), (state, _)) = (there(LOG)?, there(STATE)?);
        let (log_id, state_id) = (log.map(|it| it.id), state.map(|it| it.id));
        // IMPORTANT: not by `part`. If the sync of the new name failed, the next process would append to a
        // file that a crash takes away; a journal that is put in the place of another one is noticed.
        self.writer.poisoned |= is_shared;
        if log_id.is_none() || self.writer.log.as_ref().map(|(_, id)| *id) != log_id {
            let (file, id) = self.create(LOG)?;
            self.writer.log = Some((Log::new(file)?, id));
        }
        if state_id.is_none() || self.writer.state.as_ref().map(|(_, id)| *id) != state_id {
            self.writer.state = Some(self.create(STATE)?);
        }
        self.told = self.learn_place()?;
        self.is_named = self.told == Place::Own;
        if log_id.is_none() || state.is_none_or(|it| it.size == 0) {
            if !self.is_named {
                self.name_place()?;
            }
            // IMPORTANT: both names are durable before the state file says anything. So a process that finds
            // them need not sync them.
            self.folder.sync()?;
            self.root.folder().sync()?;
        }
        Ok(())
    }

    /// Learns which place this is, unless this handle knows it by now.
    fn learn_place(&mut self) -> Result<Place> {
        let known = self.writer.instance.as_ref().map(|(_, file)| *file);
        if known.is_some() && self.folder.look(INSTANCE)?.map(|status| status.id) == known {
            return Ok(Place::Own);
        }
        Ok(match instance::look(self.root, self.folder)? {
            Told::Own(instance, file) => {
                self.writer.instance = Some((instance, file));
                Place::Own
            }
            Told::Copied(origin) => {
                tracing::warn!(
                    path = %self.root.path().display(), of = origin.id(),
                    "the folder is a copy of another place; it gets an instance id of its own"
                );
                self.writer.instance = None;
                Place::Copied
            }
            // The folder is the one that this handle has had open: it knows the id that was removed.
            Told::Nothing => Place::Unnamed,
        })
    }

    /// Gives this place an id, whose name is durable once the folder is synced.
    fn name_place(&mut self) -> Result<()> {
        let known = self.writer.instance.as_ref();
        let id = known.map_or_else(|| self.environment.new_id(), |(instance, _)| instance.id().to_owned());
        self.writer.instance = Some(instance::make(self.root, self.folder, id)?);
        self.is_named = true;
        Ok(())
    }

    /// The same, durably.
    ///
    /// IMPORTANT: before anything is written that is bound to it. A crash from here on leaves a journal of
    /// another place than this one, which is read once more.
    fn name_place_durably(&mut self) -> Result<()> {
        self.name_place()?;
        self.folder.sync()
    }

    /// Whether the journal was written at another place, of which this folder is a copy. `mark` is that of this
    /// place, none if it has no id yet.
    ///
    /// A place whose id was removed is not taken for a copy: nothing says so, and what vouches there vouches
    /// on.
    fn is_foreign(&mut self, mark: Option<Mark>, state: Option<State>) -> Result<bool> {
        let Some(mark) = mark.filter(|_| self.told == Place::Own) else {
            return Ok(self.told == Place::Copied);
        };
        if let Some(state) = state {
            return Ok(state.instance != mark);
        }
        // An error is for the recovery to tell.
        let begun = self.log()?.begin().ok().flatten();
        Ok(begun.is_some_and(|begun| ![UNMARKED, mark].contains(&begun.instance)))
    }

    /// Begins the journal again, bound to this place.
    fn renew_here(&mut self, view: &mut View, is_foreign: bool) -> Result<()> {
        if is_foreign {
            self.sync_values(&view.overlay)?;
        }
        self.renew(view)
    }

    /// Makes the values that the journal has as files of their own durable: who copied them may have synced
    /// nothing. One that is missing stays missing, and reading it says so.
    fn sync_values(&self, overlay: &Overlay) -> Result<()> {
        let names = overlay.names();
        if names.is_empty() {
            return Ok(());
        }
        let Step::Folder(values) = self.folder.step(VALUES)? else { return Ok(()) };
        for name in names {
            if let Some((file, _)) = values.open_file(&name)? {
                file.sync_data()?;
            }
        }
        values.sync()
    }

    fn create(&self, name: &str) -> Result<(OpenFile, FileId)> {
        let path = self.folder.path_of(name);
        let file = self.folder.open_own(name, Open::Create).map_err(|error| failed("open", &path, error))?;
        let id = file.status()?.id;
        Ok((file, id))
    }

    /// Takes in what is there, whoever left it.
    ///
    /// **Invariant:** nothing is appended to a file of records that no state vouches for, nor over a part of
    /// a record: they may be what a failed sync left, and would stay lost. The journal is
    /// [renewed](Self::renew) instead.
    fn take_in(&mut self, accept_tail: bool) -> Result<()> {
        let root = self.root;
        let mut view = self.view();
        self.log()?.measure()?;
        let state = view.state(root)?;
        self.check_not_removed(&view, state)?;
        if state != self.writer.said && state.is_some_and(|state| !state.is_rest()) {
            self.writer.state_in_doubt = true;
        }
        self.writer.said = state;
        let mark = self.writer.instance.as_ref().map(|(instance, _)| instance.mark());
        let is_foreign = self.is_foreign(mark, state)?;
        // IMPORTANT: what binds the journal to this place is durable before anything rests on it.
        let is_bound = !is_foreign && state.is_none_or(|state| Some(state.instance) == mark);
        let followed = match state {
            Some(state) if Some(state) == view.seen => true,
            Some(state) => match view.follow(root, state) {
                // What is lost is for the recovery to tell.
                Err(error) if error.kind() == ErrorKind::Corrupt => false,
                followed => followed?,
            },
            None => false,
        };
        // What this view knows is everything that the state vouches for.
        let knows_all = followed && view.verified && is_bound;
        let poisoned = self.writer.poisoned || state.is_some_and(|it| it.poisoned);
        // A state that is missing or torn, or of an earlier epoch, does not say who wrote files.
        let unknown = if self.log()?.length() > 0 { SEVERAL } else { NOBODY };
        let signed = state.filter(|_| is_bound);
        self.writer.written_by = signed.map_or(unknown, |state| state.written_by);
        let renew = match state.filter(|_| knows_all) {
            // What was appended since the failed sync was not acknowledged, and stays out.
            Some(_) if poisoned => true,
            Some(state) => self.go_on(&mut view, state)?,
            None => self.recover(&mut view, state, accept_tail || is_foreign)? || poisoned,
        };
        let epoch = |position: Option<Position>| position.map(|at| at.epoch);
        if view.position.is_some() && epoch(view.position) != epoch(state.map(|state| state.position)) {
            self.writer.written_by = SEVERAL;
        }
        let renew = renew || !is_bound && view.position.is_some();
        let named = if self.is_named { Ok(()) } else { self.name_place_durably() };
        let prepared = match (named, renew) {
            (Ok(()), true) => self.renew_here(&mut view, is_foreign),
            (named, _) => named,
        };
        if prepared.is_err() {
            let published = state.filter(|_| knows_all).map(|state| state.position);
            if view.position != published {
                // Other handles do not see these records, and they may be lost, so this one must not see them either.
                view.forget();
                view.verified = false;
            }
        }
        prepared?;
        if renew { Ok(()) } else { self.go_by_what_was_read(&mut view, state, is_bound) }
    }

    /// Says what was read of a journal that needs no new file.
    fn go_by_what_was_read(&mut self, view: &mut View, state: Option<State>, is_bound: bool) -> Result<()> {
        let now =
            view.position.map_or_else(|| State::rest(state.map_or(1, |state| state.ended())), State::at);
        let now = self.signed(now);
        let is_left = self.log()?.length() > 0;
        if view.position.is_none() && (is_left || !is_bound) {
            // A process died before it emptied the journal. IMPORTANT: it may have died in the sync of the
            // state, or that sync failed. The emptying must not become durable before the state, which would
            // vouch for records that are gone. And a state of another place must not come back behind a
            // journal of this one.
            self.writer.state_in_doubt = true;
            self.publish_durably(now)?;
            if is_left {
                self.log()?.empty()?;
            }
        } else if Some(now) != state {
            self.publish(now)?;
        }
        view.verified = true;
        view.agree(now);
        Ok(())
    }

    /// Reads on from where this view is, which knows all that `state` vouches for. Whether the journal must
    /// be renewed.
    fn go_on(&mut self, view: &mut View, state: State) -> Result<bool> {
        let log = self.log()?;
        let begun = match log.begin() {
            // This view has what the file lost.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(true),
            begun => begun?,
        };
        // Somebody began an epoch and died before they could say so.
        if begun.is_some_and(|begun| begun.start.epoch > state.position.epoch) {
            return self.recover(view, Some(state), false);
        }
        let Some(mut at) = view.position else { return Ok(false) };
        let is_begun = begun.is_some_and(|begun| {
            begun.has_header && (begun.start.epoch, begun.start.salt) == (at.epoch, at.salt)
        });
        let is_there = at.sequence == 0 || log.length() >= at.tail;
        if !is_begun || !is_there {
            return Ok(true);
        }
        let mut records = Vec::new();
        let is_torn = loop {
            match log.read(&at)? {
                // What a process committed that died before it could say so.
                Found::Record(record, next) => {
                    records.push(record);
                    at = next;
                }
                Found::Torn => break true,
                Found::End => break false,
            }
        };
        // IMPORTANT: all of them or none. Where one cannot be read the view is as its position says.
        records.iter().for_each(|record| view.overlay.absorb(record));
        view.position = Some(at);
        Ok(is_torn || !records.is_empty())
    }

    /// Reads everything. Whether the journal must be renewed.
    fn recover(&mut self, view: &mut View, state: Option<State>, accept_tail: bool) -> Result<bool> {
        let root = self.root;
        let recovered = view.recover(root, Some(self.log()?), state, accept_tail)?;
        if let Some(lost) = recovered.lost {
            let kept = self.keep_damaged()?;
            tracing::warn!(%lost, kept = %kept.display(), "opened without what cannot be read of the journal");
            self.lost = Some(lost);
        }
        Ok(recovered.renew)
    }

    /// Copies the damaged journal to `quarantine/`, durably, before anything takes its place.
    fn keep_damaged(&self) -> Result<PathBuf> {
        let quarantine = self.folder.step_or_create(QUARANTINE)?.0;
        let name = format!("{LOG}.{}", self.environment.new_id());
        let kept = quarantine.create_file(&name, None)?;
        if let Some((damaged, _)) = self.folder.open_file(LOG)? {
            copy(&damaged, &kept)?;
        }
        kept.sync_data()?;
        quarantine.sync()?;
        self.folder.sync()?;
        Ok(quarantine.path_of(&name))
    }

    /// Refuses to go on where this view knows changes and both the journal and its state are gone: whether
    /// the files have them nobody knows.
    fn check_not_removed(&mut self, view: &View, state: Option<State>) -> Result<()> {
        let knew_work = view.seen.is_some_and(|seen| !seen.is_rest()) && !view.overlay.is_empty();
        if state.is_some() || !knew_work || self.log()?.length() > 0 {
            return Ok(());
        }
        let what = format!(
            "The journal in {} was removed while it held changes that may not be in the files; open the store again, and look at what \
             is there",
            self.root.folder().path_of(JOURNAL).display()
        );
        Err(Error::not_applied(ErrorKind::Poisoned, what))
    }

    /// Puts a new file in the place of the journal, with everything that this view holds.
    ///
    /// After a failed sync the system may take for clean what never reached the medium, so that a second sync
    /// proves nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020), and
    /// writing the same bytes into the same file again may change nothing either (ext4). What is written into
    /// a new file is synced for the first time.
    ///
    /// The view is held to the end: none of its readers sees what is not durable yet.
    fn renew(&mut self, view: &mut View) -> Result<()> {
        let record =
            Record { time: self.environment.now(), changes: view.overlay.as_changes(), carries: false };
        let epoch = self.unused_epoch(view)?;
        let new = self.write_new(epoch, Some(&record).filter(|record| !record.changes.is_empty()))?;
        let state = new.state;
        self.writer.state_in_doubt = true;
        self.put_in_place(new)?;
        self.renewed_from = self.renewed_from.or(view.position.map(|position| position.epoch));
        self.writer.poisoned = false;
        view.verified = true;
        view.agree(state);
        tracing::warn!(path = %self.root.path().display(), "a new journal took the place of one that may not have been durable");
        Ok(())
    }

    /// Writes a new journal that begins with a record, durably, beside the one that is in use.
    fn write_new(&self, epoch: u64, record: Option<&Record>) -> Result<NewLog> {
        self.folder.remove_file(NEW_LOG)?;
        let (file, id) = self.create(NEW_LOG)?;
        let mut log = Log::new(file)?;
        let mut position = Log::start(epoch, self.salt());
        if let Some(record) = record {
            let too_large = || {
                Error::not_applied(ErrorKind::InvalidInput, "The journal is larger than one record can say")
            };
            let (frame, next) = encode(&position, record).ok_or_else(too_large)?;
            log.reserve(&position, frame.len() as u64)?;
            log.append(&position, &frame, self.mark())?;
            position = next;
        } else {
            // Without a header it could not be told from one that was emptied.
            log.write_header(&position, self.mark())?;
            log.measure()?;
        }
        log.sync()?;
        Ok(NewLog { log, id, state: self.signed(State::at(position)) })
    }

    /// Puts a new journal in the place of the old one, and says so.
    fn put_in_place(&mut self, new: NewLog) -> Result<()> {
        self.check_lock()?;
        self.folder.rename(NEW_LOG, (self.folder, LOG))?;
        self.writer.log = Some((new.log, new.id));
        // IMPORTANT: before anything is appended, which the old file would not have, and before a state
        // vouches for what the old file does not have.
        self.folder.sync()?;
        match self.writer.state_in_doubt {
            true => self.replace_state(new.state),
            false => self.publish(new.state),
        }
    }

    /// An epoch for a new file.
    ///
    /// IMPORTANT: an epoch names one journal only. An end that failed may have said the next epoch in a state
    /// that is durable, so that one is passed over; and so is every epoch that the file names which is in
    /// use.
    fn unused_epoch(&mut self, view: &View) -> Result<u64> {
        let in_file = match self.log()?.begin() {
            Ok(begun) => begun.map_or(0, |begun| begun.start.epoch),
            Err(error) if error.kind() == ErrorKind::Corrupt => 0,
            Err(error) => return Err(error),
        };
        Ok(self.newest_epoch(view).max(in_file) + 2)
    }

    /// Nobody appends any more to what could not be synced.
    fn poison(&mut self) {
        self.writer.poisoned = true;
        // What a publication that failed left is in doubt; what was said before it holds.
        let seen = self.said();
        if let Err(error) = self.publish(State { poisoned: true, ..seen }) {
            tracing::warn!(%error, "other processes do not learn of a failed sync");
        }
        self.view().seen = None;
    }

    /// What the state file says, or what it said before this handle's last attempt failed.
    fn said(&self) -> State {
        let view = self.view();
        let at = || view.position.map_or_else(|| State::rest(1), State::at);
        self.signed(view.seen.or(self.writer.said).unwrap_or_else(at))
    }

    /// The same state with who has written files in this epoch, and where.
    fn signed(&self, state: State) -> State {
        State { written_by: self.writer.written_by, instance: self.mark(), ..state }
    }

    /// The mark of this place.
    fn mark(&self) -> Mark {
        self.writer.instance.as_ref().map_or(UNMARKED, |(instance, _)| instance.mark())
    }

    /// Lets everybody see a state. It is not durable.
    fn publish(&mut self, state: State) -> Result<()> {
        let missing = || Error::not_applied(ErrorKind::Unavailable, "The journal's state is not open");
        let (file, _) = self.writer.state.as_ref().ok_or_else(missing)?;
        let written = file.write_at(&state.encode(), 0);
        match &written {
            Ok(()) => self.writer.said = Some(state),
            Err(_) => self.writer.state_in_doubt = true,
        }
        written
    }

    /// Lets everybody see a state, durably.
    fn publish_durably(&mut self, state: State) -> Result<()> {
        if self.writer.state_in_doubt {
            return self.replace_state(state);
        }
        self.publish(state)?;
        let missing = || Error::not_applied(ErrorKind::Unavailable, "The journal's state is not open");
        let (file, _) = self.writer.state.as_ref().ok_or_else(missing)?;
        file.sync_data().inspect_err(|_| self.writer.state_in_doubt = true)
    }

    /// Puts a new state file in the place of the old one, durably.
    fn replace_state(&mut self, state: State) -> Result<()> {
        self.writer.state_in_doubt = true;
        self.folder.remove_file(NEW_STATE)?;
        let (file, id) = self.create(NEW_STATE)?;
        file.write_at(&state.encode(), 0)?;
        file.sync_data()?;
        self.folder.rename(NEW_STATE, (self.folder, STATE))?;
        (self.writer.state, self.writer.said) = (Some((file, id)), Some(state));
        // IMPORTANT: the old file must not come back behind a journal that was emptied since.
        self.folder.sync()?;
        self.writer.state_in_doubt = false;
        Ok(())
    }

    /// Refuses to go on without the lock: a lock file that was deleted excludes nobody.
    fn check_lock(&self) -> Result<()> {
        if self.lock.is_in_place(self.root.folder())? {
            return Ok(());
        }
        let what = format!(
            "The lock file in {} was deleted or replaced while it was locked; try again",
            self.folder.path().display()
        );
        Err(Error::not_applied(ErrorKind::Unavailable, what))
    }

    /// The newest epoch that this view knows of.
    fn newest_epoch(&self, view: &View) -> u64 {
        let epoch = |state: Option<State>| state.map_or(0, |state| state.position.epoch);
        let known = view.position.map_or(0, |position| position.epoch);
        known.max(epoch(view.seen)).max(epoch(self.writer.said))
    }

    fn salt(&self) -> Salt {
        let mut salt = [0; 16];
        let (one, two) = salt.split_at_mut(8);
        one.copy_from_slice(&self.environment.random().to_le_bytes());
        two.copy_from_slice(&self.environment.random().to_le_bytes());
        salt
    }
}
