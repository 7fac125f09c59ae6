mod error;
mod escape;
mod listing;
mod read;
mod upload;
mod write;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use pflow_backend::{StorageBackend, async_trait};

use self::upload::{Upload, Uploads};

/// How many deletes of one stream are under way at once.
const DELETES: usize = 16;

/// Any [`StorageBackend`] as an [`ObjectStore`].
///
/// So what is built on `object_store` gets, on a disk, a store whose writes are durable when they are
/// answered and whose
/// [`PutMode::Update`](object_store::PutMode::Update) is a true compare-and-swap between tasks, handles and processes;
/// its own `LocalFileSystem` has neither.
///
/// ```
/// use std::sync::Arc;
///
/// use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion, path::Path};
/// use pflow_backend::SystemEnvironment;
/// use pflow_backend_memory::MemoryBackend;
/// use pflow_backend_object::AsObjectStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // For a folder: `FsBackend::create("data", environment).await?`.
/// let backend = MemoryBackend::new(Arc::new(SystemEnvironment::new()?));
/// let store = AsObjectStore::new(Arc::new(backend));
///
/// let table = Path::from("Tables/orders/current.json");
/// let first = store.put_opts(&table, "1".into(), PutMode::Create.into()).await?;
///
/// // Whoever names what is there may replace it, and only once.
/// let swap = PutMode::Update(UpdateVersion::from(first));
/// store.put_opts(&table, "2".into(), swap.clone().into()).await?;
/// let late = store.put_opts(&table, "3".into(), swap.into()).await;
/// assert!(matches!(late, Err(Error::Precondition { .. })));
///
/// assert_eq!(store.get(&table).await?.bytes().await?, "2");
/// # Ok(())
/// # }
/// ```
///
/// # What it does
/// | | |
/// |---|---|
/// | put | one commit: whole, durable to the degree that the backend names, under all three modes |
/// | `e_tag` | the object's [`Version`](pflow_backend::Version), so it may repeat for the same bytes: whoever must notice "changed and changed back" writes something fresh into every body |
/// | get | all conditions and ranges; the whole object is read, and the range is cut from it. `get_ranges` cuts all of them from one state of the object |
/// | head | [`StorageBackend::stat`]; a disk reads the file for its version |
/// | list | lazy, **in the order of the paths**, without `e_tag`s, which no backend lists; `list_with_offset` starts at its offset, `list_with_delimiter` leaps over large folders |
/// | delete | succeeds where nothing is |
/// | copy | reads the source and puts the target; onto itself it changes nothing |
/// | rename | one batch: the target in its first stage, the removal of the source in its second. See below |
/// | upload in parts | the parts are gathered in **memory**, up to the backend's [`max_object_size`](pflow_backend::Capabilities::max_object_size), and completed by one commit; before that nothing can be seen, and an abort or a crash leaves nothing. A `complete` that did not happen may be repeated |
/// | [`MultipartStore`] | the same under a number, which this handle and its clones know and no other process. An upload that is neither completed nor aborted takes memory until the last of them is gone |
///
/// # What it does not do
/// - **Attributes and tags** are refused as [`NotImplemented`](object_store::Error::NotImplemented), tags
///   too, although `object_store` lets a store ignore them: nothing that was asked for is dropped in silence.
///   Extensions of options are passed over, as everywhere.
/// - **Earlier versions** of objects: a read or an update that names a `version` is refused as
///   [`NotSupported`](object_store::Error::NotSupported).
/// - **Signed URLs** and [`PaginatedListStore`](object_store::list::PaginatedListStore), which lists by parts
///   of names.
/// - **Long paths**: the key of a path has at most 512 bytes and each part of it 255, where a capital counts
///   for 3 bytes, `-`, `_` and `z` for 2, and most characters beyond ASCII for 5 to 9. A write to a longer
///   one is refused and says so; there is nothing to read, list or delete there, and they answer that.
/// - **Large objects in pieces**: each goes through memory whole.
///
/// # What errors mean
/// [`AlreadyExists`](object_store::Error::AlreadyExists), [`Precondition`](object_store::Error::Precondition),
/// [`NotFound`](object_store::Error::NotFound), `PermissionDenied`, `NotSupported` and `NotImplemented` are certain: nothing was written.
/// Everything else is [`Generic`](object_store::Error::Generic), and where its source is a
/// [`pflow_backend::Error`], its
/// [`outcome`](pflow_backend::Error::outcome) tells whether the write may have happened, or of a rename its first half. It is
/// [`Unknown`](pflow_backend::Outcome::Unknown) also where a refusal may be one by a write of this very call whose reply got lost
/// ([`Commit::Overtaken`](pflow_backend::Commit::Overtaken)). **Read before you repeat such a write.** A
/// future of a write that was dropped has an unknown outcome too. The adapter itself repeats nothing but a
/// rename that touched nothing.
///
/// # Renames
/// On a backend with [`atomic_batch`](pflow_backend::Capabilities::atomic_batch) a rename happens whole or
/// not at all. Elsewhere a crash may leave both the source and the target, never neither. With
/// [`conditional_delete`](pflow_backend::Capabilities::conditional_delete) the source goes only as it was
/// read: a rename whose source is changed meanwhile starts anew, or, where the target is in place already,
/// fails and keeps both. Without it a write to the source between the read and the removal is lost, as with
/// the rename that `object_store` has by default.
///
/// # How names are kept
/// Give it a storage of its own; it keeps everything below the folder `objects`, by keys that every backend
/// can hold and in the order of the paths. The object `a` and the folder `a` may both exist, and so may `a`
/// and `A`. This is the first format of ours; another one would stand below another folder:
///
/// | in the path | in the key |
/// |---|---|
/// | `a` to `y`, `0` to `9`, `.` and `/` | itself |
/// | the bytes below `-`, from the space to `,` | `-` and two hex digits: `-20` |
/// | `-` | `-_` |
/// | the bytes from `:` to `^`, capitals among them | `_` and two hex digits: `_3a` |
/// | `_` | `__` |
/// | the back quote | `_q` |
/// | `z` | `z0` |
/// | the bytes from `{` to `~` | `z` and two hex digits: `z7b` |
/// | any other character | `z` and the hex digits of its UTF-8 bytes: `zc3a9` |
/// | the end of an object's name | `-` |
///
/// So `Data/a-1.json` is the key `objects/_44ata/a-_1.json-`, which on a disk is a file with exactly the
/// object's bytes. A key below `objects` that is not written like this is somebody else's, and passed over.
///
/// Clones are handles of the same store. [`StorageBackend::close`] brings it to rest, see
/// [`backend`](Self::backend).
#[derive(Clone)]
pub struct AsObjectStore {
    backend: Arc<dyn StorageBackend>,
    uploads: Uploads,
}

impl AsObjectStore {
    /// The objects of `backend` below its folder `objects`.
    pub fn new(backend: Arc<dyn StorageBackend>) -> Self {
        Self { backend, uploads: Uploads::default() }
    }

    /// What it stands on: to ask for its capabilities, or to close it.
    pub fn backend(&self) -> &Arc<dyn StorageBackend> {
        &self.backend
    }
}

#[async_trait]
impl ObjectStore for AsObjectStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        write::put_opts(&*self.backend, location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload::new(self.backend.clone(), location, opts)?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        read::get(&*self.backend, location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        read::ranges(&*self.backend, location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let backend = self.backend.clone();
        let deleted = locations.map(move |location| {
            let backend = backend.clone();
            async move {
                let location = location?;
                write::delete(&*backend, &location).await?;
                Ok(location)
            }
        });
        deleted.buffered(DELETES).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::all(&self.backend, prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::behind(&self.backend, prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        listing::one_level(&self.backend, prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        write::copy(&*self.backend, from, to, options.mode).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        write::rename(&*self.backend, from, to, options.target_mode).await
    }
}

#[async_trait]
impl MultipartStore for AsObjectStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.uploads.create(&*self.backend, path, PutMultipartOptions::default())
    }

    async fn create_multipart_opts(&self, path: &Path, opts: PutMultipartOptions) -> Result<MultipartId> {
        self.uploads.create(&*self.backend, path, opts)
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.uploads.put_part(path, id, part_idx, data)
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.uploads.complete(&*self.backend, path, id, parts).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.uploads.abort(path, id)
    }
}

impl fmt::Display for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsObjectStore")
    }
}

/// Shows nothing of the backend, which may name accounts and places.
impl fmt::Debug for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsObjectStore").finish_non_exhaustive()
    }
}
