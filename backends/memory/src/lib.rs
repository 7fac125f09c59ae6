//! A memory backend for pflow-store: for tests, and for programs that keep their workflows no longer than
//! they run.
//!
//! [`MemoryBackend`] guarantees as little as the contract allows, so that code tested on it does not rely on
//! more: a version repeats for the same bytes, as it does on S3, and a listing is not a snapshot.
//!
//! ```
//! use std::sync::Arc;
//!
//! use pflow_backend::{Batch, Commit, Key, Operation, StorageBackend, SystemEnvironment};
//! use pflow_backend_memory::MemoryBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = MemoryBackend::new(Arc::new(SystemEnvironment::new()?));
//! let head = Key::parse("heads/a")?;
//!
//! let create = Batch::new().stage([Operation::put(head.clone(), "1").absent()]);
//! assert!(matches!(storage.commit(create.clone()).await?, Commit::Committed(_)));
//!
//! // Creating it again has a conflict, which is a value and not an error.
//! let Commit::Conflict(conflict) = storage.commit(create).await? else { panic!("created twice") };
//!
//! // The conflict has the version that a swap must name.
//! let found = conflict.current.ok_or("nothing there")?;
//! let swap = Batch::new().stage([Operation::put(head.clone(), "2").is(found)]);
//! assert!(matches!(storage.commit(swap).await?, Commit::Committed(_)));
//! assert_eq!(storage.get(&head).await?.ok_or("nothing there")?.bytes, "2");
//! # Ok(())
//! # }
//! ```

mod backend;
mod listing;
mod objects;
mod shared;

pub use backend::MemoryBackend;
