use std::{
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    str::FromStr,
};

#[cfg(feature = "object")]
use pflow_backend_object::{InvalidUrl, ObjectUrl, Scheme};

use super::place::folder_has_traces;
use crate::{
    Error,
    format::{Config, FormatError, keys},
};

/// The location of a store, parsed from a URL or a path.
///
/// A path, `file:///…`, `memory:`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. A
/// relative path is relative to the current folder. Any other scheme is refused; the error lists the schemes
/// that this build knows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A folder on a local disk. Without the feature `fs` it cannot be opened.
    Folder(PathBuf),
    /// The memory of this process; each one is new and empty.
    Memory,
    /// A bucket of S3, GCS or Azure, or a prefix in it.
    #[cfg(feature = "object")]
    Bucket(ObjectUrl),
}

/// The name of a store's folder in a project.
const FOLDER: &str = ".pflow";

impl Location {
    /// Finds the nearest store: the folder `.pflow` in `folder`, else in its parent, and so on.
    ///
    /// A `.pflow` whose `config.json` is missing or written by another program is skipped. A folder whose
    /// `config.json` cannot be read, or is damaged or missing beside objects that only a store has, is
    /// returned: the caller that opens it gets the reason, instead of working in another store further up.
    /// This reads the disk and may block.
    pub fn nearest(folder: &Path) -> Option<Self> {
        folder.ancestors().map(|above| above.join(FOLDER)).find(|store| is_ours(store)).map(Self::Folder)
    }

    /// The default location of the store of a project in `folder`.
    pub fn within(folder: &Path) -> Self {
        Self::Folder(folder.join(FOLDER))
    }
}

fn is_ours(store: &Path) -> bool {
    match fs::read(store.join(keys::config().as_str())) {
        Ok(bytes) => match Config::decode(&bytes) {
            Err(FormatError::OtherKind { .. } | FormatError::NotJson { .. }) => folder_has_traces(store),
            // A config of a newer program counts as a store, and so does a damaged one with our format.
            _ => true,
        },
        Err(error) if error.kind() == ErrorKind::NotFound => folder_has_traces(store),
        Err(error) => error.kind() != ErrorKind::NotADirectory,
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::InvalidLocation { url: url.to_owned(), reason: reason.to_owned() };
        if url.is_empty() {
            return Err(refuse("it is empty"));
        }
        if url.contains('\0') {
            return Err(refuse("it holds a NUL byte"));
        }
        if url == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(rest) = url.strip_prefix("file:") {
            let path = rest.strip_prefix("//localhost/").or_else(|| rest.strip_prefix("///"));
            let path = path.ok_or_else(|| refuse("a file URL has the form file:///folder"))?;
            return Ok(Self::Folder(PathBuf::from(format!("/{}", percent_decoded(path).map_err(refuse)?))));
        }
        match scheme(url) {
            None => Ok(Self::Folder(PathBuf::from(url))),
            // The error must not repeat the URL, which may contain a secret.
            #[cfg(feature = "object")]
            Some(cloud @ ("s3" | "gs" | "az")) => url.parse().map(Self::Bucket).map_err(|why: InvalidUrl| {
                Error::InvalidLocation { url: format!("{cloud}://…"), reason: why.to_string() }
            }),
            #[cfg(not(feature = "object"))]
            Some(cloud @ ("s3" | "gs" | "az")) => Err(Error::InvalidLocation {
                url: format!("{cloud}://…"),
                reason: format!("this program was built without the feature `{}`", feature(cloud)),
            }),
            Some(scheme) => Err(refuse(&format!(
                "there are no {scheme}: stores; there are paths, file:///folder, memory:, s3://, gs:// and az://{}",
                meant(scheme)
            ))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Memory => f.write_str("memory:"),
            #[cfg(feature = "object")]
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

/// The feature that stores with this scheme need.
#[cfg(not(feature = "object"))]
fn feature(scheme: &str) -> &'static str {
    match scheme {
        "gs" => "gcs",
        "az" => "azure",
        _ => "s3",
    }
}

/// The end of an error message about a scheme that other programs use for a cloud.
#[cfg(feature = "object")]
fn meant(scheme: &str) -> String {
    Scheme::resembling(scheme).map_or_else(String::new, |it| format!("; did you mean {}://?", it.as_str()))
}

#[cfg(not(feature = "object"))]
fn meant(_: &str) -> &'static str {
    ""
}

/// The scheme of RFC 3986, section 3.1, if `url` has one. A single letter is a Windows drive, and a colon
/// after a slash is part of a path.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once(':')?;
    let plain = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    (scheme.len() > 1 && plain && scheme.starts_with(|first: char| first.is_ascii_alphabetic()))
        .then_some(scheme)
}

/// Decodes percent-encoding (RFC 3986, section 2.1).
fn percent_decoded(path: &str) -> Result<String, &'static str> {
    const MALFORMED: &str = "a `%` must be followed by two hexadecimal digits";
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next().ok_or(MALFORMED)?, rest.next().ok_or(MALFORMED)?];
            let mut decoded = [0];
            base16ct::mixed::decode(digits, &mut decoded).map_err(|_| MALFORMED)?;
            decoded[0]
        } else {
            byte
        });
    }
    match String::from_utf8(bytes) {
        Ok(path) if path.contains('\0') => Err("it holds a NUL byte"),
        Ok(path) => Ok(path),
        Err(_) => Err("its percent-encoded bytes are not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_parsed() {
        let folder = |path: &str| Location::Folder(PathBuf::from(path));
        for (url, place) in [
            (".pflow", folder(".pflow")),
            ("/a b/c", folder("/a b/c")),
            ("./x:y", folder("./x:y")),
            ("file:///a%20b/%C3%A9", folder("/a b/é")),
            ("file://localhost/a", folder("/a")),
            ("memory:", Location::Memory),
        ] {
            assert_eq!(url.parse::<Location>().unwrap(), place);
        }
    }

    #[test]
    fn invalid_locations_are_refused_with_the_reason() {
        for (url, words) in [
            ("", "empty"),
            ("ftp://host/a", "ftp:"),
            ("file://host/a", "file:///"),
            ("file:a", "file:///"),
            ("file:///a%2", "hexadecimal"),
            ("file:///a%zz", "hexadecimal"),
            ("file:///a%ff", "UTF-8"),
            ("file:///a%00", "NUL"),
            ("a\0b", "NUL"),
        ] {
            let refused = url.parse::<Location>().unwrap_err().to_string();
            assert!(refused.contains(words), "{url:?}: {refused}");
        }
    }

    #[cfg(feature = "object")]
    #[test]
    fn bucket_urls_are_parsed_and_errors_show_no_secret() {
        for url in ["s3://bucket", "s3://bucket/a/b", "gs://bucket/a", "az://container/a"] {
            let place: Location = url.parse().unwrap();
            assert!(matches!(place, Location::Bucket(_)));
            assert_eq!(place.to_string(), url);
        }
        for url in
            ["s3://key:hunter2@bucket/a", "s3://bucket/a?secret=hunter2", "gs://", "az://container/a//b"]
        {
            let refused = url.parse::<Location>().unwrap_err().to_string();
            assert!(!refused.contains("hunter2") && refused.contains("://…"), "{url:?}: {refused}");
        }
    }

    #[test]
    fn nearest_store_is_found_and_foreign_folders_are_skipped() {
        let project = tempfile::tempdir().unwrap();
        let inner = project.path().join("a/b");
        fs::create_dir_all(inner.join(".pflow")).unwrap();
        fs::create_dir(project.path().join(".pflow")).unwrap();
        let (ours, foreign) = (project.path().join(".pflow/config.json"), inner.join(".pflow/config.json"));
        fs::write(&foreign, r#"{"format":"another/1"}"#).unwrap();
        fs::write(&ours, r#"{"format":"pflow-store/2"}"#).unwrap();
        let found = || Location::nearest(&inner);
        assert_eq!(found(), Some(Location::within(project.path())), "a newer one is ours");
        fs::remove_file(&foreign).unwrap();
        fs::create_dir(&foreign).unwrap();
        assert_eq!(found(), Some(Location::within(&inner)), "what cannot be read is not passed over");
    }
}
