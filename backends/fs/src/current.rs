//! What a key holds now: the journal's word, or the file's.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use pflow_backend::{Bytes, DateTime, Error, ErrorKind, Excerpt, Key, Meta, Object, Result, Utc, Version};
use rustix::io::Errno;

use crate::{
    error::{cause, of_object},
    files,
    folder::{Folder, OpenFile, Step},
    journal::{
        self, VALUES,
        record::{Content, Value},
    },
    medium::Status,
    overlay::{Entry, Judged},
    root::Root,
    view::{Stamp, View, catch_up},
};

/// How often a read begins anew because a commit came between. Each time somebody got on.
const READS: usize = 1_000;

/// What is read of an object.
pub(crate) trait Read: Send + 'static {
    type Seen: Send;
    fn file(&self, root: &Folder, key: &Key) -> Result<Option<Self::Seen>>;
    /// What an edited file says, which was read already.
    fn edit(&self, key: &Key, bytes: Bytes, version: Version, modified: DateTime<Utc>) -> Self::Seen;
    /// None if the value is in its file for good by now.
    fn value(
        &self,
        root: &Folder,
        key: &Key,
        value: &Value,
        time: DateTime<Utc>,
    ) -> Result<Option<Self::Seen>>;
}

/// With its bytes.
pub(crate) struct Whole;
/// Without.
pub(crate) struct MetaOnly;
/// With these bytes only.
pub(crate) struct Ranged(pub(crate) Range<u64>);

/// What one look brought.
pub(crate) enum Look<T> {
    /// The journal knows.
    Known(Option<T>),
    /// The file says so. It counts only if it [`stands`].
    File(Option<T>, Basis),
    /// The value went into its file just then.
    Again,
}

/// What a file was read under.
#[derive(Debug)]
pub(crate) struct Basis {
    stamp: Stamp,
    entry: Option<Entry>,
}

/// Looks once, with a view that was caught up since the read began.
pub(crate) fn look<R: Read>(root: &Root, view: &Mutex<View>, key: &Key, how: &R) -> Result<Look<R::Seen>> {
    let (entry, stamp) = {
        let view = view.lock().unwrap_or_else(PoisonError::into_inner);
        (view.overlay.get(key).cloned(), view.stamp())
    };
    look_under(root.folder(), key, how, Basis { stamp, entry }).map_err(of_object)
}

fn look_under<R: Read>(root: &Folder, key: &Key, how: &R, basis: Basis) -> Result<Look<R::Seen>> {
    let Some(entry) = &basis.entry else { return Ok(Look::File(how.file(root, key)?, basis)) };
    if let Some((bytes, version, modified)) = edited(root, key, entry)? {
        return Ok(Look::File(Some(how.edit(key, bytes, version, modified)), basis));
    }
    Ok(match &entry.now {
        None => Look::Known(None),
        Some(value) => {
            how.value(root, key, value, entry.time)?.map_or(Look::Again, |seen| Look::Known(Some(seen)))
        }
    })
}

/// The object under a key, if nothing has to be waited for: everything is in the system's cache, and nobody
/// is at work on the view. Whatever else comes up is none, for a [`read`] that may wait and says what it is.
pub(crate) fn read_at_once<R: Read>(
    root: &Root,
    view: &Mutex<View>,
    key: &Key,
    how: &R,
) -> Option<Option<R::Seen>> {
    let folder = root.without_waiting()?;
    root.check_in_place().ok()?;
    let (known, basis) = {
        let view = view.try_lock().ok()?;
        (view.what_it_knows()?, Basis { stamp: view.stamp(), entry: view.overlay.get(key).cloned() })
    };
    if !known.is_current(root) {
        return None;
    }
    match look_under(folder, key, how, basis).ok()? {
        Look::Known(seen) => Some(seen),
        Look::Again => None,
        Look::File(seen, basis) => {
            let known = view.try_lock().ok()?.what_it_knows()?;
            (known.is_current(root) && stands(view, key, &basis)).then_some(seen)
        }
    }
}

/// Whether what a file said counts, with a view that was caught up since.
///
/// IMPORTANT: it does only if nothing was committed for its key while it was read: it may have been written
/// just then.
pub(crate) fn stands(view: &Mutex<View>, key: &Key, basis: &Basis) -> bool {
    let view = view.lock().unwrap_or_else(PoisonError::into_inner);
    let now = view.stamp();
    now == basis.stamp
        || now.epoch == basis.stamp.epoch
            && match (view.overlay.get(key), &basis.entry) {
                (None, None) => true,
                (Some(now), Some(then)) => now.is_as(then),
                _ => false,
            }
}

/// The object under a key.
pub(crate) fn read<R: Read>(root: &Root, view: &Mutex<View>, key: &Key, how: &R) -> Result<Option<R::Seen>> {
    let catch_up = || catch_up(view, root);
    let mut gone = None;
    for _ in 0..READS {
        catch_up()?;
        let stamp = view.lock().unwrap_or_else(PoisonError::into_inner).stamp();
        if gone == Some(stamp) {
            return Err(value_is_gone(root.folder(), key));
        }
        match look(root, view, key, how)? {
            Look::Known(seen) => return Ok(seen),
            Look::File(seen, basis) => {
                catch_up()?;
                if stands(view, key, &basis) {
                    return Ok(seen);
                }
            }
            Look::Again => gone = Some(stamp),
        }
    }
    let what = format!("{key} in {} changed all the time while it was read", root.path().display());
    Err(Error::not_applied(ErrorKind::Unavailable, what))
}

/// The journal names a file that is not there, and has not ended since.
pub(crate) fn value_is_gone(root: &Folder, key: &Key) -> Error {
    let what = format!(
        "The bytes of {key} are gone from {}. Bring back a copy of the folder, or write the object again",
        root.path_of(journal::JOURNAL).join(VALUES).display()
    );
    Error::not_applied(ErrorKind::Corrupt, what)
}

/// A person's edit in the file of an entry, if there is one.
///
/// What this process cannot read is no edit to it: the journal has the last value that was committed. Such a
/// file is not replaced either.
pub(crate) fn edited(
    root: &Folder,
    key: &Key,
    entry: &Entry,
) -> Result<Option<(Bytes, Version, DateTime<Utc>)>> {
    if !entry.may_be_edited() {
        return Ok(None);
    }
    let (bytes, status) = match files::read(root, key) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(None),
        Err(error) if is_unreadable(&error) => {
            tracing::debug!(%key, %error, "the file cannot be read; the journal's value counts");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let version = Version::of_content(&bytes);
    let judged = entry.judge(&version, &bytes, |value| bytes_of(root, value))?;
    Ok((judged == Judged::Edited).then_some((bytes, version, status.modified)))
}

/// Whether a file cannot be read because of what it is, and not because of what this process lacks at the
/// moment.
fn is_unreadable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsafe | ErrorKind::Denied) || cause(error) == Some(Errno::IO)
}

/// The bytes of a value; none if its file in `values/` is gone, because the value is in its place for good.
pub(crate) fn bytes_of(root: &Folder, value: &Value) -> Result<Option<Bytes>> {
    let (name, at) = match &value.content {
        Content::Inline(bytes) => return Ok(Some(bytes.clone())),
        Content::Kept { name, at } => (name, *at),
    };
    let Some((file, _)) = kept_file(root, name)? else { return Ok(None) };
    let bytes = files::part(&file, at, value.size)?;
    if Version::of_content(&bytes) != value.version {
        return Err(not_what_was_committed(&file));
    }
    Ok(Some(bytes))
}

/// The file in `values/` of this name; none if it is gone.
pub(crate) fn kept_file(root: &Folder, name: &str) -> Result<Option<(OpenFile, Status)>> {
    let Some(journal) = journal::find(root)? else { return Ok(None) };
    let Step::Folder(values) = journal.step(VALUES)? else { return Ok(None) };
    values.open_file(name)
}

pub(crate) fn not_what_was_committed(file: &OpenFile) -> Error {
    let what = format!("{} does not hold what was committed", file.path().display());
    Error::not_applied(ErrorKind::Corrupt, what)
}

impl Read for Whole {
    type Seen = Object;

    fn file(&self, root: &Folder, key: &Key) -> Result<Option<Object>> {
        Ok(files::read(root, key)?.map(|(bytes, status)| {
            let version = Version::of_content(&bytes);
            self.edit(key, bytes, version, status.modified)
        }))
    }

    fn edit(&self, key: &Key, bytes: Bytes, version: Version, modified: DateTime<Utc>) -> Object {
        let meta = Meta::new(key.clone(), bytes.len() as u64, version, modified);
        Object::new(meta, bytes)
    }

    fn value(&self, root: &Folder, key: &Key, value: &Value, time: DateTime<Utc>) -> Result<Option<Object>> {
        let bytes = bytes_of(root, value)?;
        Ok(bytes.map(|bytes| self.edit(key, bytes, value.version.clone(), time)))
    }
}

impl Read for MetaOnly {
    type Seen = Meta;

    fn file(&self, root: &Folder, key: &Key) -> Result<Option<Meta>> {
        let hashed = files::hash(root, key)?;
        Ok(hashed.map(|(version, size, status)| Meta::new(key.clone(), size, version, status.modified)))
    }

    fn edit(&self, key: &Key, bytes: Bytes, version: Version, modified: DateTime<Utc>) -> Meta {
        Meta::new(key.clone(), bytes.len() as u64, version, modified)
    }

    fn value(&self, _: &Folder, key: &Key, value: &Value, time: DateTime<Utc>) -> Result<Option<Meta>> {
        let (size, version) = (value.size, value.version.clone());
        Ok(Some(Meta::new(key.clone(), size, version, time)))
    }
}

/// No file is read beyond the range, and none is hashed: its version is not named. The version of a value is
/// named, because the journal has it.
impl Read for Ranged {
    type Seen = Excerpt;

    fn file(&self, root: &Folder, key: &Key) -> Result<Option<Excerpt>> {
        let read = files::range(root, key, &self.0)?;
        Ok(read.map(|(bytes, size)| Excerpt::new(bytes, size, None)))
    }

    fn edit(&self, key: &Key, bytes: Bytes, version: Version, modified: DateTime<Utc>) -> Excerpt {
        Whole.edit(key, bytes, version, modified).excerpt(self.0.clone())
    }

    fn value(&self, root: &Folder, key: &Key, value: &Value, time: DateTime<Utc>) -> Result<Option<Excerpt>> {
        let (name, at) = match &value.content {
            Content::Inline(bytes) => {
                return Ok(Some(self.edit(key, bytes.clone(), value.version.clone(), time)));
            }
            Content::Kept { name, at } => (name, *at),
        };
        let Some((file, _)) = kept_file(root, name)? else { return Ok(None) };
        let within = Excerpt::within(&self.0, value.size);
        let wanted = within.end - within.start;
        let bytes = files::part(&file, at.saturating_add(within.start), wanted)?;
        if bytes.len() as u64 != wanted {
            return Err(not_what_was_committed(&file));
        }
        Ok(Some(Excerpt::new(bytes, value.size, Some(value.version.clone()))))
    }
}
