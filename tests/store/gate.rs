//! Which programs may open and write a store, and which data of a later program is preserved.

use std::{sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, Error, ErrorKind, Expect, LeaseRequest, Remedy, Store, backend::StorageBackend,
};
use pflow_testkit::{Fault, Left, Site, every_backend, id, listed, plan, save};
use serde_json::{Value, json};

every_backend!(
    reader_must_support_the_read_features,
    writer_must_support_the_write_features,
    long_lived_writer_notices_a_changed_gate,
    newer_format_is_refused_and_not_changed,
    foreign_location_is_never_written_to,
    unknown_fields_of_a_later_program_are_preserved,
    concurrent_inits_create_one_store,
    concurrent_settings_are_both_kept,
    setting_that_could_not_be_read_is_refused,
    setting_whose_reply_was_lost_is_settled_or_unknown,
);

async fn change(site: &Site, key: &str, change: impl FnOnce(&mut Value)) {
    let mut value = site.json(key).await;
    change(&mut value);
    site.put(key, value.to_string()).await;
}

async fn reopen(site: &Site) -> Result<Store, Error> {
    let backend: Arc<dyn StorageBackend> = Arc::new(site.probe.clone());
    site.on(backend).open().await
}

async fn reader_must_support_the_read_features(site: Site) {
    drop(site.store().await);
    change(&site, "config.json", |config| config["features"]["read"] = json!(["encryption"])).await;
    let before = site.dump().await;
    let refused = reopen(&site).await.unwrap_err();
    assert!(matches!(&refused, Error::MissingFeatures { features } if *features == ["encryption"]));
    assert_eq!(refused.kind(), ErrorKind::Incompatible);
    let again = site.on(Arc::new(site.probe.clone())).init().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Incompatible);
    assert_eq!(site.dump().await, before);
}

async fn writer_must_support_the_write_features(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    change(&site, "config.json", |config| config["features"]["write"] = json!(["shards"])).await;
    let store = reopen(&site).await.unwrap();
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
    assert_eq!(listed(&store).await, ["a"]);
    assert!(store.verify().await.unwrap().is_sound());
    let before = site.dump().await;
    for refused in [
        store.save(save("a", "2", Expect::Any)).await.map(drop),
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(1))).await.map(drop),
        store.reindex().await.map(drop),
        store.set_setting("team", None).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::MissingFeatures { features }) if features == ["shards"]));
    }
    assert_eq!(site.dump().await, before);
}

async fn long_lived_writer_notices_a_changed_gate(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    change(&site, "config.json", |config| config["features"]["write"] = json!(["shards"])).await;
    let before = site.dump().await;
    let refused = store.save(save("new", "1", Expect::Absent)).await;
    assert!(matches!(refused, Err(Error::MissingFeatures { .. })));
    let refused = store.save(save("a", "2", Expect::Any)).await;
    assert!(matches!(refused, Err(Error::MissingFeatures { .. })), "and remembers it");
    assert_eq!(site.dump().await, before);

    let store = reopen(&site).await.unwrap();
    change(&site, "config.json", |config| config["features"]["write"] = json!([])).await;
    drop(store);
    let store = reopen(&site).await.unwrap();
    site.remove("config.json").await;
    let gone = store.acquire(&id("new"), LeaseRequest::new("t", Duration::from_secs(1))).await;
    assert!(matches!(gone, Err(Error::StoreMissing { .. })), "taken away from under it");
}

async fn newer_format_is_refused_and_not_changed(site: Site) {
    let store = site.store().await;
    for name in ["a", "b"] {
        store.save(save(name, "1", Expect::Absent)).await.unwrap();
    }
    let head = "workflows/a/metadata.json";
    change(&site, head, |head| *head = json!({ "format": "pflow-head/2", "anything": head, "checksum": "" }))
        .await;
    let before = site.dump().await;
    let lease = || LeaseRequest::new("t", Duration::from_secs(1));
    for refused in [
        store.load(&id("a")).await.map(drop),
        store.save(save("a", "2", Expect::Any)).await.map(drop),
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        store.acquire(&id("a"), lease()).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Incompatible);
        assert_eq!(refused.remedy(), Some(Remedy::UseNewer), "{refused}");
    }
    assert_eq!(site.dump().await, before);
    assert_eq!(store.load(&id("b")).await.unwrap().content, plan("1"), "the others go on");

    change(&site, "ops/checkpoint", |root| root["format"] = json!("pflow-index/2")).await;
    assert_eq!(store.reindex().await.unwrap_err().kind(), ErrorKind::Incompatible);
    change(&site, "config.json", |config| config["format"] = json!("pflow-store/2")).await;
    assert_eq!(reopen(&site).await.unwrap_err().kind(), ErrorKind::Incompatible);
    assert_eq!(site.json("ops/checkpoint").await["format"], "pflow-index/2");
}

async fn foreign_location_is_never_written_to(site: Site) {
    assert!(matches!(reopen(&site).await, Err(Error::StoreMissing { .. })));
    let seed = r#"{ "version": "1.0", "storage": { "path": "~/.pflow" } }"#;
    for (key, text) in [("index.json", "{}"), ("config.json", seed), ("config.json", "not json")] {
        site.put(key, text).await;
        let before = site.dump().await;
        let init = site.on(Arc::new(site.probe.clone())).init().await.unwrap_err();
        for refused in [init, reopen(&site).await.unwrap_err()] {
            assert!(matches!(refused, Error::Foreign { .. }), "{key}: {refused:?}");
        }
        assert_eq!(site.dump().await, before);
        assert_eq!(site.probe.take().commits, [[]; 0]);
    }
}

async fn unknown_fields_of_a_later_program_are_preserved(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let grant = store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(60))).await.unwrap();
    let head = "workflows/a/metadata.json";
    change(&site, head, |head| {
        head["later"] = json!({ "deep": [1, null] });
        head["lease"]["later"] = json!(7);
    })
    .await;
    change(&site, "config.json", |config| config["later"] = json!(true)).await;
    change(&site, "ops/checkpoint", |root| root["later"] = json!("x")).await;
    store.save(save("a", "2", Expect::Any).lease(grant.lease.id.clone())).await.unwrap();
    let now = site.json(head).await;
    assert_eq!((&now["later"], &now["lease"]["later"]), (&json!({ "deep": [1, null] }), &json!(7)));
    store.release(&id("a"), grant.lease.id).await.unwrap();
    store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    store.reindex().await.unwrap();
    assert_eq!(site.json(head).await["later"], json!({ "deep": [1, null] }));
    assert_eq!(site.json("ops/checkpoint").await["later"], "x");
    assert_eq!(site.json("config.json").await["later"], true);
}

async fn concurrent_inits_create_one_store(site: Site) {
    let other = site.on(site.raw.clone());
    // The first read finds no config.json, the second one no other object.
    site.probe.at_call(2, move || async move {
        other.init().await.unwrap();
    });
    let store = site.store().await;
    assert!(site.probe.hook_has_run());
    assert_eq!(site.json("config.json").await["store_id"], json!(store.config().store_id));
    assert_eq!(reopen(&site).await.unwrap().config(), store.config());
    assert_eq!(site.keys("").await.len(), if site.raw.capabilities().plain_files { 4 } else { 2 });
}

async fn concurrent_settings_are_both_kept(site: Site) {
    let store = site.store().await;
    let other = site.other_store(2).await;
    // One before the config is read, and one between the read and the swap.
    let mut met = 0;
    for call in 0..3 {
        let (theirs, name) = (other.clone(), format!("theirs-{call}"));
        site.probe.at_call(call, move || async move {
            theirs.set_setting(&name, Some(json!(call))).await.unwrap();
        });
        store.set_setting("ours", Some(json!(call))).await.unwrap();
        if site.probe.hook_has_run() {
            met += 1;
            assert_eq!(site.json("config.json").await["settings"][format!("theirs-{call}")], json!(call));
        }
        assert_eq!(site.json("config.json").await["settings"]["ours"], json!(call));
        assert_eq!(store.config().settings["ours"], json!(call));
    }
    assert!(met >= 2, "{met}");
    let config = store.set_setting("ours", None).await.unwrap();
    assert!(!config.settings.contains_key("ours"));
    let refused = store.set_setting(" ", None).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidField { field: "setting", .. }));
}

async fn setting_that_could_not_be_read_is_refused(site: Site) {
    let store = site.store().await;
    let before = site.get("config.json").await;
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    for value in [deep, json!("x".repeat(1 << 20))] {
        let refused = store.set_setting("team", Some(value)).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidField { field: "setting", .. }), "{refused}");
    }
    assert_eq!(site.get("config.json").await, before);
    reopen(&site).await.unwrap();
}

async fn setting_whose_reply_was_lost_is_settled_or_unknown(site: Site) {
    let store = site.store().await;
    let lost = |left| Fault { touching: "config.json", ..Fault::unknown(left) };
    for (left, team, landed) in [(Left::All, "data", true), (Left::Stages(0), "web", false)] {
        site.probe.fail(lost(left));
        let set = store.set_setting("team", Some(json!(team))).await;
        assert_eq!(site.probe.heal(), 1);
        // On a disk a read does not tell whether a change outlasts a loss of power.
        if site.kind.survives_power_loss() {
            assert!(matches!(set, Err(Error::OutcomeUnknown { .. })), "{set:?}");
            assert_eq!(site.json("config.json").await["settings"]["team"] == json!(team), landed);
            store.set_setting("team", Some(json!(team))).await.unwrap();
        } else {
            set.unwrap();
        }
        assert_eq!(site.json("config.json").await["settings"]["team"], json!(team));
    }
    // A change back to an old value has bytes of its own.
    let first = site.get("config.json").await;
    store.set_setting("team", Some(json!("data"))).await.unwrap();
    store.set_setting("team", Some(json!("web"))).await.unwrap();
    assert_ne!(site.get("config.json").await, first);
}
