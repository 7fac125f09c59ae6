//! Tests of the GCS server through a client.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a server has a real clock; the client is made outside of a test"
)]

use std::sync::Arc;

use crate::support::{BUCKET, no_retries, put, update};
use futures::TryStreamExt as _;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::{
    Attribute, Attributes, Error, GetOptions, MultipartUpload as _, ObjectStore, ObjectStoreExt as _,
    PutMode, PutOptions, PutPayload, path::Path,
};
use pflow_test_endpoints::{Condition, GcsEndpoint, Kind};

/// A client that is configured only by the variables, without retries.
fn gcs(endpoint: &GcsEndpoint) -> Arc<GoogleCloudStorage> {
    let mut builder = GoogleCloudStorageBuilder::new().with_retry(no_retries());
    for (name, value) in endpoint.variables(BUCKET) {
        builder = builder.with_config(name.to_ascii_lowercase().parse().unwrap(), value);
    }
    Arc::new(builder.build().unwrap())
}

fn start() -> (GcsEndpoint, Arc<GoogleCloudStorage>) {
    let endpoint = GcsEndpoint::start([BUCKET]);
    let store = gcs(&endpoint);
    (endpoint, store)
}

async fn text(store: &dyn ObjectStore, key: &str) -> Vec<u8> {
    store.get(&key.into()).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn what_is_put_is_got_headed_copied_and_deleted() {
    let (endpoint, store) = start();
    let mut options = PutOptions::from(PutMode::Overwrite);
    options.attributes = Attributes::from_iter([
        (Attribute::Metadata("who".into()), "me"),
        (Attribute::ContentType, "application/json"),
    ]);
    let written = store.put_opts(&"a/b &c".into(), PutPayload::from_static(b"hello"), options).await.unwrap();

    let got = store.get(&"a/b &c".into()).await.unwrap();
    assert_eq!(got.attributes.get(&Attribute::Metadata("who".into())).map(AsRef::as_ref), Some("me"));
    assert_eq!(got.attributes.get(&Attribute::ContentType).map(AsRef::as_ref), Some("application/json"));
    assert_eq!((&got.meta.e_tag, &got.meta.version), (&written.e_tag, &written.version));
    assert_eq!(got.bytes().await.unwrap(), "hello");
    let head = store.head(&"a/b &c".into()).await.unwrap();
    assert_eq!((head.size, head.version), (5, written.version));

    store.copy(&"a/b &c".into(), &"copy".into()).await.unwrap();
    assert_eq!(text(&*store, "copy").await, b"hello");
    let again = store.copy_if_not_exists(&"a/b &c".into(), &"copy".into()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");

    store.delete(&"a/b &c".into()).await.unwrap();
    for missing in [store.get(&"a/b &c".into()).await.map(drop), store.delete(&"a/b &c".into()).await] {
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    }
    assert_eq!(endpoint.bucket(BUCKET).keys(""), ["copy"]);
}

#[tokio::test]
async fn generations_decide_who_writes_and_never_come_back() {
    let (endpoint, store) = start();
    let first = put(&*store, "k", "A", PutMode::Create).await.unwrap();
    let again = put(&*store, "k", "B", PutMode::Create).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
    let second = put(&*store, "k", "B", update(&first)).await.unwrap();
    let stale = put(&*store, "k", "C", update(&first)).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })), "{stale:?}");

    let third = put(&*store, "k", "A", update(&second)).await.unwrap();
    assert_eq!(third.e_tag, first.e_tag, "the content is the same");
    let stale = put(&*store, "k", "D", update(&first)).await;
    assert!(matches!(stale, Err(Error::Precondition { .. })), "but the generation is not: {stale:?}");

    store.delete(&"k".into()).await.unwrap();
    let gone = put(&*store, "k", "E", update(&third)).await;
    assert!(matches!(gone, Err(Error::Precondition { .. })), "{gone:?}");
    let reborn = put(&*store, "k", "A", PutMode::Create).await.unwrap();
    assert_ne!(reborn.version, third.version);

    let last = endpoint.requests().log().pop().unwrap();
    assert_eq!((last.kind, last.status), (Kind::ConditionalPut, Some(200)));
    assert_eq!(last.condition, Some(Condition::IfGenerationMatch("0".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_updates_each_round_has_one_winner() {
    let (_endpoint, store) = start();
    let mut current = put(&*store, "k", "start", PutMode::Create).await.unwrap();
    for round in 0..20 {
        let racers = (0..8).map(|racer| {
            let (store, mode) = (Arc::clone(&store), update(&current));
            tokio::spawn(async move { put(&*store, "k", &format!("{round} {racer}"), mode).await })
        });
        let ends = futures::future::join_all(racers).await;
        let mut won: Vec<_> = ends.into_iter().filter_map(|end| end.unwrap().ok()).collect();
        assert_eq!(won.len(), 1, "round {round}");
        current = won.remove(0);
    }
}

#[tokio::test]
async fn reads_take_ranges_and_conditions() {
    let (_endpoint, store) = start();
    let written = put(&*store, "k", "0123456789", PutMode::Create).await.unwrap();
    assert_eq!(store.get_range(&"k".into(), 2..5).await.unwrap(), "234");
    assert_eq!(store.get_range(&"k".into(), 8..20).await.unwrap(), "89");
    let tail = GetOptions { range: Some(object_store::GetRange::Suffix(3)), ..GetOptions::default() };
    assert_eq!(store.get_opts(&"k".into(), tail).await.unwrap().bytes().await.unwrap(), "789");
    store.get_range(&"k".into(), 10..11).await.unwrap_err();

    let read = async |if_match: Option<&str>, if_none_match: Option<&str>| {
        let [if_match, if_none_match] = [if_match, if_none_match].map(|etag| etag.map(str::to_owned));
        let options = GetOptions { if_match, if_none_match, ..GetOptions::default() };
        store.get_opts(&"k".into(), options).await.map(drop)
    };
    let etag = written.e_tag.as_deref();
    read(etag, None).await.unwrap();
    read(None, Some("\"other\"")).await.unwrap();
    assert!(matches!(read(Some("\"other\""), None).await, Err(Error::Precondition { .. })));
    assert!(matches!(read(None, etag).await, Err(Error::NotModified { .. })));
}

#[tokio::test]
async fn lists_come_in_order_in_pages_and_in_groups() {
    let (endpoint, store) = start();
    let keys: Vec<String> = (0..1_205).map(|number| format!("many/{number:04}")).collect();
    for key in keys.iter().map(String::as_str).chain(["a&<b>", "other/deep/x", "other/y"]) {
        endpoint.bucket(BUCKET).put(key, "x");
    }
    let listed = async |prefix: &str, after: Option<&str>| -> Vec<String> {
        let prefix = Path::from(prefix);
        let pages = match after {
            Some(after) => store.list_with_offset(Some(&prefix), &after.into()),
            None => store.list(Some(&prefix)),
        };
        pages.map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    };
    assert_eq!(listed("many", None).await, keys);
    assert_eq!(endpoint.requests().counts().list, 2, "a page has 1,000 names at most");
    assert_eq!(listed("many", Some("many/1199")).await, keys[1_200..]);

    let top = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(top.common_prefixes, [Path::from("many"), Path::from("other")]);
    assert_eq!(top.objects.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(), ["a&<b>"]);
    let other = store.list_with_delimiter(Some(&"other".into())).await.unwrap();
    assert_eq!(other.common_prefixes, [Path::from("other/deep")]);

    let options = PaginatedListOptions {
        offset: Some("many/0001".to_owned()),
        max_keys: Some(2),
        ..PaginatedListOptions::default()
    };
    let page = store.list_paginated(Some("many/"), options).await.unwrap();
    assert_eq!(
        page.result.objects.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(),
        ["many/0002", "many/0003"]
    );
    assert!(page.page_token.is_some());
}

#[tokio::test]
async fn an_upload_in_parts_is_there_once_it_is_complete() {
    let (endpoint, store) = start();
    let mut upload = store.put_multipart(&"big".into()).await.unwrap();
    for part in ["one ", "two ", "three"] {
        upload.put_part(part.into()).await.unwrap();
    }
    assert!(matches!(store.head(&"big".into()).await, Err(Error::NotFound { .. })));
    let written = upload.complete().await.unwrap();
    assert_eq!(text(&*store, "big").await, b"one two three");
    let head = store.head(&"big".into()).await.unwrap();
    assert_eq!((head.e_tag, head.version), (written.e_tag, written.version));

    let mut given_up = store.put_multipart(&"gone".into()).await.unwrap();
    given_up.put_part("one".into()).await.unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(endpoint.bucket(BUCKET).open_uploads(), 0);
    assert!(endpoint.bucket(BUCKET).get("gone").is_none());
}

#[tokio::test]
async fn what_it_does_not_know_is_refused() {
    let (endpoint, store) = start();
    let mut options = PutOptions::from(PutMode::Overwrite);
    options.attributes = Attributes::from_iter([(Attribute::CacheControl, "no-store")]);
    store.put_opts(&"k".into(), "x".into(), options).await.unwrap_err();
    assert_eq!(endpoint.requests().log().pop().unwrap().status, Some(501));

    let elsewhere = GcsEndpoint::start(["another"]);
    let missing = put(&*gcs(&elsewhere), "k", "x", PutMode::Overwrite).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}
