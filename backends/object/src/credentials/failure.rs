use std::{error::Error as StdError, fmt};

use pflow_backend::{Error, ErrorKind};

/// Why no credentials could be had, and the way out. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoCredentials {
    pub(crate) kind: ErrorKind,
    /// What failed, on what, why.
    pub(crate) why: String,
    /// One imperative sentence.
    pub(crate) hint: String,
}

#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "not each cloud says all of this")
)]
impl NoCredentials {
    /// The settings or files are wrong.
    pub(crate) fn invalid(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidInput, why: why.into(), hint: hint.into() }
    }

    /// A program or a service gave none.
    pub(crate) fn denied(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Denied, why: why.into(), hint: hint.into() }
    }

    /// As object_store hands it on.
    pub(crate) fn carried(self) -> object_store::Error {
        object_store::Error::Generic { store: "credentials", source: Box::new(self) }
    }
}

impl fmt::Display for NoCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl StdError for NoCredentials {}

impl From<NoCredentials> for Error {
    fn from(NoCredentials { kind, why, hint }: NoCredentials) -> Self {
        Self::new(kind, why).with_hint(hint)
    }
}
