//! Edits of `workflow.json` where people can edit it, and changes of it where they cannot.

use pflow_store::{ChangeRequest, Conflict, Expect, Remedy, SaveRequest, document::ContentHash};
use pflow_testkit::{Kind, Site, conflict, id, notices, plan, save};

const COPY: &str = "workflows/a/workflow.json";

async fn plain_sites() -> [Site; 2] {
    [Site::new(Kind::PlainMemory).await, Site::new(Kind::Disk).await]
}

#[tokio::test]
async fn edit_is_neither_overwritten_nor_loaded_as_the_workflow() {
    for site in plain_sites().await {
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.save(save("a", "2", Expect::Any)).await.unwrap();
        let edit = plan("by hand");
        site.put(COPY, edit.clone()).await;
        let before = site.dump().await;
        for refused in [
            store.load(&id("a")).await.map(drop),
            store.save(save("a", "3", Expect::Any)).await.map(drop),
            store.save(save("a", "2", Expect::Any).name("other")).await.map(drop),
            store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
        ] {
            let Conflict::ModifiedOutside { id: of, key, generation, found } = conflict(refused) else {
                panic!("not modified outside");
            };
            assert_eq!((of, key.as_str(), generation), (id("a"), COPY, Some(2)));
            assert_eq!(found, ContentHash::of(edit.as_bytes()));
        }
        assert_eq!(site.dump().await, before);
        assert_eq!(store.load_generation(&id("a"), 2).await.unwrap().content, plan("2"));
        assert_eq!(store.status().await.unwrap().edited, [id("a")]);
        let report = store.verify().await.unwrap();
        assert_eq!(notices(&report).len(), 1);
        assert!(report.findings[0].reason.contains("modified outside"), "{report:?}");
    }
}

#[tokio::test]
async fn saving_the_edit_adopts_it() {
    for site in plain_sites().await {
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.put(COPY, plan("by hand")).await;
        let adopted = store.save(save("a", "by hand", Expect::Generation(1))).await.unwrap();
        assert_eq!((adopted.generation, adopted.unchanged), (2, false));
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("by hand"));
        // A save of content that the head has already must neither touch the edit nor report success.
        site.put(COPY, plan("again")).await;
        let refused = store.save(save("a", "by hand", Expect::Any)).await;
        assert!(matches!(conflict(refused), Conflict::ModifiedOutside { generation: Some(2), .. }));
        assert_eq!(site.get(COPY).await.unwrap(), plan("again"));
        site.put(COPY, plan("by hand")).await;
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    }
}

#[tokio::test]
async fn edit_between_read_and_write_is_detected() {
    for site in plain_sites().await {
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        let raw = site.raw.clone();
        // Two calls read the head and the copy, the third one commits.
        site.probe.at_call(2, move || async move {
            use pflow_store::backend::{Batch, Key, Operation};
            let put = Operation::put(Key::parse(COPY).unwrap(), plan("by hand"));
            let _committed = raw.commit(Batch::new().stage([put])).await.unwrap();
        });
        let refused = store.save(save("a", "2", Expect::Any)).await;
        assert!(matches!(conflict(refused), Conflict::ModifiedOutside { .. }));
        assert!(site.probe.hook_has_run());
        assert_eq!(site.get(COPY).await.unwrap(), plan("by hand"));
        assert_eq!(store.show(&id("a")).await.unwrap().generation(), 1);
        assert_eq!(site.keys("versions/").await.len(), 1);
    }
}

/// A batch that is not atomic can leave the copy of an earlier version behind.
#[tokio::test]
async fn lagging_copy_is_repaired_by_a_load() {
    for kind in [Kind::Memory, Kind::Staged, Kind::PlainStaged] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        // More than the head remembers, so that the oldest version is known by its record alone.
        for n in 1..=35 {
            store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap();
        }
        for lagging in ["34", "1"] {
            site.put(COPY, plan(lagging)).await;
            let report = store.verify().await.unwrap();
            assert_eq!(notices(&report).len(), 1, "{lagging:?}");
            assert_eq!(report.findings[0].remedy, Some(Remedy::Load { id: id("a") }));
            assert_eq!(store.load(&id("a")).await.unwrap().content, plan("35"));
            assert_eq!(site.get(COPY).await.unwrap(), plan("35"), "{kind:?} {lagging:?}");
        }
        site.put(COPY, plan("3")).await;
        assert_eq!(store.save(save("a", "36", Expect::Generation(35))).await.unwrap().generation, 36);
        assert_eq!(site.get(COPY).await.unwrap(), plan("36"));
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    }
}

#[tokio::test]
async fn missing_copy_is_repaired_by_a_load() {
    for kind in [Kind::Memory, Kind::PlainMemory, Kind::Staged, Kind::PlainStaged, Kind::Disk] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.remove(COPY).await;
        let report = store.verify().await.unwrap();
        assert_eq!(notices(&report).len(), 1);
        assert_eq!(report.findings[0].remedy, Some(Remedy::Load { id: id("a") }));
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
        assert_eq!(site.get(COPY).await.unwrap(), plan("1"), "{kind:?}");
    }
}

/// With atomic batches a copy never lags, so a copy that differs from the head is a person's edit.
#[tokio::test]
async fn copy_of_an_older_version_is_an_edit() {
    for site in plain_sites().await {
        let store = site.store().await;
        for n in 1..=35 {
            store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap();
        }
        // Close the store first, so that the disk moves its files into place: while its journal has pending
        // work, an older file counts as one that has not been updated yet.
        store.close().await.unwrap();
        for older in ["34", "1"] {
            site.put(COPY, plan(older)).await;
            for refused in [
                store.load(&id("a")).await.map(drop),
                store.save(save("a", "36", Expect::Generation(35))).await.map(drop),
                store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.map(drop),
            ] {
                let conflict = conflict(refused);
                assert!(
                    matches!(conflict, Conflict::ModifiedOutside { generation: Some(35), .. }),
                    "{conflict}"
                );
            }
            assert_eq!(site.get(COPY).await.unwrap(), plan(older));
            assert_eq!(store.status().await.unwrap().edited, [id("a")]);
        }
        // Saving the edit adopts it.
        assert_eq!(store.save(save("a", "1", Expect::Generation(35))).await.unwrap().generation, 36);
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
        // The same for a file in place of a deleted workflow.
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        store.close().await.unwrap();
        site.put(COPY, plan("35")).await;
        let refused = conflict(store.save(save("a", "37", Expect::Any)).await);
        assert!(matches!(refused, Conflict::ModifiedOutside { generation: None, .. }), "{refused}");
        assert_eq!(site.get(COPY).await.unwrap(), plan("35"));
    }
}

/// A reader that reads the copy before another writer's batch, and the head after it, has not seen an edit.
#[tokio::test]
async fn copy_replaced_during_a_read_is_no_edit() {
    for kind in [Kind::PlainMemory, Kind::Disk, Kind::PlainStaged] {
        // Before each of the first calls of the operation.
        for calls in 0..5 {
            for what in ["load", "save", "status", "verify"] {
                let site = Site::new(kind).await;
                let store = site.store().await;
                store.save(save("a", "1", Expect::Absent)).await.unwrap();
                let other = site.other_store(2).await;
                site.probe.take();
                site.probe.at_call(calls, move || async move {
                    other.save(save("a", "2", Expect::Generation(1))).await.unwrap();
                });
                match what {
                    "load" => drop(store.load(&id("a")).await.unwrap()),
                    "save" => drop(store.save(save("a", "3", Expect::Any)).await.unwrap()),
                    "status" => assert_eq!(store.status().await.unwrap().edited, []),
                    _ => {
                        let report = store.verify().await.unwrap();
                        let edits =
                            report.findings.iter().filter(|it| it.reason.contains("modified outside"));
                        assert_eq!(edits.count(), 0, "{report:#?}");
                    }
                }
            }
        }
    }
}

/// A copy that the head does not remember is looked for in the old records, but only if the copy and the head
/// were read in the same state.
#[tokio::test]
async fn race_on_a_long_chain_reads_no_old_records() {
    for kind in [Kind::PlainMemory, Kind::PlainStaged] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        for n in 0..100 {
            store.save(save("a", &n.to_string(), Expect::Any)).await.unwrap();
        }
        let other = site.other_store(2).await;
        let mut old = 0;
        for n in 0..20 {
            site.probe.take();
            let other = other.clone();
            // After the read of the head, before the read of the copy.
            site.probe.at_call(1, move || async move {
                other.save(save("a", &format!("theirs {n}"), Expect::Any)).await.unwrap();
            });
            store.save(save("a", &format!("ours {n}"), Expect::Any)).await.unwrap();
            assert!(site.probe.hook_has_run());
            let log = site.probe.take();
            old += log.gets.iter().filter(|key| key.starts_with("versions/")).count();
            assert!(log.gets.len() <= 8, "{kind:?}: {:?}", log.gets);
        }
        assert_eq!(old, 0, "{kind:?}");
    }
}

#[tokio::test]
async fn load_without_write_permission_succeeds_without_repair() {
    for kind in [Kind::Memory, Kind::Disk] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.remove(COPY).await;
        site.probe.fail(pflow_testkit::Fault::refuse(usize::MAX));
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
        assert_eq!(site.get(COPY).await, None);
    }
}

/// Where people cannot edit the copy, unknown bytes are the late write of a writer that lost its race.
#[tokio::test]
async fn unknown_bytes_in_a_bucket_are_no_edit() {
    for kind in [Kind::Memory, Kind::Staged] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.put(COPY, plan("late")).await;
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
        assert_eq!(site.get(COPY).await.unwrap(), plan("1"));
        site.put(COPY, plan("late")).await;
        assert_eq!(store.save(save("a", "2", Expect::Any)).await.unwrap().generation, 2);
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("2"));
    }
}

#[tokio::test]
async fn edit_of_a_deleted_workflow_is_kept() {
    for site in plain_sites().await {
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        site.put(COPY, plan("by hand")).await;
        let undeleted = store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await;
        assert!(matches!(conflict(undeleted), Conflict::ModifiedOutside { generation: None, .. }));
        let saved = store.save(SaveRequest::new(id("a"), plan("by hand"), Expect::Absent)).await.unwrap();
        assert_eq!(saved.generation, 3);
    }
}
