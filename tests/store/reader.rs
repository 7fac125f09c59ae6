//! The reader in Python, which was written from `docs/format.md` alone, reads what the store writes.

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, Expect, LeaseRequest, SaveRequest, Store, conflict::Policy, document::ContentHash,
};
use pflow_testkit::{Kind, Site, copy_store, everything, id, notices, plan, save};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs a script of `tests/reader`. Returns none where there is no Python.
fn python(script: &str, arguments: &[&str]) -> Option<(i32, Vec<u8>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader").join(script);
    match Command::new("python3").arg("-B").arg(script).args(arguments).output() {
        Ok(ran) => {
            let said = String::from_utf8_lossy(&ran.stderr);
            assert!(!said.contains("Traceback"), "{said}");
            Some((ran.status.code().unwrap(), ran.stdout))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: there is no python3");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn read(command: &str, folder: &Path, rest: &[&str]) -> Option<Value> {
    let arguments = [&["--json", command, folder.to_str().unwrap()], rest].concat();
    let (code, out) = python("pflow_reader.py", &arguments)?;
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&out));
    Some(serde_json::from_slice(&out).unwrap())
}

/// Compares what the reader says of this folder with the store.
async fn assert_same(store: &Store, folder: &Path) -> Option<()> {
    let listed = read("list", folder, &[])?;
    let entries = everything(store).await;
    let expected: Vec<_> = entries
        .iter()
        .map(|it| {
            json!({ "id": it.id, "generation": it.generation, "version_id": it.version_id, "hash": it.hash,
                "name": it.name })
        })
        .collect();
    assert_eq!(listed, json!({ "workflows": expected, "unreadable": [] }));
    for entry in entries {
        let (folder, id) = (folder.to_str().unwrap(), entry.id.as_str());
        let (code, content) = python("pflow_reader.py", &["load", folder, id])?;
        assert_eq!((code, &content[..]), (0, &store.load(&entry.id).await.unwrap().content[..]), "{id}");
        let history = read("history", Path::new(folder), &[id])?;
        for record in history.as_array().unwrap() {
            let generation = record["generation"].as_u64().unwrap();
            let Ok(loaded) = store.load_generation(&entry.id, generation).await else {
                assert_eq!(record["deleted"], true, "{record}");
                continue;
            };
            assert_eq!(*record, serde_json::to_value(&loaded.record).unwrap());
            let arguments = ["load", folder, id, &generation.to_string()];
            assert_eq!(
                python("pflow_reader.py", &arguments)?,
                (0, loaded.content.to_vec()),
                "{id}@{generation}"
            );
        }
    }
    notices(&store.verify().await.unwrap());
    assert_eq!(read("verify", folder, &[])?, json!({ "sound": true, "findings": [] }));
    Some(())
}

/// A chain with a deletion, a merge, given metadata, a lease, and an id with dots.
async fn varied(store: &Store) {
    for text in 1..=9 {
        store.save(save("a", &text.to_string(), Expect::Any)).await.unwrap();
    }
    let given = SaveRequest::new(id("a.b.c"), plan("1"), Expect::Absent);
    store.save(given.name("Größe \u{1f600} \"x\"").description("d").tags(["x", "y"])).await.unwrap();
    store.delete(ChangeRequest::new(id("a.b.c"), Expect::Any)).await.unwrap();
    store.undelete(ChangeRequest::new(id("a.b.c"), Expect::Any)).await.unwrap();
    store.save(save("gone", "1", Expect::Absent)).await.unwrap();
    store.delete(ChangeRequest::new(id("gone"), Expect::Any)).await.unwrap();
    let nodes = |one: &str, other: &str| {
        let node = |id: &str, text: &str| json!({ "id": id, "type": "echo", "params": { "text": text } });
        serde_json::to_vec(&json!({ "nodes": [node("m", one), node("n", other)] })).unwrap()
    };
    store.save(SaveRequest::new(id("merged"), nodes("1", "1"), Expect::Absent)).await.unwrap();
    store.save(SaveRequest::new(id("merged"), nodes("2", "1"), Expect::Any)).await.unwrap();
    let ours = SaveRequest::new(id("merged"), nodes("1", "2"), Expect::Generation(1));
    let merged = store.save(ours.resolver(Arc::new(Policy::Merge))).await.unwrap();
    assert_eq!(merged.hash, Some(ContentHash::of(&store.load(&id("merged")).await.unwrap().content)));
    let large = format!(r#"{{"nodes":[],"text":"{}"}}"#, "x".repeat(300 * 1024));
    store.save(SaveRequest::new(id("large"), large, Expect::Absent)).await.unwrap();
    store.acquire(&id("a"), LeaseRequest::new("edit", Duration::from_secs(60))).await.unwrap();
}

#[tokio::test]
async fn reader_agrees_with_the_store() {
    let site = Site::new(Kind::Disk).await;
    let store = site.store().await;
    varied(&store).await;
    if assert_same(&store, site.folder().unwrap()).await.is_none() {
        return;
    }
    store.reindex().await.unwrap();
    store.save(save("b", "after", Expect::Any)).await.unwrap();
    assert_same(&store, site.folder().unwrap()).await.unwrap();
}

#[tokio::test]
async fn reader_replays_the_journal() {
    let site = Site::new(Kind::Disk).await;
    let store = site.store().await;
    varied(&store).await;
    // The files follow as soon as nothing is committed for a moment, so a copy may be too late.
    for text in 0..1000 {
        store.save(save("last", &text.to_string(), Expect::Any)).await.unwrap();
        let copies = TempDir::new().unwrap();
        let copy = copies.path().join("copy");
        copy_store(site.folder().unwrap(), &copy).unwrap();
        let tail =
            u64::from_le_bytes(fs::read(copy.join(".journal/state")).unwrap()[48..56].try_into().unwrap());
        if tail == 0 {
            continue;
        }
        assert_same(&store, &copy).await;
        // The reader has changed nothing.
        let after = fs::read(copy.join(".journal/state")).unwrap();
        assert_eq!(after[48..56], tail.to_le_bytes());
        return;
    }
    panic!("no copy had work in its journal");
}

/// In a bucket the objects are read from a dump.
#[tokio::test]
async fn reader_reads_a_dump_of_a_bucket() {
    let site = Site::new(Kind::Bucket).await;
    let store = site.store().await;
    varied(&store).await;
    let folder = TempDir::new().unwrap();
    for (key, bytes) in site.dump().await {
        let path = folder.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    assert_same(&store, folder.path()).await;
}

#[test]
fn reader_finds_damage() {
    if let Some((code, out)) = python("test_reader.py", &[]) {
        assert_eq!(code, 0, "{}", String::from_utf8_lossy(&out));
    }
}
