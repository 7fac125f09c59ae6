use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::{FutureExt, future::ready};
use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Error, ErrorKind, Key, Listed, Meta, Object, Operation, Prefix,
    Result, StorageBackend, Version, async_trait,
};
use pflow_backend_memory::MemoryBackend;
use tokio::task::yield_now;

use super::{Fault, listings};

pub(crate) const LIMIT: u64 = 4_096;

/// A handle with a fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) objects: MemoryBackend,
    pub(crate) fault: Fault,
    pub(crate) loses_replies: bool,
    pub(crate) closed: AtomicBool,
    pub(crate) poisoned: AtomicBool,
    pub(crate) under_way: AtomicUsize,
    /// What this handle has done and seen.
    pub(crate) memory: Mutex<Memory>,
    /// Where the listings of this handle stand.
    pub(crate) cursor: Arc<Mutex<Option<Key>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) reads: BTreeMap<Key, Option<Object>>,
    pub(crate) folders: BTreeSet<String>,
    pub(crate) last_put: Option<Key>,
}

impl Faulty {
    pub(crate) fn new(objects: MemoryBackend, fault: Fault, loses_replies: bool) -> Self {
        Self {
            objects,
            fault,
            loses_replies,
            closed: AtomicBool::default(),
            poisoned: AtomicBool::default(),
            under_way: AtomicUsize::default(),
            memory: Mutex::default(),
            cursor: Arc::default(),
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The name under which `key` is kept.
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

    /// The version as this storage calls it.
    pub(crate) fn called(&self, size: u64, version: &Version) -> Version {
        match self.fault {
            Fault::VersionIsConstant => Version::new("the version"),
            Fault::VersionIsTheLength => Version::new(size.to_string()),
            _ => version.clone(),
        }
    }

    async fn read(&self, key: &Key) -> Result<Option<Object>> {
        let Some(mut object) = self.objects.get(&self.kept_as(key)).await? else { return Ok(None) };
        object.meta.key = key.clone();
        object.meta.version = self.called(object.meta.size, &object.meta.version);
        if self.fault == Fault::DropsTheLastByte {
            object.bytes.truncate(object.bytes.len().saturating_sub(1));
            object.meta.size = object.bytes.len() as u64;
        }
        Ok(Some(object))
    }

    /// The object that a folder is taken for.
    async fn folder(&self, key: &Key) -> Result<Option<Object>> {
        let below = listings::all(&self.objects).await?.into_iter().find(|line| line.key.is_below(key));
        let meta = |line: Listed| Meta::new(key.clone(), 0, Version::of_content(b""), line.modified);
        Ok(below.map(|line| Object::new(meta(line), "")))
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
        if self.fault == Fault::CloseChangesCapabilities && self.is_closed() {
            capabilities.conditional_delete = false;
        }
        capabilities
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let _call = PoisonOnDrop::arm(self).give_way().await;
        let object = self.read(key).await?;
        match self.fault {
            Fault::FindsFolders if object.is_none() => self.folder(key).await,
            Fault::CachesReads => Ok(self.memory().reads.entry(key.clone()).or_insert(object).clone()),
            _ => Ok(object),
        }
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        listings::list(self, prefix.clone(), after.cloned())
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
            let answer = self.answer(batch).await;
            drop(call);
            answer
        }
        .boxed()
    }

    async fn close(&self) -> Result<()> {
        let closed_before = self.closed.swap(true, Ordering::SeqCst);
        match self.fault {
            Fault::ClosesOnce if closed_before => {
                Err(Error::not_applied(ErrorKind::Io, "It is closed already"))
            }
            Fault::CloseLosesTheLastWrite => {
                self.remove_last_put();
                Ok(())
            }
            _ => Ok(()),
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

/// A call under way. Dropped while it gives way to others, it takes the storage down.
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
