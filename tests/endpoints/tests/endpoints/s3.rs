//! Tests of the S3 server through a client.
#![allow(clippy::disallowed_methods, reason = "a server has a real clock")]

use crate::support::{BUCKET, put, s3, update};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{
    Attribute, Attributes, Error, MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutMode,
    PutOptions, PutPayload, UpdateVersion, path::Path,
};
use pflow_test_endpoints::{Condition, Kind, Quirks, S3Endpoint, Shaping};

#[tokio::test]
async fn what_is_put_is_got_headed_listed_copied_and_deleted() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let store = s3(&endpoint);
    let mut options = PutOptions::from(PutMode::Overwrite);
    options.attributes = Attributes::from_iter([(Attribute::Metadata("who".into()), "me")]);
    store.put_opts(&"a/b".into(), PutPayload::from_static(b"hello"), options).await.unwrap();

    let got = store.get(&"a/b".into()).await.unwrap();
    assert_eq!(got.attributes.get(&Attribute::Metadata("who".into())).map(AsRef::as_ref), Some("me"));
    assert_eq!(got.meta.e_tag.as_deref(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!(got.bytes().await.unwrap(), "hello");
    assert_eq!(store.get_range(&"a/b".into(), 1..3).await.unwrap(), "el");
    assert_eq!(store.head(&"a/b".into()).await.unwrap().size, 5);

    store.copy(&"a/b".into(), &"a/c".into()).await.unwrap();
    let listed: Vec<_> = store.list(Some(&"a".into())).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(), ["a/b", "a/c"]);
    assert_eq!(listed[1].e_tag.as_deref(), Some("\"5d41402abc4b2a76b9719d911017c592\""));

    store.delete(&"a/b".into()).await.unwrap();
    assert!(matches!(store.get(&"a/b".into()).await, Err(Error::NotFound { .. })));
    assert_eq!(endpoint.bucket(BUCKET).keys(""), ["a/c"]);
}

#[tokio::test]
async fn conditions_hold_and_etags_come_back_with_the_content() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let store = s3(&endpoint);
    let first = put(&*store, "k", "A", PutMode::Create).await.unwrap();
    assert!(matches!(put(&*store, "k", "B", PutMode::Create).await, Err(Error::AlreadyExists { .. })));
    let second = put(&*store, "k", "B", update(&first)).await.unwrap();
    assert!(matches!(put(&*store, "k", "C", update(&first)).await, Err(Error::Precondition { .. })));
    let again = put(&*store, "k", "A", update(&second)).await.unwrap();
    assert_eq!(again.e_tag, first.e_tag);

    let unquoted = PutMode::Update(UpdateVersion {
        e_tag: again.e_tag.map(|etag| etag.replace('"', "")),
        version: None,
    });
    put(&*store, "k", "D", unquoted).await.unwrap();
    put(&*store, "missing", "E", update(&first)).await.unwrap_err();
    let log = endpoint.requests().log();
    let last = log.last().unwrap();
    assert_eq!((last.kind, last.key.as_str(), last.status), (Kind::ConditionalPut, "missing", Some(404)));
    assert_eq!(last.condition, Some(Condition::IfMatch(first.e_tag.unwrap())));
    assert_eq!(endpoint.bucket(BUCKET).get("k").unwrap(), "D");
}

#[tokio::test]
async fn lists_are_in_byte_order_page_by_page_and_by_folder() {
    let endpoint = S3Endpoint::start([BUCKET, "other"]);
    let store = s3(&endpoint);
    let bucket = endpoint.bucket(BUCKET);
    for key in ["b/1", "b-1", "a", "b/2/x", "b/2/y", "c", "B"] {
        bucket.put(key, "x");
    }
    for number in 0..2100 {
        bucket.put(&format!("many/{number:04}"), "x");
    }
    let folder = store.list_with_delimiter(Some(&"b".into())).await.unwrap();
    assert_eq!(folder.objects.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(), ["b/1"]);
    assert_eq!(folder.common_prefixes, [Path::from("b/2")]);
    let root = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(
        root.objects.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(),
        ["B", "a", "b-1", "c"]
    );
    assert_eq!(root.common_prefixes, [Path::from("b"), Path::from("many")]);

    let before = endpoint.requests().counts();
    let all: Vec<String> = store.list(None).map(|meta| meta.unwrap().location.to_string()).collect().await;
    assert_eq!(all, bucket.keys(""));
    assert_eq!((endpoint.requests().counts() - before).list, 3);
    let tail: Vec<String> = store
        .list_with_offset(Some(&"many".into()), &"many/2097".into())
        .map(|meta| meta.unwrap().location.to_string())
        .collect()
        .await;
    assert_eq!(tail, ["many/2098", "many/2099"]);
    assert!(endpoint.bucket("other").keys("").is_empty());
}

#[tokio::test]
async fn many_objects_are_deleted_by_one_request() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let store = s3(&endpoint);
    let keys: Vec<Path> = (0..5).map(|number| Path::from(format!("k{number}"))).collect();
    for key in &keys {
        endpoint.bucket(BUCKET).put(key.as_ref(), "x");
    }
    let gone: Vec<_> =
        store.delete_stream(futures::stream::iter(keys.clone()).map(Ok).boxed()).try_collect().await.unwrap();
    assert_eq!(gone, keys);
    assert_eq!(endpoint.requests().of_kind(Kind::BulkDelete).len(), 1);
    assert!(endpoint.bucket(BUCKET).keys("").is_empty());
}

#[tokio::test]
async fn multipart_uploads_appear_at_once_or_never() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let store = s3(&endpoint);
    let mut upload = store.put_multipart(&"big".into()).await.unwrap();
    upload.put_part(vec![b'a'; 5 << 20].into()).await.unwrap();
    upload.put_part(PutPayload::from_static(b"tail")).await.unwrap();
    assert_eq!(endpoint.bucket(BUCKET).get("big"), None);
    assert_eq!(endpoint.bucket(BUCKET).open_uploads(), 1);
    let done = upload.complete().await.unwrap();
    assert!(done.e_tag.unwrap().ends_with("-2\""));
    assert_eq!(endpoint.bucket(BUCKET).get("big").unwrap().len(), (5 << 20) + 4);

    let mut upload = store.put_multipart(&"never".into()).await.unwrap();
    upload.put_part(PutPayload::from_static(b"x")).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(endpoint.bucket(BUCKET).get("never"), None);
    assert_eq!(endpoint.bucket(BUCKET).open_uploads(), 0);
}

#[tokio::test]
async fn unknown_buckets_and_wrong_secrets_are_refused() {
    let endpoint = S3Endpoint::start(["another"]);
    let error = s3(&endpoint).get(&"k".into()).await.unwrap_err();
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    let stranger = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(endpoint.url())
        .with_bucket_name("another")
        .with_access_key_id(pflow_test_endpoints::ACCESS_KEY)
        .with_secret_access_key("wrong")
        .with_allow_http(true)
        .with_retry(crate::support::no_retries())
        .build()
        .unwrap();
    let error = stranger.get(&"k".into()).await.unwrap_err();
    assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
}

async fn race(endpoint: &S3Endpoint, writers: usize) -> Vec<object_store::Result<object_store::PutResult>> {
    let store = s3(endpoint);
    let first = put(&*store, "race", "start", PutMode::Overwrite).await.unwrap();
    let writes = (0..writers).map(|number| {
        let (store, mode) = (store.clone(), update(&first));
        async move { put(&*store, "race", &format!("writer {number}"), mode).await }
    });
    futures::future::join_all(writes).await
}

#[tokio::test]
async fn one_writer_wins_a_race_on_a_good_server_and_several_on_a_racy_one() {
    let endpoint = S3Endpoint::start([BUCKET]);
    assert_eq!(race(&endpoint, 8).await.iter().filter(|result| result.is_ok()).count(), 1);
    endpoint.set_quirks(Quirks::s3s_fs());
    assert!(race(&endpoint, 8).await.iter().filter(|result| result.is_ok()).count() > 1);
}

#[tokio::test]
async fn lost_races_are_worded_as_the_server_words_them() {
    for (quirks, status) in
        [(Quirks::aws(), 409), (Quirks { error_500_on_lost_race: true, ..Quirks::aws() }, 500)]
    {
        let endpoint = S3Endpoint::start([BUCKET]).with_quirks(quirks);
        let mut statuses = Vec::new();
        // On a busy machine the writers may run one after the other, without a race.
        for _ in 0..50 {
            endpoint.requests().reset();
            race(&endpoint, 4).await;
            let told = endpoint.requests().of_kind(Kind::ConditionalPut);
            statuses = told.iter().filter_map(|request| request.status).collect();
            if statuses.contains(&status) {
                break;
            }
        }
        assert_eq!(statuses.iter().filter(|found| **found == 200).count(), 1, "{statuses:?}");
        assert!(statuses.contains(&status), "{statuses:?}");
        // A stale condition is not a race.
        let store = s3(&endpoint);
        let stale = PutMode::Update(UpdateVersion { e_tag: Some("\"0\"".to_owned()), version: None });
        assert!(matches!(put(&*store, "race", "late", stale).await, Err(Error::Precondition { .. })));
    }
}

#[tokio::test]
async fn known_servers_dialects_are_spoken() {
    let endpoint = S3Endpoint::start([BUCKET]).with_quirks(Quirks::ceph_rgw_16());
    let store = s3(&endpoint);
    let first = put(&*store, "k", "A", PutMode::Create).await.unwrap();
    assert!(matches!(put(&*store, "k", "B", update(&first)).await, Err(Error::Precondition { .. })));
    let unquoted = first.e_tag.map(|etag| etag.replace('"', ""));
    put(&*store, "k", "B", PutMode::Update(UpdateVersion { e_tag: unquoted, version: None })).await.unwrap();
    let mut upload = store.put_multipart(&"big".into()).await.unwrap();
    upload.put_part(PutPayload::from_static(b"x")).await.unwrap();
    assert_eq!(upload.complete().await.unwrap().e_tag.as_deref(), Some(""));
    assert!(endpoint.bucket(BUCKET).get("big").is_some());

    endpoint.set_quirks(Quirks::s3rver());
    put(&*store, "k", "C", PutMode::Create).await.unwrap();
    let stale = UpdateVersion { e_tag: Some("\"0\"".to_owned()), version: None };
    put(&*store, "k", "D", PutMode::Update(stale)).await.unwrap();

    endpoint.set_quirks(Quirks { unquoted_list_etags: true, ..Quirks::NONE });
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert!(listed.iter().all(|meta| !meta.e_tag.as_deref().unwrap().contains('"')), "{listed:?}");
    assert!(store.head(&"k".into()).await.unwrap().e_tag.unwrap().starts_with('"'));
}

#[tokio::test]
async fn a_slow_server_takes_its_time_and_tells_how_many_waited() {
    let endpoint =
        S3Endpoint::start([BUCKET]).with_shaping(Shaping::latency(std::time::Duration::from_millis(30)));
    endpoint.bucket(BUCKET).put("k", "x");
    let store = s3(&endpoint);
    let started = std::time::Instant::now();
    let reads = (0..6).map(|_| {
        let store = store.clone();
        async move { store.head(&"k".into()).await.unwrap() }
    });
    futures::future::join_all(reads).await;
    assert!(started.elapsed().as_millis() >= 30);
    assert!(endpoint.requests().most_in_flight() > 1);
    assert_eq!(endpoint.requests().counts().head, 6);
    endpoint.requests().reset();
    assert_eq!(endpoint.requests().counts(), pflow_test_endpoints::Counts::default());
    assert!(endpoint.requests().log().is_empty());
}

#[test]
fn servers_answer_while_the_test_blocks_and_are_gone_when_dropped() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let address = endpoint.url().replace("http://", "");
    assert!(std::net::TcpStream::connect(&address).is_ok());
    let mut answer = String::new();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /bucket/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.contains("AccessDenied"), "{answer}");
    drop(endpoint);
    assert!(std::net::TcpStream::connect(&address).is_err());
}
