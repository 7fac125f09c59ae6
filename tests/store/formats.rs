//! Documents of other formats than pflow's JSON: their working copies, their edits, and changes of format. What
//! pflow notes in the front matter of its markdown is no change.

use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, LiveState, SaveRequest,
    conflict::{How, Policy},
    document::{ContentHash, DocumentFormat, Extracted, Extractor},
};
use pflow_testkit::{Kind, Site, conflict, id, notices, plan, save};

const ALL: [Kind; 7] = [
    Kind::Memory,
    Kind::PlainMemory,
    Kind::Staged,
    Kind::PlainStaged,
    Kind::Disk,
    Kind::Sqlite,
    Kind::Bucket,
];
/// Where people edit files, in atomic batches.
const PLAIN: [Kind; 2] = [Kind::PlainMemory, Kind::Disk];
const JSON: &str = "workflows/a/workflow.json";
const BIN: &str = "workflows/a/workflow.bin";
const MARKDOWN: &str = "workflows/a/workflow.pflow.md";

fn opaque(content: &[u8], expect: Expect) -> SaveRequest {
    SaveRequest::new(id("a"), content.to_vec(), expect).format(DocumentFormat::Opaque)
}

#[tokio::test]
async fn any_bytes_come_back_as_they_are() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        for content in [&b"\xff\xfe\0 no text"[..], b"", b"{ no JSON", b"\xef\xbb\xbf{}"] {
            let saved = store.save(opaque(content, Expect::Any).name("title")).await.unwrap();
            assert_eq!((saved.record.name.text(), saved.record.size), (Some("title"), content.len() as u64));
            assert_eq!(store.load(&id("a")).await.unwrap().content, content);
            assert_eq!(site.get(BIN).await.unwrap(), content);
            let other = site.other_store(2).await;
            assert_eq!(other.load(&id("a")).await.unwrap().content, content, "{kind:?}");
            assert!(store.save(opaque(content, Expect::Any)).await.unwrap().unchanged);
        }
        assert_eq!(store.show(&id("a")).await.unwrap().generation(), 4);
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?}");
    }
}

/// The copy gets another name in the same step, and the old name goes.
#[tokio::test]
async fn change_of_format_removes_the_other_name() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.save(opaque(b"2", Expect::Generation(1))).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN], "{kind:?}");
        store.save(save("a", "3", Expect::Generation(2))).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [JSON]);
        store.save(opaque(b"4", Expect::Generation(3))).await.unwrap();
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [""; 0]);
        store.save(save("a", "6", Expect::Any)).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [JSON]);
        for (generation, content) in [(2, b"2".to_vec()), (3, plan("3").into_bytes()), (4, b"4".to_vec())] {
            assert_eq!(store.load_generation(&id("a"), generation).await.unwrap().content, content);
        }
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn undelete_restores_the_name_of_the_format() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(opaque(b"1", Expect::Absent)).await.unwrap();
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN], "{kind:?}");
        assert_eq!(store.load(&id("a")).await.unwrap().content, &b"1"[..]);
    }
}

#[tokio::test]
async fn edit_of_any_bytes_is_kept_as_a_version() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(opaque(b"1", Expect::Absent)).await.unwrap();
        site.put(BIN, "by hand").await;
        let Conflict::ModifiedOutside { key, .. } = conflict(store.load(&id("a")).await) else {
            panic!("not modified outside")
        };
        assert_eq!(key, BIN);
        let live = store.load_live(&id("a")).await.unwrap();
        assert_eq!((&live.content[..], live.state), (&b"by hand"[..], LiveState::Edited));
        let saved = store.save(opaque(b"3", Expect::Any).resolver(Policy::Ours)).await.unwrap();
        assert_eq!((saved.generation, saved.resolved.unwrap().kept_edit), (3, Some(2)));
        assert_eq!(store.load_generation(&id("a"), 2).await.unwrap().content, &b"by hand"[..]);
        let live = store.load_live(&id("a")).await.unwrap();
        assert_eq!((&live.content[..], live.state), (&b"3"[..], LiveState::Saved));
    }
}

/// An edit and the format change at once: the edit becomes a version of the old format below the new one.
#[tokio::test]
async fn edit_is_kept_below_a_version_of_another_format() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.put(JSON, plan("by hand")).await;
        let refused = conflict(store.save(opaque(b"3", Expect::Generation(1))).await);
        assert!(matches!(refused, Conflict::ModifiedOutside { .. }), "{refused}");
        let saved = store.save(opaque(b"3", Expect::Generation(1)).resolver(Policy::Ours)).await.unwrap();
        assert_eq!((saved.generation, saved.resolved.unwrap().kept_edit), (3, Some(2)));
        assert_eq!(store.load_generation(&id("a"), 2).await.unwrap().content, plan("by hand"));
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN], "{kind:?}");
    }
}

/// A person put the new file beside the old one and then saves it, or another one.
#[tokio::test]
async fn file_under_the_next_name_is_not_overwritten_unseen() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.put(BIN, "by hand").await;
        // It is no edit of the workflow, which loads.
        assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
        let before = site.dump().await;
        let refused = conflict(store.save(opaque(b"2", Expect::Any)).await);
        let Conflict::ModifiedOutside { key, found, .. } = &refused else { panic!("{refused}") };
        assert_eq!((key.as_str(), *found), (BIN, ContentHash::of(b"by hand")));
        assert_eq!(site.dump().await, before);
        // The same bytes are what the file should have.
        let saved = store.save(opaque(b"by hand", Expect::Any)).await.unwrap();
        assert_eq!((saved.generation, saved.resolved.is_none()), (2, true));
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN], "{kind:?}");
        // Back to the first name, over a file that is kept.
        site.put(JSON, plan("by hand")).await;
        let saved = store.save(save("a", "4", Expect::Any).resolver(Policy::Ours)).await.unwrap();
        assert_eq!((saved.generation, saved.resolved.unwrap().kept_edit), (4, Some(3)));
        assert_eq!(store.load_generation(&id("a"), 3).await.unwrap().content, plan("by hand"));
        assert_eq!(site.keys("workflows/a/workflow.").await, [JSON], "{kind:?}");
        // Or taken as the next version itself.
        site.put(BIN, "taken").await;
        let saved = store.save(opaque(b"5", Expect::Any).resolver(Policy::Theirs)).await.unwrap();
        assert_eq!((saved.generation, saved.resolved.unwrap().how), (5, Some(How::Theirs)));
        assert_eq!(store.load(&id("a")).await.unwrap().content, &b"taken"[..]);
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN], "{kind:?}");
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    }
}

#[tokio::test]
async fn two_edits_at_once_are_reported_and_both_stay() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        site.put(JSON, plan("by hand")).await;
        site.put(BIN, "by hand").await;
        let before = site.dump().await;
        for policy in [Policy::Fail, Policy::Ours, Policy::Theirs, Policy::Merge, Policy::Override] {
            let refused = store.save(opaque(b"2", Expect::Any).resolver(policy)).await.unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(JSON) && text.contains(BIN), "{policy:?}: {text}");
            assert_eq!(site.dump().await, before);
        }
        site.remove(BIN).await;
        store.save(opaque(b"2", Expect::Any).resolver(Policy::Ours)).await.unwrap();
    }
}

/// Before the first save too: nothing of what is there is overwritten.
#[tokio::test]
async fn file_that_was_there_first_is_a_conflict_for_its_format() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        site.put(BIN, "by hand").await;
        let refused = conflict(store.save(opaque(b"1", Expect::Absent)).await);
        assert!(matches!(&refused, Conflict::ModifiedOutside { key, .. } if key == BIN), "{refused}");
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        let report = store.verify().await.unwrap();
        assert_eq!(notices(&report).len(), 1, "{kind:?} {report:?}");
        assert_eq!(report.findings[0].key, BIN);
    }
}

/// In a bucket a late request may write the copy under the old name again. A repair removes it.
#[tokio::test]
async fn copy_of_the_old_format_that_came_back_is_removed() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Bucket] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.save(opaque(b"2", Expect::Any)).await.unwrap();
        site.put(JSON, plan("1")).await;
        assert_eq!(store.load(&id("a")).await.unwrap().content, &b"2"[..]);
        let report = store.verify().await.unwrap();
        assert_eq!(notices(&report).len(), 1, "{kind:?} {report:?}");
        let planned = store.plan_repair(&[]).await.unwrap();
        let repaired = store.repair(planned).await.unwrap();
        assert_eq!(repaired.in_line, [JSON]);
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN]);
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    }
}

/// Other bytes than those of a version are left alone, also in a bucket.
#[tokio::test]
async fn foreign_bytes_under_another_name_are_not_removed() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Bucket] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.save(opaque(b"2", Expect::Any)).await.unwrap();
        site.put(JSON, plan("of a person")).await;
        let planned = store.plan_repair(&[]).await.unwrap();
        let repaired = store.repair(planned).await.unwrap();
        assert_eq!(repaired.in_line, [""; 0], "{kind:?}");
        assert_eq!(site.get(JSON).await.unwrap(), plan("of a person"));
        assert_eq!(notices(&store.verify().await.unwrap()).len(), 1);
    }
}

/// A deleted workflow whose first copy, of another format, came back.
#[tokio::test]
async fn copy_of_the_old_format_of_a_deleted_workflow_is_removed() {
    for kind in [Kind::Memory, Kind::Staged, Kind::Bucket] {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.save(opaque(b"2", Expect::Any)).await.unwrap();
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        site.put(JSON, plan("1")).await;
        assert_eq!(notices(&store.verify().await.unwrap()).len(), 1, "{kind:?}");
        let planned = store.plan_repair(&[]).await.unwrap();
        store.repair(planned).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [""; 0], "{kind:?}");
    }
}

/// A head that was put back across a change of format is noticed, though the copy under its own name is gone.
#[tokio::test]
async fn head_put_back_across_a_change_of_format_is_noticed() {
    const HEAD: &str = "workflows/a/metadata.json";
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.close().await.unwrap();
        let first = site.get(HEAD).await.unwrap();
        store.save(save_markdown("two", 0, Expect::Any)).await.unwrap();
        store.close().await.unwrap();
        site.put_raw(HEAD, first).await;
        let other = site.other_store(2).await;
        let before = site.dump().await;
        for refused in [
            other.load(&id("a")).await.map(drop),
            other.save(save("a", "3", Expect::Any)).await.map(drop),
            other.save(save_markdown("three", 0, Expect::Any)).await.map(drop),
            other.save(opaque(b"3", Expect::Any)).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, Error::HeadHurt { .. }), "{kind:?}: {error}");
        }
        assert_eq!(site.dump().await, before, "{kind:?}");
        // A copy of the old format that is there as well is removed with the move of the head.
        site.put(JSON, plan("1")).await;
        let planned = other.plan_repair(&[]).await.unwrap();
        assert_eq!(other.repair(planned).await.unwrap().moved.len(), 1);
        assert_eq!(site.keys("workflows/a/workflow.").await, [MARKDOWN], "{kind:?}");
        assert_eq!(other.load(&id("a")).await.unwrap().content, markdown("two", 0));
        assert_eq!(notices(&other.verify().await.unwrap()), [""; 0], "{kind:?}");
    }
}

/// In a bucket no program runs the copy, so a copy with the same body is that of an earlier version.
#[tokio::test]
async fn copy_of_an_earlier_version_with_the_same_body_is_refreshed() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    store.save(save_markdown("one", 1, Expect::Absent)).await.unwrap();
    store.save(save_markdown("one", 2, Expect::Any).name("given")).await.unwrap();
    site.put(MARKDOWN, markdown("one", 1)).await;
    assert_eq!(store.load(&id("a")).await.unwrap().content, markdown("one", 2));
    assert_eq!(site.get(MARKDOWN).await.unwrap(), markdown("one", 2));
}

/// A change of the format alone is a change, also in a merge.
#[tokio::test]
async fn change_of_the_format_alone_is_not_lost_in_a_merge() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    store.save(save("a", "2", Expect::Any)).await.unwrap();
    let ours = SaveRequest::new(id("a"), plan("1"), Expect::Generation(1)).format(DocumentFormat::Opaque);
    let refused = conflict(store.save(ours.resolver(Policy::Merge)).await);
    assert!(refused.to_string().contains("both sides changed"), "{refused}");
}

#[tokio::test]
async fn opaque_documents_are_not_merged() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    store.save(opaque(b"1", Expect::Absent)).await.unwrap();
    store.save(opaque(b"2", Expect::Generation(1))).await.unwrap();
    let refused = store.save(opaque(b"3", Expect::Generation(1)).resolver(Policy::Merge)).await;
    let refused = conflict(refused);
    assert!(refused.to_string().contains("both sides changed"), "{refused}");
    // Equal bytes are no conflict, and an unchanged side is none either.
    let saved = store.save(opaque(b"1", Expect::Generation(1)).resolver(Policy::Merge)).await.unwrap();
    assert!(saved.unchanged);
    let saved = store.save(opaque(b"2", Expect::Generation(1)).resolver(Policy::Merge)).await.unwrap();
    assert!(saved.unchanged);
}

/// What n8n exports: `tags` are objects and a node may have no id, which no workflow of pflow may have.
const EXPORT: &str = r#"{ "name": "Chat", "nodes": [ { "name": "In", "type": "n8n.webhook" } ], "tags": [ { "name": "x" } ] }"#;

#[tokio::test]
async fn json_of_another_tool_is_saved_as_it_is_and_merged() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        let other = |content: String, expect| {
            SaveRequest::new(id("a"), content, expect).format(DocumentFormat::OtherJson)
        };
        let refused = store.save(SaveRequest::new(id("a"), EXPORT, Expect::Absent)).await.unwrap_err();
        assert!(matches!(refused, Error::Document { .. }), "{refused}");
        let saved = store.save(other(EXPORT.to_owned(), Expect::Absent)).await.unwrap();
        assert_eq!((saved.record.name.text(), saved.record.nodes.len()), (Some("Chat"), 0));
        assert_eq!(site.get(JSON).await.unwrap(), EXPORT);
        let theirs = EXPORT.replace("webhook", "cron");
        store.save(other(theirs, Expect::Generation(1))).await.unwrap();
        let ours = EXPORT.replace("Chat", "Talk");
        let saved = store.save(other(ours, Expect::Generation(1)).resolver(Policy::Merge)).await.unwrap();
        assert_eq!(saved.generation, 3);
        let merged = EXPORT.replace("webhook", "cron").replace("Chat", "Talk");
        let value = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        let content = store.load(&id("a")).await.unwrap().content;
        assert_eq!(value(&content), value(merged.as_bytes()), "{kind:?}");
        assert_eq!(saved.record.name.text(), Some("Talk"));
        assert!(store.save(other("[1]".to_owned(), Expect::Any)).await.is_err(), "an object is the root");
    }
}

/// Knows the exports of n8n.
#[derive(Debug)]
struct Exports;

impl Extractor for Exports {
    fn extract(&self, json: &str) -> Option<Extracted> {
        let value: serde_json::Value = serde_json::from_str(json).ok()?;
        let texts = |list: &str, key: &str| -> Option<Vec<String>> {
            let list = value.get(list)?.as_array()?.iter();
            Some(list.filter_map(|it| Some(it.get(key)?.as_str()?.to_owned())).collect())
        };
        let nodes = texts("nodes", "type").filter(|types| types.iter().all(|it| it.starts_with("n8n.")))?;
        let name = value.get("name")?.as_str().map(str::to_owned);
        Some(Extracted { name, tags: texts("tags", "name")?, nodes, ..Extracted::default() })
    }
}

#[tokio::test]
async fn extractor_names_what_it_knows_and_leaves_the_rest_to_pflow() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store_with(site.builder().extractor(Exports)).await;
        let saved = store.save(SaveRequest::new(id("a"), EXPORT, Expect::Absent)).await.unwrap();
        let record = saved.record;
        assert_eq!((record.name.text(), record.tags.value()), (Some("Chat"), &vec!["x".to_owned()]));
        assert_eq!(record.nodes, ["n8n.webhook"]);
        assert_eq!(record.media_type.known().ok(), Some(DocumentFormat::OtherJson.media_type()));
        // A merged document and a kept edit are asked for, too.
        let changed = |from: &str, to: &str| EXPORT.replace(from, to);
        let save_export = |content, expect| SaveRequest::new(id("a"), content, expect);
        store.save(save_export(changed("webhook", "cron"), Expect::Generation(1))).await.unwrap();
        let ours = save_export(changed("Chat", "Talk"), Expect::Generation(1)).resolver(Policy::Merge);
        let merged = store.save(ours).await.unwrap().record;
        assert_eq!((merged.name.text(), &merged.nodes[..]), (Some("Talk"), &["n8n.cron".to_owned()][..]));
        // What it does not know is a workflow of pflow, or is refused.
        let own = store.save(save("b", "1", Expect::Absent)).await.unwrap().record;
        assert_eq!(own.media_type.known().ok(), Some(DocumentFormat::Json.media_type()));
        let refused = store.save(SaveRequest::new(id("c"), r#"{ "nodes": [ {} ] }"#, Expect::Absent)).await;
        assert!(matches!(refused, Err(Error::Document { .. })));
        // A named format of pflow is not asked for.
        let named = SaveRequest::new(id("c"), EXPORT, Expect::Absent).format(DocumentFormat::Json);
        assert!(store.save(named).await.is_err());
    }
}

/// A workflow as pflow stores it after so many runs; before the first one without what it notes.
fn markdown(text: &str, runs: u32) -> String {
    let noted = match runs {
        0 => String::new(),
        runs => format!(
            "execution_count: {runs}\nlast_execution_success: true\nlast_execution_params:\n  token: secret\n"
        ),
    };
    format!(
        "---\ncreated_at: '2026-01-01T00:00:00+00:00'\nupdated_at: '{runs}'\nversion: 1.0.0\n{noted}---\n\n\
         # Title\n\n{text}\n\n## Steps\n\n### hello\n\nSays hello.\n\n- type: shell\n- command: echo {text}\n"
    )
}

fn save_markdown(text: &str, runs: u32, expect: Expect) -> SaveRequest {
    SaveRequest::new(id("a"), markdown(text, runs), expect)
}

#[tokio::test]
async fn markdown_comes_back_as_it_is_with_what_it_says() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        let record = store.save(save_markdown("one", 3, Expect::Absent)).await.unwrap().record;
        assert_eq!((record.name.text(), record.description.text()), (Some("Title"), Some("one")));
        assert_eq!(
            (&record.nodes[..], record.version.as_deref()),
            (&["shell".to_owned()][..], Some("1.0.0"))
        );
        assert_eq!(record.media_type.as_str(), "text/vnd.pflow.markdown");
        assert_eq!(record.body.as_ref().unwrap().rule, 1);
        let statistics = serde_json::Value::Object(record.statistics);
        let expected =
            serde_json::json!({ "execution_count": 3, "last_execution_success": true, "updated_at": "3" });
        assert_eq!(statistics, expected, "the parameters of the run are not kept");
        assert_eq!(site.get(MARKDOWN).await.unwrap(), markdown("one", 3));
        assert_eq!(store.load(&id("a")).await.unwrap().content, markdown("one", 3));
        let other = site.other_store(2).await;
        assert_eq!(other.load(&id("a")).await.unwrap().content, markdown("one", 3), "{kind:?}");
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn what_a_run_notes_makes_no_version() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save_markdown("one", 0, Expect::Absent)).await.unwrap();
        let before = site.dump().await;
        for runs in 1..5 {
            let saved = store.save(save_markdown("one", runs, Expect::Generation(1))).await.unwrap();
            assert!(saved.unchanged, "{kind:?}");
        }
        // CR LF, as an editor on Windows saves it, is no change of the workflow either.
        let crlf = markdown("one", 0).replace('\n', "\r\n");
        assert!(store.save(SaveRequest::new(id("a"), crlf, Expect::Any)).await.unwrap().unchanged);
        assert_eq!(site.dump().await, before);
        let saved = store.save(save_markdown("two", 9, Expect::Generation(1))).await.unwrap();
        assert_eq!((saved.generation, &saved.record.statistics["execution_count"]), (2, &9.into()));
        let named = save_markdown("two", 10, Expect::Generation(2)).name("given");
        assert_eq!(store.save(named).await.unwrap().generation, 3, "a given name is a change");
    }
}

/// pflow runs on the working copy itself.
#[tokio::test]
async fn working_copy_that_pflow_has_run_is_no_edit() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save_markdown("one", 0, Expect::Absent)).await.unwrap();
        store.close().await.unwrap();
        site.put(MARKDOWN, markdown("one", 7)).await;
        let before = site.dump().await;
        assert_eq!(store.load(&id("a")).await.unwrap().content, markdown("one", 0), "the saved bytes");
        let live = store.load_live(&id("a")).await.unwrap();
        assert_eq!((live.content, live.state), (markdown("one", 7).into(), LiveState::Noted));
        assert_eq!(store.status().await.unwrap().edited, []);
        assert_eq!(notices(&store.verify().await.unwrap()), [""; 0], "{kind:?}");
        assert!(store.save(save_markdown("one", 0, Expect::Any)).await.unwrap().unchanged);
        store.close().await.unwrap();
        assert_eq!(site.dump().await, before, "nothing is written over what pflow noted");
        // The next version keeps the last values, whatever its own text says.
        let plain = "# Title\n\n## Steps\n\n### hello\n\nSays hello.\n\n- type: shell\n";
        let saved = store.save(SaveRequest::new(id("a"), plain, Expect::Generation(1))).await.unwrap();
        assert_eq!((saved.generation, &saved.record.statistics["execution_count"]), (2, &7.into()));
        assert_eq!(store.load(&id("a")).await.unwrap().content, plain);
        // And an edit beside the noted values is an edit.
        site.put(MARKDOWN, format!("---\nexecution_count: 1\n---\n{plain}- command: x\n")).await;
        let refused = conflict(store.load(&id("a")).await);
        assert!(matches!(refused, Conflict::ModifiedOutside { .. }), "{refused}");
        // A deletion removes a copy that pflow noted something in.
        site.put(MARKDOWN, format!("---\nexecution_count: 1\n---\n{plain}")).await;
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [""; 0]);
    }
}

/// The person edits the file, pflow runs it, and the person saves the text that was edited.
#[tokio::test]
async fn edit_with_noted_values_is_what_is_saved() {
    for kind in PLAIN {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save_markdown("one", 0, Expect::Absent)).await.unwrap();
        site.put(MARKDOWN, markdown("two", 5)).await;
        let saved = store.save(save_markdown("two", 4, Expect::Generation(1))).await.unwrap();
        assert_eq!((saved.generation, saved.resolved.is_none()), (2, true), "{kind:?}");
        assert_eq!(store.load(&id("a")).await.unwrap().content, markdown("two", 4));
    }
}

#[tokio::test]
async fn markdown_replaces_json_and_is_replaced() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        store.save(save("a", "1", Expect::Absent)).await.unwrap();
        store.save(save_markdown("one", 0, Expect::Generation(1))).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [MARKDOWN], "{kind:?}");
        store.save(opaque(b"x", Expect::Generation(2))).await.unwrap();
        assert_eq!(site.keys("workflows/a/workflow.").await, [BIN]);
        let refused = store.save(SaveRequest::new(id("a"), "# Title\n\n## Steps\n", Expect::Any)).await;
        let Err(Error::Document { source, .. }) = refused else { panic!("taken") };
        assert_eq!(source.to_string(), "line 3: the section Steps has no step");
        assert_eq!(store.show(&id("a")).await.unwrap().generation(), 3);
    }
}

#[tokio::test]
async fn stale_save_of_markdown_is_merged() {
    for kind in ALL {
        let site = Site::new(kind).await;
        let store = site.store().await;
        let text = markdown("one", 0);
        store.save(SaveRequest::new(id("a"), text.clone(), Expect::Absent)).await.unwrap();
        let theirs = text.replace("Says hello.", "Says it.");
        store.save(SaveRequest::new(id("a"), theirs, Expect::Generation(1))).await.unwrap();
        let ours = markdown("one", 4).replace("echo one", "echo two");
        let request = SaveRequest::new(id("a"), ours.clone(), Expect::Generation(1)).resolver(Policy::Merge);
        assert_eq!(store.save(request).await.unwrap().generation, 3);
        let merged = ours.replace("Says hello.", "Says it.");
        assert_eq!(store.load(&id("a")).await.unwrap().content, merged, "{kind:?}");
        let clash = text.replace("echo one", "echo three");
        let request = SaveRequest::new(id("a"), clash, Expect::Generation(1)).resolver(Policy::Merge);
        let refused = conflict(store.save(request).await).to_string();
        assert!(refused.contains("steps[id=hello].command"), "{refused}");
    }
}
