//! An S3, GCS and Azure backend for pflow-store.
//!
//! [`ObjectBackend`] keeps the contract of [`pflow_backend::StorageBackend`] on any server that honours
//! conditional writes. Lost replies are settled by reading back, never guessed: `put.rs` has the argument.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use pflow_backend::{Batch, Key, Operation, StorageBackend, SystemEnvironment};
//! use pflow_backend_object::{ObjectBackend, ObjectOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = ObjectOptions::from_env(std::env::vars());
//! let environment = Arc::new(SystemEnvironment::new()?);
//! let storage = ObjectBackend::open(&"s3://plans/team".parse()?, options, environment)?;
//! let create = Operation::put(Key::parse("heads/a")?, "1").absent();
//! println!("{:?}", storage.commit(Batch::new().stage([create])).await?);
//! storage.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Credentials come from the variables. For S3 and GCS they also come from files that their variables or the
//! home folder lead to; `docs/guide/buckets.md` of the project has the order for each cloud, and policies for
//! readers and writers. Credentials are renewed for as long as the handle lives.
//!
//! In the other direction, [`AsObjectStore`] offers any backend, such as the one on local disk, as an
//! `object_store`.
//!
//! # Features
//! `s3`, `gcs` and `azure`, all on by default: the clouds. `http` is what they have in common, and of no use alone.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod as_object_store;
mod attempts;
mod backend;
mod client;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod clouds;
mod commit;
mod connected;
mod credentials;
mod doing;
mod examine;
#[cfg_attr(not(any(feature = "s3", feature = "gcs", feature = "azure")), path = "no_failure.rs")]
mod failure;
mod fault;
mod foreign;
mod getting;
mod late;
mod list;
mod open;
mod options;
mod outage;
mod place;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod proxies;
mod put;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod retry_after;
mod said;
mod switch;
#[cfg(all(test, feature = "s3"))]
mod tests;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod transport;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod unreached;
mod url;
mod version;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod web_page;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod wire;

pub use as_object_store::AsObjectStore;
pub use backend::ObjectBackend;
pub use options::ObjectOptions;
pub use url::{InvalidUrl, ObjectUrl, Scheme};
