//! A store that is copied while at rest and written in both places is told apart at the next meeting.

use std::{fs, path::Path, sync::Arc};

use futures::TryStreamExt;
use pflow_backend_memory::MemoryBackend;
use pflow_store::{
    Error, Expect, Store, StoreBuilder,
    backend::{Batch, Commit, ManualEnvironment, Operation, Prefix, StorageBackend, SystemEnvironment},
    health::Severity,
    object::{ObjectBackend, ObjectOptions},
};
use pflow_test_endpoints::S3Endpoint;
use pflow_testkit::{Probe, Server, copy_files, damaged, generations, id, notices, save};
use tempfile::TempDir;

const HERE: &str = "s3://plans at https://storage.example";
const THERE: &str = "s3://plans at https://other.example";

fn at(place: &Path) -> StoreBuilder {
    Store::builder(place.to_str().unwrap()).environment(Arc::new(SystemEnvironment::new().unwrap()))
}

async fn instance(store: &Store) -> String {
    store.instance().await.unwrap().unwrap()
}

/// Two places of one store, which was copied from the first to the second. Each is written to, and opened
/// again by `open`.
async fn are_told_apart(first: &str, stores: [Store; 2], open: impl AsyncFn(usize) -> Store) {
    let [original, copied] = &stores;
    assert_eq!(original.config().store_id, copied.config().store_id);
    assert_eq!(instance(original).await, first);
    assert_ne!(copied.instance().await.unwrap().as_deref(), Some(first), "before anything is written there");
    original.save(save("a", "in the original", Expect::Generation(2))).await.unwrap();
    copied.save(save("a", "in the copy", Expect::Generation(2))).await.unwrap();
    let [one, two] = [instance(original).await, instance(copied).await];
    assert_eq!(one, first);
    assert_ne!(one, two);
    for store in &stores {
        store.close().await.unwrap();
    }
    drop(stores);
    for (number, id_here) in [&one, &two].into_iter().enumerate() {
        let again = open(number).await;
        assert_eq!(&instance(&again).await, id_here, "each keeps its own");
        assert_eq!(generations(&again).await, ["a@3", "b@1"]);
        assert_eq!(notices(&again.verify().await.unwrap()), [""; 0]);
        assert_eq!(again.status().await.unwrap().instance.as_ref(), Some(id_here));
        again.save(save("b", "later", Expect::Generation(1))).await.unwrap();
        assert_eq!(&instance(&again).await, id_here);
        again.close().await.unwrap();
    }
}

async fn fill(store: &Store) -> String {
    for (name, text, expect) in
        [("a", "1", Expect::Absent), ("a", "2", Expect::Generation(1)), ("b", "1", Expect::Absent)]
    {
        store.save(save(name, text, expect)).await.unwrap();
    }
    instance(store).await
}

#[tokio::test]
async fn copied_folder_is_told_apart_from_its_original() {
    let above = TempDir::new().unwrap();
    let places = ["original", "copy"].map(|name| above.path().join(name));
    let store = at(&places[0]).init().await.unwrap();
    let first = fill(&store).await;
    store.close().await.unwrap();
    drop(store);
    copy_files(&places[0], &places[1]);
    let stores = [at(&places[0]).open().await.unwrap(), at(&places[1]).open().await.unwrap()];
    are_told_apart(&first, stores, async |number| at(&places[number]).open().await.unwrap()).await;
    // Moved, it is the same place.
    let moved = above.path().join("moved");
    fs::rename(&places[0], &moved).unwrap();
    assert_eq!(instance(&at(&moved).open().await.unwrap()).await, first);
}

#[tokio::test]
async fn folder_copied_with_work_in_its_journal_is_told_apart() {
    let above = TempDir::new().unwrap();
    let places = ["original", "copy"].map(|name| above.path().join(name));
    let store = at(&places[0]).init().await.unwrap();
    let first = fill(&store).await;
    // Nothing is in its file yet, or some of it: the store is open.
    copy_files(&places[0], &places[1]);
    let stores = [store, at(&places[1]).open().await.unwrap()];
    are_told_apart(&first, stores, async |number| at(&places[number]).open().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_bucket_is_told_apart_from_its_original() {
    const URLS: [&str; 2] = ["s3://probe/original", "s3://probe/copy"];
    let server = S3Endpoint::start(["probe"]);
    let at = |number: usize| {
        Store::builder(URLS[number]).object_options(ObjectOptions::new().variables(server.variables("probe")))
    };
    let store = at(0).init().await.unwrap();
    let first = fill(&store).await;
    store.close().await.unwrap();
    assert!(matches!(at(1).open().await, Err(Error::StoreMissing { .. })));
    let backend = |url: &str| {
        let options = ObjectOptions::new().variables(server.variables("probe"));
        ObjectBackend::open(&url.parse().unwrap(), options, Arc::new(SystemEnvironment::new().unwrap()))
            .unwrap()
    };
    let from = backend(URLS[0]);
    let listed: Vec<_> = from.list(&Prefix::root(), None).try_collect().await.unwrap();
    let mut puts = Vec::new();
    for it in listed {
        puts.push(Operation::put(it.key.clone(), from.get(&it.key).await.unwrap().unwrap().bytes).absent());
    }
    let copied = backend(URLS[1]).commit(Batch::new().stage(puts)).await.unwrap();
    assert!(matches!(copied, Commit::Committed(_)));
    drop(store);
    let stores = [at(0).open().await.unwrap(), at(1).open().await.unwrap()];
    are_told_apart(&first, stores, async |number| at(number).open().await.unwrap()).await;
}

fn on(backend: impl StorageBackend) -> StoreBuilder {
    Store::on(Arc::new(backend)).environment(Arc::new(ManualEnvironment::new(1)))
}

fn server() -> Server {
    Server::new(Arc::new(MemoryBackend::new(Arc::new(ManualEnvironment::new(2)))), HERE)
}

#[tokio::test]
async fn first_writer_at_an_endpoint_makes_its_id() {
    let server = server();
    let store = on(server.clone()).init().await.unwrap();
    let first = instance(&store).await;
    let there = on(server.at(THERE)).open().await.unwrap();
    assert_eq!(there.instance().await.unwrap(), None);
    assert_eq!(there.status().await.unwrap().instance, None);
    there.save(save("a", "1", Expect::Absent)).await.unwrap();
    let second = instance(&there).await;
    assert_ne!(first, second);
    assert_eq!(instance(&on(server.at(THERE)).open().await.unwrap()).await, second);
    assert_eq!(instance(&store).await, first);
    // Another probe of a place keeps its id.
    let diagnosis = there.doctor(&pflow_store::backend::probe::Depth::default()).await.unwrap();
    assert_eq!(diagnosis.instance, Some(second));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn recorded_endpoint_has_an_id_wherever_its_writer_stopped() {
    let server = server();
    on(server.clone()).init().await.unwrap();
    let probe = Probe::new(Arc::new(server.at(THERE)));
    let store = on(probe.clone()).open().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let log = probe.take();
    let order: Vec<&str> = log.writes().map(|write| write.key.as_str()).collect();
    let at = |start: &str| order.iter().position(|key| key.starts_with(start)).unwrap();
    assert!(at("ops/instances/") < at("config.json"), "{order:?}");
}

#[tokio::test]
async fn killed_init_that_left_an_id_alone_is_begun_again() {
    let (dead, server) = (server(), server());
    let store = on(dead.clone()).init().await.unwrap();
    let first = instance(&store).await;
    let left: Vec<_> = dead.list(&Prefix::parse("ops/instances").unwrap(), None).try_collect().await.unwrap();
    assert_eq!(left.len(), 1);
    let record = dead.get(&left[0].key).await.unwrap().unwrap();
    let put = Operation::put(record.meta.key, record.bytes);
    assert!(matches!(server.commit(Batch::new().stage([put])).await.unwrap(), Commit::Committed(_)));
    assert!(matches!(on(server.clone()).open().await, Err(Error::StoreMissing { .. })));
    let again = on(server).init().await.unwrap();
    assert_eq!(instance(&again).await, first, "nothing else was ever stored under this id");
}

#[tokio::test]
async fn damaged_id_of_an_endpoint_is_damage_and_ends_nothing() {
    let server = server();
    let store = on(server.clone()).init().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let listed: Vec<_> =
        server.list(&Prefix::parse("ops/instances").unwrap(), None).try_collect().await.unwrap();
    let key = listed[0].key.clone();
    let put = Operation::put(key.clone(), "{}");
    assert!(matches!(server.commit(Batch::new().stage([put])).await.unwrap(), Commit::Committed(_)));
    assert_eq!(store.instance().await.unwrap_err().kind(), pflow_store::ErrorKind::Corrupt);
    assert_eq!(store.status().await.unwrap().instance, None);
    let report = store.verify().await.unwrap();
    assert_eq!(damaged(&report), [key.as_str()]);
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Damage));
    store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    assert_eq!(store.load(&id("a")).await.unwrap().record.generation, 2);
}
