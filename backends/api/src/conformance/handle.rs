use std::{ops::Range, sync::Arc};

use futures::{StreamExt, TryStreamExt};

use super::check::{Checked, Rule, Stop, condition_at, delete, ensure, key, prefix, put, same_bytes};
use crate::{
    Batch, Capabilities, Commit, Conflict, ErrorKind, Excerpt, Listed, Meta, Object, Operation, Outcome,
    Position, Precondition, StorageBackend, Version, Versions, WriteKind,
};

/// A backend's handle, with methods for the cases. Each method checks the consistency of every answer.
#[derive(Clone)]
pub(super) struct Handle(Arc<dyn StorageBackend>);

impl Handle {
    pub(super) fn new(store: Arc<dyn StorageBackend>) -> Self {
        Self(store)
    }

    /// The backend itself, for calls that may fail by design.
    pub(super) fn backend(&self) -> &dyn StorageBackend {
        &*self.0
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    /// `bytes`, limited to the backend's maximum object size.
    pub(super) fn at_most(&self, bytes: usize) -> usize {
        usize::try_from(self.capabilities().max_object_size).unwrap_or(usize::MAX).min(bytes)
    }

    pub(super) async fn get(&self, name: &str) -> Checked<Option<Object>> {
        let key = key(name)?;
        let answer = self.0.get(&key).await.map_err(|error| Stop::read(format!("get {name}"), &error))?;
        if let Some(Object { meta, bytes }) = &answer {
            ensure!(meta.key == key, "get {name} answered {}", meta.key);
            let (says, has) = (meta.size, bytes.len());
            ensure!(says == has as u64, "get {name} answered {has} bytes and called them {says}");
        }
        Ok(answer)
    }

    pub(super) async fn stat(&self, name: &str) -> Checked<Option<Meta>> {
        let key = key(name)?;
        let answer = self.0.stat(&key).await.map_err(|error| Stop::read(format!("stat {name}"), &error))?;
        if let Some(meta) = &answer {
            ensure!(meta.key == key, "stat {name} answered {}", meta.key);
        }
        Ok(answer)
    }

    pub(super) async fn get_range(&self, name: &str, range: Range<u64>) -> Checked<Option<Excerpt>> {
        let key = key(name)?;
        let what = || format!("get_range {name} {range:?}");
        let answer = self.0.get_range(&key, range.clone()).await;
        let answer = answer.map_err(|error| Stop::read(what(), &error))?;
        if let Some(Excerpt { bytes, size, .. }) = &answer {
            let within = Excerpt::within(&range, *size);
            let (has, wants) = (bytes.len() as u64, within.end - within.start);
            ensure!(
                has == wants,
                "{} answered {has} bytes where an object of {size} bytes, as it says, has {wants}",
                what()
            );
        }
        Ok(answer)
    }

    /// Checks that a range of an object with these bytes is read, with the size of the object, and with its
    /// version if one is named.
    pub(super) async fn expect_range(&self, name: &str, range: Range<u64>, body: &[u8]) -> Checked {
        let found = self.get_range(name, range.clone()).await?;
        let found = found.ok_or_else(|| Stop::Failed(format!("get_range does not find {name}")))?;
        let (says, has) = (found.size, body.len());
        ensure!(says == has as u64, "get_range says that {name} has {says} bytes, and {has} were put");
        let [start, end] = {
            let within = Excerpt::within(&range, says);
            [within.start, within.end].map(|at| usize::try_from(at).unwrap_or(usize::MAX))
        };
        let expected = body.get(start..end).unwrap_or_default();
        same_bytes(&format!("the range {range:?} of {name}"), &found.bytes, expected)?;
        if let Some(version) = found.version {
            let now = self.stat(name).await?.map(|meta| meta.version);
            ensure!(
                now.as_ref() == Some(&version),
                "get_range calls {name} {version}, and stat finds {now:?}"
            );
        }
        Ok(())
    }

    /// Reads an object that must exist.
    pub(super) async fn read(&self, name: &str) -> Checked<Object> {
        let gone = || Stop::Failed(format!("{name} was put and is not there"));
        self.get(name).await?.ok_or_else(gone)
    }

    /// Checks that `get` and `stat` find these bytes, with the same version.
    pub(super) async fn expect(&self, name: &str, bytes: impl AsRef<[u8]>) -> Checked<Version> {
        let object = self.read(name).await?;
        same_bytes(name, &object.bytes, bytes.as_ref())?;
        let stat = self.stat(name).await?;
        let meta = stat.ok_or_else(|| Stop::Failed(format!("get finds {name} and stat does not")))?;
        let (get, stat) = (&object.meta, &meta);
        ensure!(
            get.version == stat.version,
            "get and stat give {name} different versions, {} and {}",
            get.version,
            stat.version
        );
        ensure!(get.size == stat.size, "get gives {name} {} bytes, stat {}", get.size, stat.size);
        Ok(meta.version)
    }

    /// Checks that neither `get` nor `stat` finds an object.
    pub(super) async fn expect_absent(&self, name: &str) -> Checked {
        ensure!(self.get(name).await?.is_none(), "get finds {name}, which must not be there");
        ensure!(self.stat(name).await?.is_none(), "stat finds {name}, which must not be there");
        Ok(())
    }

    /// Commits; any answer is accepted, but no error.
    pub(super) async fn attempt(&self, batch: Batch) -> Checked<Commit> {
        self.0.commit(batch).await.map_err(|error| Stop::error("A commit", &error))
    }

    /// Checks that the commit happens. Every put has a version, except that of a copy that is written after
    /// the answer; no delete has one.
    pub(super) async fn commit(&self, batch: Batch) -> Checked<Versions> {
        match self.attempt(batch.clone()).await? {
            Commit::Committed(versions) => {
                let stages: Vec<usize> = batch.stages().iter().map(Vec::len).collect();
                let places = versions.shape();
                ensure!(
                    places == stages,
                    "the stages of a batch have {stages:?} operations, and its Versions {places:?} places: every \
                     operation has a place, an empty one if it is a delete"
                );
                for (at, operation) in batch.operations() {
                    let (key, has) = (operation.key(), versions.get(at).is_some());
                    match operation {
                        Operation::Delete { .. } => {
                            ensure!(!has, "{key} was deleted at {at:?}, and Versions has a version there");
                        }
                        // It may be written after the answer.
                        Operation::Put { kind: WriteKind::Copy, .. } => {}
                        Operation::Put { .. } => {
                            ensure!(has, "{key} was put at {at:?}, and Versions has no version there");
                        }
                    }
                }
                Ok(versions)
            }
            Commit::Conflict(conflict) | Commit::Overtaken(conflict) => {
                Err(Stop::Failed(format!("conditions that held met a conflict: {conflict:?}")))
            }
        }
    }

    /// Checks that the commit has a conflict at `at`, without other clients, and that the conflict is
    /// consistent.
    pub(super) async fn conflict(&self, batch: Batch, at: Position) -> Checked<Conflict> {
        let condition = condition_at(&batch, at);
        let answer = self.0.commit(batch.clone()).await.map_err(|error| {
            Stop::error(
                format!("{condition} does not hold, which is a Conflict and no error; the commit"),
                &error,
            )
        })?;
        let operation = batch.operations().find(|(position, _)| *position == at).map(|(_, it)| it);
        let conflict = match answer {
            Commit::Conflict(conflict) => conflict,
            Commit::Overtaken(conflict) => {
                let immutable_puts = self.capabilities().immutable_puts;
                let written_once = match operation {
                    Some(Operation::Put { kind: WriteKind::Fresh, .. }) => true,
                    Some(Operation::Put { kind: WriteKind::Immutable, .. }) => immutable_puts,
                    _ => false,
                };
                ensure!(
                    !self.capabilities().exact_conflicts,
                    "{condition} does not hold, and a backend with exact conflicts answers Overtaken"
                );
                ensure!(!written_once, "what is written once cannot be overtaken: {condition}");
                conflict
            }
            Commit::Committed(_) => {
                return Err(Stop::Failed(format!("{condition} does not hold, and the batch committed")));
            }
        };
        ensure!(
            conflict.at == at,
            "{condition} does not hold, and the conflict names operation {} of stage {}",
            conflict.at.operation,
            conflict.at.stage
        );
        let applied = conflict.applied;
        ensure!(
            applied <= at.stage,
            "{condition} does not hold, and the conflict says that {applied} stages stay"
        );
        let atomic = self.capabilities().atomic_batch;
        ensure!(applied == 0 || !atomic, "after a conflict {applied} stages of an atomic batch stay");
        if let Some(operation) = operation {
            let now = self.stat(operation.key().as_str()).await?.map(|meta| meta.version);
            let (found, key) = (&conflict.current, operation.key());
            ensure!(
                *found == now,
                "the conflict says that it found {found:?} at {key}, and stat finds {now:?}"
            );
        }
        Ok(conflict)
    }

    /// As `conflict`, for a put of the same bytes that are stored. A backend without exact conflicts may take
    /// them for its own write, which changes nothing either.
    pub(super) async fn conflict_or_own(&self, batch: Batch, at: Position) -> Checked {
        if self.capabilities().exact_conflicts {
            let conflict = self.conflict(batch, at).await.map(drop);
            return conflict.rule("with exact conflicts the same bytes of another client are a conflict");
        }
        match self.attempt(batch.clone()).await? {
            Commit::Committed(versions) => {
                let operation = batch.operations().find(|(position, _)| *position == at).map(|(_, it)| it);
                let Some(operation) = operation else { return Ok(()) };
                let key = operation.key();
                let now = self.stat(key.as_str()).await?.map(|meta| meta.version);
                let says = versions.get(at);
                ensure!(says == now.as_ref(), "commit took {says:?} at {key} for its own, where {now:?} is");
                Ok(())
            }
            Commit::Conflict(_) | Commit::Overtaken(_) => Ok(()),
        }
    }

    /// Checks that the batch is refused as `kind`, with nothing applied.
    pub(super) async fn refused(&self, batch: Batch, kind: ErrorKind) -> Checked {
        match self.0.commit(batch).await {
            Ok(answer) => {
                let answer = match answer {
                    Commit::Committed(_) => "Committed",
                    Commit::Conflict(_) => "Conflict",
                    Commit::Overtaken(_) => "Overtaken",
                };
                Err(Stop::Failed(format!(
                    "a batch that breaks a rule of Batch::check was not refused as {kind:?}, it was answered as {answer}"
                )))
            }
            Err(error) => {
                let nothing = Outcome::NotApplied { applied: 0 };
                let fits = error.kind() == kind && error.outcome() == nothing;
                let wanted = format!("A batch to be refused as {kind:?} ({nothing:?})");
                if fits { Ok(()) } else { Err(Stop::error(wanted, &error)) }
            }
        }
    }

    /// Puts under [`Precondition::Always`].
    pub(super) async fn put(&self, name: &str, bytes: impl Into<bytes::Bytes>) -> Checked<Version> {
        self.put_when(name, bytes, Precondition::Always).await
    }

    /// Puts under a condition that must hold.
    pub(super) async fn put_when(
        &self,
        name: &str,
        bytes: impl Into<bytes::Bytes>,
        when: Precondition,
    ) -> Checked<Version> {
        let versions = self.commit(Batch::new().stage([put(name, bytes)?.when(when)])).await?;
        let version = versions.get(Position { stage: 0, operation: 0 }).cloned();
        version.ok_or_else(|| Stop::Failed(format!("the put of {name} has no version")))
    }

    /// Deletes under [`Precondition::Always`].
    pub(super) async fn delete(&self, name: &str) -> Checked {
        self.commit(Batch::new().stage([delete(name)?])).await.map(drop)
    }

    /// Puts all of these objects, with their names as bodies, in batches of a few hundred.
    pub(super) async fn fill(&self, names: &[String]) -> Checked {
        for some in names.chunks(300) {
            let puts = some.iter().map(|name| put(name, name.clone())).collect::<Checked<Vec<_>>>()?;
            self.commit(Batch::new().stage(puts)).await?;
        }
        Ok(())
    }

    /// Reads the whole listing.
    pub(super) async fn list(&self, below: &str, after: Option<&str>) -> Checked<Vec<Listed>> {
        let after = after.map(key).transpose()?;
        let lines = self.0.list(&prefix(below)?, after.as_ref()).try_collect().await;
        lines.map_err(|error| Stop::read(format!("list below {below:?} after {after:?}"), &error))
    }

    /// Reads the names of the whole listing.
    pub(super) async fn names(&self, below: &str, after: Option<&str>) -> Checked<Vec<String>> {
        Ok(self.list(below, after).await?.iter().map(|it| it.key.to_string()).collect())
    }

    /// Reads the names of the first `most` entries, then drops the listing.
    pub(super) async fn first_names(
        &self,
        below: &str,
        after: Option<&str>,
        most: usize,
    ) -> Checked<Vec<String>> {
        let after = after.map(key).transpose()?;
        let lines = self.0.list(&prefix(below)?, after.as_ref()).take(most);
        let names = lines.map_ok(|it| it.key.to_string()).try_collect().await;
        names.map_err(|error| Stop::read(format!("list below {below:?} after {after:?}"), &error))
    }
}
