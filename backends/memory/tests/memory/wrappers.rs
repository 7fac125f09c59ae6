//! Wrappers keep the contract: one that leaves everything out that may be left out, over a backend that
//! resolves its refusals, and one that maps keys.

use std::sync::{Arc, LazyLock};

use futures::{StreamExt, TryStreamExt};
use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Key, Listed, ManualEnvironment, Object, Operation, Position,
    Prefix, Result, StorageBackend, Versions, Waiting, async_trait,
    conformance::{self, Harness, Site},
    probe::{self, Check, Depth, Verdict},
};
use pflow_backend_memory::MemoryBackend;

fn memory() -> MemoryBackend {
    // One for all storages: two environments with one seed draw the same ids.
    static ENVIRONMENT: LazyLock<Arc<ManualEnvironment>> =
        LazyLock::new(|| Arc::new(ManualEnvironment::new(1)));
    MemoryBackend::new(ENVIRONMENT.clone()).with_max_object_size(4_096)
}

/// As an object store: a refused put whose bytes are stored is taken for its own first copy. It examines the
/// ground that it is given.
#[derive(Debug, Clone)]
struct Resolving(MemoryBackend);

#[async_trait]
impl StorageBackend for Resolving {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.0)
    }

    fn capabilities(&self) -> Capabilities {
        // None of these wrappers forwards `get_range`.
        self.0.capabilities().exact_conflicts(false).ranged_reads(false)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    fn passed_over(&self) -> Vec<String> {
        vec!["tenant/a b".to_owned(), "foreign name".to_owned()]
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        let answer = self.0.commit(batch.clone()).await?;
        let (Commit::Conflict(_), Some((_, Operation::Put { key, bytes, .. }))) =
            (&answer, batch.operations().next())
        else {
            return Ok(answer);
        };
        match self.0.get(key).await? {
            Some(found) if found.bytes == bytes && batch.operations().count() == 1 => {
                Ok(Commit::Committed(Versions::new(vec![vec![Some(found.meta.version)]])))
            }
            _ => Ok(answer),
        }
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        let waits =
            |name: &str| Waiting::new(Key::parse(name).unwrap(), name.to_owned(), "full".into(), None);
        Ok(vec![waits("tenant/a"), waits("foreign")])
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        let verdict = Verdict::Kept(ground.to_string());
        Ok(vec![Check::new("ground", "It looks at its ground", false, verdict)])
    }
}

/// Leaves out everything that may be left out.
#[derive(Debug, Clone)]
struct Logging<B>(B);

#[async_trait]
impl<B: StorageBackend> StorageBackend for Logging<B> {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.0)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.0.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.0.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        self.0.commit(batch).await
    }
}

/// Keeps everything below a prefix of another backend.
#[derive(Debug, Clone)]
struct Tenant<B> {
    name: &'static str,
    inner: B,
}

/// The key of the tenant, if it is one.
fn inside(tenant: &str, key: &Key) -> Option<Key> {
    Key::parse(key.as_str().strip_prefix(tenant)?.strip_prefix('/')?).ok()
}

impl<B: StorageBackend> Tenant<B> {
    /// Panics for a key that is too long below the prefix; a real wrapper would refuse it.
    fn outside(&self, key: &Key) -> Key {
        Key::parse(format!("{}/{key}", self.name)).unwrap()
    }

    fn below(&self, prefix: &Prefix) -> Prefix {
        let name = prefix.key().map_or(self.name.to_owned(), |key| self.outside(key).to_string());
        Prefix::parse(name).unwrap()
    }

    fn mapped(&self, mut operation: Operation) -> Operation {
        let (Operation::Put { key, .. } | Operation::Delete { key, .. }) = &mut operation;
        *key = self.outside(key);
        operation
    }
}

#[async_trait]
impl<B: StorageBackend> StorageBackend for Tenant<B> {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.inner)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let object = self.inner.get(&self.outside(key)).await?;
        Ok(object.map(|mut object| {
            object.meta.key = key.clone();
            object
        }))
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let after = after.map(|key| self.outside(key));
        let (listed, name) = (self.inner.list(&self.below(prefix), after.as_ref()), self.name);
        let mapped = move |line: Listed| {
            std::future::ready(Ok(
                inside(name, &line.key).map(|key| Listed::new(key, line.size, line.modified))
            ))
        };
        listed.try_filter_map(mapped).boxed()
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        let stages = batch.stages().iter();
        let mapped = stages.fold(Batch::new(), |mapped, stage| {
            mapped.stage(stage.iter().cloned().map(|operation| self.mapped(operation)))
        });
        self.inner.commit(mapped).await
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.inner.attempt(self.mapped(put)).await
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        self.inner.examine(&self.below(ground)).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>> {
        let waiting = self.inner.waiting().await?.into_iter();
        let own = waiting.filter_map(|it| {
            inside(self.name, &it.key).map(|key| Waiting::new(key, it.path, it.reason, it.remedy))
        });
        Ok(own.collect())
    }

    fn passed_over(&self) -> Vec<String> {
        let (names, root) = (self.inner.passed_over(), format!("{}/", self.name));
        names.iter().filter_map(|name| name.strip_prefix(&root)).map(str::to_owned).collect()
    }

    fn location_id(&self) -> Option<String> {
        self.inner.location_id().map(|id| format!("{id} below {}", self.name))
    }
}

/// Stores every byte inverted, behind a byte of its own. It overrides `get` and `commit` alone.
#[derive(Debug, Clone)]
struct Inverting(MemoryBackend);

#[async_trait]
impl StorageBackend for Inverting {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.0)
    }

    /// Equal bytes are stored as equal bytes.
    fn capabilities(&self) -> Capabilities {
        let capabilities = self.0.capabilities().ranged_reads(false);
        let limit = capabilities.max_object_size - 1;
        Capabilities::new(capabilities.durability, limit).immutable_puts(true)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        let Some(mut object) = self.0.get(key).await? else { return Ok(None) };
        object.bytes = object.bytes.iter().skip(1).map(|byte| !byte).collect();
        object.meta.size = object.bytes.len() as u64;
        Ok(Some(object))
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        let shorter = |line: Listed| Listed::new(line.key, line.size - 1, line.modified);
        self.0.list(prefix, after).map_ok(shorter).boxed()
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        batch.check(&self.capabilities())?;
        let inverted = |operation: &Operation| {
            let mut operation = operation.clone();
            if let Operation::Put { bytes, .. } = &mut operation {
                *bytes = std::iter::once(b'I').chain(bytes.iter().map(|byte| !byte)).collect();
            }
            operation
        };
        let stages = batch.stages().iter().map(|stage| stage.iter().map(inverted).collect::<Vec<_>>());
        self.0.commit(stages.fold(Batch::new(), Batch::stage)).await
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }
}

struct Wrapped<F>(F);

struct Handle<B>(B);

#[async_trait]
impl<F: Fn() -> B + Send + Sync, B: StorageBackend + Clone> Harness for Wrapped<F> {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        Ok(Box::new(Handle((self.0)())))
    }
}

#[async_trait]
impl<B: StorageBackend + Clone> Site for Handle<B> {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.0.clone()))
    }
}

fn tenant(name: &'static str) -> Tenant<Resolving> {
    Tenant { name, inner: Resolving(memory()) }
}

#[tokio::test]
async fn wrapper_that_leaves_everything_out_keeps_the_contract() {
    conformance::run(&Wrapped(|| Logging(Resolving(memory())))).await.assert_conformant();
}

#[tokio::test]
async fn wrapper_that_maps_keys_keeps_the_contract() {
    let report = conformance::run(&Wrapped(|| Logging(tenant("tenant")))).await;
    // The longest names are too long below a prefix.
    assert_eq!(report.failed().collect::<Vec<_>>(), ["keys::the_longest_names_are_keys"], "{report}");
}

#[tokio::test]
async fn wrapper_that_changes_bytes_keeps_the_contract() {
    // The suite needs 4 KiB, and the wrapper adds a byte.
    conformance::run(&Wrapped(|| Inverting(memory().with_max_object_size(4_097)))).await.assert_conformant();
}

#[tokio::test]
async fn default_range_never_has_the_bytes_of_the_inner_backend() {
    let wrapper = Inverting(memory());
    let key = Key::parse("a").unwrap();
    let put = Operation::put(key.clone(), "01234");
    drop(wrapper.commit(Batch::new().stage([put])).await.unwrap());
    let part = wrapper.get_range(&key, 1..3).await.unwrap().unwrap();
    assert_eq!((&part.bytes[..], part.size), (&b"12"[..], 5));
    let inner = wrapper.0.get_range(&key, 1..3).await.unwrap().unwrap();
    assert_eq!((&inner.bytes[..], inner.size), (&[!b'0', !b'1'][..], 6));
}

#[tokio::test]
async fn wrapper_that_maps_keys_stays_below_its_prefix() {
    let tenant = tenant("tenant");
    let (ground, depth) = (Prefix::parse("ops/probe/1").unwrap(), Depth::new().keys(1).racers(2));
    let foreign = Operation::put(Key::parse("ops/probe/1/foreign").unwrap(), "x");
    drop(tenant.inner.commit(Batch::new().stage([foreign])).await.unwrap());
    let report = probe::run(&tenant, &ManualEnvironment::new(3), &ground, &depth).await.unwrap();
    assert!(report.is_safe() && report.left_behind.is_none(), "{report:#?}");
    let looked = report.checks.iter().find(|check| check.name == "ground").unwrap();
    assert_eq!(looked.verdict, Verdict::Kept("tenant/ops/probe/1/".to_owned()));
    let left: Vec<_> = tenant.inner.list(&Prefix::root(), None).try_collect().await.unwrap();
    assert_eq!(left.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["ops/probe/1/foreign"]);
    assert_eq!(tenant.passed_over(), ["a b"]);
    let waiting = tenant.waiting().await.unwrap();
    assert_eq!(waiting.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["a"]);
    let other = Tenant { name: "other", inner: tenant.inner.clone() };
    assert_ne!(tenant.location_id(), other.location_id());
}

#[tokio::test]
async fn attempt_of_a_mapped_key_is_seen_by_its_own_reads() {
    let tenant = tenant("tenant");
    let put = Operation::put(Key::parse("a").unwrap(), "x").absent();
    let Commit::Committed(versions) = tenant.attempt(put.clone()).await.unwrap() else { panic!() };
    let found = tenant.get(put.key()).await.unwrap().unwrap();
    assert_eq!(versions.get(Position { stage: 0, operation: 0 }), Some(&found.meta.version));
}
