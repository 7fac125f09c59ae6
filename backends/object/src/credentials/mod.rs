//! Where credentials come from, and how a handle that lives for days keeps having some.
//!
//! `Held` is before every source that can give new credentials. It renews them before they expire, goes
//! on with those it has while a renewal fails, and fetches new ones when the server refuses those it has.

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
