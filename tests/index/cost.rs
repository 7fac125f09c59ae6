//! Counts the requests of a save, and checks that they do not grow with the store.

use futures::StreamExt;
use pflow_store::{ChangeRequest, Expect, LeaseRequest, Store};
use pflow_testkit::{Kind, Log, Site, id, save};
use std::time::Duration;

/// Returns a store with this many workflows and a folded index.
async fn store_of(workflows: usize) -> (Site, Store) {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    let requests = (0..workflows).map(|n| save(&format!("w{n:05}"), "x", Expect::Absent));
    let results: Vec<_> = store.save_all(requests).collect().await;
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    site.probe.take();
    (site, store)
}

#[tokio::test]
async fn save_cost_does_not_grow_with_the_store() {
    const SAVES: usize = 256;
    let mut totals: Vec<Log> = Vec::new();
    for workflows in [10, 10_000] {
        let (site, store) = store_of(workflows).await;
        let mut total = Log::default();
        let mut plain = None;
        for n in 0..SAVES {
            store
                .save(save(&format!("w{:05}", n % 10), &format!("change {n:03}"), Expect::Any))
                .await
                .unwrap();
            let log = site.probe.take();
            if n % 64 != 0 && plain.is_none() {
                plain = Some(log.clone());
            }
            total.gets.extend(log.gets);
            total.lists.extend(log.lists);
            total.commits.extend(log.commits);
        }
        let plain = plain.unwrap();
        assert_eq!((plain.calls(), plain.writes().count()), ((1, 0, 1), 4), "at {workflows}");
        totals.push(total);
    }
    let [small, large] = &totals[..] else { panic!("two sizes") };
    // Four writes of its own, the removal of its record, and its share of a fold: a segment and the root, and
    // sometimes a base and the exports.
    for total in &totals {
        let each = total.writes().count() as f64 / SAVES as f64;
        assert!((4.7..5.1).contains(&each), "{each} writes");
        let gets = total.gets.len() as f64 / SAVES as f64;
        assert!((1.0..1.5).contains(&gets), "{gets} gets");
        assert!(total.lists.len() <= 2 * SAVES / 64 + 1, "{:?}", total.lists);
    }
    assert!(large.writes().count() <= small.writes().count());
    assert!(large.bytes() <= small.bytes() * 11 / 10, "{} against {}", large.bytes(), small.bytes());
    assert!(large.gets.len() <= small.gets.len());
}

#[tokio::test]
async fn listing_of_a_folded_store_reads_only_the_index_parts() {
    let (site, _) = store_of(300).await;
    let reader = site.on(std::sync::Arc::new(site.probe.clone())).open().await.unwrap();
    site.probe.take();
    for calls in [(2, 1, 0), (1, 1, 0)] {
        assert_eq!(pflow_testkit::listed(&reader).await.len(), 300);
        let log = site.probe.take();
        assert_eq!(log.calls(), calls, "{log:?}");
    }
}

/// Gets, lists and commits, and the keys that are put and deleted.
#[tokio::test]
async fn request_counts_of_every_operation() {
    for kind in [Kind::Memory, Kind::Disk] {
        // On storage with plain files, a change reads the copy first.
        let copy = if kind == Kind::Disk { 1 } else { 0 };
        let site = Site::new(kind).await;
        let store = site.store().await;
        let count = |what: &str, wanted: (usize, usize, usize), puts: usize, deletes: usize| {
            let log = site.probe.take();
            assert_eq!(
                (log.calls(), log.puts(""), log.deletes("")),
                (wanted, puts, deletes),
                "{what}: {log:#?}"
            );
        };
        count("init", (1, 1, 1), 2 + 2 * copy, 0);
        // The first save of a process checks whether a fold is due, and then every 64th.
        store.save(save("first", "1", Expect::Absent)).await.unwrap();
        // Before the first version of a workflow, existing versions are listed.
        count("first save", (2 + copy, 2, 1), 4, 0);
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        count("save of a new one", (2 + copy, 1, 1), 4, 0);
        store.save(save("a", "2", Expect::Generation(1))).await.unwrap();
        count("save on top of what this process knows", (2 * copy, 0, 1), 4, 0);
        store.save(save("a", "2", Expect::Any)).await.unwrap();
        count("save of what is there", (1 + copy, 0, 0), 0, 0);
        store.load(&id("a")).await.unwrap();
        count("load", (2, 0, 0), 0, 0);
        let grant = store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(9))).await.unwrap();
        // On storage with plain files, the mirror is read before it is replaced.
        count("acquire", (1 + copy, 0, 1), 2, 0);
        store.save(save("a", "3", Expect::Any).lease(grant.lease.id.clone())).await.unwrap();
        count("save under a lease", (1 + copy, 0, 1), 4, 0);
        store.release(&id("a"), grant.lease.id).await.unwrap();
        count("release", (1 + copy, 0, 1), 1, 1);
        store
            .save(save("a", "4", Expect::Any).hold(LeaseRequest::new("t", Duration::from_millis(1))))
            .await
            .unwrap();
        count("save that takes the lock along", (1 + 2 * copy, 0, 1), 5, 0);
        site.environment.advance(Duration::from_secs(61));
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        count("delete over an expired lease", (1 + 2 * copy, 0, 1), 3, 2);
        pflow_testkit::listed(&store).await;
        count("first list: the root; the heads that records name are its own", (1, 1, 0), 0, 0);
        store.save(save("first", "2", Expect::Any)).await.unwrap();
        count("save", (1 + copy, 0, 1), 4, 0);
        pflow_testkit::listed(&store).await;
        count("list by the one who saved", (1, 1, 0), 0, 0);
    }
}
