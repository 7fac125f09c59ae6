//! Reading objects, and the version of what was read.

use std::{fs::File, io::Read, path::Path};

use pflow_backend::{Error, ErrorKind, Key, Meta, Object, Result, Version};
use rustix::fs::Stat;
use sha2::{Digest, Sha256};

use crate::{
    error::failed,
    folder::{Folder, Walk, modified},
};

/// How much of a file is in memory while it is hashed.
const CHUNK_BYTES: usize = 64 * 1024;
/// The largest object. Objects are read whole, so that a file which somebody put here must not take all the memory there is.
pub(crate) const MAX_OBJECT_BYTES: u64 = 1 << 30;

/// The whole object; none if there is none.
///
/// A file is replaced by another one and never rewritten, so an open one holds all bytes of one write.
pub(crate) fn get(root: &Folder, key: &Key) -> Result<Option<Object>> {
    let Some((mut file, stat, folder, name)) = open(root, key)? else { return Ok(None) };
    if u64::try_from(stat.st_size).is_ok_and(|size| size > MAX_OBJECT_BYTES) {
        let path = folder.path_of(name);
        let what = format!(
            "{} has {} bytes; an object has at most {MAX_OBJECT_BYTES}",
            path.display(),
            stat.st_size
        );
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let mut bytes = Vec::new();
    let expected = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(expected).map_err(|error| {
        let what =
            format!("{} has {expected} bytes, more than there is memory", folder.path_of(name).display());
        Error::new(ErrorKind::Exhausted, what).with_source(error)
    })?;
    file.read_to_end(&mut bytes).map_err(|error| failed("read", &folder.path_of(name), error))?;
    let meta = Meta {
        key: key.clone(),
        size: bytes.len() as u64,
        version: Version::of_content(&bytes),
        modified: modified(&stat),
    };
    Ok(Some(Object { meta, bytes: bytes.into() }))
}

/// The same without keeping the bytes.
pub(crate) fn stat(root: &Folder, key: &Key) -> Result<Option<Meta>> {
    let Some((file, stat, folder, name)) = open(root, key)? else { return Ok(None) };
    let (version, size) = hash(&file, &folder.path_of(name))?;
    Ok(Some(Meta { key: key.clone(), size, version, modified: modified(&stat) }))
}

/// What the rest of the file says, in bounded memory: its version and its length.
pub(crate) fn hash(mut file: &File, path: &Path) -> Result<(Version, u64)> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut hash = Sha256::new();
    let mut size = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read", path, error)),
        };
        hash.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
    // The same as Version::of_content gives for these bytes.
    Ok((Version::new(base16ct::lower::encode_string(&hash.finalize())), size))
}

/// The key's folders and its own name.
pub(crate) fn split(key: &Key) -> (impl Iterator<Item = &str>, &str) {
    let (folders, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    (folders.split('/').filter(|it| !it.is_empty()), name)
}

type Opened<'a> = (File, Stat, Folder, &'a str);

fn open<'a>(root: &Folder, key: &'a Key) -> Result<Option<Opened<'a>>> {
    let (folders, name) = split(key);
    let Walk::There(folder) = root.walk(folders)? else { return Ok(None) };
    let Some(file) = folder.open_file(name)? else { return Ok(None) };
    let stat =
        rustix::fs::fstat(&file).map_err(|errno| failed("look at", &folder.path_of(name), errno.into()))?;
    Ok(Some((file, stat, folder, name)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn hashing_by_chunks_gives_the_version_of_the_whole() {
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            let hashed = hash(&File::open(file.path()).unwrap(), file.path()).unwrap();
            assert_eq!(hashed, (Version::of_content(&bytes), length as u64));
        }
    }
}
