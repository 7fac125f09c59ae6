use std::{error::Error as StdError, fmt};

use pflow_backend::{Error, ErrorKind};

/// Why no credentials are available, with a hint. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoCredentials {
    pub(crate) kind: ErrorKind,
    /// What failed, on what, and why.
    pub(crate) why: String,
    /// One imperative sentence.
    pub(crate) hint: String,
}

#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "not each cloud says all of this")
)]
impl NoCredentials {
    /// The error for wrong settings or files.
    pub(crate) fn invalid(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidInput, why: why.into(), hint: hint.into() }
    }

    /// The error for a program or a service that provided no credentials.
    pub(crate) fn denied(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Denied, why: why.into(), hint: hint.into() }
    }

    /// The error as object_store passes it on.
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
        Self::not_applied(kind, why).with_hint(hint)
    }
}
