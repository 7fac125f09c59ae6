//! One batch from the lock to the answer. Everything here blocks.

use std::collections::BTreeSet;

use pflow_backend::{
    Batch, Commit, Conflict, Error, ErrorKind, Operation, Outcome, Result, Version, Versions,
};

use crate::{
    backend::Store,
    folder::Walk,
    journal,
    lock::{Attempt as LockAttempt, StoreLock},
    note::Note,
    plan::{Plan, plan},
    promote::Staged,
};

/// What came of trying once.
#[derive(Debug)]
pub(crate) enum Attempt {
    Finished(Result<Commit>),
    /// Somebody else holds the lock. Nothing happened.
    Held(String),
}

/// Tries to commit, without waiting for the lock.
pub(crate) fn attempt(store: &Store, batch: &Batch) -> Attempt {
    let lock = match check(store).and_then(|()| StoreLock::try_take(&store.root, &store.disk)) {
        Ok(LockAttempt::Taken(lock)) => lock,
        Ok(LockAttempt::Held(holder)) => return Attempt::Held(holder),
        Err(error) => return Attempt::Finished(Err(error)),
    };
    let result = commit(store, &lock, batch);
    // Others need not wait while this one counts its versions.
    drop(lock);
    if let Err(error) = &result
        && error.outcome() == Outcome::Unknown
    {
        // After a failed sync the kernel may call the lost pages clean, and a second sync would succeed without them.
        store.poison(error);
    }
    Attempt::Finished(result.map(|conflict| match conflict {
        Some(conflict) => Commit::Conflict(conflict),
        None => Commit::Committed(versions(batch)),
    }))
}

fn check(store: &Store) -> Result<()> {
    if store.is_poisoned() {
        let path = store.root.path().display();
        let what =
            format!("An earlier commit in {path} could not be synced; read what is there and open it anew");
        return Err(Error::new(ErrorKind::Poisoned, what));
    }
    Ok(())
}

/// All of it, under the lock: none, or the condition that did not hold.
fn commit(store: &Store, lock: &StoreLock, batch: &Batch) -> Result<Option<Conflict>> {
    let (root, disk) = (&store.root, &store.disk);
    // IMPORTANT: before anything is touched, and again at every commit: a newer program may have begun since.
    journal::check(lock.journal())?;
    let note = Note::of(store.environment.identity());
    finish_the_last_one(store, lock, &note)?;
    journal::sweep(lock.journal(), disk)?;

    let targets = match plan(root, batch)? {
        Plan::Ready(targets) => targets,
        Plan::Conflict(conflict) => return Ok(Some(conflict)),
    };
    let staging = journal::staging(lock.journal(), disk)?;
    let staged = Staged::write(disk, staging, batch, &targets, &store.environment.new_id())?;

    // IMPORTANT: before the first name changes, so that whoever comes after a killed process knows what was not synced.
    lock.promise(&note, &folders(batch)).inspect_err(|_| lock.settle(&note))?;
    match staged.promote(root.folder(), batch, &targets) {
        Err(error) if error.outcome() == Outcome::Unknown => Err(error),
        settled => {
            // IMPORTANT: only now, when everything that can be seen is synced.
            lock.settle(&note);
            settled.map(|()| None)
        }
    }
}

/// Syncs what a process left that was killed in the middle of a commit, and takes over the note.
fn finish_the_last_one(store: &Store, lock: &StoreLock, note: &Note) -> Result<()> {
    let last = lock.last_note()?;
    if note.is(&last) {
        return Ok(());
    }
    let mut unsynced = BTreeSet::new();
    for prefix in last.unsynced() {
        let name = prefix.key().map_or("", |key| key.as_str());
        unsynced.insert("");
        unsynced.extend(name.match_indices('/').filter_map(|(at, _)| name.get(..at)));
        unsynced.insert(name);
    }
    for name in unsynced {
        match store.root.folder().walk(segments(name)) {
            // Nothing of this batch happened, but the state that it would build on is in doubt.
            Ok(Walk::There(folder)) => {
                store.disk.sync_folder(&folder).inspect_err(|error| store.poison(error))?;
            }
            // What is gone needs no sync: the folder above it, which is synced too, does not name it. Nor does what somebody
            // replaced by a link.
            Ok(Walk::Missing(_) | Walk::Blocked(..)) => {}
            Err(error) if error.kind() == ErrorKind::Unsafe => {}
            Err(error) => return Err(error),
        }
    }
    lock.introduce(note)
}

fn segments(folder: &str) -> impl Iterator<Item = &str> {
    folder.split('/').filter(|it| !it.is_empty())
}

/// The folders of all keys; "" is the root.
fn folders(batch: &Batch) -> BTreeSet<&str> {
    batch
        .operations()
        .map(|(_, operation)| operation.key().as_str().rsplit_once('/').map_or("", |(folder, _)| folder))
        .collect()
}

fn versions(batch: &Batch) -> Versions {
    let version = |operation: &Operation| match operation {
        Operation::Put { bytes, .. } => Some(Version::of_content(bytes)),
        Operation::Delete { .. } => None,
    };
    Versions::new(batch.stages().iter().map(|stage| stage.iter().map(version).collect()).collect())
}
