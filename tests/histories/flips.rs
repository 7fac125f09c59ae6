//! Damage to small stored documents: every flipped bit and every truncation results in the correct answer or
//! an error.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pflow_store::{
    Entry, Error, ErrorKind, Expect, LeaseRequest, Loaded, Query, Store,
    backend::ManualEnvironment,
    format::{Config, Head},
    lock::LockState,
};
use pflow_testkit::{Kind, Site, everything, id, listing, save};

/// The acknowledged state.
struct Truth {
    config: Config,
    current: Loaded,
    earlier: Loaded,
    head: Head,
    lock: LockState,
    list: Vec<Arc<Entry>>,
}

/// Counts the outcomes of damage to one object.
#[derive(Debug, Default)]
struct Count {
    damaged: u32,
    /// An operation or `verify` reported it.
    noticed: u32,
    /// All answers were given and correct: the damage affects white space or derived data.
    harmless: u32,
}

async fn site() -> Site {
    let site = Site::new(Kind::Memory).await;
    let store = site.store().await;
    for text in ["1", "2"] {
        store.save(save("a", text, Expect::Any).name(format!("name {text}"))).await.unwrap();
    }
    store.acquire(&id("a"), LeaseRequest::new("t", Duration::from_secs(60))).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    store.reindex().await.unwrap();
    site
}

async fn truth(store: &Store) -> Truth {
    let id = id("a");
    Truth {
        config: store.config(),
        current: store.load(&id).await.unwrap(),
        earlier: store.load_generation(&id, 1).await.unwrap(),
        head: store.show(&id).await.unwrap(),
        lock: store.lock_state(&id).await.unwrap(),
        list: everything(store).await,
    }
}

async fn open(site: &Site) -> Result<Store, Error> {
    let environment = Arc::new(ManualEnvironment::new(2));
    Store::on(site.raw.clone()).environment(environment).open().await
}

/// Whether an operation, or else `verify`, noticed the damage. Panics on a wrong answer.
async fn notices(store: Result<Store, Error>, truth: &Truth, what: &str) -> bool {
    let mut refusals: Vec<Error> = Vec::new();
    let mut refused = |error: Error| {
        let documented = matches!(
            error.kind(),
            ErrorKind::Corrupt | ErrorKind::Incompatible | ErrorKind::NotFound | ErrorKind::Failed
        );
        assert!(documented && !error.to_string().is_empty(), "{what}: {error:?}");
        refusals.push(error);
    };
    let store = match store {
        Ok(store) => store,
        Err(error) => {
            refused(error);
            return true;
        }
    };
    let id = id("a");
    let config = store.config();
    assert_eq!(
        (&config.store_id, config.created, &config.features),
        (&truth.config.store_id, truth.config.created, &truth.config.features),
        "{what}"
    );
    match store.load(&id).await {
        Ok(loaded) => assert_eq!(loaded, truth.current, "{what}"),
        Err(error) => refused(error),
    }
    match store.load_generation(&id, 1).await {
        Ok(loaded) => assert_eq!(loaded, truth.earlier, "{what}"),
        Err(error) => refused(error),
    }
    match store.show(&id).await {
        Ok(head) => assert_eq!(head, truth.head, "{what}"),
        Err(error) => refused(error),
    }
    match store.lock_state(&id).await {
        Ok(lock) => assert_eq!(
            (&lock.lease, lock.fence, &lock.ended),
            (&truth.lock.lease, truth.lock.fence, &truth.lock.ended),
            "{what}"
        ),
        Err(error) => refused(error),
    }
    let mut named = false;
    match listing(&store, Query::new()).await {
        // An unreadable workflow is named; the other entries must be known ones.
        Ok(list) => {
            named = !list.unreadable.is_empty();
            let known = |entry| truth.list.contains(entry);
            let whole = list.workflows == truth.list || named && list.workflows.iter().all(known);
            assert!(whole, "{what}: {list:?}");
        }
        Err(error) => refused(error),
    }
    if named || !refusals.is_empty() {
        return true;
    }
    match store.verify().await {
        Ok(report) => !report.is_sound(),
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible),
                "{what}: {error:?}"
            );
            true
        }
    }
}

/// Tries all damage to `key`. `may_be_silent` decides by the bytes which damage `verify` need not report.
async fn try_all(key: &str, may_be_silent: impl Fn(&[u8]) -> bool) {
    let site = site().await;
    let reader = open(&site).await.unwrap();
    let truth = truth(&reader).await;
    let key = if key.ends_with('-') { site.only_key(key).await } else { key.to_owned() };
    let whole = site.get(&key).await.unwrap();
    let flips = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (format!("{key}: bit {bit}"), Bytes::from(bytes))
    });
    let cuts = (0..whole.len()).map(|end| (format!("{key}: cut at {end}"), whole.slice(..end)));
    let mut count = Count::default();
    for (what, bytes) in flips.chain(cuts) {
        site.put_raw(&key, bytes.clone()).await;
        count.damaged += 1;
        // A reader caches nothing unverified, so one reader can read all variants. The config is read once,
        // when the store is opened.
        let store = if key == "config.json" { open(&site).await } else { Ok(reader.clone()) };
        if notices(store, &truth, &what).await {
            count.noticed += 1;
        } else {
            count.harmless += 1;
            assert!(may_be_silent(&bytes), "{what}: nothing was said, by verify neither");
        }
    }
    println!("{key}: {count:?}");
    assert!(count.noticed > count.damaged / 2, "{count:?}");
    site.put_raw(&key, whole).await;
    assert!(!notices(open(&site).await, &truth, "whole again").await);
}

/// A line is valid without its line end.
fn only_its_end_is_missing(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\"}") && !bytes.contains(&b'\n')
}

#[tokio::test]
async fn damaged_head_gives_no_wrong_answer() {
    try_all("workflows/a/metadata.json", only_its_end_is_missing).await;
}

#[tokio::test]
async fn damaged_current_version_gives_no_wrong_answer() {
    try_all("versions/a/000000000002-", |_| false).await;
}

#[tokio::test]
async fn damaged_earlier_version_gives_no_wrong_answer() {
    // Pruning leaves the line, so a version that is cut off after its line counts as pruned.
    try_all("versions/a/000000000001-", |bytes| {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        line.ends_with(b"\"}") && !line.contains(&b'\n')
    })
    .await;
}

#[tokio::test]
async fn damaged_index_root_gives_no_wrong_answer() {
    try_all("ops/checkpoint", only_its_end_is_missing).await;
}

#[tokio::test]
async fn damaged_config_gives_no_wrong_answer() {
    // White space, and settings: people edit them, and the checksum does not cover them.
    try_all("config.json", |bytes| {
        let text = std::str::from_utf8(bytes).unwrap();
        text.contains("\"checksum\": \"sha256:") && serde_json::from_str::<Config>(text).is_ok()
    })
    .await;
}
