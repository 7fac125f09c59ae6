//! Makes the client for a URL.

use std::sync::Arc;

use pflow_backend::{Environment, Result};
#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
use pflow_backend::{Error, ErrorKind};

use crate::{
    connected::Connected,
    options::ObjectOptions,
    url::{ObjectUrl, Scheme},
};

/// Makes the client. Sends no request.
pub(crate) fn connect(
    url: &ObjectUrl,
    options: &ObjectOptions,
    environment: &Arc<dyn Environment>,
) -> Result<Connected> {
    match url.scheme() {
        #[cfg(feature = "s3")]
        Scheme::S3 => crate::clouds::s3(url, options, environment),
        #[cfg(feature = "gcs")]
        Scheme::Gcs => crate::clouds::gcs(url, options, environment),
        #[cfg(feature = "azure")]
        Scheme::Azure => crate::clouds::azure(url, options, environment),
        #[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
        scheme => Err(left_out(url, scheme, options, environment)),
    }
}

/// The error that names the disabled feature.
#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
fn left_out(url: &ObjectUrl, scheme: Scheme, _: &ObjectOptions, _: &Arc<dyn Environment>) -> Error {
    let feature = match scheme {
        Scheme::S3 => "s3",
        Scheme::Gcs => "gcs",
        Scheme::Azure => "azure",
    };
    let sentence = format!("{url} cannot be opened: this program was built without the feature `{feature}`");
    Error::not_applied(ErrorKind::Unsupported, sentence)
}
