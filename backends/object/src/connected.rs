use std::sync::Arc;

use object_store::{ObjectStore, list::PaginatedListStore};

use crate::{foreign::Foreign, place::Place};

/// The common interface of object_store's clients of the three clouds.
pub(crate) trait Service: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Service for T {}

/// A client of a cloud.
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "without a cloud no request is ever sent")
)]
pub(crate) struct Connected {
    pub(crate) service: Arc<dyn Service>,
    /// The place that it connects to.
    pub(crate) place: Place,
    /// The names that it skips in listings.
    pub(crate) foreign: Arc<Foreign>,
}
