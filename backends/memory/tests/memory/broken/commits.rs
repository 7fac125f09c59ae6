use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

use futures::FutureExt;
use pflow_backend::{
    Batch, Commit, Conflict, Error, ErrorKind, Key, Operation, Position, Precondition, Result,
    StorageBackend, Version, Versions, WriteKind,
};
use tokio::task::yield_now;

use super::{Fault, listings, storage::Faulty};

impl Faulty {
    pub(crate) async fn answer(&self, batch: Batch) -> Result<Commit> {
        if self.poisoned.load(Ordering::SeqCst) {
            return Err(Error::not_applied(ErrorKind::Poisoned, "A call was dropped"));
        }
        if let Some(answer) = self.failed(&batch).await {
            return answer;
        }
        let unchecked = [Fault::IgnoresTheLimit, Fault::OneByOne, Fault::ImmutableTakesAnyCondition];
        if !unchecked.contains(&self.fault) {
            batch.check(&self.objects.capabilities())?;
        }
        let before = batch.clone();
        let answer = self.commit_with_the_fault(batch).await;
        if let Ok(Commit::Committed(_)) = answer {
            let mut memory = self.memory();
            for (_, operation) in before.operations() {
                memory.reads.remove(operation.key());
                let key = operation.key().as_str();
                memory
                    .folders
                    .extend(key.match_indices('/').filter_map(|(at, _)| key.get(..at)).map(str::to_owned));
                if matches!(operation, Operation::Put { .. }) {
                    memory.last_put = Some(operation.key().clone());
                }
            }
        }
        answer
    }

    async fn commit_with_the_fault(&self, batch: Batch) -> Result<Commit> {
        match self.fault {
            Fault::VersionIsConstant | Fault::VersionIsTheLength | Fault::VersionRestarts => {
                self.under_weak_versions(batch).await
            }
            Fault::CutsLongNames | Fault::FlattensNames | Fault::LowersCase => {
                self.objects.commit(each(&batch, |it| Some(self.under_its_kept_name(it)))).await
            }
            Fault::LeavesEmptyFolders => {
                let folder = |it: &Operation| self.memory().folders.contains(it.key().as_str());
                if batch.operations().any(|(_, it)| matches!(it, Operation::Put { .. }) && folder(it)) {
                    return Err(Error::not_applied(ErrorKind::InvalidInput, "A folder is in the way"));
                }
                self.objects.commit(batch).await
            }
            Fault::MakesRoom => {
                for line in listings::all(&self.objects).await? {
                    let in_the_way = |key: &Key| key.is_below(&line.key) || line.key.is_below(key);
                    if batch.operations().any(|(_, it)| in_the_way(it.key())) {
                        self.force([Operation::delete(line.key)]).await?;
                    }
                }
                self.objects.commit(batch).await
            }
            Fault::NeighboursAreAnIoError => {
                let io =
                    |error: Error| Error::not_applied(ErrorKind::Io, "Is a directory").with_source(error);
                self.objects.commit(batch).await.map_err(io)
            }
            Fault::IgnoresAbsent => self.ignoring(&batch, |when| *when == Precondition::Absent).await,
            Fault::IgnoresIs => self.ignoring(&batch, |when| matches!(when, Precondition::Is(_))).await,
            Fault::RefusesEveryIs => {
                let is = |it: &Operation| matches!(it.precondition(), Precondition::Is(_));
                let refused = batch.operations().find(|(_, it)| is(it)).map(|(at, _)| at);
                match refused {
                    Some(at) => Ok(Commit::Conflict(Conflict::new(at, None, 0))),
                    None => self.objects.commit(batch).await,
                }
            }
            Fault::ChecksThenActs => match self.conflict(&batch).await? {
                Some(conflict) => Ok(Commit::Conflict(conflict)),
                None => {
                    yield_now().await;
                    self.ignoring(&batch, |_| true).await
                }
            },
            Fault::DeletesNothing => {
                let answer = self.objects.commit(each(&batch, puts_alone)).await?;
                Ok(match answer {
                    Commit::Committed(_) => Commit::Committed(versions(&batch)),
                    conflict => conflict,
                })
            }
            Fault::DeleteOfAbsentFails => {
                for (_, operation) in batch.operations() {
                    let found = self.objects.stat(operation.key()).await?;
                    if matches!(operation, Operation::Delete { .. }) && found.is_none() {
                        return Err(Error::not_applied(ErrorKind::Missing, "There is nothing to delete"));
                    }
                }
                self.objects.commit(batch).await
            }
            Fault::RefusesEmptyBatches if batch.operations().next().is_none() => {
                Err(Error::not_applied(ErrorKind::InvalidInput, "There is nothing to do"))
            }
            Fault::SkipsEmptyStages => {
                let stages = batch.stages().iter().filter(|stage| !stage.is_empty());
                self.objects.commit(stages.fold(Batch::new(), |batch, it| batch.stage(it.clone()))).await
            }
            Fault::ForgetsLaterStages => {
                let first = batch.stages().iter().take(1).cloned();
                let answer = self.objects.commit(first.fold(Batch::new(), Batch::stage)).await?;
                Ok(if is_committed(&answer) { Commit::Committed(versions(&batch)) } else { answer })
            }
            Fault::CutsWideStages => {
                let cut = |stage: &Vec<Operation>| stage.iter().take(100).cloned().collect::<Vec<_>>();
                let cut = batch.stages().iter().map(cut).fold(Batch::new(), Batch::stage);
                let answer = self.objects.commit(cut).await?;
                Ok(if is_committed(&answer) { Commit::Committed(versions(&batch)) } else { answer })
            }
            Fault::ConflictsAreAtTheFirst => Ok(match self.objects.commit(batch).await? {
                Commit::Conflict(it) => Commit::Conflict(Conflict::new(
                    Position { stage: 0, operation: 0 },
                    it.current,
                    it.applied,
                )),
                committed => committed,
            }),
            Fault::KeepsTheStagesBeforeAConflict | Fault::GoesOnBehindAConflict => {
                let answer = self.objects.commit(batch.clone()).await?;
                if let Err(conflict) = answer.clone().into_result() {
                    let before = self.fault == Fault::KeepsTheStagesBeforeAConflict;
                    for (number, stage) in batch.stages().iter().enumerate() {
                        if number != conflict.at.stage && (number < conflict.at.stage) == before {
                            self.force(stage.clone()).await?;
                        }
                    }
                }
                Ok(answer)
            }
            Fault::OneByOne => {
                for (at, operation) in batch.operations() {
                    let one = Batch::new().stage([operation.clone()]);
                    if let Err(conflict) = self.objects.commit(one).await?.into_result() {
                        return Ok(Commit::Conflict(Conflict::new(at, conflict.current, conflict.applied)));
                    }
                    yield_now().await;
                }
                Ok(Commit::Committed(versions(&batch)))
            }
            Fault::StagesBackwards | Fault::WritesInPlace | Fault::SwapsThroughAGap => {
                if let Some(conflict) = self.conflict(&batch).await? {
                    return Ok(Commit::Conflict(conflict));
                }
                self.write_carelessly(&batch).await?;
                Ok(Commit::Committed(versions(&batch)))
            }
            Fault::BusyInCompany | Fault::FailsInCompany => {
                let others = self.under_way.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                let busy = Error::not_applied(ErrorKind::Busy, "Another commit is under way");
                let deadlock = Error::not_applied(ErrorKind::Io, "Could not serialize access");
                match others {
                    0 => self.objects.commit(batch).await,
                    _ => Err(if self.fault == Fault::BusyInCompany { busy } else { deadlock }),
                }
            }
            Fault::NoPlaceForDeletes => Ok(match self.objects.commit(batch.clone()).await? {
                Commit::Committed(_) => {
                    let puts = each(&batch, puts_alone);
                    Commit::Committed(versions(&puts))
                }
                conflict => conflict,
            }),
            Fault::ConflictIsAnError => match self.objects.commit(batch).await? {
                Commit::Conflict(_) => Err(Error::not_applied(ErrorKind::Io, "UNIQUE constraint failed")),
                committed => Ok(committed),
            },
            Fault::ConflictNamesNothing => Ok(match self.objects.commit(batch).await? {
                Commit::Conflict(it) => Commit::Conflict(Conflict::new(it.at, None, it.applied)),
                committed => committed,
            }),
            Fault::OvertakenThoughExact => Ok(match self.objects.commit(batch).await? {
                Commit::Conflict(it) => Commit::Overtaken(it),
                committed => committed,
            }),
            Fault::TakesEqualBytesForItsOwn => {
                let answer = self.objects.commit(batch.clone()).await?;
                let found = batch.operations().all(|(_, it)| match it {
                    Operation::Put { key, bytes, .. } => {
                        let found = self.objects.get(key).now_or_never();
                        matches!(found, Some(Ok(Some(object))) if object.bytes == bytes)
                    }
                    Operation::Delete { .. } => false,
                });
                Ok(if found { Commit::Committed(versions(&batch)) } else { answer })
            }
            Fault::DoesNotOverwrite => {
                let mut kept = Vec::new();
                for (_, operation) in batch.operations() {
                    let is_there = self.objects.stat(operation.key()).await?.is_some();
                    let is_put = matches!(operation, Operation::Put { when: Precondition::Always, .. });
                    kept.extend((is_put && is_there).then(|| operation.key().clone()));
                }
                let changed = |it: &Operation| (!kept.contains(it.key())).then(|| it.clone());
                let answer = self.objects.commit(each(&batch, changed)).await?;
                Ok(if is_committed(&answer) { Commit::Committed(versions(&batch)) } else { answer })
            }
            Fault::DeletesWhateverIsThere => {
                let free = |it: &Operation| match it {
                    Operation::Delete { key, .. } => Some(Operation::delete(key.clone())),
                    put => Some(put.clone()),
                };
                self.objects.commit(each(&batch, free)).await
            }
            Fault::WritesBehindTheAnswer => {
                let before = self.memory().behind.take();
                for stage in before.iter().flat_map(Batch::stages) {
                    self.force(stage.clone()).await?;
                }
                if let Some(conflict) = self.conflict(&batch).await? {
                    return Ok(Commit::Conflict(conflict));
                }
                let answer = Commit::Committed(versions(&batch));
                self.memory().behind = Some(batch);
                Ok(answer)
            }
            Fault::AppliesOneByOne => {
                if let Some(conflict) = self.conflict(&batch).await? {
                    return Ok(Commit::Conflict(conflict));
                }
                for (_, operation) in batch.operations() {
                    self.force([operation.clone()]).await?;
                    yield_now().await;
                }
                Ok(Commit::Committed(versions(&batch)))
            }
            Fault::ListingLocks if self.shared.listings.load(Ordering::SeqCst) > 0 => {
                Err(Error::not_applied(ErrorKind::Busy, "The table is locked"))
            }
            Fault::BlocksItsThread => {
                let work = || self.objects.commit(batch).now_or_never();
                let answer = std::thread::scope(|scope| scope.spawn(work).join());
                answer
                    .ok()
                    .flatten()
                    .unwrap_or_else(|| Err(Error::unknown(ErrorKind::Io, "The thread that wrote is gone")))
            }
            Fault::ImmutableOverwrites => {
                let free =
                    |it: &Operation| Some(if is_immutable(it) { unconditional(it) } else { it.clone() });
                self.objects.commit(each(&batch, free)).await
            }
            Fault::EqualImmutableIsAConflict => self.objects.commit(each(&batch, as_absent)).await,
            Fault::EqualLengthIsEqual => {
                let mut stored = BTreeMap::new();
                for (_, operation) in batch.operations().filter(|(_, it)| is_immutable(it)) {
                    let found = self.objects.get(operation.key()).await?;
                    stored.extend(found.map(|object| (operation.key().clone(), object.bytes)));
                }
                let assumed = |it: &Operation| match (it, stored.get(it.key())) {
                    (Operation::Put { key, bytes, .. }, Some(stored)) if stored.len() == bytes.len() => {
                        Some(Operation::put(key.clone(), stored.clone()).immutable())
                    }
                    _ => Some(it.clone()),
                };
                self.objects.commit(each(&batch, assumed)).await
            }
            Fault::ImmutableNamesItsOwnVersion | Fault::NoPlaceForStored => {
                let stored = self.stored(&batch).await?;
                let Commit::Committed(versions) = self.objects.commit(batch.clone()).await? else {
                    return self.objects.commit(batch).await;
                };
                let of = |(at, operation): (Position, &Operation)| match stored.contains(operation.key()) {
                    true if self.fault == Fault::NoPlaceForStored => None,
                    true => Some((at.stage, Some(Version::new("of its own")))),
                    false => Some((at.stage, versions.get(at).cloned())),
                };
                let mut stages = vec![Vec::new(); batch.stages().len()];
                batch.operations().filter_map(of).for_each(|(stage, version)| stages[stage].push(version));
                Ok(Commit::Committed(Versions::new(stages)))
            }
            Fault::EqualImmutableEndsTheBatch => {
                let stored = self.stored(&batch).await?;
                let last =
                    batch.operations().find(|(_, it)| stored.contains(it.key())).map(|(at, _)| at.stage);
                let stages = batch.stages().iter().take(last.map_or(usize::MAX, |last| last + 1)).cloned();
                let answer = self.objects.commit(stages.fold(Batch::new(), Batch::stage)).await?;
                Ok(if is_committed(&answer) { Commit::Committed(versions(&batch)) } else { answer })
            }
            Fault::ImmutableTakesAnyCondition => {
                let other = |it: &Operation| is_immutable(it) && *it.precondition() != Precondition::Absent;
                let taken = |it: &Operation| match it {
                    put if other(put) => Some(unconditional(put).when(put.precondition().clone())),
                    it => Some(it.clone()),
                };
                self.objects.commit(each(&batch, taken)).await
            }
            Fault::ImmutableIsOvertaken => Ok(match self.objects.commit(batch.clone()).await? {
                Commit::Conflict(conflict)
                    if batch.operations().any(|(at, it)| at == conflict.at && is_immutable(it)) =>
                {
                    Commit::Overtaken(conflict)
                }
                answer => answer,
            }),
            Fault::ClosedHandleLies if self.is_closed() => Ok(Commit::Committed(versions(&batch))),
            _ => self.objects.commit(batch).await,
        }
    }

    async fn write_carelessly(&self, batch: &Batch) -> Result<()> {
        if self.fault == Fault::StagesBackwards {
            for stage in batch.stages().iter().rev() {
                self.force(stage.clone()).await?;
                yield_now().await;
            }
            return Ok(());
        }
        for (_, operation) in batch.operations() {
            if let Operation::Put { key, bytes, .. } = operation {
                let half = Operation::put(key.clone(), bytes.slice(..bytes.len() / 2));
                let gap = Operation::delete(key.clone());
                self.force([if self.fault == Fault::WritesInPlace { half } else { gap }]).await?;
                yield_now().await;
            }
            self.force([operation.clone()]).await?;
        }
        Ok(())
    }

    /// Returns the first condition that does not hold now.
    async fn conflict(&self, batch: &Batch) -> Result<Option<Conflict>> {
        for (at, operation) in batch.operations() {
            let found = self.objects.get(operation.key()).await?;
            if found.as_ref().is_some_and(|object| operation.is_stored_as(&object.bytes)) {
                continue;
            }
            let current = found.map(|it| self.called(operation.key(), it.meta.size, &it.meta.version));
            if !operation.precondition().holds(current.as_ref()) {
                return Ok(Some(Conflict::new(at, current, 0)));
            }
        }
        Ok(None)
    }

    /// The step is atomic although it reads and writes separately: it does not wait in between, so no other
    /// task runs.
    pub(crate) async fn under_weak_versions(&self, batch: Batch) -> Result<Commit> {
        if let Some(conflict) = self.conflict(&batch).await? {
            return Ok(Commit::Conflict(conflict));
        }
        let answer = self.ignoring(&batch, |_| true).await?;
        if !is_committed(&answer) {
            return Ok(answer);
        }
        for (_, operation) in batch.operations() {
            let (key, mut counts) = (operation.key(), self.counts());
            match operation {
                Operation::Put { .. } => *counts.entry(key.clone()).or_default() += 1,
                Operation::Delete { .. } => drop(counts.remove(key)),
            }
        }
        let called = |operation: &Operation| match operation {
            Operation::Put { key, bytes, .. } => {
                Some(self.called(key, bytes.len() as u64, &Version::of_content(bytes)))
            }
            Operation::Delete { .. } => None,
        };
        let stages = batch.stages().iter().map(|stage| stage.iter().map(called).collect());
        Ok(Commit::Committed(Versions::new(stages.collect())))
    }

    /// Commits the batch without the conditions that `ignored` selects.
    async fn ignoring(&self, batch: &Batch, ignored: impl Fn(&Precondition) -> bool) -> Result<Commit> {
        let free = |operation: &Operation| match ignored(operation.precondition()) {
            true => Some(unconditional(operation)),
            false => Some(operation.clone()),
        };
        self.objects.commit(each(batch, free)).await
    }

    /// Writes the batch without its conditions.
    async fn force(&self, operations: impl IntoIterator<Item = Operation>) -> Result<()> {
        let free = operations.into_iter().map(|it| unconditional(&it));
        self.objects.commit(Batch::new().stage(free)).await.map(drop)
    }

    /// Returns the keys of the immutable puts of a batch that are stored already.
    async fn stored(&self, batch: &Batch) -> Result<BTreeSet<Key>> {
        let mut stored = BTreeSet::new();
        for (_, operation) in batch.operations() {
            let found = self.objects.get(operation.key()).await?;
            if found.is_some_and(|object| operation.is_stored_as(&object.bytes)) {
                stored.insert(operation.key().clone());
            }
        }
        Ok(stored)
    }

    fn under_its_kept_name(&self, operation: &Operation) -> Operation {
        let mut renamed = operation.clone();
        match &mut renamed {
            Operation::Put { key, .. } | Operation::Delete { key, .. } => *key = self.kept_as(key),
        }
        renamed
    }
}

fn is_immutable(operation: &Operation) -> bool {
    matches!(operation, Operation::Put { kind: WriteKind::Immutable, .. })
}

/// Returns the operation without its condition. Without it no put is immutable.
fn unconditional(operation: &Operation) -> Operation {
    match operation {
        Operation::Put { key, bytes, kind: WriteKind::Immutable, .. } => {
            Operation::put(key.clone(), bytes.clone())
        }
        operation => operation.clone().when(Precondition::Always),
    }
}

/// Returns an immutable put as a plain one under the same condition, which knows no equal bytes.
fn as_absent(operation: &Operation) -> Option<Operation> {
    let put = is_immutable(operation).then(|| unconditional(operation).absent());
    Some(put.unwrap_or_else(|| operation.clone()))
}

fn puts_alone(operation: &Operation) -> Option<Operation> {
    matches!(operation, Operation::Put { .. }).then(|| operation.clone())
}

/// Returns the batch with every operation changed or left out.
fn each(batch: &Batch, change: impl Fn(&Operation) -> Option<Operation>) -> Batch {
    batch.stages().iter().fold(Batch::new(), |batch, stage| batch.stage(stage.iter().filter_map(&change)))
}

fn is_committed(answer: &Commit) -> bool {
    matches!(answer, Commit::Committed(_))
}

/// Returns the versions that a correct storage would give to the puts of `batch`.
pub(crate) fn versions(batch: &Batch) -> Versions {
    let version = |operation: &Operation| match operation {
        Operation::Put { bytes, .. } => Some(Version::of_content(bytes)),
        Operation::Delete { .. } => None,
    };
    Versions::new(batch.stages().iter().map(|stage| stage.iter().map(version).collect()).collect())
}
