//! What a handle's blocking half works with, and its runs.

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use pflow_backend::{Commit, Environment, Error, ErrorKind, Key, Outcome, Result, Waiting};
use tokio::runtime::Handle;

use crate::{
    FsOptions,
    carry::{self, Stuck, Ways},
    checkpoint::{FOLLOW_AFTER, checkpoint, follow},
    current,
    error::{again, with_cause},
    folder::Folder,
    instance::{self, Told},
    journal::{
        self, LOG, MOVED, NEW_LOG, NEW_STATE, STAGING, VALUES, log::Log, lost::LostTail, record::Record,
    },
    lock::{Attempt, StoreLock},
    moved::rescue_folders,
    overlay::Overlay,
    plan::{Group, Plan},
    queue::{Queue, Ticket, Turn, answer, size},
    reads::Reads,
    root::Root,
    values::{Keeper, Values},
    view::{View, catch_up, open_log},
    writer::{Journal, Writer},
};

/// How much of the batches that wait is committed at once.
const MOST_GROUP_BYTES: usize = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) root: Root,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) queue: Queue,
    pub(crate) reads: Reads,
    pub(crate) view: Mutex<View>,
    writer: Mutex<Writer>,
    journal_limit: u64,
    follow: bool,
    accept_tail: bool,
    lost: OnceLock<LostTail>,
}

/// Batches and what became of them.
type Answers = Vec<(Ticket, Result<Commit>)>;

/// What came of asking for the journal under the lock.
enum Held<T> {
    Done(T),
    ByAnother(String),
}

impl Store {
    pub(crate) fn new(root: Root, environment: Arc<dyn Environment>, options: &FsOptions) -> Self {
        Self {
            root,
            environment,
            queue: Queue::default(),
            reads: Reads::default(),
            view: Mutex::default(),
            writer: Mutex::default(),
            journal_limit: options.journal_limit,
            follow: options.follow,
            accept_tail: options.accept_tail,
            lost: OnceLock::new(),
        }
    }

    /// The journal has no room until the files follow, and they cannot.
    fn full(&self, cause: &Error) -> Error {
        let path = self.root.path().display();
        let what = format!("the journal in {path} is full, and its files cannot be written");
        let error = Error::not_applied(cause.kind(), what).with_source(with_cause(cause));
        match cause.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    pub(crate) fn busy(&self, holder: &str) -> Error {
        let what = format!("Failed to lock {}: held by {holder}", self.root.path().display());
        Error::not_applied(ErrorKind::Busy, what)
    }

    /// Finds the end of a journal that another process left, so that its state is right for all who read from
    /// now on. Writes nothing where there is none. With [`FsOptions::accept_tail`] it is opened without what
    /// cannot be read, which [`lost`](Self::lost) says then.
    ///
    /// # Errors
    /// It is damaged or a newer program's, or could not be read. The holder of the lock, if another process
    /// has it.
    pub(crate) fn first_look(&self) -> Result<std::result::Result<(), String>> {
        let Some(folder) = journal::find(self.root.folder())? else { return Ok(Ok(())) };
        let is_empty = folder.look(LOG)?.is_none_or(|status| status.size == 0);
        let state = self.view().state(&self.root)?;
        if is_empty && state.is_none_or(|state| state.is_rest()) {
            if state.is_none() {
                self.view().believe_what_was_read(&self.root)?;
            }
            return Ok(Ok(()));
        }
        let rescued = self.open_journal(self.accept_tail, |journal| {
            if let Some(lost) = journal.lost.take() {
                self.lost.get_or_init(|| lost);
            }
            journal.view().overlay.is_after_crash();
            if let Err(error) = rescue_folders(journal) {
                tracing::warn!(%error, "what is in `.journal/moved` stays there until the next checkpoint");
            }
            Ok(())
        });
        match rescued {
            Ok(Held::Done(())) => Ok(Ok(())),
            Ok(Held::ByAnother(holder)) => Ok(Err(holder)),
            Err(error) if error.kind() == ErrorKind::Denied => self.look_without_writing(&folder),
            Err(error) => Err(error),
        }
    }

    /// The same for whoever may not write. Where the lock file can be read it is asked for, so that nobody is
    /// in the middle of a commit.
    fn look_without_writing(&self, folder: &Folder) -> Result<std::result::Result<(), String>> {
        let _lock = match StoreLock::try_take_to_read(&self.root, folder) {
            Ok(Attempt::Taken(lock)) => Some(lock),
            Ok(Attempt::Held(holder)) => return Ok(Err(holder)),
            // On a medium that nobody can write to there need not be one.
            Err(error) if error.kind() == ErrorKind::Unsafe => return Err(error),
            Err(_) => None,
        };
        let log = open_log(&self.root)?;
        if let Some(Err(error)) = log.as_ref().map(Log::sync) {
            tracing::debug!(%error, "a journal on a read-only medium is not synced");
        }
        let mut view = self.view();
        let state = view.state(&self.root)?;
        // What a copy holds is read as far as it can be. Nothing binds it to this place.
        let is_copy = match instance::look(&self.root, folder)? {
            Told::Copied(_) => true,
            Told::Own(instance, _) => state.is_some_and(|state| state.instance != instance.mark()),
            Told::Nothing => false,
        };
        let recovered = view.recover(&self.root, log.as_ref(), state, is_copy)?;
        if let Some(lost) = recovered.lost {
            tracing::warn!(%lost, "read without what cannot be read of the journal");
            self.lost.get_or_init(|| lost);
        }
        view.overlay.is_after_crash();
        view.believe_what_was_read(&self.root)?;
        Ok(Ok(()))
    }

    /// The id of this place, once the journal is bound to it.
    ///
    /// A state is written only after the id that it carries is durable, so an id that is told here stays.
    pub(crate) fn instance(&self) -> Result<Option<String>> {
        self.root.check_in_place()?;
        self.catch_up()?;
        let (seen, folder) = (self.view().seen, journal::find(self.root.folder())?);
        let (Some(seen), Some(folder)) = (seen, folder) else { return Ok(None) };
        Ok(match instance::look(&self.root, &folder)? {
            Told::Own(instance, _) if instance.mark() == seen.instance => Some(instance.id().to_owned()),
            _ => None,
        })
    }

    /// Takes in what was committed since the last look.
    pub(crate) fn catch_up(&self) -> Result<()> {
        let caught = || catch_up(&self.view, &self.root);
        self.or_mend(caught(), caught)
    }

    /// The object under a key.
    pub(crate) fn read<R: current::Read>(&self, key: &Key, how: &R) -> Result<Option<R::Seen>> {
        self.root.check_in_place()?;
        let read = || current::read(&self.root, &self.view, key, how);
        self.or_mend(read(), read)
    }

    /// Somebody died while the journal began or ended, so that a reader can make no sense of it: under the
    /// lock it is set right.
    fn or_mend<T>(&self, result: Result<T>, again: impl FnOnce() -> Result<T>) -> Result<T> {
        match result {
            Err(error) if error.kind() == ErrorKind::Unavailable => match self.with_journal(|_| Ok(()))? {
                Held::Done(()) => again(),
                Held::ByAnother(_) => Err(error),
            },
            result => result,
        }
    }

    /// Commits what waits, group by group, until nothing does. Answers everybody.
    pub(crate) fn run(turn: Turn) {
        let store = turn.store().clone();
        let mut turn = turn;
        loop {
            let Some((mine, group)) = turn.next_group(MOST_GROUP_BYTES) else { break };
            turn = mine;
            let mut waiting = Some(group);
            let done = store.with_journal(|journal| {
                turn.got_through();
                Ok(store.commit(journal, waiting.take().unwrap_or_default()))
            });
            // The lock is free again before anybody has an answer.
            match (done, waiting) {
                (Ok(Held::Done(results)), _) => {
                    if store.follow {
                        follow_soon(&store);
                    }
                    results.into_iter().for_each(|(ticket, result)| answer(ticket, result));
                    if let Some(pause) = turn.way_to_give() {
                        return go_on_after(pause, turn);
                    }
                }
                (Ok(Held::ByAnother(holder)), Some(group)) => {
                    if let Some(pause) = turn.put_back(group, &holder) {
                        return go_on_after(pause, turn);
                    }
                }
                (Err(error), Some(group)) => {
                    group.into_iter().for_each(|ticket| answer(ticket, Err(again(&error))));
                }
                (Ok(Held::ByAnother(_)) | Err(_), None) => {}
            }
        }
    }

    /// Brings the folder to rest: everything is in its file, durably, and the journal is empty, but for what
    /// cannot be written, which is returned. Or the holder of the lock, if another process or handle has it.
    ///
    /// # Errors
    /// It is not; the journal has everything.
    pub(crate) fn rest(&self) -> Result<std::result::Result<Vec<Waiting>, String>> {
        let is_at_rest = match journal::find(self.root.folder())? {
            None => true,
            Some(folder) => {
                let left = |name: &str| Ok::<_, Error>(folder.look(name)?.is_some());
                folder.look(LOG)?.is_none_or(|status| status.size == 0)
                    && !(left(VALUES)? || left(STAGING)? || left(MOVED)?)
                    && !(left(NEW_LOG)? || left(NEW_STATE)?)
            }
        };
        // IMPORTANT: what this view knows is not at rest although the journal is gone or was cut: `take_in`
        // writes it again, or says that it is lost.
        if is_at_rest && self.view().overlay.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let rested = self.with_journal(|journal| self.checkpoint(journal, true))?;
        Ok(match rested {
            Held::Done(stuck) => Ok(stuck.iter().map(|it| it.waiting(&self.root)).collect()),
            Held::ByAnother(holder) => Err(holder),
        })
    }

    /// The same where nobody relies on it.
    pub(crate) fn rest_if_possible(&self) {
        match self.rest() {
            Ok(Ok(_)) => {}
            Ok(Err(holder)) => tracing::debug!(holder, "left as it is: another process is at work"),
            Err(error) => tracing::debug!(%error, "left as it is"),
        }
    }

    /// Everything that the journal holds, where this handle cannot write it, and why.
    pub(crate) fn all_wait(&self, reason: &str) -> Result<Vec<Waiting>> {
        self.catch_up()?;
        let view = self.view();
        let waiting = |key: &Key| {
            Waiting::new(
                key.clone(),
                self.root.folder().path_of(key.as_str()).display().to_string(),
                reason.to_owned(),
                None,
            )
        };
        Ok(view.overlay.iter().map(|(key, _)| waiting(key)).collect())
    }

    fn checkpoint(&self, journal: &mut Journal<'_>, empty: bool) -> Result<Vec<Stuck>> {
        checkpoint(journal, self.environment.as_ref(), empty)
    }

    /// Whether this handle has tried to commit anything.
    pub(crate) fn has_written(&self) -> bool {
        self.queue.activity().0 > 0
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the folder was opened without.
    pub(crate) fn lost(&self) -> Option<&LostTail> {
        self.lost.get()
    }

    /// Works on the journal under the lock, if it is free.
    fn with_journal<T>(&self, work: impl FnOnce(&mut Journal<'_>) -> Result<T>) -> Result<Held<T>> {
        self.open_journal(false, work)
    }

    fn open_journal<T>(
        &self,
        accept_tail: bool,
        work: impl FnOnce(&mut Journal<'_>) -> Result<T>,
    ) -> Result<Held<T>> {
        let lock = match StoreLock::try_take(&self.root, self.environment.identity())? {
            Attempt::Taken(lock) => lock,
            Attempt::Held(holder) => return Ok(Held::ByAnother(holder)),
        };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let environment = self.environment.as_ref();
        let mut journal =
            Journal::begin(&self.root, &lock, &self.view, &mut writer, environment, accept_tail)?;
        work(&mut journal).map(Held::Done)
    }

    /// Commits a group under the lock: everybody's answer.
    fn commit(&self, journal: &mut Journal<'_>, group: Vec<Ticket>) -> Answers {
        let expected: usize = group.iter().map(|ticket| size(&ticket.batch)).sum();
        let tail = journal.tail();
        let (begun, used, room) = {
            let view = journal.view();
            let (kept, carried) = (view.overlay.kept(), view.overlay.carried().inline);
            // IMPORTANT: less for each value that is carried, so that the journal is bounded although any of
            // the new ones may be carried too.
            let room = self.journal_limit.saturating_sub(carried / 2);
            (!view.overlay.is_empty(), (tail + kept).saturating_sub(carried), room)
        };
        if begun
            && used + expected as u64 > room
            && let Err(error) = self.checkpoint(journal, false)
        {
            let full = self.full(&error);
            return group.into_iter().map(|ticket| (ticket, Err(again(&full)))).collect();
        }
        let (group, mut refused) = self.refuse_what_would_wait(journal, group);
        let (results, failure) = self.try_commit(journal, &group);
        let mut answers: Vec<_> = match failure {
            // There was no room for all of them together: there may be for one after the other.
            Some(error) if error.outcome() != Outcome::Unknown && group.len() > 1 => {
                group.into_iter().flat_map(|ticket| self.commit(journal, vec![ticket])).collect()
            }
            failure => {
                let result = |result| match (&failure, result) {
                    (Some(error), Ok(Commit::Committed(_))) => Err(again(error)),
                    // It met what may never have been there. It did not happen, but why not nobody can tell.
                    (Some(error), Ok(_)) => {
                        Err(again(error).with_outcome(Outcome::NotApplied { applied: 0 }))
                    }
                    (_, result) => result,
                };
                group.into_iter().zip(results.into_iter().map(result)).collect()
            }
        };
        answers.append(&mut refused);
        answers
    }

    /// Refuses the batches that would add to values whose files cannot be written, where these take much of
    /// the journal already.
    fn refuse_what_would_wait(
        &self,
        journal: &mut Journal<'_>,
        group: Vec<Ticket>,
    ) -> (Vec<Ticket>, Answers) {
        let is_much = |overlay: &Overlay| overlay.carried().all() > self.journal_limit / 2;
        let ways = {
            let view = journal.view();
            is_much(&view.overlay).then(|| Ways::of(&self.root, &view.overlay))
        };
        if !ways.is_some_and(|ways| group.iter().any(|ticket| ways.are_of(&ticket.batch))) {
            return (group, Vec::new());
        }
        // The cause may be removed by now.
        let stuck = match self.checkpoint(journal, false) {
            Ok(stuck) => stuck,
            Err(error) => {
                let full = self.full(&error);
                return (Vec::new(), group.into_iter().map(|ticket| (ticket, Err(again(&full)))).collect());
            }
        };
        let (bytes, ways) = {
            let view = journal.view();
            (view.overlay.carried().all(), Ways::of(&self.root, &view.overlay))
        };
        let is_refused = |ticket: &Ticket| bytes > self.journal_limit / 2 && ways.are_of(&ticket.batch);
        let (refused, taken): (Vec<_>, Vec<_>) = group.into_iter().partition(is_refused);
        let error = carry::too_much(&self.root, &stuck, bytes);
        (taken, refused.into_iter().map(|ticket| (ticket, Err(again(&error)))).collect())
    }

    /// What becomes of each batch, if the record can be written; and why it could not.
    fn try_commit(
        &self,
        journal: &mut Journal<'_>,
        group: &[Ticket],
    ) -> (Vec<Result<Commit>>, Option<Error>) {
        let time = self.environment.now();
        let folder = journal.folder;
        let view = &self.view;
        let is_named = || !view.lock().unwrap_or_else(PoisonError::into_inner).overlay.names().is_empty();
        let values = Values::new(folder, &is_named);
        let mut planned = Group::new(&self.root, &self.view, time);
        let mut changes = Vec::new();
        let mut keepers = Vec::new();
        let mut results = Vec::with_capacity(group.len());
        for ticket in group {
            let mut keeper = Keeper::new(&values, self.environment.new_id());
            let plan = planned.plan(&ticket.batch, &mut keeper);
            results.push(plan.map(|plan| match plan {
                Plan::Ready { changes: more, versions } => {
                    changes.extend(more);
                    keepers.push(keeper);
                    Commit::Committed(versions)
                }
                Plan::Conflict(conflict) => Commit::Conflict(conflict),
            }));
        }
        if changes.is_empty() {
            return (results, None);
        }
        // Whatever it took from the view is not shared any more when the view takes in the record.
        drop(planned);
        match journal.append(&Record { time, changes, carries: false }) {
            Ok(()) => {
                keepers.into_iter().for_each(Keeper::release);
                (results, None)
            }
            Err(error) => {
                if error.outcome() == Outcome::Unknown {
                    // It may be in the journal all the same, and then it names them.
                    keepers.into_iter().for_each(Keeper::release);
                }
                (results, Some(error))
            }
        }
    }

    /// Lets the files follow, as far as nothing is to be committed, and commits what is.
    ///
    /// **Invariant:** while this handle lives, its files follow: whatever ends an attempt early begins the
    /// next one, unless the attempt failed. What could not be written is tried again with the next commit.
    fn follow_now(self: &Arc<Self>, turn: Turn) {
        let stop = || !self.queue.is_empty();
        let followed = self.with_journal(|journal| follow(journal, self.environment.as_ref(), &stop));
        let goes_on = match followed {
            Ok(Held::Done(stuck)) => {
                for it in stuck.iter().filter(|it| it.is_news) {
                    let Waiting { key, reason, .. } = it.waiting(&self.root);
                    tracing::warn!(%key, reason, "saved in the journal, but its file cannot be written");
                }
                true
            }
            // Another process or handle was at work at that moment.
            Ok(Held::ByAnother(_)) => true,
            Err(error) => {
                tracing::debug!(%error, path = %self.root.path().display(), "the files do not follow yet");
                false
            }
        };
        Self::run(turn);
        if goes_on && !self.has_followed() {
            follow_soon(self);
        }
    }

    /// Whether this handle has tried to write everything that the journal holds.
    fn has_followed(&self) -> bool {
        self.view().overlay.iter().all(|(_, entry)| entry.applied || entry.failed)
    }
}

/// Waits without a thread, and goes on.
fn go_on_after(pause: Duration, turn: Turn) {
    let environment = turn.store().environment.clone();
    Handle::current().spawn(async move {
        environment.sleep(pause).await;
        tokio::task::spawn_blocking(move || Store::run(turn));
    });
}

/// Whoever sees to it that the files follow, until this is dropped: by a runtime that shuts down, perhaps.
struct Following(Weak<Store>);

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(store) = self.0.upgrade() {
            store.queue.end_following();
        }
    }
}

/// Lets the files follow once nothing has been committed for a moment. One task at a time, which holds
/// nothing of the handle while it waits and ends with it.
fn follow_soon(store: &Arc<Store>) {
    if !store.queue.begin_following() {
        return;
    }
    let (following, environment) = (Following(Arc::downgrade(store)), store.environment.clone());
    let mut seen = store.queue.activity();
    drop(Handle::current().spawn(async move {
        loop {
            environment.idle(FOLLOW_AFTER).await;
            let Some(store) = following.0.upgrade() else { return };
            let now = store.queue.activity();
            if now != seen || now.1 {
                seen = now;
                continue;
            }
            if store.has_followed() {
                drop(following);
                // Whoever committed in between left the files to this task.
                if store.queue.activity() != now {
                    follow_soon(&store);
                }
                return;
            }
            // Whoever has it may have left the files to this task.
            let Some(turn) = store.queue.try_turn(&store) else { continue };
            drop(following);
            drop(tokio::task::spawn_blocking(move || store.follow_now(turn)));
            return;
        }
    }));
}
