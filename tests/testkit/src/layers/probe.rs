use std::{
    ops::Range,
    sync::{Arc, Mutex},
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use pflow_store::backend::{
    Batch, BoxStream, Commit, Conflict, Error, ErrorKind, Excerpt, Key, Listed, Meta, Object, Operation,
    Outcome, Position, Prefix, Result, StorageBackend, async_trait,
};

use super::Layer;

/// Records every call to a storage, runs a hook at one of them, and makes commits fail.
#[derive(Clone)]
pub struct Probe {
    inner: Arc<dyn StorageBackend>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    log: Log,
    fault: Option<Fault>,
    /// The number of commits that the fault has hit.
    struck: usize,
    hook: Option<(usize, Hook)>,
    overtaking: Option<Overtaking>,
}

/// An action of another client at the next put of a key, to which the reply is `Overtaken`.
struct Overtaking {
    key: &'static str,
    /// Whether the put is applied first.
    landed: bool,
    hook: Hook,
}

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// The requests to a storage, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The keys of reads, of whole objects and of ranges.
    pub gets: Vec<String>,
    /// The keys of those that were reads of ranges.
    pub ranges: Vec<String>,
    /// How many bytes the answers to reads of ranges had.
    pub range_bytes: usize,
    pub lists: Vec<String>,
    pub commits: Vec<Vec<Write>>,
}

/// An operation of a commit: its key, and the number of bytes it puts; none for a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub key: String,
    pub bytes: Option<usize>,
}

/// Makes commits with a key below `touching` fail: `times` of them, after the first `spared`.
#[derive(Debug, Clone)]
pub struct Fault {
    pub touching: &'static str,
    pub spared: usize,
    pub times: usize,
    pub left: Left,
    pub kind: ErrorKind,
    pub outcome: Outcome,
}

/// What a failed commit leaves in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// All stages: only the reply is lost.
    All,
    /// The first stages, this many.
    Stages(usize),
}

impl Fault {
    /// Every commit fails with a transient error and certainly did not happen.
    pub fn refuse(times: usize) -> Self {
        let outcome = Outcome::NotApplied { applied: 0 };
        Self { touching: "", spared: 0, times, left: Left::Stages(0), kind: ErrorKind::Unavailable, outcome }
    }

    /// One commit fails with an unknown outcome and leaves `left` in place.
    pub fn unknown(left: Left) -> Self {
        Self { left, outcome: Outcome::Unknown, ..Self::refuse(1) }
    }

    /// One commit fails after its first stages, which remain. Not for a storage with atomic batches, which
    /// leaves nothing in that case.
    pub fn stop_after(stages: usize) -> Self {
        let outcome = Outcome::NotApplied { applied: stages };
        Self { left: Left::Stages(stages), outcome, ..Self::refuse(1) }
    }
}

impl Log {
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.commits.iter().flatten()
    }

    /// Returns how many objects below `prefix` were put.
    pub fn puts(&self, prefix: &str) -> usize {
        self.writes().filter(|write| write.bytes.is_some() && write.key.starts_with(prefix)).count()
    }

    /// Returns how many keys below `prefix` were deleted.
    pub fn deletes(&self, prefix: &str) -> usize {
        self.writes().filter(|write| write.bytes.is_none() && write.key.starts_with(prefix)).count()
    }

    /// Returns how many bytes were put.
    pub fn bytes(&self) -> usize {
        self.writes().filter_map(|write| write.bytes).sum()
    }

    /// Returns the number of gets, lists and commits.
    pub fn calls(&self) -> (usize, usize, usize) {
        (self.gets.len(), self.lists.len(), self.commits.len())
    }
}

impl Probe {
    pub fn new(inner: Arc<dyn StorageBackend>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Log {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// Makes the next commits fail.
    pub fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().fault = Some(fault);
    }

    /// Removes the fault. Returns how many commits were hit since the last call.
    pub fn heal(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        state.fault = None;
        std::mem::take(&mut state.struck)
    }

    /// Returns how many commits the fault has hit so far.
    pub fn struck(&self) -> usize {
        self.state.lock().unwrap().struck
    }

    /// Runs `hook` once, before the call that follows `calls` other calls.
    pub fn at_call<F>(&self, calls: usize, hook: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.state.lock().unwrap().hook = Some((calls, Box::new(move || hook().boxed())));
    }

    /// Runs `hook` once at the next put of `key`: after the put if `landed`, and else instead of it. The
    /// reply is the same in both cases.
    pub fn overtake<F>(&self, key: &'static str, landed: bool, hook: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hook: Hook = Box::new(move || hook().boxed());
        self.state.lock().unwrap().overtaking = Some(Overtaking { key, landed, hook });
    }

    fn overtaking(&self, batch: &Batch) -> Option<Overtaking> {
        let mut state = self.state.lock().unwrap();
        let key = state.overtaking.as_ref()?.key;
        if batch.operations().any(|(_, it)| it.key().as_str() == key) {
            state.overtaking.take()
        } else {
            None
        }
    }

    /// Whether the hook has run. Removes it if it has not.
    pub fn hook_has_run(&self) -> bool {
        self.state.lock().unwrap().hook.take().is_none()
    }

    fn due(&self) -> BoxFuture<'static, ()> {
        let mut state = self.state.lock().unwrap();
        match state.hook.take() {
            Some((0, hook)) => {
                drop(state);
                hook()
            }
            Some((calls, hook)) => {
                state.hook = Some((calls - 1, hook));
                std::future::ready(()).boxed()
            }
            None => std::future::ready(()).boxed(),
        }
    }

    fn record(&self, write: impl FnOnce(&mut Log)) {
        write(&mut self.state.lock().unwrap().log);
    }

    fn fault_of(&self, batch: &Batch) -> Option<Fault> {
        let mut state = self.state.lock().unwrap();
        let fault = state.fault.as_mut()?;
        let touched = batch.operations().any(|(_, it)| it.key().as_str().starts_with(fault.touching));
        if !touched || fault.times == 0 {
            return None;
        }
        if fault.spared > 0 {
            fault.spared -= 1;
            return None;
        }
        fault.times -= 1;
        let fault = fault.clone();
        state.struck += 1;
        Some(fault)
    }
}

#[async_trait]
impl Layer for Probe {
    fn below(&self) -> &dyn StorageBackend {
        &*self.inner
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.record(|log| log.gets.push(key.to_string()));
        self.due().await;
        self.inner.get(key).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.due().await;
        self.inner.stat(key).await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Excerpt>> {
        self.record(|log| {
            log.gets.push(key.to_string());
            log.ranges.push(key.to_string());
        });
        self.due().await;
        let answer = self.inner.get_range(key, range).await?;
        let bytes = answer.as_ref().map_or(0, |found| found.bytes.len());
        self.record(|log| log.range_bytes += bytes);
        Ok(answer)
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.record(|log| log.lists.push(prefix.to_string()));
        let (probe, prefix, after) = (self.clone(), prefix.clone(), after.cloned());
        let listing = async move {
            probe.due().await;
            probe.inner.list(&prefix, after.as_ref())
        };
        stream::once(listing).flatten().boxed()
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        let writes = batch.operations().map(|(_, operation)| Write {
            key: operation.key().to_string(),
            bytes: match operation {
                Operation::Put { bytes, .. } => Some(bytes.len()),
                Operation::Delete { .. } => None,
            },
        });
        let writes = writes.collect();
        self.record(|log| log.commits.push(writes));
        self.due().await;
        if let Some(Overtaking { landed, hook, .. }) = self.overtaking(&batch) {
            if landed {
                assert!(matches!(self.inner.commit(batch).await?, Commit::Committed(_)));
            }
            hook().await;
            let at = Position { stage: 0, operation: 0 };
            return Ok(Commit::Overtaken(Conflict::new(at, None, 0)));
        }
        let Some(fault) = self.fault_of(&batch) else { return self.inner.commit(batch).await };
        let atomic = Layer::capabilities(self).atomic_batch;
        let leaves_some = matches!(fault.outcome, Outcome::NotApplied { applied } if applied > 0);
        assert!(!(atomic && leaves_some), "a storage with atomic batches never fails like this: {fault:?}");
        let stages = match fault.left {
            Left::All => batch.stages().len(),
            Left::Stages(stages) => stages,
        };
        let part = batch.stages().iter().take(stages).cloned().fold(Batch::new(), Batch::stage);
        match self.inner.commit(part).await? {
            Commit::Committed(_) => {
                Err(Error::not_applied(fault.kind, "The test pulled the plug").with_outcome(fault.outcome))
            }
            conflict => Ok(conflict),
        }
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Probe").field(&self.inner).finish()
    }
}
