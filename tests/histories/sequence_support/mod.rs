//! A store of one workflow whose every acknowledged version is known, and the steps that are taken on it.

mod raw;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use pflow_backend_memory::MemoryBackend;
use pflow_store::{
    ErrorKind, Expect, Store,
    backend::{Batch, Commit, Environment, Key, ManualEnvironment, Operation, Prefix, StorageBackend},
    health::Severity,
};

use pflow_testkit::{Staged, layers::Mortal, plan, save};

/// The kind of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Batches are atomic, and people edit files.
    Disk,
    /// Each operation is a request of its own.
    Bucket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Save,
    /// A writer dies before its head, or before its copy; on a disk its batch does not happen.
    CrashBeforeHead,
    CrashBeforeCopy,
    LostRace,
    Merge,
    InterruptedPush,
    DeleteHead,
    /// Restores the head and its copy as they were one generation ago, or a deleted head as it was last.
    PutHeadBack,
    /// Restores the head as before, without the copy.
    PutHeadAloneBack,
    Fold,
    Reindex,
    SaveAll,
    Verify,
    Repair,
}

pub(crate) const STEPS: [Step; 14] = [
    Step::Save,
    Step::CrashBeforeHead,
    Step::CrashBeforeCopy,
    Step::LostRace,
    Step::Merge,
    Step::InterruptedPush,
    Step::DeleteHead,
    Step::PutHeadBack,
    Step::PutHeadAloneBack,
    Step::Fold,
    Step::Reindex,
    Step::SaveAll,
    Step::Verify,
    Step::Repair,
];

const HEAD: &str = "workflows/a/metadata.json";
const COPY: &str = "workflows/a/workflow.json";

/// How often something happened in all sequences.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) repaired: u64,
    pub(crate) hurt: u64,
    pub(crate) unconfirmed: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, refused, repaired, hurt, unconfirmed } = self;
        write!(
            f,
            "{acknowledged} versions acknowledged, {refused} changes refused, {hurt} verifications with a hurt head, \
             {repaired} heads repaired, {unconfirmed} unconfirmed versions found"
        )
    }
}

pub(crate) struct World {
    place: Place,
    raw: Arc<dyn StorageBackend>,
    mortal: Mortal,
    stores: [Store; 2],
    environments: [Arc<ManualEnvironment>; 2],
    taken: usize,
    /// Every version that was acknowledged: its key and its bytes.
    acknowledged: BTreeMap<String, Bytes>,
    /// The head and the copy after each generation that was reached, the newest last.
    backups: Vec<(Bytes, Option<Bytes>)>,
    /// A person removed the head or put back an older one, and it is not whole again.
    is_tampered: bool,
    /// The last change, if it was refused.
    refusal: Option<ErrorKind>,
    tally: Tally,
}

impl World {
    pub(crate) async fn new(place: Place) -> Self {
        let environments = [Arc::new(ManualEnvironment::new(1)), Arc::new(ManualEnvironment::new(2))];
        let memory = MemoryBackend::new(environments[0].clone());
        let mortal = Mortal::new(match place {
            Place::Disk => Arc::new(memory.clone().with_plain_files(true)),
            Place::Bucket => Arc::new(memory.clone()),
        });
        let backend: Arc<dyn StorageBackend> = match place {
            Place::Disk => Arc::new(mortal.clone()),
            Place::Bucket => Arc::new(Staged(mortal.clone())),
        };
        let on =
            |n: usize| Store::on(backend.clone()).environment(environments[n].clone()).fold_behind(false);
        let first = on(0).init().await.unwrap();
        let second = on(1).open().await.unwrap();
        Self {
            place,
            raw: Arc::new(memory),
            mortal,
            stores: [first, second],
            environments,
            taken: 0,
            acknowledged: BTreeMap::new(),
            backups: Vec::new(),
            is_tampered: false,
            refusal: None,
            tally: Tally::default(),
        }
    }

    pub(crate) async fn step(&mut self, step: Step) {
        self.taken += 1;
        self.refusal = None;
        // One machine is ahead by days and goes back by hours, the other one jumps forward: the handles take
        // turns.
        let jump = Duration::from_secs(60 * 16);
        self.environments[0].advance(jump);
        let back = chrono::Duration::hours(7 * i64::try_from(self.taken).unwrap());
        let later = self.environments[0].now() + chrono::Duration::days(3) - back;
        self.environments[1].set_now(later);
        let store = self.stores[self.taken % 2].clone();
        let before = self.keys("versions/").await;
        match step {
            Step::Save => Box::pin(self.save(&store)).await,
            Step::CrashBeforeHead => Box::pin(self.crash(&store, HEAD)).await,
            Step::CrashBeforeCopy => Box::pin(self.crash(&store, COPY)).await,
            Step::LostRace => Box::pin(self.lose_race(&store)).await,
            Step::Merge => Box::pin(self.merge()).await,
            Step::InterruptedPush => Box::pin(self.push()).await,
            Step::DeleteHead => Box::pin(self.delete_head()).await,
            Step::PutHeadBack => Box::pin(self.put_head_back(true)).await,
            Step::PutHeadAloneBack => Box::pin(self.put_head_back(false)).await,
            Step::Fold => Box::pin(self.save_all(&store, &["other"])).await,
            Step::SaveAll => Box::pin(self.save_all(&store, &["a", "other"])).await,
            Step::Reindex => drop(Box::pin(store.reindex()).await.unwrap()),
            Step::Verify => drop(Box::pin(store.verify()).await.unwrap()),
            Step::Repair => Box::pin(self.repair(&store)).await,
        }
        if matches!(step, Step::Fold | Step::Reindex | Step::Verify | Step::Repair) {
            let after = self.keys("versions/a/").await;
            let gone = before.iter().filter(|key| key.starts_with("versions/a/") && !after.contains(key));
            assert_eq!(gone.count(), 0, "upkeep deletes no version");
        }
    }

    /// Checks that every acknowledged version exists, and that only a workflow that was tampered with is
    /// refused.
    pub(crate) async fn check_versions(&self, steps: &[Step]) {
        for (key, bytes) in &self.acknowledged {
            assert_eq!(self.get(key).await.as_ref(), Some(bytes), "{steps:?}: {key} is gone");
        }
        if let Some(refused) = self.refusal {
            assert_eq!(refused, ErrorKind::Corrupt, "{steps:?}");
            assert!(self.is_tampered, "{steps:?}: nothing was taken away, and a change was refused");
        }
    }

    /// Checks what must hold after every step.
    pub(crate) async fn check(&mut self, steps: &[Step]) {
        self.check_versions(steps).await;
        let report = self.stores[(self.taken + 1) % 2].verify().await.unwrap();
        let unconfirmed = report.findings.iter().filter(|it| it.reason.starts_with("unconfirmed"));
        self.tally.unconfirmed += unconfirmed.count() as u64;
        self.tally.hurt += u64::from(!report.hurt.is_empty());
        if !self.is_tampered {
            assert!(report.is_sound(), "{steps:?}: {:#?}", report.findings);
        }
        if self.place == Place::Disk && self.is_behind().await {
            assert!(!report.hurt.is_empty(), "{steps:?}: a lost head is found: {:#?}", report.findings);
        }
        // Whatever was done to this workflow, nothing is said of the other one. The index has seen a version
        // that is beside a head which was put back and saved over.
        for finding in report.findings.iter().filter(|it| it.severity == Severity::Damage) {
            let is_about_it = finding.key.contains("/a/") || finding.reason == "the index is wrong about a";
            assert!(is_about_it, "{steps:?}: {finding:?}");
        }
    }

    pub(crate) fn count(&self, tally: &mut Tally) {
        tally.acknowledged += self.acknowledged.len() as u64;
        tally.refused += self.tally.refused;
        tally.repaired += self.tally.repaired;
        tally.hurt += self.tally.hurt;
        tally.unconfirmed += self.tally.unconfirmed;
    }

    fn text(&self) -> String {
        format!("step {}", self.taken)
    }

    async fn save(&mut self, store: &Store) {
        match store.save(save("a", &self.text(), Expect::Any)).await {
            Ok(_) => self.acknowledge().await,
            Err(error) => self.refuse(error.kind()),
        }
    }

    fn refuse(&mut self, kind: ErrorKind) {
        self.tally.refused += 1;
        self.refusal = Some(kind);
    }

    /// The head's version was acknowledged just now.
    async fn acknowledge(&mut self) {
        let head = self.get(HEAD).await.unwrap();
        let key = raw::current_key(&head);
        let version = self.get(&key).await.unwrap();
        self.acknowledged.insert(key, version);
        self.backups.push((head, self.get(COPY).await));
    }

    /// A writer that dies before it puts `key`. What it had committed by then counts as acknowledged only if
    /// its head is in place: others have seen it.
    async fn crash(&mut self, store: &Store, key: &'static str) {
        if self.place == Place::Disk {
            return;
        }
        let before = self.get(HEAD).await;
        let dead = self.mortal.dies_before(key);
        let text = self.text();
        let saving = store.save(save("a", &text, Expect::Any));
        futures::pin_mut!(saving);
        match futures::future::select(saving, dead).await {
            futures::future::Either::Left((Err(error), _)) => self.refuse(error.kind()),
            futures::future::Either::Left((Ok(_), _)) => panic!("it lives"),
            futures::future::Either::Right(_) => {}
        }
        self.mortal.lives();
        let after = self.get(HEAD).await;
        if key == COPY && after != before && self.refusal.is_none() {
            self.acknowledge().await;
        }
    }

    /// A writer expects the current version, and another writer is faster.
    async fn lose_race(&mut self, store: &Store) {
        let generation = match self.get(HEAD).await.map(|head| raw::generation(&head)) {
            Some(generation) if generation > 0 => Expect::Generation(generation),
            _ => Expect::Absent,
        };
        let (other, text) = (self.stores[(self.taken + 1) % 2].clone(), self.text());
        let won = Arc::new(std::sync::Mutex::new(None));
        let (told, faster) = (won.clone(), format!("{text}, faster"));
        self.mortal.runs_before(HEAD, async move {
            let saved = other.save(save("a", &faster, Expect::Any)).await;
            *told.lock().unwrap() = Some(saved.map(drop).map_err(|error| error.kind()));
        });
        let lost = store.save(save("a", &text, generation)).await;
        self.mortal.lives();
        let won = won.lock().unwrap().take();
        match (won, lost) {
            (Some(Ok(())), Err(lost)) if lost.kind() == ErrorKind::Conflict => self.acknowledge().await,
            (_, Err(refused)) => self.refuse(refused.kind()),
            (won, Ok(saved)) => panic!("both won: {won:?} {saved:?}"),
        }
    }

    async fn save_all(&mut self, store: &Store, ids: &[&str]) {
        let text = self.text();
        let wanted: Vec<_> = ids.iter().map(|id| save(id, &text, Expect::Any)).collect();
        for (id, saved) in store.save_all(wanted).collect::<Vec<_>>().await {
            match saved {
                Ok(_) if id.as_str() == "a" => self.acknowledge().await,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(id.as_str(), "a", "{error}");
                    self.refuse(error.kind());
                }
            }
        }
    }

    /// Does what a pull will do: the versions of another branch arrive, and then a version with both branches
    /// as parents is committed.
    async fn merge(&mut self) {
        let Some(head) = self.get(HEAD).await.filter(|head| raw::generation(head) > 0) else { return };
        if self.is_behind().await {
            // Nothing is committed over a hurt head.
            return;
        }
        let branch = raw::version(&head, "branch", self.taken, &[], (1, 0));
        self.put(&branch.key, branch.bytes.clone()).await;
        let end = raw::version(&head, "branch, its end", self.taken, &[branch.reference], (2, 0));
        self.put(&end.key, end.bytes.clone()).await;
        let parents = [raw::current(&head), end.reference];
        let place = (raw::depth(&head) + 1, raw::merges(&head) + 1);
        let merge = raw::version(&head, &self.text(), self.taken, &parents, place);
        let next = raw::head_with(&head, &merge);
        self.put(&merge.key, merge.bytes.clone()).await;
        self.put(&merge.pending, Bytes::new()).await;
        self.put(HEAD, next).await;
        self.put(COPY, Bytes::from(plan(&self.text()))).await;
        self.acknowledge().await;
    }

    /// Versions arrive and the head is not moved: the next one of this head on a bucket, and two of a branch
    /// that left the chain before it.
    async fn push(&mut self) {
        let Some(head) = self.get(HEAD).await.filter(|head| raw::generation(head) > 0) else { return };
        if self.place == Place::Bucket {
            let place = (raw::depth(&head) + 1, raw::merges(&head));
            let next = raw::version(&head, "pushed", self.taken, &[raw::current(&head)], place);
            self.put(&next.key, next.bytes).await;
            self.put(&next.pending, Bytes::new()).await;
        }
        if let Some(parent) = raw::parent(&head) {
            let (depth, merges) = (raw::depth(&head), raw::merges_below(&head));
            let first = raw::version(&head, "pushed, a branch", self.taken, &[parent], (depth, merges));
            let second = raw::version(
                &head,
                "pushed, its end",
                self.taken,
                std::slice::from_ref(&first.reference),
                (depth + 1, merges),
            );
            self.put(&first.key, first.bytes).await;
            self.put(&second.key, second.bytes).await;
        }
    }

    async fn delete_head(&mut self) {
        if let Some(head) = self.get(HEAD).await {
            self.is_tampered |= raw::generation(&head) > 0;
            self.commit(Operation::delete(Key::parse(HEAD).unwrap())).await;
        }
    }

    async fn put_head_back(&mut self, with_copy: bool) {
        let is_gone = self.get(HEAD).await.is_none();
        let back = if is_gone { self.backups.len() } else { self.backups.len().saturating_sub(1) };
        let Some((head, copy)) = back.checked_sub(1).and_then(|at| self.backups.get(at)).cloned() else {
            return;
        };
        self.put(HEAD, head).await;
        if with_copy {
            match copy {
                Some(copy) => self.put(COPY, copy).await,
                None => self.commit(Operation::delete(Key::parse(COPY).unwrap())).await,
            }
        }
        // What was acknowledged last is current again, or not.
        let newest = self.backups.last().map(|(head, _)| raw::current_key(head));
        self.is_tampered =
            !is_gone || newest != Some(raw::current_key(&self.get(HEAD).await.unwrap())) || self.is_forked();
    }

    /// Whether some acknowledged version was saved over once and is outside of the newest chain.
    fn is_forked(&self) -> bool {
        let mut generations: Vec<u64> = self.acknowledged.keys().map(|key| raw::generation_of(key)).collect();
        generations.sort_unstable();
        let count = generations.len();
        generations.dedup();
        generations.len() < count
    }

    /// Whether an acknowledged version descends from the head's and is not reached.
    async fn is_behind(&self) -> bool {
        let head = self.get(HEAD).await.filter(|head| raw::generation(head) > 0);
        let current = head.as_ref().map(raw::current_key);
        self.acknowledged.iter().any(|(key, bytes)| match &current {
            None => true,
            Some(current) => key != current && self.descends(bytes, current),
        })
    }

    fn descends(&self, version: &Bytes, from: &str) -> bool {
        raw::parent_keys(version).iter().any(|parent| {
            parent == from || self.acknowledged.get(parent).is_some_and(|bytes| self.descends(bytes, from))
        })
    }

    async fn repair(&mut self, store: &Store) {
        let mut plan = store.plan_repair(&[]).await.unwrap();
        if let Some(choice) = plan.undecided.first() {
            plan = store.plan_repair(&[choice.tips[0].version_id]).await.unwrap();
        }
        let highest = self.get(HEAD).await.and_then(|head| raw::fence(&head)).unwrap_or_default();
        let report = store.repair(plan).await.unwrap();
        assert!(report.changed.is_empty());
        if let Some(moved) = report.moved.first() {
            self.tally.repaired += 1;
            assert!(moved.missing.is_empty(), "{:?}", moved.missing);
            let head = self.get(HEAD).await.unwrap();
            assert!(raw::fence(&head).unwrap() >= highest + 1_000_000);
            // Whatever it was moved to is current now, and stays.
            self.acknowledge().await;
            self.is_tampered =
                self.is_behind().await || self.is_forked() || self.acknowledged_outside().await;
        }
    }

    /// Whether an acknowledged version is neither the head's nor an ancestor of it.
    async fn acknowledged_outside(&self) -> bool {
        let current = raw::current_key(&self.get(HEAD).await.unwrap());
        let bytes = self.acknowledged[&current].clone();
        self.acknowledged.keys().any(|key| *key != current && !self.descends(&bytes, key))
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let all = self.raw.list(&Prefix::root(), None).map_ok(|listed| listed.key.to_string());
        let all: Vec<String> = all.try_collect().await.unwrap();
        all.into_iter().filter(|key| key.starts_with(prefix)).collect()
    }

    async fn get(&self, key: &str) -> Option<Bytes> {
        self.raw.get(&Key::parse(key).unwrap()).await.unwrap().map(|object| object.bytes)
    }

    async fn put(&self, key: &str, bytes: Bytes) {
        self.commit(Operation::put(Key::parse(key).unwrap(), bytes)).await;
    }

    async fn commit(&self, operation: Operation) {
        let commit = self.raw.commit(Batch::new().stage([operation])).await.unwrap();
        assert!(matches!(commit, Commit::Committed(_)));
    }
}
