//! What an error of the operating system means to a caller.

use std::{error::Error as _, io, path::Path};

use pflow_backend::{Error, ErrorKind};
use rustix::io::Errno;

/// "Failed to sync /a/b", with the kind that fits the cause.
pub(crate) fn failed(what: &str, path: &Path, source: io::Error) -> Error {
    let errno = Errno::from_io_error(&source);
    // Opening with O_NOFOLLOW answers ELOOP for a link.
    if errno == Some(Errno::LOOP) {
        return symbolic_link(path).with_source(source);
    }
    let kind = errno.map_or(ErrorKind::Io, kind_of);
    Error::new(kind, format!("Failed to {what} {}", path.display())).with_source(source)
}

/// A link where an object or a folder of this storage should be.
pub(crate) fn symbolic_link(path: &Path) -> Error {
    let what = format!("{} is a symbolic link; links inside the store are never followed", path.display());
    Error::new(ErrorKind::Unsafe, what)
}

/// A pipe, socket or device where an object or a folder of this storage should be.
pub(crate) fn special_file(path: &Path) -> Error {
    let what =
        format!("{} is neither a regular file nor a folder; this storage keeps away from it", path.display());
    Error::new(ErrorKind::Unsafe, what)
}

/// Whether the call that failed surely changed nothing.
///
/// The listed errors are found before a file system begins to change anything. Behind every other one (EIO above all) the
/// change may have happened, in memory or on the medium.
pub(crate) fn surely_changed_nothing(error: &Error) -> bool {
    let Some(cause) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else {
        // No call was made: this crate itself refused.
        return true;
    };
    let Some(errno) = Errno::from_io_error(cause) else { return false };
    kind_of(errno) != ErrorKind::Io
        || matches!(
            errno,
            Errno::NOENT
                | Errno::NOTDIR
                | Errno::ISDIR
                | Errno::EXIST
                | Errno::NOTEMPTY
                | Errno::BUSY
                | Errno::XDEV
                | Errno::NOMEM
                | Errno::MLINK
        )
}

fn kind_of(errno: Errno) -> ErrorKind {
    match errno {
        Errno::NOSPC | Errno::DQUOT | Errno::MFILE | Errno::NFILE | Errno::FBIG => ErrorKind::Exhausted,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::Denied,
        Errno::LOOP => ErrorKind::Unsafe,
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => ErrorKind::InvalidInput,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides_the_kind_and_whether_anything_may_have_changed() {
        for (errno, kind, sure) in [
            (Errno::NOSPC, ErrorKind::Exhausted, true),
            (Errno::MFILE, ErrorKind::Exhausted, true),
            (Errno::ROFS, ErrorKind::Denied, true),
            (Errno::LOOP, ErrorKind::Unsafe, true),
            (Errno::NAMETOOLONG, ErrorKind::InvalidInput, true),
            (Errno::XDEV, ErrorKind::Io, true),
            (Errno::IO, ErrorKind::Io, false),
            (Errno::STALE, ErrorKind::Io, false),
        ] {
            let error = failed("rename", Path::new("/x/y"), errno.into());
            assert_eq!((error.kind(), surely_changed_nothing(&error)), (kind, sure), "{errno:?}");
            assert!(error.to_string().contains("/x/y"), "{error}");
            assert!(error.source().is_some());
        }
        assert!(surely_changed_nothing(&special_file(Path::new("/x"))));
    }
}
