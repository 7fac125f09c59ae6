//! Making the files durable, and ending the journal that stood over them.

use std::{
    collections::BTreeSet,
    iter,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use pflow_backend::{Environment, Key, Result};

use crate::{
    apply::{Applier, Sync, path_of},
    carry::{Stuck, carry},
    error::{again as again_for, failed},
    failed::Extent,
    journal::{self, NEW_LOG, STAGING, VALUES},
    names::{Renamed, name_folders_again},
    overlay::Entry,
    rescue::rescue,
    taken_out,
    writer::Journal,
};

/// Up to so many files are synced one by one: it takes about as many syncs as there are files and folders,
/// and waits for nobody else's data. Of more, the whole file system is synced.
const FEW: usize = 32;

/// What a thread of its own is worth.
const SMALLEST_SHARE: usize = 64;

/// How long nothing must have been committed before the files follow.
pub(crate) const FOLLOW_AFTER: Duration = Duration::from_millis(20);

/// Writes everything that the journal holds into the files, durably, and ends it. Returns what could not be
/// written.
///
/// **Invariant:** the journal ends only behind a sync that covers every file that it stood over, and every
/// name that leads there.
/// - A file is covered if it was written by this handle, through a descriptor that was opened before, or
///   since the descriptor of the whole file system was opened: then a failure since is reported here. Every
///   file that another process wrote is written again, because a failure may have been reported to that
///   process alone.
/// - A name is covered on the same terms. If another handle wrote files in this epoch, or a sync of this
///   handle failed in it, every name is given again ([`Journal::claim_files`]).
///
/// A value whose file cannot be written goes on in the journal ([`Journal::carry`]), so that one such file
/// stops nothing else.
///
/// A crash anywhere leaves the journal, and with it every value; or the files, durable.
///
/// # Errors
/// Something failed that concerns more than one file: no space, a sync of the file system. The journal goes
/// on as it was; nothing is lost.
pub(crate) fn checkpoint(
    journal: &mut Journal<'_>,
    environment: &dyn Environment,
    empty: bool,
) -> Result<Vec<Stuck>> {
    let left = rescue(journal);
    let written = write_durably(journal, environment, true);
    if !matches!(&written, Ok(stuck) if stuck.is_empty()) {
        journal.distrust_files();
    }
    let stuck = written.inspect_err(|_| {
        // IMPORTANT: what a failed sync covered may be lost although it can be read. All of it is written and
        // named again the next time.
        journal.view().overlay.iter_mut().for_each(|(_, entry)| entry.applied = false);
    })?;
    match stuck.is_empty() {
        true => journal.end(empty)?,
        false => carry(journal, &stuck)?,
    }
    clean_up(journal, empty, &left);
    Ok(stuck)
}

/// Removes what an ended epoch leaves in `.journal`.
fn clean_up(journal: &Journal<'_>, empty: bool, left: &BTreeSet<String>) {
    if let Err(error) = journal.folder.remove_file(NEW_LOG) {
        tracing::debug!(%error, "a journal that never took its place stays until the next checkpoint");
    }
    let named = journal.view().overlay.names();
    let is_named = |name: &str| named.contains(name);
    let stays = |name: &str| taken_out::held(name).is_some() || left.contains(name);
    for (name, is_needed) in [(VALUES, &is_named as &dyn Fn(&str) -> bool), (STAGING, &stays)] {
        // The next commits of this process need the folder again.
        if let Err(error) = journal::sweep(journal.folder, name, empty, is_needed) {
            tracing::debug!(%error, "what is not needed any more stays until the next checkpoint");
        }
    }
}

/// The first half of a [`checkpoint`]. With `may_sync_all` one sync of the file system may take the place of
/// many.
fn write_durably(
    journal: &mut Journal<'_>,
    environment: &dyn Environment,
    may_sync_all: bool,
) -> Result<Vec<Stuck>> {
    let (few, fresh) = {
        let view = journal.view();
        if view.overlay.is_empty() {
            return Ok(Vec::new());
        }
        let few = view.overlay.len() <= FEW;
        (few, view.overlay.iter().all(|(_, entry)| !entry.applied))
    };
    let again = journal.claim_files()?;
    let root = journal.root.folder();
    // One by one only what is written here and now: a descriptor that is opened later may not be told of an
    // earlier failure.
    let all_at_once = may_sync_all && !(few && (fresh || again)) && root.medium().syncs_file_systems();
    let sync = if all_at_once { Sync::Later } else { Sync::Each };
    if !all_at_once || again {
        journal.view().overlay.iter_mut().for_each(|(_, entry)| entry.applied = false);
    }
    let mut stuck = write_named(journal, environment, sync, again)?;
    if let Some(failure) = stuck.iter().find(|it| it.extent == Extent::Unkept) {
        return Err(again_for(&failure.error));
    }
    if !stuck.is_empty() {
        // Most failures pass. If a sync was among them, names may be lost, so that all are given again.
        stuck = write_named(journal, environment, sync, true)?;
    }
    if let Some(failure) = stuck.iter().find(|it| it.extent != Extent::OneFile) {
        return Err(again_for(&failure.error));
    }
    if sync == Sync::Later
        && let Err(error) = root.medium().sync_file_system(root.node())
    {
        let error = failed("sync the file system of", root.path(), error);
        tracing::debug!(%error, "the files are written again and synced one by one");
        // The cause may be one block of a single file, for ever, or a file of another program. Synced one by
        // one the file that fails is known.
        journal.view().overlay.iter_mut().for_each(|(_, entry)| entry.applied = false);
        journal.distrust_files();
        return write_durably(journal, environment, false);
    }
    Ok(stuck)
}

/// Writes what is not in its file yet. If names may have been lost all are given `again`. With [`Sync::Each`]
/// everything is durable then that is not stuck.
fn write_named(
    journal: &Journal<'_>,
    environment: &dyn Environment,
    sync: Sync,
    again: bool,
) -> Result<Vec<Stuck>> {
    if !again {
        return Ok(write_files(journal, environment, (sync, false), &|| false));
    }
    let Renamed { to_sync, mut failures } = name_folders_again(journal)?;
    let mut stuck = write_files(journal, environment, (sync, true), &|| false);
    if sync == Sync::Each {
        failures.sync(to_sync);
    }
    // IMPORTANT: a file below a name that may not be durable was not written.
    let known: BTreeSet<Key> = stuck.iter().map(|it| it.key.clone()).collect();
    let root = journal.root.folder();
    for (key, entry) in journal.view().overlay.iter_mut().filter(|(key, _)| !known.contains(key)) {
        let path = root.path_of(key.as_str());
        if let Some((error, extent)) = failures.covers(&path) {
            entry.applied = false;
            stuck.push(Stuck::new(key, again_for(error), extent));
        }
    }
    Ok(stuck)
}

/// Writes what is not in its file yet, until `stop` says so. Nothing of it is durable then. Returns what
/// could not be written.
///
/// # Errors
/// Other processes could not be told. Nothing was written.
pub(crate) fn follow(
    journal: &mut Journal<'_>,
    environment: &dyn Environment,
    stop: &(dyn Fn() -> bool + std::marker::Sync),
) -> Result<Vec<Stuck>> {
    if journal.view().overlay.iter().all(|(_, entry)| entry.applied) {
        return Ok(Vec::new());
    }
    journal.claim_files()?;
    Ok(write_files(journal, environment, (Sync::Later, false), stop))
}

/// Writes what is not in its file yet, until `stop` says so. Returns what could not be written.
fn write_files(
    journal: &Journal<'_>,
    environment: &dyn Environment,
    (sync, again): (Sync, bool),
    stop: &(dyn Fn() -> bool + std::marker::Sync),
) -> Vec<Stuck> {
    let waiting: Vec<(Key, Entry)> = {
        let view = journal.view();
        let all = view.overlay.iter().filter(|(_, entry)| !entry.applied);
        all.map(|(key, entry)| (key.clone(), entry.clone())).collect()
    };
    // Deletions first, so that a name that was an object may be a folder now; then in the order of keys,
    // folder by folder.
    let (puts, deletions): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, entry)| entry.now.is_some());
    let follower = Follower { journal, environment, sync, again, stop };
    let mut stuck = follower.write(&deletions);
    stuck.append(&mut follower.write_side_by_side(&puts));
    stuck
}

/// Writes what waits.
#[derive(Clone, Copy)]
struct Follower<'a> {
    journal: &'a Journal<'a>,
    environment: &'a dyn Environment,
    sync: Sync,
    again: bool,
    stop: &'a (dyn Fn() -> bool + std::marker::Sync),
}

impl Follower<'_> {
    /// As many threads as are of use; where the system gives none, this one does all of it.
    fn write_side_by_side(self, all: &[(Key, Entry)]) -> Vec<Stuck> {
        let shares = shares(all, self.journal.root.folder().medium().parallelism());
        let threads = shares.len();
        let shares = Mutex::new(shares.into_iter());
        let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || iter::from_fn(next).flat_map(|share| self.write(share)).collect::<Vec<_>>();
        thread::scope(|scope| {
            let others: Vec<_> =
                (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
            let joined = |thread: thread::ScopedJoinHandle<'_, Vec<Stuck>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            let mut stuck = work();
            stuck.extend(others.into_iter().flat_map(joined));
            stuck
        })
    }

    fn write(&self, some: &[(Key, Entry)]) -> Vec<Stuck> {
        let root = self.journal.root.folder();
        let epoch = self.journal.view().position.map_or(0, |position| position.epoch);
        let id = self.environment.new_id();
        let how = (self.sync, self.again);
        let mut applier = Applier::new(root, self.journal.folder, how, id, epoch);
        let (mut written, mut stuck) = (Vec::new(), Vec::new());
        for (key, entry) in some {
            if (self.stop)() {
                break;
            }
            match applier.apply(key, entry) {
                Ok(()) => written.push(key),
                Err(error) => stuck.push(Stuck::new(key, error, applier.extent())),
            }
        }
        // IMPORTANT: a file whose name may not be durable was not written.
        let unsynced = applier.sync_folders();
        written.retain(|key| {
            let path = root.path_of(key.as_str());
            let failure = unsynced.covers(&path);
            stuck.extend(failure.map(|(error, extent)| Stuck::new(key, again_for(error), extent)));
            failure.is_none()
        });
        let mut view = self.journal.view();
        for key in written {
            if let Some(entry) = view.overlay.get_mut(key) {
                entry.applied = true;
            }
        }
        for it in &mut stuck {
            tracing::debug!(key = %it.key, error = %it.error, "the file cannot be written; the journal has the value");
            if let Some(entry) = view.overlay.get_mut(&it.key) {
                it.is_news = !std::mem::replace(&mut entry.failed, true);
            }
        }
        stuck
    }
}

/// Cuts what waits into parts for so many threads, between folders, so that they hardly ever work in one at
/// the same time.
fn shares(all: &[(Key, Entry)], threads: usize) -> Vec<&[(Key, Entry)]> {
    let size = all.len().div_ceil(threads.max(1)).max(SMALLEST_SHARE);
    let (mut shares, mut from) = (Vec::new(), 0);
    let folder = |at: usize| all.get(at).map(|(key, _)| path_of(key));
    while from < all.len() {
        let mut to = from + size;
        while to < all.len() && folder(to) == folder(to - 1) {
            to += 1;
        }
        shares.extend(all.get(from..to.min(all.len())));
        from = to;
    }
    shares
}
