use std::fmt;

use crate::{
    credentials::Source,
    url::{ObjectUrl, Scheme},
};

/// The place of a handle, in words that contain no secret.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) url: ObjectUrl,
    /// The server, as `https://host:port` with an optional path.
    pub(crate) endpoint: String,
    /// The region that requests are signed for (S3).
    pub(crate) region: Option<String>,
    /// The origin of the credentials.
    pub(crate) credentials: Source,
}

impl Place {
    /// The protocol that the server should implement.
    pub(crate) fn protocol(&self) -> &'static str {
        match self.url.scheme() {
            Scheme::S3 => "S3",
            Scheme::Gcs => "GCS",
            Scheme::Azure => "Azure",
        }
    }

    /// The variable that allows plain HTTP.
    pub(crate) fn allow_http(&self) -> &'static str {
        match self.url.scheme() {
            Scheme::S3 => "AWS_ALLOW_HTTP",
            Scheme::Gcs => "GOOGLE_ALLOW_HTTP",
            Scheme::Azure => "AZURE_ALLOW_HTTP",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.url, self.endpoint)
    }
}
