//! S3, GCS and Azure behind pflow-store.

mod as_object_store;
pub use as_object_store::AsObjectStore;
