//! A loop that only follows the advice of errors makes its change or stops. It never spins.

use std::time::Duration;

use pflow_store::{Advice, Error, Expect, LeaseRequest, Store, Workflow};
use pflow_testkit::{Fault, Left, Site, every_backend, id, plan, save};

every_backend!(
    loop_reloads_after_another_version,
    loop_repeats_while_a_lock_is_held,
    loop_repeats_after_a_fault_that_passes,
    loop_reads_after_a_lost_reply,
    loop_stops_at_what_a_load_meets_again,
    loop_stops_where_the_call_is_wrong,
);

const MINUTE: Duration = Duration::from_secs(60);

/// The advice that the loop received, and the error that ended it.
#[derive(Debug, Default)]
struct Way {
    advice: Vec<Advice>,
    error: Option<Error>,
}

/// Loads a version, lets something happen, and saves on top of it, until it succeeds or is told to stop.
async fn follow(workflow: Workflow, text: &str, mut meanwhile: impl AsyncFnMut(usize)) -> Way {
    let mut way = Way::default();
    loop {
        let done = async {
            let expect = match workflow.load().await {
                Err(Error::WorkflowMissing { deleted: false, .. }) => Expect::Absent,
                loaded => loaded?.expect(),
            };
            meanwhile(way.advice.len()).await;
            workflow.save(plan(text), expect).await
        };
        let Err(error) = done.await else { return way };
        way.advice.push(error.advice());
        assert!(way.advice.len() < 5, "it spins: {:?}, {error}", way.advice);
        if error.advice() == Advice::Stop {
            way.error = Some(error);
            return way;
        }
    }
}

async fn content(store: &Store) -> String {
    String::from_utf8(store.load(&id("a")).await.unwrap().content.to_vec()).unwrap()
}

async fn loop_reloads_after_another_version(site: Site) {
    let (store, theirs) = (site.store().await, site.other_store(2).await);
    let way = follow(store.workflow(&id("a")), "ours", async |told| match told {
        0 => drop(theirs.save(save("a", "1", Expect::Absent)).await.unwrap()),
        1 => drop(theirs.save(save("a", "2", Expect::Any)).await.unwrap()),
        _ => {}
    });
    assert_eq!(way.await.advice, [Advice::Reload, Advice::Reload]);
    assert_eq!(content(&store).await, plan("ours"));
}

async fn loop_repeats_while_a_lock_is_held(site: Site) {
    let (store, theirs) = (site.store().await, site.other_store(2).await);
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = theirs.acquire(&id("a"), LeaseRequest::new("edit", MINUTE)).await.unwrap();
    let way = follow(store.workflow(&id("a")), "ours", async |told| {
        if told == 2 {
            theirs.release(&id("a"), held.lease.id.clone()).await.unwrap();
        }
    });
    assert_eq!(way.await.advice, [Advice::Repeat, Advice::Repeat]);
    assert_eq!(content(&store).await, plan("ours"));
}

async fn loop_repeats_after_a_fault_that_passes(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    site.probe.fail(Fault::refuse(usize::MAX));
    let probe = site.probe.clone();
    let way = follow(store.workflow(&id("a")), "ours", async |told| {
        if told == 1 {
            assert!(probe.heal() > 0);
        }
    });
    assert_eq!(way.await.advice, [Advice::Repeat]);
    assert_eq!(content(&store).await, plan("ours"));
}

async fn loop_reads_after_a_lost_reply(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    // The save can settle its own lost reply, but not if every later one is lost too.
    site.probe.fail(Fault { times: 100, ..Fault::unknown(Left::Stages(0)) });
    let error = store.workflow(&id("a")).save(plan("ours"), Expect::Any).await.unwrap_err();
    assert_eq!(error.advice(), Advice::Read, "{error}");
    assert!(site.probe.heal() > 0);
    assert_eq!(content(&store).await, plan("1"));
}

async fn loop_stops_at_what_a_load_meets_again(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    if site.raw.capabilities().plain_files {
        site.put_raw("workflows/a/workflow.json", plan("a person's")).await;
        let way = follow(store.workflow(&id("a")), "ours", async |_| {}).await;
        assert_eq!(way.advice, [Advice::Stop], "{:?}", way.error);
        site.put_raw("workflows/a/workflow.json", plan("1")).await;
    }
    site.put_raw("workflows/a/metadata.json", "damaged").await;
    let other = site.other_store(2).await;
    let way = follow(other.workflow(&id("a")), "ours", async |_| {}).await;
    assert_eq!(way.advice, [Advice::Stop], "{:?}", way.error);
}

async fn loop_stops_where_the_call_is_wrong(site: Site) {
    let store = site.store().await;
    let workflow = store.workflow(&id("a"));
    assert_eq!(workflow.load().await.unwrap_err().advice(), Advice::Stop);
    assert_eq!(workflow.save("no document", Expect::Any).await.unwrap_err().advice(), Advice::Stop);
    workflow.save(plan("1"), Expect::Absent).await.unwrap();
    let guard = workflow.lock(LeaseRequest::new("edit", MINUTE)).await.unwrap();
    let lost = workflow.under(guard.lease_id().unwrap());
    guard.release().await.unwrap();
    let error = lost.save(plan("2"), Expect::Any).await.unwrap_err();
    assert_eq!(error.advice(), Advice::Stop, "{error}");
    store.shutdown().await.unwrap();
    assert_eq!(workflow.save(plan("2"), Expect::Any).await.unwrap_err().advice(), Advice::Stop);
}
