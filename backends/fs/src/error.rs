//! What an error of the operating system means to a caller.

use std::{io, path::Path};

use pflow_backend::{Error, ErrorKind};
use rustix::io::Errno;

use crate::journal::lost::LostTail;

/// "Failed to sync /a/b", with the kind that fits the cause, and the way out where the kind does not tell it.
pub(crate) fn failed(what: &str, path: &Path, source: io::Error) -> Error {
    let errno = errno_of(&source);
    // Opening with O_NOFOLLOW answers ELOOP for a link.
    if errno == Some(Errno::LOOP) {
        return symbolic_link(path).with_source(source);
    }
    let kind = errno.map_or(ErrorKind::Io, kind_of);
    let error = Error::not_applied(kind, format!("Failed to {what} {}", path.display())).with_source(source);
    // The file system does not take this one name.
    let error = if kind == ErrorKind::InvalidInput { error.of_one_object() } else { error };
    match errno.and_then(hint_for) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// An error and what caused it, for people.
pub(crate) fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The number behind an error of ours, if the system gave one.
pub(crate) fn cause(error: &Error) -> Option<Errno> {
    std::error::Error::source(error)?.downcast_ref::<io::Error>().and_then(errno_of)
}

/// The number behind an error, if the system gave one.
pub(crate) fn errno_of(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// Whether the system or the file system has no such call. On macOS the last two differ.
pub(crate) fn is_no_call(errno: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP].contains(&errno)
}

/// A link where an object or a folder of this storage should be.
pub(crate) fn symbolic_link(path: &Path) -> Error {
    let what = format!(
        "{} is a symbolic link; links inside the store are never followed: put the file that it leads to in its place",
        path.display()
    );
    Error::not_applied(ErrorKind::Unsafe, what).of_one_object()
}

/// A pipe, socket or device where an object or a folder of this storage should be.
pub(crate) fn special_file(path: &Path) -> Error {
    let what =
        format!("{} is neither a regular file nor a folder; this storage keeps away from it", path.display());
    Error::not_applied(ErrorKind::Unsafe, what).of_one_object()
}

/// The error of a read, marked where its cause lies in the object: a bad block, or a file that this user may
/// not read.
pub(crate) fn of_object(error: Error) -> Error {
    match cause(&error) {
        Some(Errno::IO | Errno::ACCESS | Errno::PERM) => error.of_one_object(),
        _ => error,
    }
}

/// The same error for another batch or key that it concerns.
pub(crate) fn again(error: &Error) -> Error {
    let mut same = Error::not_applied(error.kind(), error.to_string()).with_outcome(error.outcome());
    if let Some(hint) = error.hint() {
        same = same.with_hint(hint);
    }
    if error.is_of_one_object() {
        same = same.of_one_object();
    }
    if let Some(source) = std::error::Error::source(error) {
        same = match source.downcast_ref::<io::Error>().and_then(errno_of) {
            Some(errno) => same.with_source(io::Error::from(errno)),
            None => match source.downcast_ref::<LostTail>() {
                Some(lost) => same.with_source(lost.clone()),
                None => same.with_source(source.to_string()),
            },
        };
    }
    same
}

/// What a person can do about a cause, where the kind of the error says too little.
fn hint_for(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::MFILE => "raise the limit of open files with `ulimit -n`, then try again",
        Errno::NFILE => {
            "close other programs, or raise the system's limit of open files with `sysctl fs.file-max`"
        }
        Errno::FBIG => "raise the limit of the file size with `ulimit -f unlimited`, then try again",
        Errno::DQUOT => "make room within your disk quota, which `quota` shows, then try again",
        Errno::ROFS => "mount the file system for writing, or work on a copy of the store elsewhere",
        _ => return None,
    })
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
    use std::error::Error as _;

    use super::*;

    #[test]
    fn the_cause_decides_the_kind() {
        for (errno, kind) in [
            (Errno::NOSPC, ErrorKind::Exhausted),
            (Errno::DQUOT, ErrorKind::Exhausted),
            (Errno::MFILE, ErrorKind::Exhausted),
            (Errno::FBIG, ErrorKind::Exhausted),
            (Errno::ROFS, ErrorKind::Denied),
            (Errno::LOOP, ErrorKind::Unsafe),
            (Errno::NAMETOOLONG, ErrorKind::InvalidInput),
            (Errno::XDEV, ErrorKind::Io),
            (Errno::IO, ErrorKind::Io),
        ] {
            let error = failed("rename", Path::new("/x/y"), errno.into());
            assert_eq!(error.kind(), kind, "{errno:?}");
            assert!(error.to_string().contains("/x/y"), "{error}");
            assert!(error.source().is_some());
            assert_eq!(cause(&error), Some(errno));
        }
    }

    #[test]
    fn a_read_that_fails_for_the_object_alone_says_so() {
        for (errno, of_one) in [
            (Errno::IO, true),
            (Errno::ACCESS, true),
            (Errno::NAMETOOLONG, true),
            (Errno::MFILE, false),
            (Errno::NOMEM, false),
        ] {
            let error = of_object(failed("read", Path::new("/x"), errno.into()));
            assert_eq!(error.is_of_one_object(), of_one, "{errno:?}");
            assert_eq!(again(&error).is_of_one_object(), of_one);
        }
        for error in [
            symbolic_link(Path::new("/x")),
            special_file(Path::new("/x")),
            failed("read", Path::new("/x"), Errno::LOOP.into()),
        ] {
            assert!(error.is_of_one_object(), "{error}");
        }
    }

    #[test]
    fn a_cause_that_its_kind_does_not_explain_has_a_hint() {
        for (errno, command) in [
            (Errno::MFILE, "`ulimit -n`"),
            (Errno::NFILE, "`sysctl fs.file-max`"),
            (Errno::FBIG, "`ulimit -f unlimited`"),
            (Errno::DQUOT, "`quota`"),
        ] {
            let error = failed("open", Path::new("/x"), errno.into());
            assert!(error.hint().is_some_and(|hint| hint.contains(command)), "{errno:?}: {error:?}");
            assert_eq!(again(&error).hint(), error.hint());
        }
        assert_eq!(failed("open", Path::new("/x"), Errno::NOSPC.into()).hint(), None);
    }
}
