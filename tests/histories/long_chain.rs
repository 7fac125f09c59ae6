//! A chain of ten thousand versions: how many reads find one of them, and how large its head is.

use std::{sync::Arc, time::Duration};

use pflow_store::{
    Expect, LeaseRequest,
    backend::{Batch, Commit, Key, Operation},
};
use pflow_testkit::{Kind, Probe, Site, id, plan, save};

const DEPTH: u64 = 10_000;
const HEAD: &str = "workflows/a/metadata.json";

/// The largest head up to each of these depths, in bytes.
const HEADS: [(u64, usize); 3] = [(1, 2_048), (100, 4_000), (DEPTH, 4_000)];

/// Makes the chain in memory, which takes a fraction of the time that a disk would.
async fn chain() -> Site {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    let (mut largest, mut limits) = (0, HEADS.iter());
    for depth in 1..=DEPTH {
        let expect = if depth == 1 { Expect::Absent } else { Expect::Generation(depth - 1) };
        store.save(save("a", &depth.to_string(), expect)).await.unwrap();
        // Every so often, and near the depths above.
        if depth % 97 == 0 || depth < 130 || depth == DEPTH {
            let lease = store
                .acquire(&id("a"), LeaseRequest::new("a long edit", Duration::from_secs(600)))
                .await
                .unwrap();
            largest = site.get(HEAD).await.unwrap().len().max(largest);
            store.release(&id("a"), lease.lease.id).await.unwrap();
        }
        if let Some((_, limit)) = limits.as_slice().first().filter(|(at, _)| *at == depth) {
            println!("a head under a lease has at most {largest} bytes up to depth {depth}");
            assert!(largest <= *limit, "{largest} at {depth}");
            limits.next();
        }
    }
    assert_eq!(limits.len(), 0);
    store.close().await.unwrap();
    site
}

/// Copies every object to an empty storage of this kind.
async fn copied(from: &Site, kind: Kind) -> Site {
    let site = Site::new(kind).await;
    let objects: Vec<_> = from.dump().await.into_iter().collect();
    for some in objects.chunks(500) {
        let put =
            |(key, bytes): &(String, bytes::Bytes)| Operation::put(Key::parse(key).unwrap(), bytes.clone());
        let committed = site.raw.commit(Batch::new().stage(some.iter().map(put))).await.unwrap();
        assert!(matches!(committed, Commit::Committed(_)));
    }
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_of_ten_thousand_generations_is_found_in_few_reads() {
    let made = chain().await;
    for kind in [Kind::Memory, Kind::Disk, Kind::Bucket] {
        let site = copied(&made, kind).await;
        for (generation, most) in
            [(1, 1), (2, 25), (DEPTH / 2, 25), (DEPTH / 2 + 1, 25), (DEPTH - 1, 1), (DEPTH, 1)]
        {
            // Another process, which knows no record yet.
            let probe = Probe::new(site.raw.clone());
            let store = site.on(Arc::new(probe.clone())).open().await.unwrap();
            probe.take();
            let loaded = store.load_generation(&id("a"), generation).await.unwrap();
            assert_eq!(loaded.content, plan(&generation.to_string()));
            let reads = probe.take().gets.iter().filter(|key| key.starts_with("versions/")).count();
            println!("{kind:?}: generation {generation} of {DEPTH} took {reads} reads of versions");
            assert!((1..=most).contains(&reads), "{kind:?}: {generation} took {reads}");
        }
    }
}
