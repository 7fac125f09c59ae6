//! The sources of credentials, and their renewal in handles that live for days.
//!
//! `Held` wraps every source that can provide new credentials. It renews them before they expire, uses the
//! present ones while a renewal fails, and fetches new ones when the server refuses them.

#[cfg(feature = "s3")]
mod aws;
#[cfg(feature = "azure")]
mod azure;
#[cfg(feature = "s3")]
mod document;
mod failure;
#[cfg(feature = "gcs")]
mod gcs;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod held;
mod later;
#[cfg(any(feature = "s3", feature = "azure"))]
mod program;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod refused;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod service;
mod source;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub(crate) mod trouble;

#[cfg(feature = "s3")]
pub(crate) use aws::{Aws, Origin};
#[cfg(feature = "azure")]
pub(crate) use azure::{Azure, AzureCli};
pub(crate) use failure::NoCredentials;
#[cfg(feature = "gcs")]
pub(crate) use gcs::Gcs;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub(crate) use held::Held;
pub(crate) use later::Later;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub(crate) use refused::Refused;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
pub(crate) use service::Service;
pub(crate) use source::Source;
