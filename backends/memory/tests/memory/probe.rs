//! The probe finds the faults that would lose data and names the broken promise. It finds nothing in a
//! storage without faults.
//!
//! On one thread racing tasks take turns in the same order in every run, so a fault is found always or never.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::broken::{Broken, Fault};
use futures::TryStreamExt;
use pflow_backend::{
    Batch, BoxStream, Capabilities, Commit, Error, ErrorKind, Key, Listed, ManualEnvironment, Object,
    Operation, Prefix, Result, StorageBackend, async_trait,
    conformance::{Harness, LosingReplies},
    probe::{self, Check, Depth, Report, Verdict},
};
use pflow_backend_memory::MemoryBackend;

/// Each fault, and the message of the check that finds it.
const FOUND: &[(Fault, &str)] = &[
    (Fault::DropsTheLastByte, "It gave back bytes that were never written (read-after-write)"),
    (Fault::VersionIsConstant, "It gave the same version to different bytes (versions)"),
    (Fault::VersionIsTheLength, "It gave the same version to different bytes (versions)"),
    (Fault::IgnoresAbsent, "It created a key that exists already (create-twice)"),
    (Fault::IgnoresIs, "It accepted an update of a version that was replaced (stale-update)"),
    (Fault::RefusesEveryIs, "It refused an update of the version that it gave itself (stale-update)"),
    (Fault::ChecksThenActs, "It told 3 of 3 racers that they created one and the same key (racing-creates)"),
    (
        Fault::SwapsThroughAGap,
        "It told 3 of 3 racers that they created one and the same key (racing-creates)",
    ),
    (Fault::DeletesNothing, "It gave back an object that was deleted (deletes)"),
    (Fault::FlattensNames, "It left 13 of 13 objects that are there out of a listing (list-after-write)"),
    (Fault::AfterIsInclusive, "It did not go on with a listing where it was told to (list-after-write)"),
    (Fault::PrefixIsAString, "It listed 1 objects that are not below the prefix (list-after-write)"),
    (Fault::ListsNoSizes, "It listed objects without their size (list-after-write)"),
];

/// Returns the objects that are left. The tests put no other objects.
async fn left(backend: &dyn StorageBackend) -> Vec<Listed> {
    backend.list(&Prefix::root(), None).try_collect().await.unwrap()
}

fn memory() -> MemoryBackend {
    MemoryBackend::new(Arc::new(ManualEnvironment::new(3)))
}

async fn probed(backend: &dyn StorageBackend) -> Result<Report> {
    let ground = Prefix::parse("ops/probe/1").unwrap();
    probe::run(backend, &ManualEnvironment::new(3), &ground, &Depth::default()).await
}

/// A storage in memory that replies like a server across a network.
#[derive(Debug)]
struct Remote {
    objects: MemoryBackend,
    /// Every refusal may be a conflict with the writer's own earlier attempt.
    is_vague: bool,
    fails_once: AtomicBool,
    is_denied: bool,
}

impl Remote {
    fn new() -> Self {
        Self { objects: memory(), is_vague: false, fails_once: AtomicBool::new(false), is_denied: false }
    }
}

#[async_trait]
impl StorageBackend for Remote {
    fn inner(&self) -> Option<&dyn StorageBackend> {
        Some(&self.objects)
    }

    fn capabilities(&self) -> Capabilities {
        self.objects.capabilities().exact_conflicts(!self.is_vague).conditional_delete(false)
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.objects.get(key).await
    }

    fn list(&self, prefix: &Prefix, after: Option<&Key>) -> BoxStream<'static, Result<Listed>> {
        self.objects.list(prefix, after)
    }

    async fn commit(&self, batch: Batch) -> Result<Commit> {
        if self.is_denied {
            return Err(Error::not_applied(ErrorKind::Denied, "The bucket is for reading"));
        }
        if self.fails_once.swap(false, Ordering::SeqCst) {
            return Err(Error::not_applied(ErrorKind::Unavailable, "The server is busy"));
        }
        match self.objects.commit(batch).await? {
            Commit::Conflict(conflict) if self.is_vague => Ok(Commit::Overtaken(conflict)),
            answer => Ok(answer),
        }
    }

    async fn attempt(&self, put: Operation) -> Result<Commit> {
        self.commit(Batch::new().stage([put])).await
    }

    async fn examine(&self, ground: &Prefix) -> Result<Vec<Check>> {
        let verdict = Verdict::Kept(format!("{} is empty", ground.key().unwrap()));
        assert!(self.objects.list(ground, None).try_collect::<Vec<_>>().await.unwrap().is_empty());
        Ok(vec![Check::new("own", "It looks below", true, verdict)])
    }
}

#[tokio::test]
async fn each_fault_breaks_the_promise_that_it_breaks() {
    let mut found = Vec::new();
    for (fault, _) in FOUND {
        let backend = Broken::by(*fault).fresh().await.unwrap().open().await.unwrap();
        let report = probed(&*backend).await.unwrap();
        assert!(!report.is_safe(), "{fault:?}");
        found.push((*fault, report.broken().join("; ")));
        let last = report.checks.last().unwrap();
        assert!(matches!(last.verdict, Verdict::Broken(_)), "{fault:?}: the probe ends there");
    }
    let expected: Vec<_> = FOUND.iter().map(|(fault, sentence)| (*fault, (*sentence).to_owned())).collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_the_promises_is_safe_and_nothing_stays_behind() {
    let sound = Broken::by(Fault::None).fresh().await.unwrap().open().await.unwrap();
    let vague = Arc::new(Remote { is_vague: true, ..Remote::new() });
    let busy = Arc::new(Remote { fails_once: AtomicBool::new(true), ..Remote::new() });
    let backends: [(&str, Arc<dyn StorageBackend>); 4] =
        [("memory", Arc::new(memory())), ("wrapped", sound), ("vague", vague), ("busy", busy)];
    for (name, backend) in backends {
        let report = probed(&*backend).await.unwrap();
        assert!(report.is_safe() && report.left_behind.is_none(), "{name}: {report:#?}");
        assert!(report.checks.iter().all(|it| matches!(it.verdict, Verdict::Kept(_))), "{name}: {report:#?}");
        assert!(left(&*backend).await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_the_backend_finds_below_comes_last() {
    let report = probed(&Remote::new()).await.unwrap();
    let last = report.checks.last().unwrap();
    assert_eq!((last.name, &last.verdict), ("own", &Verdict::Kept("ops/probe/1 is empty".to_owned())));
}

#[tokio::test]
async fn lost_replies_are_no_verdict_either_way() {
    let objects = memory();
    let report = probed(&LosingReplies::new(Arc::new(objects.clone()))).await.unwrap();
    assert!(!report.is_safe() && report.broken().is_empty(), "{report:#?}");
    let unclear = report.unclear();
    assert_eq!(unclear[0], "A reply was lost: The reply was lost (create-twice)");
    assert_eq!(
        report.left_behind.as_deref(),
        Some("The reply was lost"),
        "whether it was cleared is not known"
    );
    assert!(left(&objects).await.is_empty(), "and it was");
}

#[tokio::test]
async fn a_place_that_fails_is_no_place_that_lies() {
    let error = probed(&Remote { is_denied: true, ..Remote::new() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.to_string(), "Failed to probe the storage (create-twice)");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "The bucket is for reading");
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_told_and_endangers_nothing() {
    let ours = ManualEnvironment::new(3);
    ours.advance(std::time::Duration::from_secs(90));
    let ground = Prefix::parse("ops/probe/1").unwrap();
    let depth = Depth::new().keys(1).racers(2);
    let report = probe::run(&memory(), &ours, &ground, &depth).await.unwrap();
    let clock = report.checks.iter().find(|check| check.name == "clock").unwrap();
    let Verdict::Broken(sentence) = &clock.verdict else { panic!("{clock:?}") };
    assert!(sentence.contains(" s behind of ours"), "{sentence}");
    assert!(report.is_safe() && !clock.required);
}
