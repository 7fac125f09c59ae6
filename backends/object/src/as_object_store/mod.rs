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

/// How many deletes of one stream are sent side by side.
const DELETES: usize = 16;

/// Any [`StorageBackend`] as an [`ObjectStore`].
///
/// On a disk, programs built on `object_store` get a store whose writes are durable when they are
/// acknowledged and whose [`PutMode::Update`](object_store::PutMode::Update) is a true compare-and-swap
/// between tasks, handles and processes; object_store's own `LocalFileSystem` has neither.
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
/// // An update must name the present version, and succeeds only once.
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
/// # Operations
/// | | |
/// |---|---|
/// | put | one commit: whole, as durable as the backend says, in all three modes |
/// | `e_tag` | the object's [`Version`](pflow_backend::Version), so it may repeat for the same bytes: a caller that must detect "changed and changed back" writes a unique value into every body |
/// | get | all conditions and ranges; the whole object is read, and the range is cut from it. `get_ranges` cuts all ranges from one state of the object |
/// | head | [`StorageBackend::stat`]; a disk reads the file for its version |
/// | list | lazy, **in the order of the paths**, without `e_tag`s, which no backend lists; `list_with_offset` starts at its offset, `list_with_delimiter` skips large folders |
/// | delete | succeeds if there is no object |
/// | copy | reads the source and puts the target; a copy onto itself changes nothing |
/// | rename | one batch: the target in its first stage, the removal of the source in its second. See below |
/// | upload in parts | the parts are collected in **memory**, up to the backend's [`max_object_size`](pflow_backend::Capabilities::max_object_size), and completed by one commit; before that nothing is visible, and an abort or a crash leaves nothing. A `complete` that did not happen may be repeated |
/// | [`MultipartStore`] | the same under a number, which only this handle and its clones know. An upload that is neither completed nor aborted takes memory until the last of them is dropped |
///
/// # Limitations
/// - **Attributes and tags** are refused as [`NotImplemented`](object_store::Error::NotImplemented). Tags are
///   refused too, although `object_store` allows a store to ignore them: no requested property is dropped
///   silently. Extensions of options are ignored, as in other stores.
/// - **Earlier versions** of objects: a read or an update that names a `version` is refused as
///   [`NotSupported`](object_store::Error::NotSupported).
/// - **Signed URLs** and [`PaginatedListStore`](object_store::list::PaginatedListStore), which lists by parts
///   of names, are not offered.
/// - **Long paths**: the key of a path has at most 512 bytes and each part of it 255, where a capital counts
///   for 3 bytes, `-`, `_` and `z` for 2, and most characters beyond ASCII for 5 to 9. A write to a longer
///   path is refused with an error that says so. Reads, listings and deletes of such a path find no object.
/// - **Large objects in pieces**: each object passes through memory as a whole.
///
/// # Meaning of errors
/// [`AlreadyExists`](object_store::Error::AlreadyExists),
/// [`Precondition`](object_store::Error::Precondition), [`NotFound`](object_store::Error::NotFound),
/// `PermissionDenied`, `NotSupported` and `NotImplemented` are certain: nothing was written. Every other
/// error is [`Generic`](object_store::Error::Generic). If its source is a [`pflow_backend::Error`], its
/// [`outcome`](pflow_backend::Error::outcome) tells whether the write may have happened, or the first half of
/// a rename. It is also [`Unknown`](pflow_backend::Outcome::Unknown) if a refusal may have been caused by a
/// write of this same call whose reply was lost ([`Commit::Overtaken`](pflow_backend::Commit::Overtaken)).
/// **Read before you repeat such a write.** A dropped future of a write has an unknown outcome too. The
/// adapter itself only repeats a rename that touched nothing.
///
/// # Renames
/// On a backend with [`atomic_batch`](pflow_backend::Capabilities::atomic_batch) a rename happens completely
/// or not at all. On other backends a crash may leave both the source and the target, never neither. With
/// [`conditional_delete`](pflow_backend::Capabilities::conditional_delete) the source is removed only in the
/// state that was read: if the source changes meanwhile, the rename starts again, or, if the target has been
/// written already, fails and keeps both. Without it, a write to the source between the read and the removal
/// is lost, as with object_store's default rename.
///
/// # Encoding of names
/// Give the adapter a storage of its own. It stores everything below the folder `objects`, under keys that
/// every backend accepts and in the order of the paths. The object `a` and the folder `a` may both exist, and
/// so may `a` and `A`. This is the first version of the format; another one would use another folder:
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
/// So `Data/a-1.json` has the key `objects/_44ata/a-_1.json-`, which on a disk is a file with exactly the
/// object's bytes. A key below `objects` of any other form belongs to another program and is skipped.
///
/// Clones are handles of the same store. [`StorageBackend::close`] completes its background work, see
/// [`backend`](Self::backend).
#[derive(Clone)]
pub struct AsObjectStore {
    backend: Arc<dyn StorageBackend>,
    uploads: Uploads,
}

impl AsObjectStore {
    /// A store of the objects of `backend` below its folder `objects`.
    pub fn new(backend: Arc<dyn StorageBackend>) -> Self {
        Self { backend, uploads: Uploads::default() }
    }

    /// The backend, for its capabilities or to close it.
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

/// Omits the backend, which may name accounts and places.
impl fmt::Debug for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsObjectStore").finish_non_exhaustive()
    }
}
