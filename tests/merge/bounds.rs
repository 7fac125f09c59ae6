//! The limits of a comparison, and that it does not block an async thread.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pflow_store::{
    Conflict, Error, Expect, Remedy, SaveRequest,
    conflict::{Obstacle, Policy},
    document::{Document, Limits},
    merge::{MAX_COMPARED_BYTES, Merge, TooMuch, changes, merge},
};
use pflow_testkit::{Kind, Site, conflict, id};

fn document(text: impl Into<String>) -> Document {
    Document::parse(text.into(), &Limits::default()).unwrap()
}

/// A workflow of about `bytes` whose only text is `text`.
fn large(bytes: usize, text: &str) -> String {
    let mut nodes = String::new();
    for nth in 0..bytes / 60 + 1 {
        let comma = if nth == 0 { "" } else { "," };
        write!(nodes, r#"{comma}{{"id":"node-{nth:010}","type":"echo","params":{{"text":"x"}}}}"#).unwrap();
    }
    format!(r#"{{"text":"{text}","nodes":[{nodes}]}}"#)
}

/// A document of about `bytes`, most of them one text.
fn long(bytes: u64, text: &str) -> String {
    format!(r#"{{"name":"{text}","text":"{}"}}"#, "x".repeat(usize::try_from(bytes).unwrap()))
}

fn roomy() -> Limits {
    Limits::default().max_bytes(usize::try_from(MAX_COMPARED_BYTES).unwrap() * 2)
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let side = |text| Document::parse(long(MAX_COMPARED_BYTES / 2, text), &roomy()).unwrap();
    let (ours, theirs) = (side("1"), side("2"));
    for result in [
        merge(Some(&ours), &theirs, &document("{}"), &Limits::default()),
        merge(None, &ours, &theirs, &Limits::default()),
    ] {
        assert!(
            matches!(result, Merge::TooMuch(TooMuch::Bytes { limit: MAX_COMPARED_BYTES, .. })),
            "{result:?}"
        );
    }
    assert!(changes(&ours, &theirs).is_err());
    assert!(
        matches!(merge(Some(&ours), &ours, &theirs, &Limits::default()), Merge::Clean(_)),
        "one side changed nothing"
    );
    assert_eq!(changes(&ours, &ours).unwrap(), []);
}

#[test]
fn three_documents_of_the_usual_limit_are_merged() {
    let limit = Limits::default().max_bytes;
    let side = |name: &str, tag: &str| {
        let text = "x".repeat(limit - 64);
        document(format!(r#"{{"name":"{name}","text":"{text}","tags":["{tag}"]}}"#))
    };
    let merged = merge(Some(&side("1", "1")), &side("2", "1"), &side("1", "2"), &Limits::default());
    assert!(matches!(merged, Merge::Clean(_)), "{merged:?}");
}

#[tokio::test]
async fn a_merge_that_is_too_large_is_a_conflict_with_a_reason() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store_with(site.builder().limits(roomy())).await;
    let save = |text: &str, expect| SaveRequest::new(id("a"), long(MAX_COMPARED_BYTES / 3, text), expect);
    store.save(save("1", Expect::Absent)).await.unwrap();
    store.save(save("2", Expect::Generation(1))).await.unwrap();
    let request = save("3", Expect::Generation(1)).resolver(Arc::new(Policy::Merge));
    let refused = conflict(store.save(request).await);
    let Conflict::Unresolved { obstacle: Obstacle::TooMuch { .. }, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refused.remedy(), Remedy::ChooseSide);
    assert!(refused.to_string().contains("can be compared at once"), "{refused}");
    // Two of them may be shown.
    assert_eq!(store.what_changed(&refused).await.unwrap().unwrap().len(), 1);
    let other = long(MAX_COMPARED_BYTES, "4");
    store.save(SaveRequest::new(id("a"), other, Expect::Generation(2))).await.unwrap();
    assert!(matches!(store.what_changed(&refused).await, Err(Error::TooMuch { .. })));
}

/// On one thread, a task that only wants to be polled gets on while a large document is parsed, merged and
/// compared.
#[tokio::test(flavor = "current_thread")]
async fn large_documents_keep_no_async_thread_busy() {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    let save = |text: &str, expect| SaveRequest::new(id("a"), large(1 << 20, text), expect);
    store.save(save("1", Expect::Absent)).await.unwrap();
    store.save(save("2", Expect::Generation(1))).await.unwrap();
    let refused = conflict(store.save(save("3", Expect::Generation(1))).await);

    let done = Arc::new(AtomicBool::new(false));
    let ticking = {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            let mut ticks = 0_u64;
            while !done.load(Ordering::Relaxed) {
                ticks += 1;
                tokio::task::yield_now().await;
            }
            ticks
        })
    };
    let worked = store.what_changed(&refused).await.unwrap().unwrap();
    done.store(true, Ordering::Relaxed);
    assert_eq!(worked.len(), 1);
    let ticks = ticking.await.unwrap();
    assert!(ticks > 100, "{ticks} polls while documents of 2 MiB were compared");
}
