//! What a store on a disk stands on below the contract: the lock, the sync, the rename, the file system.

use std::{error::Error as _, time::Duration};

use pflow_backend::{
    Error, ErrorKind, Prefix, Result,
    probe::{Check, Verdict},
};
use rustix::{fs::FileType, io::Errno};

use crate::{
    FsBackend,
    backend::blocking,
    error::failed,
    files::whole,
    folder::{Folder, Step},
    lock::{Attempt, StoreLock},
    medium::Kind,
    store::Store,
};

/// Between two tries for the lock.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest name that a key may hold.
const LONGEST_NAME: usize = 255;

/// The folder's lock, held until this is dropped. Nobody commits meanwhile.
///
/// It is there to find out whether it excludes anybody: another process that gets one at the same time has
/// shown that it does not.
#[derive(Debug)]
#[must_use = "it is given back when this is dropped"]
pub struct HeldLock {
    _lock: StoreLock,
}

impl FsBackend {
    /// Asks for the folder's lock once; none if somebody else holds it.
    ///
    /// # Errors
    /// The lock cannot be asked for: the folder is gone, or this is a file system without locks (`Unsafe`).
    pub async fn try_hold(&self) -> Result<Option<HeldLock>> {
        let store = self.store().clone();
        let attempt =
            blocking(move || StoreLock::try_take(&store.root, store.environment.identity())).await?;
        Ok(match attempt {
            Attempt::Taken(lock) => Some(HeldLock { _lock: lock }),
            Attempt::Held(_) => None,
        })
    }

    /// See [`StorageBackend::examine`](pflow_backend::StorageBackend::examine).
    pub(crate) async fn look_below(&self, ground: &Prefix) -> Result<Vec<Check>> {
        let environment = &self.store().environment;
        let deadline = environment.monotonic().saturating_add(self.lock_wait());
        loop {
            let (store, ground) = (self.store().clone(), ground.clone());
            let looked =
                blocking(move || match StoreLock::try_take(&store.root, store.environment.identity())? {
                    Attempt::Taken(_lock) => look_under_lock(&store, &ground).map(Ok),
                    Attempt::Held(holder) => Ok(Err(holder)),
                });
            let holder = match looked.await? {
                Ok(checks) => return Ok(checks),
                Err(holder) => holder,
            };
            if environment.monotonic() >= deadline {
                let what = format!("Failed to lock {}: held by {holder}", self.root().display());
                return Err(Error::not_applied(ErrorKind::Busy, what));
            }
            environment.sleep(PAUSE.mul_f64(0.5 + environment.jitter())).await;
        }
    }
}

/// Under the lock, so that no commit makes a folder while an empty one is removed.
fn look_under_lock(store: &Store, ground: &Prefix) -> Result<Vec<Check>> {
    let names: Vec<&str> = ground.key().into_iter().flat_map(|key| key.segments()).collect();
    let looked = look(store, &names);
    clear(store.root.folder(), &names)?;
    looked
}

fn look(store: &Store, ground: &[&str]) -> Result<Vec<Check>> {
    let mut folder = store.root.folder().clone();
    for name in ground {
        folder.create_folder(name)?;
        folder = match folder.step(name)? {
            Step::Folder(next) => next,
            Step::Missing | Step::Other(_) => {
                let what = format!("{} is in the way of the probe", folder.path_of(name).display());
                return Err(Error::not_applied(ErrorKind::Unavailable, what));
            }
        };
    }
    let (lock, sync, rename) = (lock(store)?, sync(&folder)?, rename(&folder)?);
    let check = |name, promise, required, verdict| Check::new(name, promise, required, verdict);
    Ok(vec![
        check("lock", "A lock that somebody holds is given to nobody else", true, lock),
        check("sync", "Files and folders can be synced", true, sync),
        check("rename", "A file that is moved over another one replaces it at once", true, rename),
        check("names", "Names may be long, and capitals differ from small letters", false, names(&folder)?),
        check("file-system", "It is on this machine and outlasts a restart", false, file_system(&folder)?),
    ])
}

/// The lock is held; asks for it once more. It belongs to an open file, so that this is what a second process
/// would do.
fn lock(store: &Store) -> Result<Verdict> {
    Ok(match StoreLock::try_take(&store.root, store.environment.identity())? {
        Attempt::Held(_) => Verdict::Kept("a second one was refused while it was held".to_owned()),
        Attempt::Taken(_) => Verdict::Broken("It gave one lock to two holders at the same time".to_owned()),
    })
}

fn sync(folder: &Folder) -> Result<Verdict> {
    let kept = || Verdict::Kept("a file and its folder were synced".to_owned());
    match write(folder, "synced", b"synced").and_then(|()| folder.sync()) {
        Ok(()) => Ok(kept()),
        Err(error) if is_unsupported(&error) => Ok(Verdict::Broken(format!("It cannot sync: {error}"))),
        Err(other) => Err(other),
    }
}

fn rename(folder: &Folder) -> Result<Verdict> {
    write(folder, "old", b"old")?;
    write(folder, "new", b"new")?;
    if let Err(error) = folder.rename("new", (folder, "old")) {
        return if is_unsupported(&error) {
            Ok(Verdict::Broken(format!("It cannot move a file over another one: {error}")))
        } else {
            Err(error)
        };
    }
    let there = match folder.open_file("old")? {
        Some((file, status)) => whole(&file, &status)?,
        None => return Ok(Verdict::Broken("A file that was moved is not there".to_owned())),
    };
    Ok(if there.as_ref() != b"new" {
        Verdict::Broken("A file that was moved over another one did not replace it".to_owned())
    } else if folder.look("new")?.is_some() {
        Verdict::Broken("A file that was moved is still where it was".to_owned())
    } else {
        Verdict::Kept("whoever opened the name found the new file".to_owned())
    })
}

fn names(folder: &Folder) -> Result<Verdict> {
    let long = "n".repeat(LONGEST_NAME);
    match write(folder, &long, b"") {
        Ok(()) => {}
        Err(error) if errno(&error) == Some(Errno::NAMETOOLONG) => {
            return Ok(Verdict::Broken(format!(
                "It takes no names of {LONGEST_NAME} bytes; those of a store have at most 145"
            )));
        }
        Err(other) => return Err(other),
    }
    write(folder, "Capital", b"")?;
    Ok(match folder.look("cAPITAL")? {
        None => Verdict::Kept(format!("names of {LONGEST_NAME} bytes, and capitals differ")),
        // Ids are small letters for this reason.
        Some(_) => {
            Verdict::Broken("It takes capitals for small letters; names of a store have none".to_owned())
        }
    })
}

fn file_system(folder: &Folder) -> Result<Verdict> {
    let (name, kind) = folder
        .medium()
        .kind(folder.node())
        .map_err(|error| failed("ask for the file system of", folder.path(), error))?;
    Ok(match kind {
        Kind::Local => Verdict::Kept(name),
        Kind::Memory => Verdict::Broken(format!("It is {name}, in memory: a restart loses everything")),
        Kind::Remote => Verdict::Broken(format!(
            "It is {name}, whose locks may not reach other machines: use it from one machine alone"
        )),
        Kind::Unknown => Verdict::Broken(format!("It is of an unknown kind ({name})")),
    })
}

fn write(folder: &Folder, name: &str, bytes: &[u8]) -> Result<()> {
    let file = folder.create_file(name, None)?;
    file.write_at(bytes, 0)?;
    file.sync_data()
}

/// Removes the ground with its files, and the folders above it that are empty then: an empty folder is
/// nothing to this storage, but somebody to whoever looks with other eyes. Nothing that it leaves does any
/// harm.
fn clear(root: &Folder, names: &[&str]) -> Result<()> {
    let mut folders = vec![root.clone()];
    for name in names {
        let Some(Step::Folder(next)) = folders.last().map(|folder| folder.step(name)).transpose()? else {
            break;
        };
        folders.push(next);
    }
    if let Some(ground) = folders.get(names.len())
        && !names.is_empty()
    {
        empty(ground)?;
    }
    for (name, pair) in names.iter().zip(folders.windows(2)).rev() {
        let [parent, folder] = pair else { break };
        if !folder.names()?.is_empty() {
            break;
        }
        parent.remove_folder(name)?;
    }
    Ok(())
}

/// Removes everything in the folder. The probe has deleted its objects; files of which the journal has
/// not removed all yet are of no use.
fn empty(folder: &Folder) -> Result<()> {
    for (name, kind) in folder.names()? {
        // Names of the probe are text.
        let Some(name) = name.to_str() else { continue };
        if kind == FileType::Directory {
            if let Step::Folder(below) = folder.step(name)? {
                empty(&below)?;
            }
            folder.remove_folder(name)?;
        } else {
            folder.remove_file(name)?;
        }
    }
    Ok(())
}

/// Whether the file system does not know the call, as opposed to having failed in it.
fn is_unsupported(error: &Error) -> bool {
    matches!(errno(error), Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn errno(error: &Error) -> Option<Errno> {
    error.source().and_then(|source| source.downcast_ref()).and_then(Errno::from_io_error)
}
