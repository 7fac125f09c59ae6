//! A request to a bucket whose reply was lost may land a second time, seconds later: at any point of the
//! following operations, and of the repair.

use std::time::Duration;

use bytes::Bytes;
use pflow_store::{
    ChangeRequest, Error, Expect, LeaseRequest, Store,
    backend::{Batch, Commit, Key, Operation},
    format::Lockfile,
};
use pflow_testkit::{Site, every_backend, id, notices, save};

every_backend!(repair_writes_missing_copy_and_mirror);

const MIRROR: &str = "workflows/a/workflow.lock";
const COPY: &str = "workflows/a/workflow.json";

#[derive(Debug, Clone, Copy)]
enum Step {
    Save(&'static str),
    Delete,
    Undelete,
    Acquire,
    Renew,
    Release,
    Break,
}

/// The operation that repairs the files.
#[derive(Debug, Clone, Copy)]
enum Mending {
    /// `load` and `lock show`.
    Looks,
    /// `verify --repair`.
    Repair,
}

#[derive(Debug, Clone)]
enum Late {
    Delete(&'static str),
    Put(&'static str, Bytes),
}

use Step::{Acquire, Break, Delete, Release, Renew, Save, Undelete};

/// The first steps, the key whose last request in them lands again, and the steps that follow.
const SCENES: [(&[Step], &str, &[Step]); 8] = [
    // The deletion of a mirror.
    (&[Save("1"), Acquire, Release], MIRROR, &[Acquire, Save("2"), Renew, Release, Acquire]),
    (&[Save("1"), Acquire, Break], MIRROR, &[Acquire, Break]),
    // A mirror.
    (&[Save("1"), Acquire], MIRROR, &[Release, Acquire, Renew, Break]),
    (&[Acquire, Renew], MIRROR, &[Renew, Break, Acquire]),
    // A copy.
    (&[Save("1")], COPY, &[Save("2"), Delete, Undelete, Save("3"), Delete]),
    (&[Save("1"), Save("2")], COPY, &[Delete, Undelete]),
    // The deletion of a copy.
    (&[Save("1"), Delete], COPY, &[Undelete, Save("2"), Delete]),
    (&[Save("1"), Delete], COPY, &[Save("2"), Acquire]),
];

impl Step {
    async fn run(self, store: &Store) {
        let a = id("a");
        let held = store.lock_state(&a).await.unwrap().lease.map(|lease| lease.id);
        match self {
            Save(text) => {
                let request = save("a", text, Expect::Any);
                let request = if let Some(held) = held { request.lease(held) } else { request };
                drop(store.save(request).await.unwrap());
            }
            Delete => drop(store.delete(ChangeRequest::new(a, Expect::Any)).await.unwrap()),
            Undelete => drop(store.undelete(ChangeRequest::new(a, Expect::Any)).await.unwrap()),
            Acquire => {
                let lease = LeaseRequest::new("t", Duration::from_secs(60));
                drop(store.acquire(&a, lease).await.unwrap());
            }
            Renew => drop(store.renew(&a, held.unwrap(), None).await.unwrap()),
            Release => drop(store.release(&a, held.unwrap()).await.unwrap()),
            Break => drop(store.break_lock(&a, held.unwrap()).await.unwrap()),
        }
    }
}

impl Mending {
    async fn run(self, store: &Store) {
        match self {
            Self::Looks => {
                match store.load(&id("a")).await {
                    Ok(_) | Err(Error::WorkflowMissing { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                store.inspect_lock(&id("a")).await.unwrap();
            }
            Self::Repair => {
                let plan = store.plan_repair(&[]).await.unwrap();
                assert!(plan.moves.is_empty() && plan.undecided.is_empty(), "{plan:?}");
                let report = store.repair(plan).await.unwrap();
                assert!(report.failed.is_none(), "{report:?}");
            }
        }
    }
}

impl Late {
    async fn land(self, store: &dyn pflow_store::backend::StorageBackend) {
        let operation = match self {
            Self::Delete(key) => Operation::delete(Key::parse(key).unwrap()),
            Self::Put(key, bytes) => Operation::put(Key::parse(key).unwrap(), bytes).copy(),
        };
        let landed = store.commit(Batch::new().stage([operation])).await.unwrap();
        assert!(matches!(landed, Commit::Committed(_)));
    }
}

/// Whether both files match the head.
async fn are_in_line(site: &Site, store: &Store) -> bool {
    let head = store.show(&id("a")).await.ok();
    let lease = store.lock_state(&id("a")).await.unwrap().lease;
    let mirror = site.get(MIRROR).await.map(|bytes| serde_json::from_slice::<Lockfile>(&bytes).unwrap());
    let content = match head.as_ref().and_then(|head| head.live()) {
        Some(current) => {
            let generation = current.record.generation;
            Some(store.load_generation(&id("a"), generation).await.unwrap().content)
        }
        None => None,
    };
    mirror == lease.as_ref().map(Lockfile::from) && site.get(COPY).await == content
}

/// One run, in which the request lands before the given call to the storage. Returns false if there are fewer
/// calls and the request landed after them.
async fn lands_at(call: usize, scene: (&[Step], &'static str, &[Step]), mending: Mending) -> bool {
    let (before, key, next) = scene;
    let (site, staged) = Site::below_stages();
    let store = site.on(staged).init().await.unwrap();
    let mut late = Late::Delete(key);
    for step in before {
        step.run(&store).await;
        late = site.get(key).await.map_or(Late::Delete(key), |bytes| Late::Put(key, bytes));
    }
    let (raw, sent) = (site.raw.clone(), late.clone());
    site.probe.at_call(call, move || async move { sent.land(raw.as_ref()).await });
    for step in next {
        step.run(&store).await;
    }
    mending.run(&store).await;
    let has_landed = site.probe.hook_has_run();
    if !has_landed {
        late.land(site.raw.as_ref()).await;
    }
    let verified = store.verify().await.unwrap();
    let what = || format!("{scene:?}, {mending:?}, before call {call}: {:#?}", verified.findings);
    assert_eq!(verified.findings.is_empty(), are_in_line(&site, &store).await, "unnoticed: {}", what());
    mending.run(&store).await;
    assert!(are_in_line(&site, &store).await, "not mended: {}", what());
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    has_landed
}

#[tokio::test]
async fn late_requests_are_repaired_by_the_next_read() {
    for (before, key, next) in SCENES {
        // After each step. The shorter runs, and the test of the repair, cover earlier landings.
        let mut call: usize = 0;
        for steps in 1..=next.len() {
            call = call.saturating_sub(20);
            while lands_at(call, (before, key, &next[..steps]), Mending::Looks).await {
                call += 1;
            }
            assert!(call > 4, "{call} calls");
        }
    }
}

#[tokio::test]
async fn late_requests_are_repaired_by_verify() {
    for scene in SCENES {
        let mut call = 0;
        while lands_at(call, scene, Mending::Repair).await {
            call += 1;
        }
        assert!(call > 20, "{call} calls");
    }
}

/// A leftover mirror or copy is deleted unconditionally, while another client locks or restores the workflow.
#[tokio::test]
async fn repair_beside_a_writer_removes_nothing() {
    let cases = [(Acquire, MIRROR), (Undelete, COPY)];
    for ((step, left_over), mending) in
        cases.into_iter().flat_map(|case| [(case, Mending::Looks), (case, Mending::Repair)])
    {
        for call in 0.. {
            let (site, staged) = Site::below_stages();
            let store = site.on(staged).init().await.unwrap();
            let mut late = None;
            for step in [Save("1"), Acquire, Release, Delete] {
                step.run(&store).await;
                late = late.or(site.get(left_over).await);
            }
            Late::Put(left_over, late.unwrap()).land(site.raw.as_ref()).await;
            let other = site.other_store(2).await;
            let writing = other.clone();
            site.probe.at_call(call, move || async move { step.run(&writing).await });
            mending.run(&store).await;
            if !site.probe.hook_has_run() {
                assert!(call > 4, "{step:?} has {call} calls");
                break;
            }
            assert!(are_in_line(&site, &other).await, "{step:?} before call {call} of {mending:?}");
        }
    }
}

#[tokio::test]
async fn content_written_by_a_person_is_kept() {
    for mending in [Mending::Looks, Mending::Repair] {
        let (site, staged) = Site::below_stages();
        let store = site.on(staged).init().await.unwrap();
        Save("1").run(&store).await;
        Delete.run(&store).await;
        site.put(COPY, "mine").await;
        site.put(MIRROR, "also mine").await;
        mending.run(&store).await;
        assert_eq!(site.get(COPY).await.unwrap(), "mine");
        assert_eq!(site.get(MIRROR).await, None);
        let kept = site.keys("workflows/a/workflow.lock.").await;
        assert_eq!(site.get(&kept[0]).await.unwrap(), "also mine", "{kept:?}");
        let found = notices(&store.verify().await.unwrap());
        assert!(found[0].contains("the edit is not saved"), "{found:?}");
    }
}

/// The head alone tells whether the copy is one of the store's. Everything else is for `verify --repair`.
#[tokio::test]
async fn foreign_copy_of_a_deleted_workflow_costs_no_reads() {
    let (site, staged) = Site::below_stages();
    let store = site.on(staged).init().await.unwrap();
    Save("1").run(&store).await;
    Delete.run(&store).await;
    let mut costs = Vec::new();
    for foreign in [None, Some("mine")] {
        if let Some(text) = foreign {
            site.put(COPY, text).await;
        }
        site.probe.take();
        let missing = store.load(&id("a")).await.unwrap_err();
        assert!(matches!(missing, Error::WorkflowMissing { .. }), "{missing}");
        costs.push(site.probe.take().calls());
    }
    assert_eq!(costs[0], costs[1]);
}

async fn repair_writes_missing_copy_and_mirror(site: Site) {
    let store = site.store().await;
    Save("1").run(&store).await;
    Acquire.run(&store).await;
    // In a bucket both are written after the replies of this handle, so make sure that they are in place
    // before they are removed.
    assert!(site.get(COPY).await.is_some() && site.get(MIRROR).await.is_some());
    site.remove(COPY).await;
    site.remove(MIRROR).await;
    let plan = store.plan_repair(&[]).await.unwrap();
    assert_eq!(plan.out_of_line.iter().collect::<Vec<_>>(), [&id("a")]);
    assert_eq!(store.repair(plan).await.unwrap().in_line, [MIRROR, COPY]);
    assert!(are_in_line(&site, &store).await);
    assert!(store.plan_repair(&[]).await.unwrap().out_of_line.is_empty());
}
