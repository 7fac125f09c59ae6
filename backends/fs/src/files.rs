//! The files of objects, as they are on the disk.

use std::ops::Range;

use pflow_backend::{Bytes, Error, ErrorKind, Excerpt, Key, Result, Version};
use sha2::{Digest, Sha256};

use crate::{
    folder::{Folder, OpenFile},
    medium::Status,
};

/// How much of a file is in memory while it is hashed.
const CHUNK_BYTES: usize = 64 * 1024;
/// The largest object. Objects are read whole, so that a file which somebody put here must not take all the
/// memory there is.
pub(crate) const MAX_OBJECT_BYTES: u64 = 1 << 30;

/// The whole file of a key; none if there is none.
pub(crate) fn read(root: &Folder, key: &Key) -> Result<Option<(Bytes, Status)>> {
    let Some((file, status)) = open(root, key)? else { return Ok(None) };
    Ok(Some((whole(&file, &status)?, status)))
}

/// What the file of a key is called, in bounded memory; none if there is none.
pub(crate) fn hash(root: &Folder, key: &Key) -> Result<Option<(Version, u64, Status)>> {
    let Some((file, status)) = open(root, key)? else { return Ok(None) };
    let (version, size) = hash_open(&file, &status)?;
    Ok(Some((version, size, status)))
}

/// These bytes of the file of a key, as far as it has them, and its length; none if there is none.
///
/// They are of one version: a file that has the name of a key is never written into, and another program that
/// does so may tear what is read of it, here as in [`read`].
pub(crate) fn range(root: &Folder, key: &Key, range: &Range<u64>) -> Result<Option<(Bytes, u64)>> {
    let Some((file, status)) = open(root, key)? else { return Ok(None) };
    check_size(&file, status.size)?;
    let within = Excerpt::within(range, status.size);
    let wanted = within.end - within.start;
    if wanted == 0 {
        return Ok(Some((Bytes::new(), status.size)));
    }
    let bytes = part(&file, within.start, wanted)?;
    let read = bytes.len() as u64;
    // Another program has cut the file since: it ends where the bytes end, or before the range.
    let size = match read {
        _ if read == wanted => status.size,
        0 => file.status()?.size.min(within.start),
        _ => within.start + read,
    };
    Ok(Some((bytes, size)))
}

/// Refuses a file that is larger than any object.
fn check_size(file: &OpenFile, size: u64) -> Result<()> {
    if size > MAX_OBJECT_BYTES {
        let path = file.path().display();
        let what = format!("{path} has {size} bytes; an object has at most {MAX_OBJECT_BYTES}");
        return Err(Error::not_applied(ErrorKind::InvalidInput, what).of_one_object());
    }
    Ok(())
}

/// All bytes of an open file.
pub(crate) fn whole(file: &OpenFile, status: &Status) -> Result<Bytes> {
    check_size(file, status.size)?;
    let path = file.path().display();
    let mut expected = usize::try_from(status.size).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut done = 0;
    loop {
        // One more than there should be, to see that there is no more.
        bytes.try_reserve_exact(expected + 1).map_err(|error| {
            let what = format!("{path} has {expected} bytes, more than there is memory");
            Error::not_applied(ErrorKind::Exhausted, what).with_source(error)
        })?;
        bytes.resize(done + expected + 1, 0);
        let read = file.read_at(bytes.get_mut(done..).unwrap_or_default(), done as u64)?;
        done += read;
        if read <= expected {
            bytes.truncate(done);
            return Ok(bytes.into());
        }
        expected = CHUNK_BYTES;
    }
}

/// The key's folders and its own name.
pub(crate) fn split(key: &Key) -> (impl Iterator<Item = &str>, &str) {
    let (folders, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    (folders.split('/').filter(|it| !it.is_empty()), name)
}

/// What an open file says, in bounded memory: its version and its length.
pub(crate) fn hash_open(file: &OpenFile, status: &Status) -> Result<(Version, u64)> {
    // One more than there should be, to see that there is no more.
    let expected = usize::try_from(status.size).unwrap_or(usize::MAX).saturating_add(1);
    let mut hash = Sha256::new();
    let size = by_chunks(file, expected.min(CHUNK_BYTES), |chunk| hash.update(chunk))?;
    Ok((version(hash), size))
}

/// So many bytes of an open file from `at` on, or as many as there are.
pub(crate) fn part(file: &OpenFile, at: u64, size: u64) -> Result<Bytes> {
    let left = file.status()?.size.saturating_sub(at).min(size);
    let too_large = |error: String| {
        let what = format!("{left} bytes of {} are more than there is memory", file.path().display());
        Error::not_applied(ErrorKind::Exhausted, what).with_source(error)
    };
    let left_here = usize::try_from(left).map_err(|error| too_large(error.to_string()))?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(left_here).map_err(|error| too_large(error.to_string()))?;
    bytes.resize(left_here, 0);
    let read = file.read_at(&mut bytes, at)?;
    bytes.truncate(read);
    Ok(bytes.into())
}

/// Copies a file over another one, in bounded memory; the version of what it holds.
pub(crate) fn copy(from: &OpenFile, to: &OpenFile) -> Result<Version> {
    copy_part(from, 0, u64::MAX, to)
}

/// Copies so many bytes of a file from `at` on, or as many as there are, over another one, in bounded memory;
/// the version of what was copied.
pub(crate) fn copy_part(from: &OpenFile, at: u64, size: u64, to: &OpenFile) -> Result<Version> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < size {
        let most = usize::try_from(size - done).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let chunk = buffer.get_mut(..most).unwrap_or_default();
        let read = from.read_at(chunk, at + done)?;
        let chunk = chunk.get(..read).unwrap_or_default();
        hash.update(chunk);
        to.write_at(chunk, done)?;
        done += read as u64;
        if read < most {
            break;
        }
    }
    Ok(version(hash))
}

/// The same as `Version::of_content` gives for these bytes.
fn version(hash: Sha256) -> Version {
    Version::new(base16ct::lower::encode_string(&hash.finalize()))
}

/// Hands out a file piece by piece; its length.
fn by_chunks(file: &OpenFile, chunk: usize, mut each: impl FnMut(&[u8])) -> Result<u64> {
    let mut buffer = vec![0; chunk];
    let mut size = 0;
    loop {
        let read = file.read_at(&mut buffer, size)?;
        each(buffer.get(..read).unwrap_or_default());
        size += read as u64;
        if read < buffer.len() {
            return Ok(size);
        }
    }
}

fn open(root: &Folder, key: &Key) -> Result<Option<(OpenFile, Status)>> {
    root.open_below(key.as_str())
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Arc};

    use super::*;
    use crate::medium::System;

    #[test]
    fn reading_and_hashing_by_chunks_give_the_whole() {
        let place = tempfile::tempdir().unwrap();
        let root = Folder::open(Arc::new(System), place.path()).unwrap();
        let key = Key::parse("file").unwrap();
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            std::fs::File::create(place.path().join("file")).unwrap().write_all(&bytes).unwrap();
            let (version, size, _) = hash(&root, &key).unwrap().unwrap();
            assert_eq!((version, size), (Version::of_content(&bytes), length as u64));
            assert_eq!(read(&root, &key).unwrap().unwrap().0, bytes);
        }
    }

    #[test]
    fn a_file_that_grew_since_it_was_looked_at_is_read_whole() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "12345").unwrap();
        let root = Folder::open(Arc::new(System), place.path()).unwrap();
        let (file, status) = root.open_file("file").unwrap().unwrap();
        let earlier = Status { size: 2, ..status };
        assert_eq!(whole(&file, &earlier).unwrap(), "12345");
    }
}
