//! Backends over storages without futures.

mod adapter;
mod queue;
#[cfg(test)]
mod tests;

pub use adapter::Blocking;

use std::ops::Range;

use crate::{Batch, Capabilities, Commit, Excerpt, Key, Meta, Object, Result, Row, Span};

/// A storage whose calls block: an embedded database such as SQLite, redb or sled. [`Blocking`] makes it a
/// backend.
///
/// Every method gets the storage for itself, so an implementer needs no lock. It must keep the guarantees of
/// [`StorageBackend`](crate::StorageBackend), also towards other handles and processes.
///
/// Several handles of one storage are several values, for example several connections to one file.
pub trait BlockingStorage: Send + 'static {
    /// As [`StorageBackend::capabilities`](crate::StorageBackend::capabilities). Asked once.
    fn capabilities(&self) -> Capabilities;

    /// Reads the whole object under `key`, with the version of exactly these bytes; none if there is no
    /// object.
    ///
    /// # Errors
    /// As [`StorageBackend::get`](crate::StorageBackend::get).
    fn get(&mut self, key: &Key) -> Result<Option<Object>>;

    /// Reads the first objects of a [`Span`] of names, in the order of their bytes, as many as may be held in
    /// memory. An empty page is the end of the span; a page that is shorter than others is not. See
    /// [`paged`](crate::paged).
    ///
    /// # Errors
    /// As [`StorageBackend::list`](crate::StorageBackend::list).
    fn page(&mut self, span: &Span) -> Result<Vec<Row>>;

    /// Applies the changes of `batch`, as [`StorageBackend::commit`](crate::StorageBackend::commit). The
    /// batch has passed [`Batch::check`].
    ///
    /// # Errors
    /// As [`StorageBackend::commit`](crate::StorageBackend::commit). A COMMIT of a database that failed is
    /// [`Error::unknown`](crate::Error::unknown) unless the database is known to have rolled back.
    fn commit(&mut self, batch: &Batch) -> Result<Commit>;

    /// As [`get`](Self::get) without the bytes.
    ///
    /// # Errors
    /// As `get`.
    fn stat(&mut self, key: &Key) -> Result<Option<Meta>> {
        Ok(self.get(key)?.map(|object| object.meta))
    }

    /// As [`StorageBackend::get_range`](crate::StorageBackend::get_range).
    ///
    /// # Errors
    /// As `get`.
    fn get_range(&mut self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        Ok(self.get(key)?.map(|object| object.excerpt(range)))
    }

    /// As [`StorageBackend::close`](crate::StorageBackend::close). It may be called more than once.
    ///
    /// # Errors
    /// As [`StorageBackend::close`](crate::StorageBackend::close).
    fn close(&mut self) -> Result<()> {
        Ok(())
    }

    /// As [`StorageBackend::instance`](crate::StorageBackend::instance).
    ///
    /// # Errors
    /// As [`StorageBackend::instance`](crate::StorageBackend::instance).
    fn instance(&mut self) -> Result<Option<String>> {
        Ok(None)
    }

    /// As [`StorageBackend::name`](crate::StorageBackend::name). Asked once.
    fn name(&self) -> Option<String> {
        None
    }

    /// As [`StorageBackend::location_id`](crate::StorageBackend::location_id). Asked once.
    fn location_id(&self) -> Option<String> {
        None
    }
}
