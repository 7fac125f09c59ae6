//! The requests of each operation on a bucket, counted at the server. The table in `docs/design/costs.md` has
//! these numbers.

use std::time::Duration;

use futures::StreamExt;
use pflow_store::{
    ChangeRequest, Expect, LeaseRequest, Query, Store, StoreBuilder, backend::Key, object::ObjectOptions,
};
use pflow_test_endpoints::{Counts, Kind, S3Endpoint, Shaping};
use pflow_testkit::{everything, id, listing, save};

const URL: &str = "s3://probe/plans";

fn at(server: &S3Endpoint) -> StoreBuilder {
    let object = ObjectOptions::new().variables(server.variables("probe"));
    // A fold that runs after the reply would be counted with this operation or with the next one.
    Store::builder(URL).object_options(object).fold_behind(false)
}

/// A store in which every save checks whether a fold is due. By default one save in eight does, at random.
async fn open(server: &S3Endpoint) -> Store {
    at(server).fold_after(4).open().await.unwrap()
}

/// Gets, lists, puts under a condition, puts without one, deletes.
fn numbers(counts: Counts) -> [u64; 5] {
    assert_eq!((counts.head, counts.other), (0, 0), "{counts:?}");
    [counts.get, counts.list, counts.conditional_put, counts.put, counts.delete]
}

/// Returns the requests since the last call, including the copy that is written after the reply.
async fn cost(server: &S3Endpoint, store: &Store) -> [u64; 5] {
    // Reads wait for the handle's own late copies.
    for name in ["workflow.json", "workflow.lock"] {
        let key = Key::parse(format!("workflows/a/{name}")).unwrap();
        store.backend().get(&key).await.unwrap();
    }
    let counts = server.requests().counts() - Counts { get: 2, ..Counts::default() };
    server.requests().reset();
    numbers(counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_asks_for_as_little_as_it_can() {
    let server = S3Endpoint::start(["probe"]);
    let store = at(&server).fold_after(usize::MAX).init().await.unwrap();
    store.save(save("first", "1", Expect::Absent)).await.unwrap();
    // A read waits for the copy that follows the answer.
    store.backend().get(&Key::parse("workflows/first/workflow.json").unwrap()).await.unwrap();
    server.requests().reset();
    let lease = || LeaseRequest::new("t", Duration::from_secs(60));

    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_eq!(
        cost(&server, &store).await,
        [2, 1, 3, 1, 0],
        "save of a new one: head and config at once; version, record and the list of versions at once; head"
    );
    store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    assert_eq!(cost(&server, &store).await, [0, 0, 3, 1, 0], "save on a generation that is known");
    store.save(save("a", "3", Expect::Any)).await.unwrap();
    assert_eq!(cost(&server, &store).await, [1, 0, 3, 1, 0], "save on whatever is there: the head");
    store.save(save("a", "3", Expect::Any)).await.unwrap();
    assert_eq!(cost(&server, &store).await, [1, 0, 0, 0, 0], "save of what is there");
    store.load(&id("a")).await.unwrap();
    assert_eq!(cost(&server, &store).await, [2, 0, 0, 0, 0], "load: head and copy at once");
    store.load_generation(&id("a"), 1).await.unwrap();
    assert_eq!(cost(&server, &store).await, [2, 0, 0, 0, 0], "load of a generation: head, then version");
    let grant = store.acquire(&id("a"), lease()).await.unwrap();
    assert_eq!(cost(&server, &store).await, [1, 0, 1, 1, 0], "acquire: head; head; mirror");
    store.save(save("a", "4", Expect::Generation(3)).lease(grant.lease.id.clone())).await.unwrap();
    assert_eq!(cost(&server, &store).await, [0, 0, 3, 1, 0], "save under a lease");
    store.release(&id("a"), grant.lease.id).await.unwrap();
    assert_eq!(cost(&server, &store).await, [1, 0, 1, 0, 1], "release: head; head; mirror");
    store.save(save("a", "5", Expect::Generation(4)).hold(lease())).await.unwrap();
    assert_eq!(cost(&server, &store).await, [0, 0, 3, 2, 0], "save that takes the lock along");
    let held = store.lock_state(&id("a")).await.unwrap().lease.unwrap().id;
    assert_eq!(cost(&server, &store).await, [1, 0, 0, 0, 0], "look at a lock");
    store.delete(ChangeRequest::new(id("a"), Expect::Any).lease(held.clone())).await.unwrap();
    assert_eq!(cost(&server, &store).await, [1, 0, 3, 0, 1], "delete");
    store.undelete(ChangeRequest::new(id("a"), Expect::Any).lease(held)).await.unwrap();
    assert_eq!(cost(&server, &store).await, [2, 0, 3, 1, 0], "undelete: head and the version before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_probed_with_a_hundred_requests() {
    let server = S3Endpoint::start(["probe"]);
    at(&server).init().await.unwrap();
    let log = server.requests().log();
    let of_probe =
        |kind: Kind| log.iter().filter(|it| it.kind == kind && it.key.contains("ops/probe")).count();
    let kinds = [Kind::Head, Kind::Get, Kind::List, Kind::ConditionalPut, Kind::Put, Kind::Delete];
    // The one unconditional put and one of the deletes are of what the backend examines.
    assert_eq!(kinds.map(of_probe), [1, 4, 3, 78, 1, 16], "{log:#?}");
}

/// The requests of a run of the program, whose caches are empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_run_asks_for_little_more() {
    let server = S3Endpoint::start(["probe"]);
    let store = at(&server).init().await.unwrap();
    let many = (0..300).map(|n| save(&format!("w{n:03}"), "1", Expect::Absent));
    assert_eq!(
        store.save_all(many).filter(|(_, saved)| std::future::ready(saved.is_ok())).count().await,
        300
    );
    store.close().await.unwrap();
    let cold = async |what: &str, wanted: [u64; 5]| {
        assert_eq!(numbers(server.requests().counts()), wanted, "{what}: {:#?}", server.requests().log());
        server.requests().reset();
    };
    server.requests().reset();

    let run = open(&server).await;
    run.save(save("w000", "2", Expect::Generation(1))).await.unwrap();
    run.close().await.unwrap();
    cold("save: config, head, and whether a fold is due", [2, 1, 3, 1, 0]).await;
    let run = open(&server).await;
    run.save(save("new", "1", Expect::Absent)).await.unwrap();
    run.close().await.unwrap();
    cold("save of a new one: config twice, and the list of its versions", [3, 2, 3, 1, 0]).await;
    open(&server).await.load(&id("w001")).await.unwrap();
    cold("load: config; head and copy", [3, 0, 0, 0, 0]).await;
    let run = open(&server).await;
    run.acquire(&id("w001"), LeaseRequest::new("t", Duration::from_secs(9))).await.unwrap();
    // The mirror is written after the reply, and `close` waits for it.
    run.close().await.unwrap();
    cold("acquire: config, head; head; mirror", [2, 0, 1, 1, 0]).await;

    // Two workflows have records, so their heads are read; the other 299 come with the base.
    let reader = open(&server).await;
    assert_eq!(everything(&reader).await.len(), 301);
    cold("list: config, records, root, base, and the heads that records name", [5, 1, 0, 0, 0]).await;
    assert_eq!(everything(&reader).await.len(), 301);
    cold("list again: records and root", [1, 1, 0, 0, 0]).await;
    let query = Query::new().text("w00");
    assert_eq!(listing(&open(&server).await, query).await.unwrap().workflows.len(), 10);
    cold("search: as list", [5, 1, 0, 0, 0]).await;
}

/// How many requests of one run must follow each other; others are sent concurrently. Each new connection
/// costs one more round trip, and TLS another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_run_waits_for_few_answers() {
    let server = S3Endpoint::start(["probe"]);
    let store = at(&server).init().await.unwrap();
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.close().await.unwrap();
    // Long beside what a client needs to send two requests.
    server.set_shaping(Shaping::latency(Duration::from_millis(250)));
    let rounds = async |what: &str, wanted: u64| {
        assert_eq!(server.requests().rounds(), wanted, "{what}: {:#?}", server.requests().log());
        server.requests().reset();
    };
    server.requests().reset();

    open(&server).await.load(&id("a")).await.unwrap();
    rounds("load: config; head and copy", 2).await;
    open(&server).await.load_generation(&id("a"), 1).await.unwrap();
    rounds("load of a generation: config; head; version", 3).await;
    let run = open(&server).await;
    run.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    run.close().await.unwrap();
    rounds("save: config; head; version and record; head; behind the answer the copy", 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_saved_side_by_side_and_not_all_at_once() {
    let server = S3Endpoint::start(["probe"]);
    let store = at(&server).concurrency(8).init().await.unwrap();
    server.set_shaping(Shaping::latency(Duration::from_millis(5)));
    server.requests().reset();
    let many = (0..100).map(|n| save(&format!("w{n:03}"), "1", Expect::Absent));
    assert_eq!(
        store.save_all(many).filter(|(_, saved)| std::future::ready(saved.is_ok())).count().await,
        100
    );
    store.close().await.unwrap();
    let most = server.requests().most_in_flight();
    assert!((4..=64).contains(&most), "{most} requests at once");
}

/// What limits the speed of a batch: the requests of each save, how many of them follow each other, and how
/// many saves run at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_saves_of_a_batch_wait_for_few_answers_each() {
    let server = S3Endpoint::start(["probe"]);
    let store = at(&server).init().await.unwrap();
    let batch = |names: &str, text: &str| {
        let requests: Vec<_> = names.chars().map(|name| save(&name.to_string(), text, Expect::Any)).collect();
        store.save_all(requests)
    };
    let all_saved = async |names: &str, text: &str| {
        let mut saves = std::pin::pin!(batch(names, text));
        for _ in names.chars() {
            saves.next().await.unwrap().1.unwrap();
        }
        // A read waits for the copies that follow the answers. The batch folds when it is asked once more.
        let keys: Vec<_> = names.chars().map(|name| format!("workflows/{name}/workflow.json")).collect();
        let keys: Vec<_> = keys.into_iter().map(|key| Key::parse(key).unwrap()).collect();
        let copies = keys.iter().map(|key| store.backend().get(key));
        futures::future::join_all(copies).await;
        let (rounds, most) = (server.requests().rounds() - 1, server.requests().most_in_flight());
        let counts = server.requests().counts() - Counts { get: names.len() as u64, ..Counts::default() };
        assert!(saves.next().await.is_none());
        server.requests().reset();
        (rounds, most, numbers(counts))
    };
    server.requests().reset();
    all_saved("z", "1").await;
    // Long beside what a client needs to send some requests.
    server.set_shaping(Shaping::latency(Duration::from_millis(250)));
    let (rounds, most, requests) = all_saved("abcd", "1").await;
    assert_eq!(requests, [8, 4, 12, 4, 0], "head and config; version, record, list of versions; head; copy");
    assert_eq!((rounds, most), (4, 12), "new ones");
    let (rounds, most, requests) = all_saved("abcd", "2").await;
    assert_eq!(requests, [8, 0, 12, 4, 0], "the first of them reads config.json as well, for nothing");
    assert_eq!((rounds, most), (4, 8), "new versions");
    let (rounds, _, requests) = all_saved("abcd", "3").await;
    assert_eq!((rounds, requests), (4, [4, 0, 12, 4, 0]), "new versions again");
}

/// Many processes make one save each at the same time, like agents on many machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_cold_saves_at_once_are_folded_by_few_and_leave_nothing() {
    let server = S3Endpoint::start(["probe"]);
    let first = at(&server).init().await.unwrap();
    server.set_shaping(Shaping::latency(Duration::from_millis(80)));
    server.requests().reset();
    let savers = (0..128).map(|n| {
        let opening = at(&server).fold_behind(true).open();
        tokio::spawn(async move {
            let store = opening.await.unwrap();
            store.save(save(&format!("w{n:03}"), "1", Expect::Absent)).await.unwrap();
            store.close().await.unwrap();
        })
    });
    for saver in futures::future::join_all(savers).await {
        saver.unwrap();
    }
    let counts = server.requests().counts();
    let sum = counts.get + counts.list + counts.conditional_put + counts.put + counts.delete;
    println!("128 cold saves: {sum} requests, {counts:?}");
    assert!(sum <= 1_500, "{sum} requests: {counts:?}");

    server.set_shaping(Shaping::default());
    let _: Vec<_> = first.save_all([save("last", "1", Expect::Absent)]).collect().await;
    assert_eq!(everything(&first).await.len(), 129);
    assert_eq!(pflow_testkit::unnamed_parts(first.backend().as_ref()).await, [""; 0]);
    let verified = first.verify().await.unwrap();
    assert!(verified.findings.is_empty(), "{:?}", verified.findings);
}
