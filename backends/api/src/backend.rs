use std::{fmt::Debug, ops::Range, sync::Arc};

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Batch, Capabilities, Commit, Excerpt, Key, Listed, Meta, Object, Operation, Prefix, Result, Waiting,
    probe::Check,
};

/// A storage of named objects.
///
/// # What a caller may rely on
/// 1. **Whole objects.** A reader sees all bytes of one write or all of another, never a mixture and never a
///    part, except of an object put as [`crate::WriteKind::Fresh`] while its batch is in progress.
/// 2. **Read your writes, and those of others.** Once a commit has returned [`Commit::Committed`], every
///    `get`, `stat`, `get_range` and `list` that begins afterwards, through any handle and in any process, sees
///    it or a later state. Only an object put as [`crate::WriteKind::Copy`] may be written after the answer.
/// 3. **One winner.** If the conditions of several commits cannot all hold, exactly those commits happen that
///    some order of them allows, however they race and wherever they come from. Conditional writes of one key
///    are linearizable.
/// 4. **Order.** No reader sees a later stage of a batch without the earlier ones, and no crash leaves one
///    without them.
/// 5. **Honest answers.** Success is durable. A conflict, and an error that says "did not happen", did not
///    happen, beyond the stages that they name. Everything else is [`crate::Outcome::Unknown`].
///
/// # What an implementer must guarantee
/// All of the above; that a handle may be used from many tasks at once; that no method blocks the thread on
/// which it is polled; and that every bit of [`Capabilities`] that it sets holds on every path. The
/// `conformance` suite checks what can be checked from outside, and says what cannot.
///
/// # The runtime
/// A store calls the asynchronous methods in a tokio runtime, of one thread or of several. An implementer may
/// use `tokio::spawn` and `tokio::task::spawn_blocking`, but nothing that needs several threads
/// (`block_in_place`). A store itself needs neither the timers nor the I/O of the runtime: a backend that
/// does says so in its documentation. The other methods and `drop` may also run outside of a runtime.
///
/// Work that waits, such as that of a synchronous database driver, or for a lock that is held during such
/// work, belongs into `spawn_blocking`. A lock of `std` that is held for a moment may be taken anywhere. The
/// suite notices a durable commit that is complete at its first poll every time; reads that block it sees if
/// its harness watches the storage (`Site::watched`).
///
/// # Calls that are kept
/// A call that was polled, and whose future its caller keeps without polling it again, holds no other call up.
/// A caller that reads ahead in a stream, and calls the same handle between two of its items, keeps calls
/// that way. So a call needs its future for its answer only: a lock or a turn that is handed from future to
/// future, as by a fair mutex of tokio, waits for the one that is not polled. Hand the work to a task or to a
/// queue instead. A backend may bound how many requests are in flight at once, to 64 or more, and then says
/// so.
///
/// # Keys in a database
/// Keys are equal, and come in order, by their bytes. For a database this is a property of the column:
/// `COLLATE "C"` in PostgreSQL, `BINARY` in SQLite (its default), and `VARBINARY` or the collation
/// `utf8mb4_bin` in MySQL, whose default ignores case. The keys below the prefix `a` are those from `a/` up
/// to but without `a0`, since `0` is the byte after `/`. `LIKE` does not do: `_` matches every character, and
/// in SQLite and MySQL letters match in either case.
///
/// `a` and `a/b` never exist together, and a caller never asks for it. A storage with folders refuses the
/// second one as [`crate::ErrorKind::InvalidInput`], which did not happen, and leaves the first one. A
/// storage without folders may accept both, as two objects. `a` is not found because `a/b` exists, nor `a/b`
/// because `a` does.
///
/// # Racing commits
/// They are waited for, or answered as a conflict: exactly those that meet a condition that does not hold.
/// [`crate::ErrorKind::Busy`] is not the answer to a race, but to a wait that has used up the backend's
/// patience, and no commit is answered with a deadlock or a transaction that could not be serialized. There
/// the backend repeats its transaction, with its conditions. `docs/decisions/0056-racing-commits-wait.md` has
/// the reasons.
///
/// # Few methods are required
/// A backend has five: [`inner`](Self::inner), `capabilities`, `get`, `list` and `commit`. The others have a
/// default: `stat` and `get_range` read the object by the wrapper's own `get`, and the rest asks the backend
/// that `inner` names. Without one `attempt` commits, and the others have nothing to say. So a wrapper that
/// leaves keys and bytes as they are cannot answer with a default in place of the inner backend, whichever
/// methods it leaves out. It should forward `stat` and `get_range` too, because their defaults read whole
/// objects; one that does not forward `get_range` clears [`Capabilities::ranged_reads`].
///
/// **A wrapper that changes keys or bytes**, such as one that puts everything below a prefix or encrypts it,
/// must override what the inner backend would answer in its own keys and bytes:
///
/// - `attempt` maps its put as `commit` does. By default the inner backend would store it under another key.
/// - `capabilities` clears [`Capabilities::immutable_puts`] if equal bytes are not stored as equal bytes, as
///   with encryption under a random nonce: the inner backend compares what is stored.
/// - `examine` maps its ground. By default the inner backend would write outside of the wrapper's keys.
/// - `waiting` and `passed_over` map the names back, and leave out those that are not the wrapper's.
/// - `location_id` is different for two wrappers of one storage that have different objects, and the endpoint
///   too if they are probed apart. `instance` may stay: what is below two prefixes of one place is at one place.
///
/// [`paged`](crate::paged) makes the stream of `list`, and [`Blocking`](crate::Blocking) a whole backend from
/// an embedded database, whose calls block.
///
/// # Example
/// A whole backend over a map. A real one would read and write a database.
///
/// ```
/// use std::{collections::BTreeMap, sync::{Arc, Mutex, MutexGuard, PoisonError}};
///
/// use pflow_backend::{
///     Batch, BoxStream, Capabilities, Commit, Conflict, DateTime, Durability, Key, Listed, Meta, Object,
///     Operation, Prefix, Result, Row, StorageBackend, Version, Versions, async_trait, paged,
/// };
///
/// #[derive(Debug, Clone, Default)]
/// struct InMap(Arc<Mutex<BTreeMap<Key, Object>>>);
///
/// impl InMap {
///     /// A lock of std is fine where it is held for a moment and never across an await.
///     fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Object>> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// #[async_trait]
/// impl StorageBackend for InMap {
///     fn inner(&self) -> Option<&dyn StorageBackend> {
///         None
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities::new(Durability::Process, 64 << 20)
///             .atomic_batch(true)
///             .exact_conflicts(true)
///             .conditional_delete(true)
///     }
///
///     async fn get(&self, key: &Key) -> Result<Option<Object>> {
///         Ok(self.objects().get(key).cloned())
///     }
///
///     fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
///         let this = self.clone();
///         paged(prefix, after, move |span| {
///             let row = |meta: &Meta| Row::new(meta.key.as_str(), meta.size, meta.modified);
///             let objects = this.objects();
///             let metas = objects.values().map(|object| &object.meta);
///             let within = metas.filter(|meta| span.contains(meta.key.as_str()));
///             let page: Vec<_> = within.take(500).map(row).collect();
///             async move { Ok(page) }
///         })
///     }
///
///     async fn commit(&self, batch: Batch) -> Result<Commit> {
///         batch.check(&self.capabilities())?;
///         let mut objects = self.objects();
///         for (at, operation) in batch.operations() {
///             let current = objects.get(operation.key()).map(|object| object.meta.version.clone());
///             if !operation.precondition().holds(current.as_ref()) {
///                 return Ok(Commit::Conflict(Conflict::new(at, current, 0)));
///             }
///         }
///         let mut stages = Vec::new();
///         for stage in batch.stages() {
///             let apply = |operation: &Operation| match operation {
///                 Operation::Put { key, bytes, .. } => {
///                     // It hashes the bytes, so it is stored.
///                     let (version, modified) = (Version::of_content(bytes), DateTime::UNIX_EPOCH);
///                     let meta = Meta::new(key.clone(), bytes.len() as u64, version.clone(), modified);
///                     objects.insert(key.clone(), Object::new(meta, bytes.clone()));
///                     Some(version)
///                 }
///                 Operation::Delete { key, .. } => {
///                     objects.remove(key);
///                     None
///                 }
///             };
///             stages.push(stage.iter().map(apply).collect());
///         }
///         Ok(Commit::Committed(Versions::new(stages)))
///     }
/// }
/// ```
///
/// # Cancellation
/// Dropping a future of `get`, `stat`, `get_range` or `close`, or a `list` stream, changes nothing. Dropping a
/// future of `commit` that was polled is an **unknown outcome**: the batch may have been applied, may be
/// applied a little later, or may never be applied.
#[async_trait]
pub trait StorageBackend: Debug + Send + Sync + 'static {
    /// The backend that this one wraps, which answers every method that this one leaves out; none if it
    /// stores the objects itself.
    fn inner(&self) -> Option<&dyn StorageBackend>;

    /// The guarantees of this backend beyond the contract. They do not change during the life of the handle.
    fn capabilities(&self) -> Capabilities;

    /// Reads the whole object under `key`, with the version of exactly these bytes; none if there is no
    /// object.
    ///
    /// # Errors
    /// The object may exist but could not be read: what could not be read is never "none". The kind tells
    /// whether a retry makes sense, and the outcome is [`crate::Outcome::NotApplied`], as that of every read.
    async fn get(&self, key: &Key) -> Result<Option<Object>>;

    /// As [`get`](Self::get) without the bytes. By default it reads them and drops them. That is right for
    /// a backend that changes what another one stores, too; one that does not should ask the inner one.
    ///
    /// # Errors
    /// As `get`.
    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        Ok(self.get(key).await?.map(|object| object.meta))
    }

    /// Reads the bytes of `range` of the object under `key`, with the size of the whole object; none if there
    /// is no object.
    ///
    /// All bytes are of one version, also while the object is replaced. A range that ends after the end of the
    /// object gives the bytes up to the end. One that is empty, or begins at or after the end, gives no bytes.
    /// The version is named if that is cheap: two parts with the same version are of the same bytes.
    ///
    /// By default it reads the whole object by `get` and cuts it. That is right for a wrapper that changes
    /// bytes, too; a wrapper that leaves them as they are should ask the inner backend. A backend that reads
    /// no more than the range sets [`Capabilities::ranged_reads`].
    ///
    /// # Errors
    /// As `get`.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        Ok(self.get(key).await?.map(|object| object.excerpt(range)))
    }

    /// Lists the objects below `prefix` whose keys come after `after`, in the byte order of their keys.
    ///
    /// The stream is lazy: it sends requests as it is polled, and its memory is bounded however many objects
    /// there are. It is not a snapshot: an object that exists during the whole listing is listed exactly
    /// once; an object that is created or deleted meanwhile may or may not be listed. Entries that are not
    /// objects of this contract (a foreign file, a link) are skipped. After an error the stream ends;
    /// continue after the last key seen.
    ///
    /// # Errors
    /// A part of the listing could not be read. The entries before it are valid.
    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>>;

    /// Returns names that listings of this handle have skipped since the last call, because they are not
    /// valid keys: files of other programs, for a person to inspect. At most some hundred; none if the
    /// backend does not know.
    fn passed_over(&self) -> Vec<String> {
        self.inner().map(StorageBackend::passed_over).unwrap_or_default()
    }

    /// Applies the changes of `batch`, stage by stage, each under its conditions.
    ///
    /// - [`Commit::Committed`]: all of it happened and is durable. A crash after this leaves all of it.
    /// - [`Commit::Conflict`]: a condition did not hold. Nothing happened except the stages named in it.
    /// - [`Commit::Overtaken`]: like a conflict, but the conflict may be with a write of this same batch that
    ///   was replaced since.
    /// - A reader during the commit, and a reader after a crash, may see any number of its stages from the
    ///   first on. With [`Capabilities::atomic_batch`] a crash leaves all or nothing, and a reader that has
    ///   read a part of the batch reads all of it from then on.
    /// - Dropping the future: see above.
    ///
    /// A batch whose conditions hold waits for other commits instead of failing. How long it waits at most is
    /// the backend's patience, which its options set and the caller does not.
    ///
    /// An implementer calls [`Batch::check`] first, so that every backend refuses the same batches.
    ///
    /// # Errors
    /// [`crate::Error::outcome`] distinguishes "did not happen" from "unknown". A caller must not repeat an
    /// unknown commit before it has read the present state.
    async fn commit(&self, batch: Batch) -> Result<Commit>;

    /// Sends one conditional put once and returns the answer unchanged. It is for
    /// [`probe::run`](crate::probe::run), which tests how a storage handles a request.
    ///
    /// [`Commit::Conflict`] may be the answer to a second copy of the request, whose first copy was applied.
    /// It may also be the answer to a put of [`crate::WriteKind::Immutable`] whose key holds equal bytes.
    /// Only [`commit`](Self::commit) resolves that, so no other caller uses this method. By default the inner
    /// backend attempts it, since its `commit` may resolve; without one, it commits a batch of this put. A
    /// backend overrides it if its `commit` may send more than one request for that, and so does a wrapper
    /// that changes keys or bytes.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn attempt(&self, put: Operation) -> Result<Commit> {
        match self.inner() {
            Some(inner) => inner.attempt(put).await,
            None => self.commit(Batch::new().stage([put])).await,
        }
    }

    /// Completes all background work. Afterwards the storage holds plain objects that any program may copy,
    /// except those that [`waiting`](Self::waiting) lists, and nothing of this handle runs in the background.
    /// Idempotent. Later calls may work or fail as [`crate::ErrorKind::Unavailable`], but never lose data.
    /// Committed data is durable without this call.
    ///
    /// In an embedded database with a write-ahead log, what a person copies is the file. `close` brings the
    /// log into it (SQLite: `PRAGMA wal_checkpoint(PASSIVE)`), as far as other handles allow: their writes
    /// and open reads may keep a log, and that is no error. It does not wait for them, because such a wait may stop
    /// every writer. With a database server there is nothing to bring
    /// anywhere. The suite checks that a close loses nothing, not that the file is whole by itself.
    ///
    /// # Errors
    /// The work could not be completed; no committed data is lost. The next process that opens the storage
    /// finishes the work.
    async fn close(&self) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.close().await,
            None => Ok(()),
        }
    }

    /// Names the storage for people, in messages and in the status of a store, without credentials: a path, a
    /// URL, `the table plans of db.example`. No decision depends on it.
    fn name(&self) -> Option<String> {
        self.inner().and_then(StorageBackend::name)
    }

    /// Names the server that keeps the objects and the place in it, unlike any other and without credentials,
    /// for example as a URL. None if there is no server to trust beyond the backend itself, as with memory,
    /// a disk and an embedded database.
    ///
    /// A program that stores data at an endpoint probes it before the first write
    /// ([`probe`](crate::probe)), and again if the endpoint is different. It does not change during the life
    /// of the handle.
    fn endpoint(&self) -> Option<String> {
        self.inner().and_then(StorageBackend::endpoint)
    }

    /// Identifies the location of the objects, so that a caller can tell whether two handles of this process
    /// have the same objects: two of these ids are equal exactly if they do. None if the backend cannot tell;
    /// the caller then treats each handle as a different storage.
    ///
    /// The id need not be unique over time or between processes. A backend that only forwards calls
    /// forwards this one too.
    fn location_id(&self) -> Option<String> {
        self.inner().and_then(StorageBackend::location_id)
    }

    /// Identifies this place of the objects, for every handle and every process that reaches it: an id that is
    /// kept with the objects and does not change. A copy of the objects elsewhere, also of everything that this
    /// place keeps, has another id. None if the backend cannot tell, or if nothing was committed here yet.
    ///
    /// It is the id of a place, not of the data: two copies of one store have the same objects and different
    /// ids. A backend whose place can be copied unseen binds the id to what a copy does not take along, such as
    /// the inode of a file or the name of a server, and draws a new one when that does not fit. An id is drawn
    /// at random ([`Environment::new_id`](crate::Environment::new_id)) and never used again.
    ///
    /// A backend with an [`endpoint`](Self::endpoint) needs none: the store keeps an id for each endpoint.
    ///
    /// # Errors
    /// The id could not be read.
    async fn instance(&self) -> Result<Option<String>> {
        match self.inner() {
            Some(inner) => inner.instance().await,
            None => Ok(None),
        }
    }

    /// Lists the objects whose last committed value is durable but not in the place where people look for it,
    /// and why: for example, a file that cannot be written. Reads return the value nevertheless. Empty if
    /// objects have only one place.
    ///
    /// The backend tries once more to write them before it returns.
    ///
    /// # Errors
    /// The backend cannot tell.
    async fn waiting(&self) -> Result<Vec<Waiting>> {
        match self.inner() {
            Some(inner) => inner.waiting().await,
            None => Ok(Vec::new()),
        }
    }

    /// Runs checks that only this backend can make, below the level of the contract: for example, whether a
    /// lock excludes, or whether a range read returns that range. It is a part of
    /// [`probe::run`](crate::probe::run).
    ///
    /// It may write below `ground`, which no other client uses. It removes what it created there, as far as
    /// it can, including storage for deleted objects (folders). A broken guarantee is reported as a
    /// [`Check`], not as an error.
    ///
    /// # Errors
    /// The check could not be made. Nothing is known about any guarantee then.
    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        match self.inner() {
            Some(inner) => inner.examine(ground).await,
            None => Ok(Vec::new()),
        }
    }
}

/// An owning pointer to a backend is a backend.
///
/// IMPORTANT: every method is here, also those with a default, which would ask the inner backend of the one
/// that is pointed to. `pointer_forwards_every_method` checks it.
macro_rules! forward {
    ($($pointer:ident),+) => { $(
        #[async_trait]
        impl<B: StorageBackend + ?Sized> StorageBackend for $pointer<B> {
            fn inner(&self) -> Option<&dyn StorageBackend> {
                (**self).inner()
            }

            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }

            async fn get(&self, key: &Key) -> Result<Option<Object>> {
                (**self).get(key).await
            }

            async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
                (**self).stat(key).await
            }

            async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
                (**self).get_range(key, range).await
            }

            fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
                (**self).list(prefix, after)
            }

            fn passed_over(&self) -> Vec<String> {
                (**self).passed_over()
            }

            async fn commit(&self, batch: Batch) -> Result<Commit> {
                (**self).commit(batch).await
            }

            async fn attempt(&self, put: Operation) -> Result<Commit> {
                (**self).attempt(put).await
            }

            async fn close(&self) -> Result<()> {
                (**self).close().await
            }

            fn name(&self) -> Option<String> {
                (**self).name()
            }

            fn endpoint(&self) -> Option<String> {
                (**self).endpoint()
            }

            fn location_id(&self) -> Option<String> {
                (**self).location_id()
            }

            async fn instance(&self) -> Result<Option<String>> {
                (**self).instance().await
            }

            async fn waiting(&self) -> Result<Vec<Waiting>> {
                (**self).waiting().await
            }

            async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
                (**self).examine(ground).await
            }
        }
    )+ };
}

forward!(Arc, Box);

#[cfg(test)]
#[path = "backend_tests.rs"]
mod tests;
