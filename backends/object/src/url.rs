use std::{fmt, str::FromStr};

use object_store::path::Path;

/// The maximum length of a prefix in bytes: S3, GCS and Azure accept names of 1,024 bytes, and a [`Key`] has
/// at most 512.
const MAX_PREFIX_BYTES: usize = 400;
/// The maximum length of a bucket or container name in the three clouds (GCS, with dots).
const MAX_BUCKET_BYTES: usize = 222;

/// A place in a cloud: `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
///
/// The prefix is optional. It is taken literally, without percent-decoding: its segments may contain every
/// character except control characters, `?`, `#` and `\`, and no segment is empty, `.` or `..`. So
/// `s3://bucket/year=2026/a+b c` means what the bucket's console shows as `year=2026/a+b c`. A URL never
/// contains credentials: they are given through [`crate::ObjectOptions::variables`].
///
/// ```
/// use pflow_backend_object::ObjectUrl;
///
/// let url: ObjectUrl = "s3://plans/team/a".parse()?;
/// assert_eq!((url.bucket(), url.prefix()), ("plans", Some("team/a")));
/// assert_eq!(url.to_string(), "s3://plans/team/a");
/// # Ok::<(), pflow_backend_object::InvalidUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectUrl {
    scheme: Scheme,
    bucket: String,
    prefix: Option<Path>,
}

/// The protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `s3://`: Amazon S3 and all compatible servers.
    S3,
    /// `gs://`: Google Cloud Storage, through its XML API.
    Gcs,
    /// `az://`: Azure Blob Storage.
    Azure,
}

/// Why a URL is invalid. The message does not repeat anything that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Another scheme, or none.
    #[error("The URL begins with none of s3://, gs:// and az://{}", meant(.0))]
    Scheme(Option<Scheme>),
    /// `key:secret@bucket`.
    #[error("The URL carries credentials; set the variables of the cloud instead")]
    Credentials,
    /// `?` or `#`.
    #[error("The URL has a query or a fragment; it is made of a scheme, a bucket and a prefix alone")]
    Query,
    /// No bucket, or a name that no cloud accepts.
    #[error("{0:?} is no name of a bucket or container")]
    Bucket(String),
    /// The prefix has an invalid segment.
    #[error("The prefix of the URL has {0}")]
    Prefix(&'static str),
    /// The prefix leaves no room for keys.
    #[error("The prefix of the URL has {0} bytes; at most 400 leave room for the keys below it")]
    PrefixTooLong(usize),
}

/// The end of an error message about a scheme that other programs use.
fn meant(scheme: &Option<Scheme>) -> String {
    scheme.map_or_else(String::new, |scheme| format!("; did you mean {}://?", scheme.as_str()))
}

impl Scheme {
    /// The scheme for a name that other programs use for it.
    pub fn resembling(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "s3" | "s3a" | "s3n" | "aws" => Some(Self::S3),
            "gs" | "gcs" | "gcp" => Some(Self::Gcs),
            "az" | "azure" | "azblob" | "abfs" | "abfss" | "adl" | "wasb" | "wasbs" => Some(Self::Azure),
            _ => None,
        }
    }

    /// The name before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl ObjectUrl {
    /// The protocol.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket or, on Azure, the container.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The common beginning of all names in the bucket, without slashes at its ends; none for the whole
    /// bucket.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_ref().map(Path::as_ref)
    }
}

impl ObjectUrl {
    /// The prefix as a path of the client, with all characters unchanged.
    pub(crate) fn root(&self) -> Path {
        self.prefix.clone().unwrap_or_default()
    }
}

impl FromStr for ObjectUrl {
    type Err = InvalidUrl;

    fn from_str(url: &str) -> Result<Self, InvalidUrl> {
        let (name, rest) = url.split_once("://").ok_or(InvalidUrl::Scheme(None))?;
        let scheme = [Scheme::S3, Scheme::Gcs, Scheme::Azure].into_iter().find(|it| it.as_str() == name);
        let scheme = scheme.ok_or_else(|| InvalidUrl::Scheme(Scheme::resembling(name)))?;
        if rest.contains(['?', '#']) {
            return Err(InvalidUrl::Query);
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains('@') {
            return Err(InvalidUrl::Credentials);
        }
        let is_portable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let has_sense =
            bucket.len() <= MAX_BUCKET_BYTES && bucket.starts_with(|it: char| it.is_ascii_alphanumeric());
        if !(has_sense && bucket.bytes().all(is_portable)) {
            return Err(InvalidUrl::Bucket(bucket.chars().take(MAX_BUCKET_BYTES).collect()));
        }
        let prefix = match prefix.strip_suffix('/').unwrap_or(prefix) {
            "" => None,
            long if long.len() > MAX_PREFIX_BYTES => return Err(InvalidUrl::PrefixTooLong(long.len())),
            prefix => Some(checked(prefix)?),
        };
        Ok(Self { scheme, bucket: bucket.to_owned(), prefix })
    }
}

/// A prefix that the client does not change.
fn checked(prefix: &str) -> Result<Path, InvalidUrl> {
    for segment in prefix.split('/') {
        match segment {
            "" => return Err(InvalidUrl::Prefix("an empty segment")),
            "." | ".." => return Err(InvalidUrl::Prefix("`.` or `..` as a segment")),
            _ => {}
        }
    }
    // Some servers and clients treat a backslash as a slash.
    let unfit = InvalidUrl::Prefix("a control character or a backslash");
    if prefix.contains(|it: char| it.is_control() || it == '\\') {
        return Err(unfit);
    }
    Path::parse(prefix).map_err(|_| unfit)
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.bucket)?;
        self.prefix.as_ref().map_or(Ok(()), |prefix| write!(f, "/{prefix}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_round_trips_without_a_trailing_slash() {
        for (given, shown) in [
            ("s3://plans", "s3://plans"),
            ("s3://plans/", "s3://plans"),
            ("gs://plans.example/a/b_c", "gs://plans.example/a/b_c"),
            ("az://plans/a/", "az://plans/a"),
            ("s3://plans/year=2026/a+b c%20%/é@x", "s3://plans/year=2026/a+b c%20%/é@x"),
        ] {
            let url: ObjectUrl = given.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse::<ObjectUrl>().unwrap(), url);
        }
    }

    #[test]
    fn url_errors_do_not_repeat_a_secret() {
        let long = format!("s3://b/{}", ["x"; 201].join("/"));
        for (url, reason) in [
            ("plans", "begins with none"),
            ("http://plans", "begins with none"),
            ("S3://plans", "did you mean s3://?"),
            ("s3a://plans", "did you mean s3://?"),
            ("gcs://plans", "did you mean gs://?"),
            ("abfss://plans", "did you mean az://?"),
            ("s3://AKIA:hunter2@plans/a", "carries credentials"),
            ("s3://plans/a?token=hunter2", "a query"),
            ("s3://plans/a#hunter2", "a query"),
            ("s3://", "no name"),
            ("s3:///a", "no name"),
            ("s3://plans:9000/a", "no name"),
            ("s3://pl ans/a", "no name"),
            ("s3://../a", "no name"),
            ("s3://plans/a//b", "empty segment"),
            ("s3://plans/../b", "`..`"),
            ("s3://plans/a\\b", "a backslash"),
            ("s3://plans/a\nb", "a control character"),
            (&long, "401 bytes"),
        ] {
            let refused = url.parse::<ObjectUrl>().unwrap_err().to_string();
            assert!(refused.contains(reason) && !refused.contains("hunter2"), "{url}: {refused}");
        }
    }
}
