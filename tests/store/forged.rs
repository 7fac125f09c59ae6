//! Records of old versions that were changed without the store.

use std::sync::Arc;

use bytes::Bytes;
use pflow_store::{ChangeRequest, Error, ErrorKind, Expect, Store, conflict::Policy};
use pflow_testkit::{Kind, Site, damaged, every_backend, id, save};

every_backend!(
    forged_record_is_detected_when_read,
    wrong_jump_of_a_head_is_damage,
    forged_version_is_not_undeleted
);

/// Changes the author in the record of a generation, and leaves its content unchanged.
async fn forge(site: &Site, generation: u64) {
    let key = site.only_key(&format!("versions/a/{generation:012}-")).await;
    let bytes = site.get(&key).await.unwrap();
    let forged = String::from_utf8(bytes.to_vec()).unwrap().replacen("tester@host-1", "mallory@evil", 1);
    assert_ne!(forged, bytes);
    site.put(&key, forged).await;
}

#[track_caller]
fn is_corrupt<T: std::fmt::Debug>(result: Result<T, Error>, generation: u64) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().starts_with(&format!("versions/a/{generation:012}-")), "{error}");
}

/// Saves a chain of this many versions.
async fn chain(site: &Site, generations: u64) -> Store {
    let store = site.store().await;
    for n in 1..=generations {
        store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap();
    }
    store.close().await.unwrap();
    store
}

async fn forged_record_is_detected_when_read(site: Site) {
    // The head names 36, 35, 32 and 1. The way from there to 3 goes by 31, 16, 15, 8, 7 and 4.
    let store = chain(&site, 37).await;
    for generation in [36, 5] {
        store.load_generation(&id("a"), generation).await.unwrap();
    }
    site.probe.take();
    store.load_generation(&id("a"), 3).await.unwrap();
    assert_eq!(site.probe.take().gets.len(), 2, "the head and the version: this process knows the records");

    forge(&site, 36).await;
    forge(&site, 3).await;
    let store = site.other_store(2).await;
    is_corrupt(store.load_generation(&id("a"), 36).await, 36);
    store.load_generation(&id("a"), 4).await.unwrap();
    is_corrupt(store.load_generation(&id("a"), 3).await, 3);
    // Older versions cannot be verified.
    is_corrupt(store.load_generation(&id("a"), 2).await, 3);
    // The base of a merge is read the same way.
    let merge = |expected| save("a", "ours", Expect::Generation(expected)).resolver(Arc::new(Policy::Merge));
    is_corrupt(store.save(merge(36)).await, 36);
    is_corrupt(store.save(merge(3)).await, 3);
    let report = store.verify().await.unwrap();
    let found = damaged(&report);
    assert!(found.iter().any(|key| key.starts_with("versions/a/000000000036-")), "{report:#?}");
    assert!(found.iter().any(|key| key.starts_with("versions/a/000000000003-")), "{report:#?}");
}

async fn wrong_jump_of_a_head_is_damage(site: Site) {
    let key = "workflows/a/metadata.json";
    chain(&site, 5).await;
    let mut head = site.json(key).await;
    // The jump of version 5 is 4, whose jump is 1.
    assert_eq!(head["current"]["jumps"][0]["depth"], 1);
    head["current"]["jumps"][0]["record_hash"] = head["current"]["record_hash"].clone();
    site.put(key, format!("{head}\n")).await;
    let store = site.other_store(2).await;
    is_corrupt(store.load_generation(&id("a"), 1).await, 1);
    store.load_generation(&id("a"), 3).await.unwrap();
    let report = store.verify().await.unwrap();
    assert_eq!(damaged(&report), [key]);
    assert!(report.findings[0].reason.contains("another version of depth 1"), "{report:#?}");
}

async fn forged_version_is_not_undeleted(site: Site) {
    let store = chain(&site, 2).await;
    store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    forge(&site, 2).await;
    is_corrupt(store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await, 2);
}

/// Each byte changed, cut at each length, and the object of another version in its place.
#[tokio::test]
async fn every_damage_of_a_version_is_found_and_costs_nothing_else() {
    let site = Site::new(Kind::Memory).await;
    chain(&site, 4).await;
    let key = site.only_key("versions/a/000000000002-").await;
    let whole = site.get(&key).await.unwrap();
    let other = site.get(&site.only_key("versions/a/000000000003-").await).await.unwrap();
    let mut damages: Vec<Bytes> = vec![other, [&whole[..], b"\n"].concat().into()];
    for at in 0..whole.len() {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        damages.push(flipped.into());
        damages.push(whole.slice(..at));
    }
    for (number, damage) in damages.into_iter().enumerate() {
        site.put_raw(&key, damage).await;
        let store = site.other_store(2).await;
        is_corrupt(store.load_generation(&id("a"), 2).await, 2);
        for generation in [1, 3, 4] {
            store.load_generation(&id("a"), generation).await.unwrap();
        }
        assert_eq!(damaged(&store.verify().await.unwrap()), [key.as_str()], "damage {number}");
    }
    site.put_raw(&key, whole).await;
    assert!(site.other_store(2).await.verify().await.unwrap().is_sound());
}
