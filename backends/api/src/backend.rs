use std::fmt::Debug;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{
    Batch, Capabilities, Commit, Key, Listed, Meta, Object, Operation, Prefix, Result, Waiting, probe::Check,
};

/// A place that keeps named objects.
///
/// # What a caller may rely on
/// 1. **Whole objects.** A reader sees all bytes of one write or all of another, never a mixture and never a
///    part, except of an object put as [`crate::WriteKind::Fresh`] while its batch is under way.
/// 2. **Read your writes, and those of others.** Once a commit has answered [`Commit::Committed`], every
///    `get`, `stat` and `list` that begins afterwards, through any handle and in any process, sees it or
///    something later. Only what was put as [`crate::WriteKind::Copy`] may follow the answer.
/// 3. **One winner.** Of several commits whose conditions cannot all hold, however they race and wherever
///    they come from, exactly those happen that some order of them allows. Conditional writes of one key are
///    linearizable.
/// 4. **Order.** Nobody sees a later stage of a batch without the earlier ones, and no crash leaves one
///    without them.
/// 5. **Honest answers.** Success is durable; a conflict and an error that says "did not happen" did not
///    happen, beyond the stages that they name; everything else is [`crate::Outcome::Unknown`].
///
/// # What an implementer must guarantee
/// All of the above, that a handle may be used from many tasks at once, that no method blocks the thread it
/// is polled on, and that every bit of [`Capabilities`] it sets holds on every path. The `conformance` suite
/// checks what can be checked from outside.
///
/// # Cancellation
/// Dropping a future of `get`, `stat` or `close`, or a `list` stream, changes nothing. Dropping a future of
/// `commit` that was polled is an **unknown outcome**: the batch may be in place, may get into place a little
/// later, or may never.
#[async_trait]
pub trait StorageBackend: Debug + Send + Sync + 'static {
    /// What this backend promises beyond the contract. The same for the life of the handle.
    fn capabilities(&self) -> Capabilities;

    /// The object under `key`, whole, with the version of exactly these bytes; none if there is none.
    ///
    /// # Errors
    /// The object may be there and could not be read. The kind tells whether trying again makes sense.
    async fn get(&self, key: &Key) -> Result<Option<Object>>;

    /// As [`get`](Self::get) without the bytes. It costs no more than `get`, and on storages that know an
    /// object's version much less.
    ///
    /// # Errors
    /// As `get`.
    async fn stat(&self, key: &Key) -> Result<Option<Meta>>;

    /// The objects below `prefix` whose keys come behind `after`, in the byte order of their keys.
    ///
    /// Lazy: it asks as it is polled, and memory stays bounded however many there are. It is no snapshot: an
    /// object that is there for the whole listing is listed exactly once; one that comes or goes meanwhile
    /// may or may not be. What is no object of this contract (a foreign file, a link) is passed over. After
    /// an error the stream ends; go on behind the last key seen.
    ///
    /// # Errors
    /// A part of the listing could not be had. What came before it stands.
    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>>;

    /// Names of objects below this place that listings of this handle have passed over since the last
    /// call, because they are no keys: the files of other programs, for a person to look at. At most some
    /// hundred; none where the backend does not know.
    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    /// Makes the changes of `batch`, stage by stage, each under its conditions.
    ///
    /// - [`Commit::Committed`]: all of it happened and is durable. A crash from now on leaves all of it.
    /// - [`Commit::Conflict`]: a condition did not hold. Nothing happened but the stages named in it.
    /// - [`Commit::Overtaken`]: as a conflict, but it may be one with a write of this very batch that was
    ///   replaced since.
    /// - While it runs a reader, and after it a crash, may see any number of its stages from the first on.
    ///   With [`Capabilities::atomic_batch`] a crash leaves all or nothing, and a reader that has read a part
    ///   of it reads all of it from then on.
    /// - Dropping the future: see above.
    ///
    /// An implementer calls [`Batch::check`] first, so that every backend refuses the same batches.
    ///
    /// # Errors
    /// [`crate::Error::outcome`] tells "did not happen" from "unknown". A caller must not repeat an unknown commit before it has read
    /// what is there.
    async fn commit(&self, batch: Batch) -> Result<Commit>;

    /// Sends one conditional put once and gives the answer as it is: for
    /// [`probe::run`](crate::probe::run), which asks what a storage does with a request.
    ///
    /// [`Commit::Conflict`] may be the answer to a second copy of the request, whose first one was
    /// applied. Only [`commit`](Self::commit) settles that, so no other caller uses this. A backend whose
    /// `commit` sends one request for each put needs no other implementation than this one.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }

    /// Brings the storage to rest: what is stored is then plain objects that anybody may copy, except for
    /// what [`waiting`](Self::waiting) lists, and nothing of this handle runs in the background. Idempotent.
    /// Later calls may work or fail as [`crate::ErrorKind::Unavailable`], but never lose anything. Everything
    /// that was committed is durable without it.
    ///
    /// # Errors
    /// Rest was not reached; nothing that was committed is lost. Whoever opens the storage next finishes the
    /// work.
    async fn close(&self) -> Result<()>;

    /// What tells this place from every other one, and the server that keeps it, without credentials: a URL,
    /// say. None where the backend itself is all that there is to trust, as with memory and a disk.
    ///
    /// Whoever keeps data at a place that has a name probes it before the first write
    /// ([`probe`](crate::probe)), and again where the name is another one. The same for the life of the
    /// handle.
    fn place(&self) -> Option<String> {
        None
    }

    /// Names where the objects are, so that a caller can tell that two handles of this process keep the same
    /// ones: two names are equal exactly if they do. None where the backend cannot say, and then the caller
    /// takes each handle for another storage.
    ///
    /// It need not tell places apart over time or between processes. A backend that only passes calls on
    /// passes this one on too.
    fn location_id(&self) -> Option<String> {
        self.place()
    }

    /// The objects whose last committed value is durable, but not in the place where people look for it, and
    /// why: a file that cannot be written, for example. Reads return the value all the same. Empty where
    /// objects have one place only.
    ///
    /// The backend tries once more to write them before it answers.
    ///
    /// # Errors
    /// It cannot tell.
    async fn waiting(&self) -> Result<Vec<Waiting>> {
        Ok(Vec::new())
    }

    /// What only this backend can look at, below what the contract shows: whether a lock excludes, whether a
    /// range is a range. A part of
    /// [`probe::run`](crate::probe::run).
    ///
    /// It may write below `ground`, where nobody else works, and leaves nothing there that it made, as far as
    /// it can, nor what it keeps there for objects that are gone (folders). A promise that is broken is a
    /// [`Check`] that says so, no error.
    ///
    /// # Errors
    /// It could not be looked at. Nothing is said about any promise then.
    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        let _: &Prefix = ground;
        Ok(Vec::new())
    }
}
