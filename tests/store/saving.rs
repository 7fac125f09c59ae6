//! Saving and loading, on every backend.

use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, Query, SaveRequest, Store, document::ContentHash,
    document::DocumentError,
};
use pflow_testkit::{Site, conflict, every_backend, generations, id, listed, listing, notices, plan, save};

every_backend!(
    saved_content_is_loaded_byte_for_byte,
    every_generation_can_be_loaded,
    delete_hides_and_undelete_restores,
    save_over_a_deletion_continues_the_history,
    unchanged_operations_write_nothing,
    refused_document_leaves_nothing,
    lists_find_and_search,
    batch_returns_results_in_order_and_folds,
);

async fn saved_content_is_loaded_byte_for_byte(site: Site) {
    let store = site.store().await;
    // Spaces, line ends, escapes and the order of the fields belong to the author.
    let texts =
        ["{}", " { }\n", "{\"b\":1,\r\n \"a\":1.00 }", "{\"nodes\":[],\"x\":\"\\u00e9 é \u{1F980}\"}"];
    for (n, text) in texts.iter().enumerate() {
        let name = id(&format!("w.{n}"));
        let saved = store.save(SaveRequest::new(name.clone(), *text, Expect::Absent)).await.unwrap();
        assert_eq!((saved.generation, saved.unchanged), (1, false));
        assert_eq!(saved.hash, Some(ContentHash::of(text.as_bytes())));
        let other = site.other_store(2).await;
        for reader in [&store, &other] {
            let loaded = reader.load(&name).await.unwrap();
            assert_eq!(loaded.content, *text);
            assert_eq!(loaded.record, saved.record);
            assert_eq!(reader.show(&name).await.unwrap().current.unwrap().record, saved.record);
        }
        assert_eq!(site.get(&format!("workflows/w.{n}/workflow.json")).await.unwrap(), *text);
    }
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn every_generation_can_be_loaded(site: Site) {
    let store = site.store().await;
    for n in 1..=40 {
        store.save(save("a", &n.to_string(), Expect::Generation(n - 1))).await.unwrap();
    }
    store.delete(ChangeRequest::new(id("a"), Expect::Generation(40))).await.unwrap();
    // Those that the head names, and those that are reached from there.
    for n in [1, 2, 7, 8, 9, 39, 40] {
        let loaded = store.load_generation(&id("a"), n).await.unwrap();
        assert_eq!((loaded.record.generation, loaded.content), (n, plan(&n.to_string()).into()));
    }
    for n in [0, 41, 42] {
        let refused = store.load_generation(&id("a"), n).await.unwrap_err();
        assert!(matches!(refused, Error::GenerationMissing { generation, .. } if generation == n));
    }
    let current = store.show(&id("a")).await.unwrap().current.unwrap();
    let jumps: Vec<u64> =
        current.record.jump.iter().chain(&current.jumps).map(|jump| jump.generation).collect();
    assert_eq!((current.record.depth, jumps), (41, vec![40, 39, 32, 1]));
    let report = store.verify().await.unwrap();
    assert_eq!((report.workflows, report.versions), (1, 41));
}

async fn delete_hides_and_undelete_restores(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent).name("Name").tags(["t"])).await.unwrap();
    let deleted =
        store.delete(ChangeRequest::new(id("a"), Expect::Generation(1)).message("gone")).await.unwrap();
    assert_eq!((deleted.generation, deleted.hash, deleted.record.deleted), (2, None, true));
    assert_eq!(deleted.record.message.as_deref(), Some("gone"));

    assert!(matches!(store.load(&id("a")).await, Err(Error::WorkflowMissing { deleted: true, .. })));
    assert_eq!(site.get("workflows/a/workflow.json").await, None);
    assert_eq!(listed(&store).await, [""; 0]);
    let gone = listing(&store, Query::new().deleted(true)).await.unwrap().workflows;
    assert_eq!((gone.len(), gone[0].title()), (1, "Name"));
    assert_eq!(store.load_generation(&id("a"), 1).await.unwrap().content, plan("1"));
    let again = store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    assert_eq!((again.unchanged, again.generation), (true, 2));

    let back = store.undelete(ChangeRequest::new(id("a"), Expect::Generation(2))).await.unwrap();
    assert_eq!((back.generation, back.record.name.text()), (3, Some("Name")));
    assert_eq!(back.record.tags.value()[..], ["t".to_owned()]);
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("1"));
    assert_eq!(site.get("workflows/a/workflow.json").await.unwrap(), plan("1"));
    assert_eq!(generations(&store).await, ["a@3"]);
    assert!(store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap().unchanged);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn save_over_a_deletion_continues_the_history(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent).name("old").tags(["old"])).await.unwrap();
    store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
    let saved = store.save(save("a", "1", Expect::Absent)).await.unwrap();
    assert_eq!((saved.generation, saved.unchanged), (3, false));
    assert_eq!(saved.record.parents[0].generation, 2);
    assert_eq!(
        (saved.record.name.text(), saved.record.tags.value().len()),
        (None, 0),
        "a deletion ends what was said of it"
    );
    for missing in [
        store.delete(ChangeRequest::new(id("b"), Expect::Any)).await,
        store.undelete(ChangeRequest::new(id("b"), Expect::Any)).await,
    ] {
        assert!(matches!(missing, Err(Error::WorkflowMissing { deleted: false, .. })));
    }
}

async fn unchanged_operations_write_nothing(site: Site) {
    let store = site.store().await;
    let request = |expect| save("a", "1", expect).name("n").description("d").tags(["t"]);
    let first = store.save(request(Expect::Absent)).await.unwrap();
    let before = site.dump().await;
    site.probe.take();
    for again in
        [request(Expect::Any), save("a", "1", Expect::Generation(1)), request(Expect::Any).message("why")]
    {
        let saved = store.save(again).await.unwrap();
        assert_eq!((saved.unchanged, saved.generation), (true, 1));
        assert_eq!(saved.record, first.record);
    }
    // Equal content does not satisfy another expectation: of two callers that count, only one may be told
    // that it counted.
    for expect in [Expect::Absent, Expect::Generation(9)] {
        let refused = store.save(request(expect)).await;
        assert!(matches!(conflict(refused), Conflict::Exists { .. } | Conflict::Version { .. }));
        let stale = store.undelete(ChangeRequest::new(id("a"), expect)).await;
        assert!(matches!(conflict(stale), Conflict::Exists { .. } | Conflict::Version { .. }));
    }
    assert_eq!(site.probe.take().commits, [[]; 0]);
    assert_eq!(site.dump().await, before);
    for change in [
        save("a", "1", Expect::Any).name("m"),
        save("a", "1", Expect::Any).description("e"),
        save("a", "1", Expect::Any).tags([""; 0]),
    ] {
        assert!(!store.save(change).await.unwrap().unchanged);
    }
    assert_eq!(generations(&store).await, ["a@4"]);
}

async fn refused_document_leaves_nothing(site: Site) {
    let store = site.store().await;
    let before = site.dump().await;
    let large = " ".repeat((16 << 20) + 1);
    for (text, words) in [
        ("", "line 1"),
        ("{\"a\": }", "line 1"),
        ("{\"nodes\": [{\"id\": \"a\"}]}", "nodes[0]"),
        ("{\"nodes\": [], \"start_node\": \"x\"}", "start_node"),
        (large.as_str(), "bytes"),
    ] {
        let refused = store.save(SaveRequest::new(id("a"), text.to_owned(), Expect::Any)).await.unwrap_err();
        assert!(matches!(refused, Error::Document { .. }), "{refused}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let large = store.save(SaveRequest::new(id("a"), large, Expect::Any)).await.unwrap_err();
    assert!(matches!(large, Error::Document { source: DocumentError::TooLarge { .. }, .. }));
    assert_eq!(site.dump().await, before);
    let drawn = Store::flows().unwrap();
    assert!(["parse_error", "validation_error"].iter().all(|action| drawn[0].mermaid.contains(action)));
}

async fn lists_find_and_search(site: Site) {
    let store = site.store().await;
    store
        .save(save("etl.daily", "1", Expect::Absent).name("Daily load").tags(["etl", "prod"]))
        .await
        .unwrap();
    store.save(save("etl.weekly", "2", Expect::Absent).description("the DAILY one, weekly")).await.unwrap();
    store.save(save("other", "3", Expect::Absent).tags(["prod"])).await.unwrap();
    let find = async |query: Query| {
        let found = listing(&site.other_store(2).await, query).await.unwrap().workflows;
        found.iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>()
    };
    let text = |text: &str| Query::new().text(text);
    assert_eq!(find(text("daily")).await, ["etl.daily", "etl.weekly"]);
    assert_eq!(find(text("echo daily load")).await, ["etl.daily"]);
    assert_eq!(find(Query::new().tags(["PROD"])).await, ["etl.daily", "other"]);
    assert_eq!(find(Query::new().limit(1)).await, ["etl.daily"]);
}

async fn batch_returns_results_in_order_and_folds(site: Site) {
    use futures::StreamExt;
    let store = site.store().await;
    store.save(save("w.05", "there", Expect::Absent)).await.unwrap();
    let requests: Vec<_> = (0..40)
        .map(|n| match n {
            7 => SaveRequest::new(id("w.07"), "no json", Expect::Absent),
            _ => save(&format!("w.{n:02}"), "x", Expect::Absent),
        })
        .collect();
    let results: Vec<_> = store.save_all(requests).collect().await;
    for (n, (name, result)) in results.iter().enumerate() {
        assert_eq!(*name, id(&format!("w.{n:02}")));
        match n {
            5 => assert!(matches!(result, Err(Error::Conflict(_)))),
            7 => assert!(matches!(result, Err(Error::Document { .. }))),
            _ => assert_eq!(result.as_ref().unwrap().generation, 1),
        }
    }
    assert_eq!(results.len(), 40);
    assert_eq!(site.keys("ops/pending/").await, [""; 0]);
    assert_eq!(site.json("index.json").await.as_object().unwrap().len(), 39);
    assert_eq!(listed(&site.other_store(2).await).await.len(), 39);
}
