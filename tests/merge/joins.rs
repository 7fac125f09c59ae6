//! Merges of two stored versions without a person's choice: they follow from the two alone.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pflow_store::{
    ChangeRequest, Conflict, ErrorKind, Expect, SaveRequest, Store,
    conflict::{How, Obstacle, Policy},
    document::ContentHash,
    format::{Operation, VersionRecord, VersionRef},
};
use serde_json::Value;

use pflow_testkit::{Kind, Site, VersionParts, conflict, damaged, every_backend, id, notices};

every_backend!(
    two_stores_that_merge_the_same_versions_hold_the_same_bytes,
    merge_of_a_deletion_follows_the_rules_of_content,
    what_needs_a_person_is_refused,
    version_with_other_bytes_under_a_derived_id_is_damage,
    base_of_a_merge_is_the_version_that_was_loaded,
    merged_deletion_is_undeleted,
    reference_is_taken_from_the_version_itself,
    tags_that_do_not_fit_are_refused,
    merge_that_does_not_follow_from_its_parents_is_damage,
    wrong_count_of_merges_is_damage,
    base_is_found_beside_a_damaged_version,
);

/// A document with three nodes, each with a text.
fn text(texts: [&str; 3]) -> String {
    let node = |(n, text): (usize, &str)| {
        format!(r#"{{ "id": "n{n}", "type": "echo", "params": {{ "text": "{text}" }} }}"#)
    };
    let nodes: Vec<_> = texts.into_iter().enumerate().map(node).collect();
    format!("{{ \"nodes\": [\n{}\n] }}", nodes.join(",\n"))
}

fn request(texts: [&str; 3]) -> SaveRequest {
    SaveRequest::new(id("a"), text(texts), Expect::Any)
}

fn merge() -> ChangeRequest {
    ChangeRequest::new(id("a"), Expect::Any)
}

async fn current(store: &Store) -> (VersionRecord, VersionRef) {
    let current = store.show(&id("a")).await.unwrap().current.unwrap();
    (current.record.clone(), current.reference())
}

/// Copies the version objects that one store has and the other does not.
async fn exchange(from: &Site, to: &Site) {
    let known = to.keys("versions/").await;
    for key in from.keys("versions/").await {
        if !known.contains(&key) {
            to.put_raw(&key, from.get(&key).await.unwrap()).await;
        }
    }
}

/// Makes a copy of a store at rest elsewhere, with another clock and another user.
async fn copied(site: &Site) -> (Site, Store) {
    let other = Site::new(Kind::Memory).await;
    for (key, bytes) in site.dump().await {
        other.put_raw(&key, bytes).await;
    }
    let store = other.other_store(7).await;
    (other, store)
}

/// Two stores with the same first versions, each with one of its own on top: here and there.
async fn parted(site: &Site) -> (Store, Site, Store) {
    let here = site.store().await;
    here.save(request(["0", "0", "0"]).name("given")).await.unwrap();
    here.save(request(["1", "0", "0"])).await.unwrap();
    here.close().await.unwrap();
    let (other, there) = copied(site).await;
    (site.other_store(2).await, other, there)
}

async fn two_stores_that_merge_the_same_versions_hold_the_same_bytes(site: Site) {
    let (here, other, there) = parted(&site).await;
    // Chains of different lengths, with fields of each side.
    here.save(request(["1", "2", "0"]).message("mine")).await.unwrap();
    site.environment.advance(Duration::from_secs(60));
    there.save(request(["1", "0", "3"]).description("theirs")).await.unwrap();
    there.save(request(["4", "0", "3"])).await.unwrap();
    let ((mine, my_version), (theirs, their_version)) = (current(&here).await, current(&there).await);
    exchange(&other, &site).await;
    exchange(&site, &other).await;

    let merged = here.merge_version(merge(), their_version.clone()).await.unwrap();
    let again = there.merge_version(merge(), my_version.clone()).await.unwrap();
    assert_eq!(merged.record, again.record);
    let record = merged.record;
    assert_eq!((record.generation, record.depth), (5, 5));
    assert_eq!(record.parents, [their_version.clone(), my_version.clone()], "the higher generation first");
    assert_eq!(
        (&record.operation, record.author.as_str(), &record.message),
        (&Operation::MERGE, "merge", &None)
    );
    assert_eq!(record.modified, mine.modified.max(theirs.modified));
    assert_eq!((record.name.text(), record.description.text()), (Some("given"), Some("theirs")));
    let key = format!("versions/a/000000000005-{}", record.version_id);
    let bytes = site.get(&key).await.unwrap();
    assert_eq!(Some(&bytes), other.get(&key).await.as_ref());
    let content = here.load(&id("a")).await.unwrap().content;
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    assert_eq!(json(&content), json(text(["4", "2", "3"]).as_bytes()));

    // The id follows from the record: a time, and 80 bits of its hash with a zero id.
    let parts = VersionParts::of(&bytes).unwrap();
    let line = String::from_utf8(parts.record).unwrap();
    let zero = line.replacen(record.version_id.as_str(), &"0".repeat(26), 1);
    let digits = ContentHash::of(zero.as_bytes()).to_string().split_off(7);
    let value = |text: &str| {
        text.bytes().fold(0_u128, |value, digit| {
            value * 32
                + b"0123456789abcdefghjkmnpqrstvwxyz".iter().position(|it| *it == digit).unwrap() as u128
        })
    };
    let (time, bits) = record.version_id.as_str().split_at(10);
    assert_eq!(value(time), record.modified.timestamp_millis() as u128);
    assert_eq!(value(bits), u128::from_str_radix(digits.split_at(20).0, 16).unwrap());

    // Nothing is left to merge, whichever way it is asked for.
    for (store, with) in [(&here, &their_version), (&there, &my_version), (&here, &record.parents[1])] {
        let unchanged = store.merge_version(merge(), with.clone()).await.unwrap();
        assert!(unchanged.unchanged && unchanged.record == record);
    }
    // Each store goes on, and either is sound. Ancestors on both sides are found.
    for (store, name) in [(&here, "here"), (&there, "there")] {
        store.save(request(["5", "2", "3"])).await.unwrap();
        assert_eq!(store.load_generation(&id("a"), 1).await.unwrap().content, text(["0", "0", "0"]));
        let report = store.verify().await.unwrap();
        assert!(report.is_sound(), "{name}: {:?}", notices(&report));
    }
}

async fn merge_of_a_deletion_follows_the_rules_of_content(site: Site) {
    let (here, other, there) = parted(&site).await;
    there.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    let deletion = current(&there).await.1;
    exchange(&other, &site).await;
    // Nothing was changed here, so there is nothing to merge: the deletion was built on this version.
    let ahead = conflict(here.merge_version(merge(), deletion.clone()).await);
    assert!(matches!(&ahead, Conflict::Unresolved { obstacle: Obstacle::Ahead { .. }, .. }), "{ahead}");
    // A change and a deletion need a person.
    here.save(request(["1", "2", "0"])).await.unwrap();
    let refused = conflict(here.merge_version(merge(), deletion.clone()).await);
    assert!(matches!(&refused, Conflict::Unresolved { obstacle: Obstacle::Deletion, .. }), "{refused}");
    // Back to what it was: the deletion counts.
    here.save(request(["1", "0", "0"])).await.unwrap();
    let merged = here.merge_version(merge(), deletion).await.unwrap().record;
    assert_eq!((merged.deleted, merged.hash, merged.parents.len()), (true, None, 2));
    assert_eq!(here.load(&id("a")).await.unwrap_err().kind(), ErrorKind::NotFound);
    here.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    assert_eq!(here.load(&id("a")).await.unwrap().content, text(["1", "0", "0"]));
    assert!(here.verify().await.unwrap().is_sound());
}

async fn what_needs_a_person_is_refused(site: Site) {
    let (here, other, there) = parted(&site).await;
    here.save(request(["2", "0", "0"])).await.unwrap();
    there.save(request(["3", "0", "0"])).await.unwrap();
    let theirs = current(&there).await.1;
    exchange(&other, &site).await;
    let before = site.dump().await;
    let refused = conflict(here.merge_version(merge(), theirs.clone()).await);
    assert!(refused.to_string().contains("both sides changed nodes"), "{refused}");
    // The expectation comes first.
    let expect = ChangeRequest::new(id("a"), Expect::Generation(2));
    assert!(matches!(conflict(here.merge_version(expect, theirs.clone()).await), Conflict::Version { .. }));
    let unknown = here.merge_version(ChangeRequest::new(id("b"), Expect::Any), theirs.clone()).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(site.dump().await, before);
    // A version that is not there.
    let key = format!("versions/a/{:012}-{}", theirs.generation, theirs.version_id);
    site.remove(&key).await;
    let missing = site.other_store(9).await.merge_version(merge(), theirs).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
}

async fn version_with_other_bytes_under_a_derived_id_is_damage(site: Site) {
    let (here, other, there) = parted(&site).await;
    here.save(request(["1", "2", "0"])).await.unwrap();
    there.save(request(["1", "0", "3"])).await.unwrap();
    let (mine, theirs) = (current(&here).await.1, current(&there).await.1);
    exchange(&site, &other).await;
    exchange(&other, &site).await;
    let merged = there.merge_version(merge(), mine).await.unwrap().record;
    let key = format!("versions/a/{:012}-{}", merged.generation, merged.version_id);
    let whole = other.get(&key).await.unwrap();
    site.put_raw(&key, whole.slice(..whole.len() - 1)).await;
    let refused = here.merge_version(merge(), theirs.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    assert!(refused.to_string().starts_with(&key), "{refused}");
    assert_eq!(current(&here).await.0.generation, 3, "nothing was changed");
    // Its record is sound, but a head with it could not be loaded: a damaged content, and one that was pruned.
    let mut flipped = whole.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    site.put_raw(&key, Bytes::from(flipped)).await;
    let refused = here.merge_version(merge(), theirs.clone()).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Corrupt && refused.to_string().starts_with(&key), "{refused}");
    let mut pruned = VersionParts::of(&whole).unwrap();
    pruned.envelope.insert("content".to_owned(), "pruned".into());
    pruned.envelope.insert("pruned_by".to_owned(), "p".repeat(26).into());
    pruned.content = Bytes::new();
    site.put_raw(&key, pruned.object()).await;
    let refused = here.merge_version(merge(), theirs.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    assert_eq!(current(&here).await.0.generation, 3, "nothing was changed");
    // The same bytes are no obstacle.
    site.put_raw(&key, whole).await;
    assert_eq!(here.merge_version(merge(), theirs).await.unwrap().record, merged);
    assert!(here.verify().await.unwrap().is_sound());
}

/// After a merge the version that a caller loaded may be an ancestor on the second parent's side. The version
/// of the same generation on the first parent's side is another one.
async fn base_of_a_merge_is_the_version_that_was_loaded(site: Site) {
    let (here, other, there) = parted(&site).await;
    here.save(request(["1", "2", "0"])).await.unwrap();
    let loaded = here.load(&id("a")).await.unwrap();
    for texts in [["1", "0", "3"], ["4", "0", "3"]] {
        there.save(request(texts)).await.unwrap();
    }
    let theirs = current(&there).await.1;
    exchange(&other, &site).await;
    here.merge_version(merge(), theirs).await.unwrap();
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();

    let mine =
        |expect| SaveRequest::new(id("a"), text(["1", "5", "0"]), expect).resolver(Arc::new(Policy::Merge));
    // Two ancestors have generation 3.
    let refused = conflict(here.save(mine(Expect::Generation(3))).await);
    assert!(
        matches!(&refused, Conflict::Unresolved { obstacle: Obstacle::BaseMissing { .. }, .. }),
        "{refused}"
    );
    // Generation 2 is one version, below the place where the branches part.
    let both_changed = conflict(here.save(mine(Expect::Generation(2))).await);
    assert!(
        matches!(&both_changed, Conflict::Unresolved { obstacle: Obstacle::Overlaps(_), .. }),
        "{both_changed}"
    );
    // The version id is that of one.
    let saved = here.save(mine(loaded.expect())).await.unwrap();
    assert_eq!(saved.resolved.unwrap().how, Some(How::Merged));
    let content = here.load(&id("a")).await.unwrap().content;
    assert_eq!(json(&content), json(text(["4", "5", "3"]).as_bytes()), "nothing of the other side is lost");
    assert!(here.verify().await.unwrap().is_sound());
}

async fn merged_deletion_is_undeleted(site: Site) {
    let (here, other, there) = parted(&site).await;
    // The deletion has the higher generation, so it is the first parent.
    there.save(request(["9", "0", "0"])).await.unwrap();
    there.save(request(["1", "0", "0"])).await.unwrap();
    there.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    here.save(request(["1", "2", "0"])).await.unwrap();
    here.save(request(["1", "0", "0"]).message("back")).await.unwrap();
    let deletion = current(&there).await.1;
    exchange(&other, &site).await;
    let merged = here.merge_version(merge(), deletion.clone()).await.unwrap().record;
    assert!(merged.deleted && merged.parents[0] == deletion);
    here.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    assert_eq!(here.load(&id("a")).await.unwrap().content, text(["1", "0", "0"]));
}

/// What a caller adds to a reference does not go into the merge, or two stores would write different bytes.
async fn reference_is_taken_from_the_version_itself(site: Site) {
    let (here, other, there) = parted(&site).await;
    here.save(request(["1", "2", "0"])).await.unwrap();
    there.save(request(["1", "0", "3"])).await.unwrap();
    let (mine, theirs) = (current(&here).await.1, current(&there).await.1);
    exchange(&other, &site).await;
    exchange(&site, &other).await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::to_value(&theirs).unwrap();
        change(&mut value);
        serde_json::from_value::<VersionRef>(value).unwrap()
    };
    let elsewhere = with(&|value| value["workflow"] = "b".into());
    let forged = with(&|value| value["record_hash"] = ContentHash::of(b"").to_string().into());
    let absent = with(&|value| value["generation"] = 9.into());
    for wrong in [elsewhere, forged, absent] {
        let refused = here.merge_version(merge(), wrong).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{refused}");
    }
    let refused = here.merge_version(merge().message("why"), theirs.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("a merge of two stored versions has none"), "{refused}");
    let merged = here.merge_version(merge(), with(&|value| value["later"] = 1.into())).await.unwrap();
    assert_eq!(merged.record, there.merge_version(merge(), mine).await.unwrap().record);
    let head = site.json("workflows/a/metadata.json").await;
    assert!(!head.to_string().contains("later"), "{head}");
}

async fn tags_that_do_not_fit_are_refused(site: Site) {
    let (here, other, there) = parted(&site).await;
    let tags = |letter: char| (0..40).map(move |n| format!("{letter}{n}"));
    here.save(request(["1", "2", "0"]).tags(tags('a'))).await.unwrap();
    there.save(request(["1", "0", "3"]).tags(tags('b'))).await.unwrap();
    let theirs = current(&there).await.1;
    exchange(&other, &site).await;
    let refused = conflict(here.merge_version(merge(), theirs).await);
    assert!(matches!(&refused, Conflict::Unresolved { obstacle: Obstacle::TooManyTags, .. }), "{refused}");
    // A save that merges has the same bound.
    let mine = SaveRequest::new(id("a"), text(["1", "0", "5"]), Expect::Generation(2)).tags(tags('c'));
    let refused = conflict(here.save(mine.resolver(Arc::new(Policy::Merge))).await);
    assert!(matches!(&refused, Conflict::Unresolved { obstacle: Obstacle::TooManyTags, .. }), "{refused}");
}

async fn merge_that_does_not_follow_from_its_parents_is_damage(site: Site) {
    let (here, other, there) = parted(&site).await;
    here.save(request(["1", "2", "0"])).await.unwrap();
    there.save(request(["1", "0", "3"])).await.unwrap();
    let theirs = current(&there).await.1;
    exchange(&other, &site).await;
    let merged = here.merge_version(merge(), theirs).await.unwrap().record;
    here.close().await.unwrap();
    let key = format!("versions/a/{:012}-{}", merged.generation, merged.version_id);
    let mut parts = VersionParts::of(&site.get(&key).await.unwrap()).unwrap();
    let mut record = parts.fields();
    record["author"] = "mallory@evil".into();
    parts.record = record.to_string().into_bytes();
    let mut head = site.json("workflows/a/metadata.json").await;
    (head["current"]["record"], head["current"]["record_hash"]) =
        (record, parts.record_hash().to_string().into());
    site.put_raw(&key, parts.object()).await;
    site.put("workflows/a/metadata.json", format!("{head}\n")).await;
    let report = site.other_store(9).await.verify().await.unwrap();
    assert!(!report.is_sound());
    assert_eq!(damaged(&report), [key.as_str()], "{report:?}");
    assert!(report.findings[0].reason.contains("its id does not follow from its record"), "{report:?}");
}

/// The count tells whether the base of a merge can be on another branch, so it must be right.
async fn wrong_count_of_merges_is_damage(site: Site) {
    let (here, other, there) = parted(&site).await;
    here.save(request(["1", "2", "0"])).await.unwrap();
    there.save(request(["1", "0", "3"])).await.unwrap();
    let theirs = current(&there).await.1;
    exchange(&other, &site).await;
    assert_eq!(here.merge_version(merge(), theirs).await.unwrap().record.merges, 1);
    assert_eq!(here.save(request(["4", "2", "3"])).await.unwrap().record.merges, 1);
    here.close().await.unwrap();
    // A later program that does not know the field writes the next version without it.
    let mut head = site.json("workflows/a/metadata.json").await;
    let key = site.only_key("versions/a/000000000005-").await;
    let mut parts = VersionParts::of(&site.get(&key).await.unwrap()).unwrap();
    let mut record = parts.fields();
    record.as_object_mut().unwrap().remove("merges").unwrap();
    parts.record = record.to_string().into_bytes();
    (head["current"]["record"], head["current"]["record_hash"]) =
        (record, parts.record_hash().to_string().into());
    site.put_raw(&key, parts.object()).await;
    site.put("workflows/a/metadata.json", format!("{head}\n")).await;
    let report = site.other_store(9).await.verify().await.unwrap();
    assert!(report.findings.iter().any(|it| it.reason.contains("merges lead to it")), "{report:?}");
    assert!(!report.is_sound());
}

/// A save names the version that it was built on. A damaged one between does not hide it: jumps lead past it.
async fn base_is_found_beside_a_damaged_version(site: Site) {
    let store = site.store().await;
    store.save(request(["0", "0", "0"])).await.unwrap();
    let loaded = store.load(&id("a")).await.unwrap();
    for n in 1..9 {
        store.save(request([&n.to_string(), "0", "0"])).await.unwrap();
    }
    store.close().await.unwrap();
    site.put_raw(&site.only_key("versions/a/000000000005-").await, "damaged").await;
    let other = site.other_store(2).await;
    let mine =
        SaveRequest::new(id("a"), text(["0", "5", "0"]), loaded.expect()).resolver(Arc::new(Policy::Merge));
    let saved = other.save(mine).await.unwrap();
    assert_eq!((saved.generation, saved.resolved.unwrap().how), (10, Some(How::Merged)));
}
