use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, StreamExt, future::ready, stream};
use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Durability, Error, ErrorKind, Excerpt, Key, Listed, Meta, Object,
    Operation, Prefix, Result, StorageBackend, Version, Versions, async_trait,
    conformance::{CommitFailure, Watch},
};
use pflow_backend_memory::MemoryBackend;
use tokio::task::yield_now;

use super::{Fault, listings};

pub(crate) const LIMIT: u64 = 4_096;

/// How a handle reaches the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Sound,
    /// The reply to each commit is lost.
    LosesReplies,
    /// Each commit fails at its commit point.
    FailsCommits(CommitFailure),
    /// No call reaches the storage.
    Cut,
}

/// What all handles of a storage share, besides the objects.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// How often each key was put since it was last deleted.
    pub(crate) counts: Mutex<BTreeMap<Key, u64>>,
    /// The listings that are open.
    pub(crate) listings: AtomicUsize,
    /// How often handles were closed.
    pub(crate) closes: AtomicUsize,
}

/// A handle with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) objects: MemoryBackend,
    pub(crate) fault: Fault,
    pub(crate) way: Way,
    pub(crate) watch: Option<Watch>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) closed: AtomicBool,
    pub(crate) poisoned: AtomicBool,
    pub(crate) under_way: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
    /// What this handle has written and read.
    pub(crate) memory: Mutex<Memory>,
    /// The positions of the listings of this handle.
    pub(crate) cursor: Arc<Mutex<Option<Key>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) reads: BTreeMap<Key, Option<Object>>,
    /// The objects of which ranges were read.
    pub(crate) ranged: BTreeMap<Key, Option<Object>>,
    pub(crate) folders: BTreeSet<String>,
    pub(crate) last_put: Option<Key>,
    pub(crate) stats: BTreeMap<Key, Option<Meta>>,
    pub(crate) behind: Option<Batch>,
}

impl Faulty {
    pub(crate) fn new(objects: MemoryBackend, shared: Arc<Shared>, fault: Fault, way: Way) -> Self {
        Self {
            objects,
            shared,
            fault,
            way,
            watch: None,
            closed: AtomicBool::default(),
            poisoned: AtomicBool::default(),
            under_way: AtomicUsize::default(),
            turn: tokio::sync::Mutex::default(),
            memory: Mutex::default(),
            cursor: Arc::default(),
        }
    }

    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Tells the watch on which thread this storage works, as a storage with real work would.
    async fn works(&self, on_its_thread: bool) {
        match self.watch.clone() {
            Some(watch) if on_its_thread => watch.works(),
            Some(watch) => tokio::task::spawn_blocking(move || watch.works()).await.unwrap_or_default(),
            None => {}
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Returns the name under which `key` is stored.
    pub(crate) fn kept_as(&self, key: &Key) -> Key {
        let name = match self.fault {
            Fault::CutsLongNames => {
                key.segments().map(|it| it.get(..200).unwrap_or(it)).collect::<Vec<_>>().join("/")
            }
            Fault::FlattensNames => key.as_str().replace('/', "_").chars().take(255).collect(),
            Fault::LowersCase => key.as_str().to_ascii_lowercase(),
            _ => return key.clone(),
        };
        Key::parse(name).unwrap_or_else(|_| key.clone())
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, BTreeMap<Key, u64>> {
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the name that this storage gives to a version.
    pub(crate) fn called(&self, key: &Key, size: u64, version: &Version) -> Version {
        match self.fault {
            Fault::VersionRestarts => {
                Version::new(self.counts().get(key).copied().unwrap_or_default().to_string())
            }
            Fault::VersionIsConstant => Version::new("the version"),
            Fault::VersionIsTheLength => Version::new(size.to_string()),
            _ => version.clone(),
        }
    }

    async fn read(&self, key: &Key) -> Result<Option<Object>> {
        let Some(mut object) = self.objects.get(&self.kept_as(key)).await? else { return Ok(None) };
        object.meta.key = key.clone();
        object.meta.version = self.called(key, object.meta.size, &object.meta.version);
        if self.fault == Fault::DropsTheLastByte {
            object.bytes.truncate(object.bytes.len().saturating_sub(1));
            object.meta.size = object.bytes.len() as u64;
        }
        if self.fault == Fault::StoresText {
            object.bytes = String::from_utf8_lossy(&object.bytes).into_owned().into();
            object.meta.size = object.bytes.len() as u64;
        }
        if self.fault == Fault::EmptyIsMissing && object.bytes.is_empty() {
            return Ok(None);
        }
        if self.fault == Fault::ReadsVersionApart {
            yield_now().await;
            let Some(now) = self.objects.stat(key).await? else { return Ok(None) };
            object.meta.version = now.version;
        }
        Ok(Some(object))
    }

    /// Returns the object as which a folder is found.
    async fn folder(&self, key: &Key) -> Result<Option<Object>> {
        let below = listings::all(&self.objects).await?.into_iter().find(|line| line.key.is_below(key));
        let meta = |line: Listed| Meta::new(key.clone(), 0, Version::of_content(b""), line.modified);
        Ok(below.map(|line| Object::new(meta(line), "")))
    }

    async fn cut_with_the_fault(
        &self,
        key: &Key,
        object: Option<Object>,
        range: Range<u64>,
    ) -> Result<Option<Excerpt>> {
        let refused = || Error::not_applied(ErrorKind::InvalidInput, "The range cannot be satisfied");
        let Some(object) = object else {
            let is_empty = self.fault == Fault::RangeOfMissingIsEmpty;
            return Ok(is_empty.then(|| Excerpt::new("", 0, None)));
        };
        let size = object.meta.size;
        let mut part = object.excerpt(range.clone());
        match self.fault {
            Fault::RangeIsOffByOne => part = object.excerpt(range.start..range.end.saturating_add(1)),
            Fault::RangePastTheEndFails if range.end > size => return Err(refused()),
            Fault::RangeBehindTheEndFails if range.start >= size => return Err(refused()),
            Fault::EmptyRangeFails if range.is_empty() => return Err(refused()),
            Fault::RangeSizeIsItsOwn => part.size = part.bytes.len() as u64,
            Fault::RangeOfTwoVersions => {
                let middle = range.start.saturating_add(100).min(range.end);
                let first = object.excerpt(range.start..middle).bytes;
                yield_now().await;
                let Some(later) = self.get(key).await? else { return Ok(None) };
                let second = later.excerpt(middle..range.end).bytes;
                part = Excerpt::new([first, second].concat(), later.meta.size, None);
            }
            Fault::RangeVersionApart => {
                yield_now().await;
                part.version = self.stat(key).await?.map(|meta| meta.version);
            }
            _ => {}
        }
        Ok(Some(part))
    }

    fn remove_last_put(&self) {
        if let Some(last) = self.memory().last_put.take() {
            let gone = self.objects.commit(Batch::new().stage([Operation::delete(last)])).now_or_never();
            assert!(matches!(gone, Some(Ok(Commit::Committed(_)))));
        }
    }
}

#[async_trait]
impl StorageBackend for Faulty {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.objects.capabilities();
        capabilities.max_object_size = LIMIT;
        // The wrapper without a fault shows that what is durable can pass.
        if matches!(self.fault, Fault::None | Fault::BlocksItsThread) {
            capabilities.durability = Durability::Power;
        }
        if self.fault == Fault::ImmutableIsOvertaken {
            capabilities.exact_conflicts = false;
        }
        if self.fault == Fault::CloseChangesCapabilities && self.is_closed() {
            capabilities.conditional_delete = false;
        }
        capabilities
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let _call = PoisonOnDrop::arm(self).give_way().await;
        self.works(self.fault == Fault::ReadsOnItsThread).await;
        if let Some(nothing) = self.cut() {
            return nothing;
        }
        let object = match self.fault {
            Fault::KeptCallsHaveTheTurn => {
                let _turn = self.turn.lock().await;
                yield_now().await;
                self.read(key).await?
            }
            _ => self.read(key).await?,
        };
        match self.fault {
            Fault::FindsFolders if object.is_none() => self.folder(key).await,
            Fault::CachesReads => Ok(self.memory().reads.entry(key.clone()).or_insert(object).clone()),
            _ => Ok(object),
        }
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        let meta = self.get(key).await?.map(|object| object.meta);
        match self.fault {
            Fault::StatIsOld => Ok(self.memory().stats.entry(key.clone()).or_insert(meta).clone()),
            _ => Ok(meta),
        }
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        let mut object = self.get(key).await?;
        if self.fault == Fault::RangesAreCached {
            object = self.memory().ranged.entry(key.clone()).or_insert(object).clone();
        }
        self.cut_with_the_fault(key, object, range).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        match self.cut::<()>() {
            Some(Ok(_)) => stream::empty().boxed(),
            Some(Err(error)) => stream::iter([Err(error)]).boxed(),
            None => listings::list(self, prefix.clone(), after.cloned()),
        }
    }

    // Written out, because an `async fn` cannot begin before it is polled.
    fn commit<'a, 'b>(&'a self, batch: Batch) -> Pin<Box<dyn Future<Output = Result<Commit>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        if self.fault == Fault::BeginsAtTheCall
            && let Some(answer) = self.objects.commit(batch.clone()).now_or_never()
        {
            return ready(answer).boxed();
        }
        async move {
            let call = PoisonOnDrop::arm(self).give_way().await;
            if self.fault == Fault::None {
                yield_now().await;
            }
            self.works(self.fault == Fault::BlocksItsThread).await;
            let answer = self.answer(batch).await;
            drop(call);
            answer
        }
        .boxed()
    }

    async fn close(&self) -> Result<()> {
        let closed_before = self.closed.swap(true, Ordering::SeqCst);
        self.shared.closes.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::ClosesOnce if closed_before => {
                Err(Error::not_applied(ErrorKind::Io, "It is closed already"))
            }
            Fault::UnknownHappensLater => {
                let behind = self.memory().behind.take();
                if let Some(batch) = behind {
                    drop(self.objects.commit(batch).await?);
                }
                Ok(())
            }
            Fault::CloseLosesTheLastWrite => {
                self.remove_last_put();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn instance(&self) -> Result<Option<String>> {
        Ok(match self.fault {
            Fault::InstancePerHandle => Some(format!("{:p}", self.cursor)),
            Fault::InstanceEndsWithAClose if self.shared.closes.load(Ordering::SeqCst) > 1 => None,
            Fault::InstanceIsCopied => Some("copied".to_owned()),
            _ => self.objects.instance().await?,
        })
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        let answer = self.commit(Batch::new().stage([put.clone()])).await?;
        match (&put, self.objects.get(put.key()).await?) {
            (Operation::Put { bytes, .. }, Some(found))
                if self.fault == Fault::AttemptResolves && found.bytes == bytes =>
            {
                Ok(Commit::Committed(Versions::new(vec![vec![Some(found.meta.version)]])))
            }
            _ => Ok(answer),
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.fault == Fault::DropLosesTheLastWrite {
            self.remove_last_put();
        }
    }
}

/// Guards a running call. If the call is dropped while it yields to other tasks, the storage fails from then
/// on.
struct PoisonOnDrop<'a> {
    store: &'a Faulty,
    armed: bool,
}

impl<'a> PoisonOnDrop<'a> {
    fn arm(store: &'a Faulty) -> Self {
        Self { store, armed: store.fault == Fault::DroppedCallsPoison }
    }

    async fn give_way(mut self) -> Self {
        if self.armed {
            yield_now().await;
            self.armed = false;
        }
        self
    }
}

impl Drop for PoisonOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.store.poisoned.store(true, Ordering::SeqCst);
        }
    }
}
