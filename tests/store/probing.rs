//! A server is probed before the first write, once per place, and no store is kept on one that breaks a
//! guarantee.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all};
use pflow_backend_memory::MemoryBackend;
use pflow_store::{
    Error, ErrorKind, Expect, LeaseRequest, Result, Store, StoreBuilder,
    backend::{
        Batch, Commit, Key, ManualEnvironment, Operation, Prefix, StorageBackend,
        probe::{Depth, VERSION, Verdict},
    },
};
use pflow_testkit::{Fault, Left, Probe, Server, everything, id, save};
use serde_json::{Value, json};

const HERE: &str = "s3://plans at https://storage.example";
const THERE: &str = "s3://plans at https://other.example";

fn on(backend: Arc<dyn StorageBackend>) -> StoreBuilder {
    Store::on(backend).environment(Arc::new(ManualEnvironment::new(1)))
}

fn server() -> Server {
    Server::new(Arc::new(MemoryBackend::new(Arc::new(ManualEnvironment::new(1)))), HERE)
}

/// A server with a store that has one workflow.
async fn server_with_store() -> Server {
    let server = server();
    let store = on(Arc::new(server.clone())).init().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    server
}

async fn open(backend: impl StorageBackend) -> Result<Store> {
    on(Arc::new(backend)).open().await
}

async fn dump(server: &Server) -> BTreeMap<String, Bytes> {
    let listed: Vec<_> = server.list(&Prefix::root(), None).try_collect().await.unwrap();
    let objects = listed.into_iter().map(|listed| async move {
        let object = server.get(&listed.key).await.unwrap().unwrap();
        (listed.key.to_string(), object.bytes)
    });
    join_all(objects).await.into_iter().collect()
}

async fn config(server: &Server) -> Value {
    serde_json::from_slice(&dump(server).await["config.json"]).unwrap()
}

/// Returns the places that the store remembers.
async fn places(server: &Server) -> Vec<String> {
    let config = config(server).await;
    let probed = config["probed"].as_array().cloned().unwrap_or_default();
    probed.iter().map(|probed| probed["place"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn unsafe_storage<T: std::fmt::Debug>(result: Result<T>) -> Vec<String> {
    match result {
        Err(Error::UnsafeStorage { place, broken }) => {
            assert!(place == HERE || place == THERE, "{place}");
            broken
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn unsafe_server_gets_no_store() {
    let server = server();
    server.mood.lies.store(true, Ordering::SeqCst);
    let refused = on(Arc::new(server.clone())).init().await;
    assert_eq!(refused.as_ref().unwrap_err().kind(), ErrorKind::Unsafe);
    let message = refused.as_ref().unwrap_err().to_string();
    let sentence = "does not keep what a store needs: It accepted an update of a version that was replaced";
    assert!(message.starts_with(&format!("{HERE} {sentence} (stale-update)")), "{message}");
    assert_eq!(unsafe_storage(refused).len(), 1, "the probe ends there");
    assert!(dump(&server).await.is_empty());
}

#[tokio::test]
async fn server_that_loses_replies_gets_no_store() {
    let server = server();
    server.mood.is_silent.store(true, Ordering::SeqCst);
    let refused = on(Arc::new(server.clone())).init().await.unwrap_err();
    assert!(matches!(&refused, Error::Unproven { unclear, .. } if !unclear.is_empty()), "{refused:?}");
    assert_eq!(refused.kind(), ErrorKind::Failed);
    assert!(dump(&server).await.is_empty());
}

#[tokio::test]
async fn server_that_cannot_be_probed_gets_no_store() {
    let server = server();
    server.mood.denies.store(true, Ordering::SeqCst);
    let refused = on(Arc::new(server.clone())).init().await.unwrap_err();
    let Error::Storage(source) = &refused else { panic!("{refused:?}") };
    assert_eq!(source.kind(), pflow_backend::ErrorKind::Denied);
    assert!(dump(&server).await.is_empty());
}

#[tokio::test]
async fn place_is_probed_once() {
    let server = server();
    let probe = Probe::new(Arc::new(server.clone()));
    let first = on(Arc::new(probe.clone())).init().await.unwrap();
    assert!(probe.take().puts("ops/probe/") > 50);
    let keys: Vec<String> = dump(&server).await.into_keys().collect();
    let [config_key, root, instance] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!([config_key, root], ["config.json", "ops/checkpoint"], "nothing of the probe is left");
    assert!(instance.starts_with("ops/instances/"), "{instance}");
    let remembered = &config(&server).await["probed"][0];
    assert_eq!((&remembered["place"], &remembered["probe"]), (&json!(HERE), &json!(VERSION)));
    assert_eq!(first.config().probed[0].place, HERE);

    first.save(save("a", "1", Expect::Absent)).await.unwrap();
    let log = probe.take();
    assert_eq!((log.puts("ops/probe/"), log.puts("config.json")), (0, 0));
    let second = open(probe.clone()).await.unwrap();
    assert_eq!(probe.take().calls(), (1, 0, 0), "config.json alone");
    second.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    second.acquire(&id("a"), LeaseRequest::new("t", std::time::Duration::from_secs(60))).await.unwrap();
    let log = probe.take();
    assert_eq!((log.puts("ops/probe/"), log.puts("config.json")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_place_is_probed_by_its_first_writer_only() {
    let server = server_with_store().await;
    let probe = Probe::new(Arc::new(server.at(THERE)));
    let store = open(probe.clone()).await.unwrap();
    assert_eq!(store.load(&id("a")).await.unwrap().record.generation, 1);
    assert_eq!(everything(&store).await.len(), 1);
    assert!(probe.take().commits.is_empty(), "readers do not ask");

    let saves = (0..8).map(|n| save(&format!("b{n}"), "1", Expect::Absent));
    let saved: Vec<_> = store.save_all(saves).collect().await;
    assert!(saved.iter().all(|(_, saved)| saved.is_ok()), "{saved:?}");
    let log = probe.take();
    let races: std::collections::BTreeSet<&str> =
        log.writes().filter_map(|write| write.key.strip_prefix("ops/probe/")?.split('/').next()).collect();
    assert_eq!((races.len(), log.puts("config.json")), (1, 1), "eight writers, one probe");
    assert_eq!(places(&server).await, [HERE, THERE]);
    let again = Probe::new(Arc::new(server.at(THERE)));
    open(again.clone()).await.unwrap().save(save("a", "2", Expect::Any)).await.unwrap();
    assert_eq!(again.take().puts("ops/probe/"), 0);
}

#[tokio::test]
async fn store_moved_to_an_unsafe_server_is_read_only() {
    let server = server_with_store().await;
    let before = dump(&server).await;
    let there = server.at(THERE);
    there.mood.lies.store(true, Ordering::SeqCst);
    let store = open(there).await.unwrap();
    store.load(&id("a")).await.unwrap();
    let requests = (0..20).map(|n| save(&format!("b{n}"), "1", Expect::Absent));
    let saved: Vec<_> = store.save_all(requests).collect().await;
    for (_, refused) in saved {
        assert_eq!(unsafe_storage(refused).len(), 1);
    }
    let lease = LeaseRequest::new("t", std::time::Duration::from_secs(60));
    unsafe_storage(store.acquire(&id("a"), lease).await);
    unsafe_storage(store.reindex().await);
    assert_eq!(dump(&server).await, before);
}

#[tokio::test]
async fn reader_without_write_permission_gets_the_reason() {
    let server = server_with_store().await;
    let there = server.at(THERE);
    there.mood.denies.store(true, Ordering::SeqCst);
    let clock = Arc::new(ManualEnvironment::new(1));
    let store = Store::on(Arc::new(there.clone())).environment(clock.clone()).open().await.unwrap();
    store.load(&id("a")).await.unwrap();
    assert_eq!(everything(&store).await.len(), 1);
    let refused = store.save(save("a", "2", Expect::Any)).await.unwrap_err();
    assert_eq!(refused.to_string(), "Failed to probe the storage (create-twice)");
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("for reading"));
    // A failed probe is no verdict, but it is remembered for a minute.
    there.mood.denies.store(false, Ordering::SeqCst);
    store.save(save("a", "2", Expect::Any)).await.unwrap_err();
    clock.advance(std::time::Duration::from_secs(60));
    store.save(save("a", "2", Expect::Any)).await.unwrap();
}

#[tokio::test]
async fn failed_probe_is_not_repeated_within_a_batch() {
    for (is_silent, denies) in [(true, false), (false, true)] {
        let server = server_with_store().await;
        let there = server.at(THERE);
        there.mood.is_silent.store(is_silent, Ordering::SeqCst);
        there.mood.denies.store(denies, Ordering::SeqCst);
        let probe = Probe::new(Arc::new(there.clone()));
        let store = open(probe.clone()).await.unwrap();
        let saves = (0..100).map(|n| save(&format!("b{n}"), "1", Expect::Absent));
        let saved: Vec<_> = store.save_all(saves).collect().await;
        let first = saved[0].1.as_ref().unwrap_err();
        let cause = |error: &Error| std::error::Error::source(error).map(ToString::to_string);
        for (_, refused) in &saved {
            let refused = refused.as_ref().unwrap_err();
            assert_eq!((refused.to_string(), cause(refused)), (first.to_string(), cause(first)));
        }
        let puts = probe.take().puts("ops/probe/");
        assert!((1..=2).contains(&puts), "one probe, which ends at its first request: {puts}");
        // An explicit `doctor` probes again, and its verdict counts.
        there.mood.is_silent.store(false, Ordering::SeqCst);
        there.mood.denies.store(false, Ordering::SeqCst);
        store.doctor(&Depth::default()).await.unwrap().check().unwrap();
        store.save(save("a", "2", Expect::Any)).await.unwrap();
    }
}

#[tokio::test]
async fn outdated_probe_is_repeated() {
    let server = server_with_store().await;
    let mut old = config(&server).await;
    old["probed"][0]["probe"] = json!(VERSION - 1);
    old["later"] = json!("kept");
    let put = Operation::put(
        Key::parse("config.json").unwrap(),
        pflow_testkit::resealed("config.json", old.to_string().into()),
    );
    assert!(matches!(server.commit(Batch::new().stage([put])).await.unwrap(), Commit::Committed(_)));
    let probe = Probe::new(Arc::new(server.clone()));
    open(probe.clone()).await.unwrap().save(save("a", "2", Expect::Any)).await.unwrap();
    assert!(probe.take().puts("ops/probe/") > 50);
    let now = config(&server).await;
    assert_eq!((&now["probed"][0]["probe"], &now["later"]), (&json!(VERSION), &json!("kept")));
    assert_eq!(places(&server).await, [HERE]);
}

/// Puts a field of a later program into the config.
async fn put_later(server: &Server) {
    let mut config = config(server).await;
    config["later"] = json!("kept");
    let text = pflow_testkit::resealed("config.json", config.to_string().into());
    let put = Operation::put(Key::parse("config.json").unwrap(), text);
    assert!(matches!(server.commit(Batch::new().stage([put])).await.unwrap(), Commit::Committed(_)));
}

#[tokio::test]
async fn change_of_the_config_keeps_what_others_changed() {
    for landed in [false, true] {
        let server = server_with_store().await;
        let probe = Probe::new(Arc::new(server.at(THERE)));
        let store = open(probe.clone()).await.unwrap();
        let other = server.clone();
        probe.overtake("config.json", landed, move || async move { put_later(&other).await });
        store.save(save("a", "2", Expect::Any)).await.unwrap();
        assert_eq!(
            (places(&server).await, &config(&server).await["later"]),
            (vec![HERE.to_owned(), THERE.to_owned()], &json!("kept"))
        );
        assert_eq!(store.config().probed.len(), 2, "the handle uses the config that it wrote");
    }
}

#[tokio::test]
async fn change_of_the_config_is_settled_after_lost_replies() {
    for (left, times, puts, recorded) in
        [(Left::All, 1, 1, true), (Left::Stages(0), 1, 2, true), (Left::Stages(0), 9, 3, false)]
    {
        let server = server_with_store().await;
        let probe = Probe::new(Arc::new(server.at(THERE)));
        let store = open(probe.clone()).await.unwrap();
        probe.fail(Fault { touching: "config.json", times, ..Fault::unknown(left) });
        store.save(save("a", "2", Expect::Any)).await.unwrap();
        assert_eq!(probe.take().puts("config.json"), puts, "{left:?} {times}");
        assert_eq!(places(&server).await.len(), 1 + usize::from(recorded), "{left:?} {times}");
    }
}

#[tokio::test]
async fn doctor_revokes_and_restores_a_verdict() {
    let server = server_with_store().await;
    let store = open(server.clone()).await.unwrap();
    let diagnosis = store.doctor(&Depth::default()).await.unwrap();
    diagnosis.check().unwrap();
    assert!(diagnosis.report.checks.iter().all(|check| matches!(check.verdict, Verdict::Kept(_))));
    assert_eq!((diagnosis.place.as_deref(), diagnosis.store_id), (Some(HERE), Some(store.config().store_id)));

    server.mood.lies.store(true, Ordering::SeqCst);
    let diagnosis = store.doctor(&Depth::default()).await.unwrap();
    assert_eq!(unsafe_storage(diagnosis.check()).len(), 1);
    assert!(places(&server).await.is_empty(), "the recorded verdict is removed");
    unsafe_storage(store.save(save("a", "2", Expect::Any)).await);
    unsafe_storage(open(server.clone()).await.unwrap().save(save("a", "2", Expect::Any)).await);

    server.mood.lies.store(false, Ordering::SeqCst);
    store.doctor(&Depth::default()).await.unwrap().check().unwrap();
    assert_eq!(places(&server).await, [HERE]);
    store.save(save("a", "2", Expect::Any)).await.unwrap();
}

#[tokio::test]
async fn leftovers_of_a_killed_probe_are_harmless() {
    let server = server();
    let left = Operation::put(Key::parse("ops/probe/1/create-twice.1").unwrap(), "left");
    assert!(matches!(server.commit(Batch::new().stage([left])).await.unwrap(), Commit::Committed(_)));
    assert!(matches!(open(server.clone()).await, Err(Error::StoreMissing { .. })));
    let store = on(Arc::new(server.clone())).init().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let report = store.verify().await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!(everything(&store).await.len(), 1);
}

#[tokio::test]
async fn storage_without_a_place_is_never_probed() {
    let probe = Probe::new(Arc::new(MemoryBackend::new(Arc::new(ManualEnvironment::new(1)))));
    let store = on(Arc::new(probe.clone())).init().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_eq!(probe.take().puts("ops/probe/"), 0);
    assert!(store.config().probed.is_empty());
    store.doctor(&Depth::default()).await.unwrap().check().unwrap();
    assert!(probe.take().puts("ops/probe/") > 50, "unless a caller asks");
    assert!(store.config().probed.is_empty());
}

#[tokio::test]
async fn name_for_people_is_shown_and_turns_on_no_probe() {
    let memory = MemoryBackend::new(Arc::new(ManualEnvironment::new(1)));
    let probe = Probe::new(Arc::new(Server::without_endpoint(Arc::new(memory), "the table plans")));
    let missing = open(probe.clone()).await.unwrap_err();
    assert!(missing.to_string().contains("the table plans"), "{missing}");
    let store = on(Arc::new(probe.clone())).init().await.unwrap();
    assert_eq!(store.location(), "the table plans");
    assert_eq!(store.status().await.unwrap().location, "the table plans");
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_eq!(probe.take().puts("ops/probe/"), 0);
}
