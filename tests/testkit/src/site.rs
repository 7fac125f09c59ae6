use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use pflow_backend_memory::MemoryBackend;
use pflow_store::fs::FsBackend;
use pflow_store::{
    Entry, Error, Query, Result, Store, StoreBuilder, Unreadable,
    backend::{
        Batch, Commit, Environment, Key, ManualEnvironment, Operation, Prefix, StorageBackend,
        SystemEnvironment,
    },
    health::{Report, Severity},
    object::ObjectUrl,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    bucket,
    kept::Kept,
    layers::{Probe, Staged},
    seal::resealed,
    sqlite::Sqlite,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    /// Memory with the capability of a disk that people edit its objects.
    PlainMemory,
    /// Memory behind [`Staged`].
    Staged,
    /// Like `Staged`, with objects that people edit in place: files without atomic batches.
    PlainStaged,
    Disk,
    /// An SQLite file: the backend of `examples/own_backend.rs`.
    Sqlite,
    /// A bucket on an S3 server: the one in this process, or the one that `PFLOW_TEST_S3_ENDPOINT` names.
    Bucket,
}

impl Kind {
    /// Whether commits are to survive a loss of power. A read does not tell whether one does, so an unknown
    /// outcome stays unknown until the caller asks again.
    pub fn survives_power_loss(self) -> bool {
        matches!(self, Self::Disk | Self::Sqlite)
    }
}

/// An empty location of one kind.
pub struct Site {
    // Before the storage, so that it copies the folder while the handles are open.
    _kept: Kept,
    pub kind: Kind,
    /// The environment of the first store that is opened here.
    pub environment: Arc<ManualEnvironment>,
    /// The storage as the first store uses it.
    pub probe: Probe,
    /// The storage without the probe.
    pub raw: Arc<dyn StorageBackend>,
    folder: Option<TempDir>,
    /// The folder of an SQLite file.
    database: Option<TempDir>,
    bucket: Option<ObjectUrl>,
}

impl Site {
    pub async fn new(kind: Kind) -> Self {
        let environment = Arc::new(ManualEnvironment::new(1));
        let folder = (kind == Kind::Disk).then(fresh_folder);
        let database = (kind == Kind::Sqlite).then(fresh_folder);
        let bucket = (kind == Kind::Bucket).then(bucket::fresh_url);
        let memory = MemoryBackend::new(environment.clone());
        let raw: Arc<dyn StorageBackend> = match (&folder, &database, &bucket, kind) {
            (Some(folder), ..) => disk(folder).await,
            (_, Some(folder), ..) => sqlite(folder).await,
            (_, _, Some(url), _) => bucket::open(url),
            (.., Kind::PlainMemory) => Arc::new(memory.with_plain_files(true)),
            (.., Kind::Staged) => Arc::new(Staged(memory)),
            (.., Kind::PlainStaged) => Arc::new(Staged(memory.with_plain_files(true))),
            _ => Arc::new(memory),
        };
        let kept = Kept(folder.as_ref().map(|folder| folder.path().to_owned()));
        Self { _kept: kept, kind, environment, probe: Probe::new(raw.clone()), raw, folder, database, bucket }
    }

    /// Memory behind [`Staged`], with the probe below it, so that the probe sees each operation of a batch as
    /// a commit of its own.
    pub fn below_stages() -> (Self, Arc<dyn StorageBackend>) {
        let environment = Arc::new(ManualEnvironment::new(1));
        let memory = MemoryBackend::new(environment.clone());
        let raw: Arc<dyn StorageBackend> = Arc::new(Staged(memory.clone()));
        let probe = Probe::new(Arc::new(memory));
        let staged = Arc::new(Staged(probe.clone()));
        let site = Self {
            _kept: Kept(None),
            kind: Kind::Staged,
            environment,
            probe,
            raw,
            folder: None,
            database: None,
            bucket: None,
        };
        (site, staged)
    }

    /// Returns the folder of a disk.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// Begins to open a store on this backend. Folds come before the replies on a bucket too, so that tests
    /// can inspect their result.
    pub fn on(&self, backend: Arc<dyn StorageBackend>) -> StoreBuilder {
        Store::on(backend).environment(self.environment.clone()).fold_behind(false)
    }

    /// Begins to open a store here, through the probe.
    pub fn builder(&self) -> StoreBuilder {
        self.on(Arc::new(self.probe.clone()))
    }

    /// Creates the first store here, through the probe.
    pub async fn store(&self) -> Store {
        self.store_with(self.builder()).await
    }

    pub async fn store_with(&self, builder: StoreBuilder) -> Store {
        builder.init().await.unwrap()
    }

    /// Opens the store as another machine would, which shares only the storage with the first.
    pub async fn other_store(&self, seed: u64) -> Store {
        self.other_store_of(Arc::new(ManualEnvironment::new(seed))).await
    }

    pub async fn other_store_of(&self, environment: Arc<dyn Environment>) -> Store {
        self.other_store_with(environment, |builder| builder).await
    }

    pub async fn other_store_with(
        &self,
        environment: Arc<dyn Environment>,
        set: impl FnOnce(StoreBuilder) -> StoreBuilder,
    ) -> Store {
        // In a bucket this is the same handle: another one may not yet see what this one defers.
        let backend = match (&self.folder, &self.database) {
            (Some(folder), _) => disk(folder).await,
            (None, Some(folder)) => sqlite(folder).await,
            (None, None) => self.raw.clone(),
        };
        set(self.on(backend).environment(environment)).open().await.unwrap()
    }

    /// Returns another handle of the storage, if handles have state of their own.
    pub async fn other_handle(&self) -> Arc<dyn StorageBackend> {
        match (&self.folder, &self.database, &self.bucket) {
            (Some(folder), ..) => disk(folder).await,
            (_, Some(folder), _) => sqlite(folder).await,
            (_, _, Some(url)) => bucket::open(url),
            (None, None, None) => self.raw.clone(),
        }
    }

    /// Returns all stored objects.
    pub async fn dump(&self) -> BTreeMap<String, Bytes> {
        let keys: Vec<Key> =
            self.raw.list(&Prefix::root(), None).map_ok(|listed| listed.key).try_collect().await.unwrap();
        let mut objects = BTreeMap::new();
        for key in keys {
            let object = self.raw.get(&key).await.unwrap().unwrap();
            objects.insert(key.to_string(), object.bytes);
        }
        objects
    }

    /// Returns the keys below `prefix`.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        self.dump().await.into_keys().filter(|key| key.starts_with(prefix)).collect()
    }

    /// Returns the only key below `prefix`; panics if there is not exactly one.
    pub async fn only_key(&self, prefix: &str) -> String {
        let mut keys = self.keys(prefix).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.remove(0)
    }

    pub async fn get(&self, key: &str) -> Option<Bytes> {
        self.raw.get(&Key::parse(key).unwrap()).await.unwrap().map(|object| object.bytes)
    }

    pub async fn json(&self, key: &str) -> Value {
        serde_json::from_slice(&self.get(key).await.unwrap_or_else(|| panic!("no {key}"))).unwrap()
    }

    /// Writes what a crash, a person or another program could write without the store. Changed JSON gets a
    /// valid checksum, so that the store accepts it; see [`put_raw`](Self::put_raw) for damage.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        self.put_raw(key, resealed(key, bytes.into())).await;
    }

    /// Writes exactly these bytes.
    pub async fn put_raw(&self, key: &str, bytes: impl Into<Bytes>) {
        self.tamper(Operation::put(Key::parse(key).unwrap(), bytes)).await;
    }

    pub async fn remove(&self, key: &str) {
        self.tamper(Operation::delete(Key::parse(key).unwrap())).await;
    }

    /// Restores every object below `prefix` to its state in `before`, and removes those that are not in it.
    pub async fn roll_back(&self, prefix: &str, before: &BTreeMap<String, Bytes>) {
        for key in self.keys(prefix).await {
            if !before.contains_key(&key) {
                self.remove(&key).await;
            }
        }
        for (key, bytes) in before.iter().filter(|(key, _)| key.starts_with(prefix)) {
            self.put(key, bytes.clone()).await;
        }
    }

    async fn tamper(&self, operation: Operation) {
        let commit = self.raw.commit(Batch::new().stage([operation])).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
    }
}

/// What a store lists.
#[derive(Debug)]
pub struct Listing {
    pub workflows: Vec<Arc<Entry>>,
    pub unreadable: Vec<Unreadable>,
}

/// Lists what matches.
pub async fn listing(store: &Store, query: Query) -> Result<Listing> {
    let (mut found, mut workflows, mut unreadable) = (store.list(query), Vec::new(), Vec::new());
    while let Some(next) = found.next().await {
        match next {
            Ok(entry) => workflows.push(entry),
            Err(Error::Unreadable(it)) => unreadable.push(it),
            Err(other) => return Err(other),
        }
    }
    Ok(Listing { workflows, unreadable })
}

/// Lists everything.
pub async fn everything(store: &Store) -> Vec<Arc<Entry>> {
    let found = listing(store, Query::new()).await.unwrap();
    assert_eq!(found.unreadable, []);
    found.workflows
}

/// Returns the ids that a store lists.
pub async fn listed(store: &Store) -> Vec<String> {
    let entries = listing(store, Query::new()).await.unwrap().workflows;
    entries.iter().map(|entry| entry.id.to_string()).collect()
}

/// Returns `id@generation` for everything that a store lists.
pub async fn generations(store: &Store) -> Vec<String> {
    let entries = listing(store, Query::new()).await.unwrap().workflows;
    entries.iter().map(|entry| format!("{}@{}", entry.id, entry.generation)).collect()
}

/// Returns the reasons of a verification that found no damage.
#[track_caller]
pub fn notices(report: &Report) -> Vec<String> {
    assert!(report.is_sound(), "{:#?}", report.findings);
    report.findings.iter().map(|finding| format!("{}: {}", finding.key, finding.reason)).collect()
}

/// Returns the keys that a verification reports as damaged.
pub fn damaged(report: &Report) -> Vec<&str> {
    let damage = report.findings.iter().filter(|finding| finding.severity == Severity::Damage);
    damage.map(|finding| finding.key.as_str()).collect()
}

/// Creates an empty folder. Its device and inode are not reused in this process after it is removed.
///
/// They identify the storage, and every test has the same store id. The handle that stays open keeps the
/// inode.
fn fresh_folder() -> TempDir {
    static HANDLES: Mutex<Vec<File>> = Mutex::new(Vec::new());
    static ENOUGH: LazyLock<()> = LazyLock::new(|| {
        // macOS allows 256 unless a process asks for more.
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.map_or(10_240, |most| most.min(10_240));
        if limit.current.is_some_and(|current| current < most) {
            setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }).unwrap();
        }
    });
    LazyLock::force(&ENOUGH);
    let folder = TempDir::new().unwrap();
    HANDLES.lock().unwrap().push(File::open(folder.path()).unwrap());
    folder
}

/// Opens one more connection, with more patience than a race takes.
async fn sqlite(folder: &TempDir) -> Arc<dyn StorageBackend> {
    let patience = Duration::from_secs(120);
    Arc::new(Sqlite::open(&folder.path().join("store.sqlite"), patience).await.unwrap())
}

async fn disk(folder: &TempDir) -> Arc<dyn StorageBackend> {
    // The backend has a real clock: with a manual clock, waiting for another handle's lock would take no
    // time.
    let environment = Arc::new(SystemEnvironment::new().unwrap());
    Arc::new(FsBackend::create(folder.path(), environment).await.unwrap())
}
