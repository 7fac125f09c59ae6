//! Making the files durable, and ending the journal that stood over them.

use std::{
    iter,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use pflow_backend::{Environment, Key, Result};

use crate::{
    apply::{Applier, Sync, path_of},
    error::failed,
    folder::Folder,
    journal::{self, NEW_LOG, STAGING, VALUES},
    names::name_folders_again,
    overlay::Entry,
    rescue::rescue,
    writer::Journal,
};

/// Up to so many files are synced one by one: it takes about as many syncs as there are files and folders, and waits for nobody else's data. Of more,
/// the whole file system is synced.
const FEW: usize = 32;

/// What a thread of its own is worth.
const SMALLEST_SHARE: usize = 64;

/// How long nothing must have been committed before the files follow.
pub(crate) const FOLLOW_AFTER: Duration = Duration::from_millis(20);

/// Writes everything that the journal holds into the files, durably, and ends it.
///
/// **Invariant:** the journal ends only behind a sync that covers every file that it stood over, and every name that leads there.
/// - A file is covered if it was written by this handle, through a descriptor that was opened before, or since the descriptor of the whole file system
///   was opened: then a failure since is reported here. Every file that another process wrote is written again, because a failure may
///   have been reported to that process alone.
/// - A name is covered on the same terms. If another handle wrote files in this epoch, or a sync of this handle failed in it, every name is
///   given again ([`Journal::claim_files`]).
///
/// A crash anywhere leaves the journal, and with it every value; or the files, durable.
///
/// # Errors
/// The journal goes on as it was; nothing is lost.
pub(crate) fn checkpoint(
    journal: &mut Journal<'_>,
    environment: &dyn Environment,
    empty: bool,
) -> Result<()> {
    rescue(journal)?;
    if let Err(error) = write_durably(journal, environment) {
        // IMPORTANT: what a failed sync covered may be lost although it can be read. All of it is written and named again the next time.
        journal.view().overlay.iter_mut().for_each(|(_, entry)| entry.applied = false);
        journal.distrust_files();
        return Err(error);
    }
    journal.end(empty)?;
    if let Err(error) = journal.folder.remove_file(NEW_LOG) {
        tracing::debug!(%error, "a journal that never took its place stays until the next checkpoint");
    }
    for name in [VALUES, STAGING] {
        // Whoever works on in this process needs it again soon.
        if let Err(error) = journal::sweep(journal.folder, name, empty) {
            tracing::debug!(%error, "what is not needed any more stays until the next checkpoint");
        }
    }
    Ok(())
}

/// The first half of a [`checkpoint`].
fn write_durably(journal: &mut Journal<'_>, environment: &dyn Environment) -> Result<()> {
    let (few, fresh) = {
        let view = journal.view();
        if view.overlay.is_empty() {
            return Ok(());
        }
        let few = view.overlay.iter().count() <= FEW;
        (few, view.overlay.iter().all(|(_, entry)| !entry.applied))
    };
    let again = journal.claim_files()?;
    let root = journal.root.folder();
    // One by one only what is written here and now: a descriptor that is opened later may not be told of an earlier failure.
    let all_at_once = !(few && (fresh || again)) && root.medium().syncs_file_systems();
    if !all_at_once || again {
        journal.view().overlay.iter_mut().for_each(|(_, entry)| entry.applied = false);
    }
    let moved_in = if again { name_folders_again(journal)? } else { Vec::new() };
    let sync = if all_at_once { Sync::Later } else { Sync::Each };
    write_files(journal, environment, sync, again, &|| false)?;
    match sync {
        Sync::Each => moved_in.iter().try_for_each(Folder::sync),
        Sync::Later => {
            let synced = root.medium().sync_file_system(root.node());
            synced.map_err(|error| failed("sync the file system of", root.path(), error))
        }
    }
}

/// Writes what is not in its file yet, until `stop` says so. Nothing of it is durable then.
///
/// # Errors
/// One that could not be written, after all others were.
pub(crate) fn follow(
    journal: &mut Journal<'_>,
    environment: &dyn Environment,
    stop: &(dyn Fn() -> bool + std::marker::Sync),
) -> Result<()> {
    if journal.view().overlay.iter().all(|(_, entry)| entry.applied) {
        return Ok(());
    }
    journal.claim_files()?;
    write_files(journal, environment, Sync::Later, false, stop)
}

/// Writes what is not in its file yet, until `stop` says so. With [`Sync::Each`] it is durable then.
fn write_files(
    journal: &Journal<'_>,
    environment: &dyn Environment,
    sync: Sync,
    again: bool,
    stop: &(dyn Fn() -> bool + std::marker::Sync),
) -> Result<()> {
    let waiting: Vec<(Key, Entry)> = {
        let view = journal.view();
        let all = view.overlay.iter().filter(|(_, entry)| !entry.applied);
        all.map(|(key, entry)| (key.clone(), entry.clone())).collect()
    };
    // Deletions first, so that a name that was an object may be a folder now; then in the order of keys, folder by folder.
    let (puts, deletions): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, entry)| entry.now.is_some());
    let follower = Follower { journal, environment, sync, again, stop };
    follower.write(&deletions).and(follower.write_side_by_side(&puts))
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
    fn write_side_by_side(self, all: &[(Key, Entry)]) -> Result<()> {
        let shares = shares(all, self.journal.root.folder().medium().parallelism());
        let threads = shares.len();
        let shares = Mutex::new(shares.into_iter());
        let next = || shares.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || iter::from_fn(next).map(|share| self.write(share)).fold(Ok(()), Result::and);
        thread::scope(|scope| {
            let others: Vec<_> =
                (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
            let joined = |thread: thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            others.into_iter().fold(work(), |result, thread| result.and(joined(thread)))
        })
    }

    fn write(&self, some: &[(Key, Entry)]) -> Result<()> {
        let root = self.journal.root.folder();
        let id = self.environment.new_id();
        let mut applier = Applier::new(root, self.journal.folder, self.sync, self.again, id);
        let mut failure = None;
        for (key, entry) in some {
            if (self.stop)() {
                break;
            }
            match applier.apply(key, entry) {
                Ok(()) => {
                    if let Some(entry) = self.journal.view().overlay.get_mut(key) {
                        entry.applied = true;
                    }
                }
                Err(error) => {
                    tracing::debug!(%key, %error, "the file does not follow yet; the journal has it");
                    failure.get_or_insert(error);
                }
            }
        }
        let synced = applier.sync_folders();
        failure.map_or(synced, Err)
    }
}

/// Cuts what waits into parts for so many threads, between folders, so that they hardly ever work in one at the same time.
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
