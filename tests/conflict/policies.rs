//! Every policy against every kind of conflict, on every backend.

use std::{sync::Arc, time::Duration};

use crate::support::{COPY, Known, Situation, doc, shown};
use pflow_store::{
    ChangeRequest, Expect, SaveRequest,
    conflict::{How, Policy},
};
use pflow_testkit::{Kind, Site, every_backend, id, notices};

every_backend!(
    saves_are_decided_by_policy,
    deletions_are_decided_by_policy,
    fields_are_merged_like_the_document,
    save_repeated_after_a_crash_merges_with_itself,
);

/// Without a common ancestor, every difference overlaps.
const BOTH: &str = "nodes[id=a].params.text nodes[id=b].params.text";

/// In the order of [`Policy::ALL`]: fail, wait, ours, theirs, merge, override.
async fn saves_are_decided_by_policy(site: Site) {
    use Situation::*;
    let table = [
        (Free, ["2 2,1"; 6]),
        (Locked, ["locked", "locked", "locked", "locked", "locked", "2 2,1 overridden"]),
        (Stale, ["version", "version", "3 2,1 ours", "=2 1,2 theirs", "3 2,2 merged", "3 2,1 ours"]),
        (
            Overlapping,
            ["version", "version", "3 2,1 ours", "=2 3,1 theirs", "nodes[id=a].params.text", "3 2,1 ours"],
        ),
        (Twins, ["version", "version", "=2 2,1 ours", "=2 2,1 theirs", "=2 2,1 merged", "=2 2,1 ours"]),
        (Future, ["version", "version", "2 2,1 ours", "=1 1,1 theirs", "no base", "2 2,1 ours"]),
        (Never, ["version", "version", "1 2,1 ours", "version", "no base", "1 2,1 ours"]),
        (Deleted, ["deleted", "deleted", "3 2,1 ours", "=2 gone theirs", "deletion", "3 2,1 ours"]),
        (
            DeletedUntouched,
            ["deleted", "deleted", "3 1,1 ours", "=2 gone theirs", "=2 gone merged", "3 1,1 ours"],
        ),
        (Exists, ["exists", "exists", "2 2,1 ours", "=1 1,2 theirs", BOTH, "2 2,1 ours"]),
        (ExistsAlike, ["exists", "exists", "=1 2,1 ours", "=1 2,1 theirs", "=1 2,1 merged", "=1 2,1 ours"]),
        (LeaseLost, ["lease lost"; 6]),
        (LockedAndStale, ["locked", "locked", "locked", "locked", "locked", "3 2,1 ours broken"]),
        (
            Edited,
            [
                "edited",
                "edited",
                "3 2,1 ours kept 2",
                "2 1,2 theirs",
                "3 2,2 merged kept 2",
                "3 2,1 ours kept 2",
            ],
        ),
        (
            EditedBack,
            ["edited", "edited", "3 1,1 ours kept 2", "2 1,2 theirs", "2 1,2 merged", "3 1,1 ours kept 2"],
        ),
        (
            EditedOverlapping,
            [
                "edited",
                "edited",
                "3 2,1 ours kept 2",
                "2 3,1 theirs",
                "nodes[id=a].params.text",
                "3 2,1 ours kept 2",
            ],
        ),
        (EditedBadly, ["edited", "edited", "unusable", "unusable", "unusable", "unusable"]),
        (
            EditedAndStale,
            [
                "version",
                "version",
                "4 2,1 ours kept 3",
                "=2 1,2 theirs",
                "4 2,3 merged kept 3",
                "4 2,1 ours kept 3",
            ],
        ),
        (PutThere, ["edited", "edited", "2 2,1 ours kept 1", "1 1,2 theirs", BOTH, "2 2,1 ours kept 1"]),
    ];
    let store = site.store().await;
    let other = site.other_store(2).await;
    let mut wrong = Vec::new();
    for (situation, row) in table {
        if situation.needs_a_person() && !matches!(site.kind, Kind::PlainMemory | Kind::Disk) {
            continue;
        }
        for (policy, wanted) in Policy::ALL.into_iter().zip(row) {
            let name = format!("{situation:?}-{policy}").to_lowercase();
            let request = situation.bring(&site, &store, &other, &name).await;
            let known = Known::of(&store, &name).await;
            let there = async || {
                let copy = site.get(&COPY.replace('*', &name)).await;
                (store.show(&id(&name)).await.ok(), copy)
            };
            let before = there().await;
            let saved = store.save(request.resolver(Arc::new(policy))).await;
            let got = shown(&store, &name, &saved).await;
            if got != wanted {
                wrong.push(format!("{situation:?} {policy}: {got}, not {wanted}"));
            }
            if saved.is_err() {
                assert_eq!(there().await, before, "what is reported changed nothing: {name}");
            }
            known.is_still_there(&store, &name).await;
            if let Ok(saved) = saved {
                if let Some(kept) = saved.resolved.as_ref().and_then(|resolved| resolved.kept_edit) {
                    let edit = store.load_generation(&id(&name), kept).await.unwrap();
                    assert_eq!(edit.content, situation.edit(), "{name}");
                    assert_eq!(edit.record.operation.as_str(), "adopt");
                }
                if !saved.unchanged {
                    assert_eq!(store.load(&id(&name)).await.unwrap().record, saved.record);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{:?}: {wrong:#?}", site.kind);
    let report = store.verify().await.unwrap();
    // The edits that were reported still exist.
    assert!(report.is_sound(), "{:#?}", report.findings);
}

async fn deletions_are_decided_by_policy(site: Site) {
    let store = site.store().await;
    let other = site.other_store(2).await;
    for (policy, wanted) in Policy::ALL.into_iter().zip([
        "version",
        "version",
        "3 gone ours",
        "=2 1,2 theirs",
        "version",
        "3 gone ours",
    ]) {
        let name = format!("stale-{policy}");
        Situation::Stale.bring(&site, &store, &other, &name).await;
        let delete = ChangeRequest::new(id(&name), Expect::Generation(1)).resolver(Arc::new(policy));
        let deleted = store.delete(delete).await;
        assert_eq!(shown(&store, &name, &deleted).await, wanted, "{policy}");
    }
    for (policy, wanted) in
        Policy::ALL.into_iter().zip(["locked", "locked", "locked", "locked", "locked", "2 gone overridden"])
    {
        let name = format!("locked-{policy}");
        Situation::Locked.bring(&site, &store, &other, &name).await;
        let delete = ChangeRequest::new(id(&name), Expect::Any).resolver(Arc::new(policy));
        let deleted = store.delete(delete).await;
        assert_eq!(shown(&store, &name, &deleted).await, wanted, "{policy}");
    }
    // Undelete a deletion that was not the expected one.
    Situation::Deleted.bring(&site, &store, &other, "back").await;
    let undelete = ChangeRequest::new(id("back"), Expect::Generation(1));
    let back = store.undelete(undelete.resolver(Arc::new(Policy::Ours))).await;
    assert_eq!(shown(&store, "back", &back).await, "3 1,1 ours");
    if matches!(site.kind, Kind::PlainMemory | Kind::Disk) {
        for (policy, wanted) in Policy::ALL.into_iter().zip([
            "edited",
            "edited",
            "3 gone ours kept 2",
            "2 1,2 theirs",
            "edited",
            "3 gone ours kept 2",
        ]) {
            let name = format!("edited-{policy}");
            Situation::Edited.bring(&site, &store, &other, &name).await;
            let delete = ChangeRequest::new(id(&name), Expect::Any).resolver(Arc::new(policy));
            let deleted = store.delete(delete).await;
            assert_eq!(shown(&store, &name, &deleted).await, wanted, "{policy}");
            assert_eq!(
                site.get(&COPY.replace('*', &name)).await.is_none(),
                wanted.contains("gone"),
                "{policy}"
            );
        }
    }
    assert!(store.verify().await.unwrap().is_sound());
}

/// The metadata beside the document is merged too, and metadata that a document does not mention does not
/// count as an edit.
async fn fields_are_merged_like_the_document(site: Site) {
    let (store, other) = (site.store().await, site.other_store(2).await);
    let first = SaveRequest::new(id("a"), doc("1", "1"), Expect::Absent).name("first").tags(["x", "y"]);
    store.save(first).await.unwrap();
    let theirs =
        SaveRequest::new(id("a"), doc("1", "2"), Expect::Generation(1)).name("theirs").tags(["y", "z"]);
    other.save(theirs).await.unwrap();
    let ours =
        || SaveRequest::new(id("a"), doc("2", "1"), Expect::Generation(1)).resolver(Arc::new(Policy::Merge));
    let refused = store.save(ours().name("ours")).await;
    assert_eq!(shown(&store, "a", &refused).await, "name");
    let saved = store.save(ours().description("new").tags(["w", "x", "y"])).await.unwrap();
    assert_eq!(saved.resolved.unwrap().how, Some(How::Merged));
    let record = saved.record;
    let mut tags = record.tags.value().clone();
    tags.sort();
    assert_eq!((record.name.text(), record.description.text()), (Some("theirs"), Some("new")));
    assert_eq!(tags, ["w", "y", "z"]);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

/// The save conflicts with its own first attempt, and a merge resolves that.
async fn save_repeated_after_a_crash_merges_with_itself(site: Site) {
    let store = site.store().await;
    store.save(SaveRequest::new(id("a"), doc("1", "1"), Expect::Absent)).await.unwrap();
    let request = || {
        SaveRequest::new(id("a"), doc("2", "1"), Expect::Generation(1))
            .name("mine")
            .resolver(Arc::new(Policy::Merge))
    };
    assert_eq!(store.save(request()).await.unwrap().generation, 2);
    let again = site.other_store(2).await.save(request()).await.unwrap();
    assert_eq!((again.generation, again.unchanged), (2, true));
    // Others have built on it since.
    store.save(SaveRequest::new(id("a"), doc("2", "5"), Expect::Generation(2))).await.unwrap();
    let again = store.save(request().lock_timeout(Duration::from_secs(1))).await.unwrap();
    assert_eq!((again.generation, again.unchanged), (3, true));
    assert_eq!(store.load(&id("a")).await.unwrap().content, doc("2", "5"));
}
