//! Tests of the proxy: each fault happens, and affects the server as documented.
#![allow(clippy::disallowed_methods, reason = "a server has a real clock")]

use std::time::Duration;

use crate::support::{BUCKET, put, s3_at};
use object_store::{Error, ObjectStoreExt as _, PutMode};
use pflow_test_endpoints::{Condition, Fault, FaultPlan, Kind, Proxy, S3Endpoint, Shaping};

#[tokio::test]
async fn a_proxy_without_faults_changes_nothing() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let proxy = Proxy::start(&endpoint.url(), 1);
    let store = s3_at(&proxy.url());
    let first = put(&*store, "a/b c", "hello", PutMode::Create).await.unwrap();
    assert!(matches!(put(&*store, "a/b c", "x", PutMode::Create).await, Err(Error::AlreadyExists { .. })));
    put(&*store, "a/b c", "again", crate::support::update(&first)).await.unwrap();
    assert_eq!(store.get(&"a/b c".into()).await.unwrap().bytes().await.unwrap(), "again");
    assert_eq!(store.head(&"a/b c".into()).await.unwrap().size, 5);
    assert_eq!(store.get_range(&"a/b c".into(), 1..3).await.unwrap(), "ga");
    store.delete(&"a/b c".into()).await.unwrap();
    assert!(proxy.injected().is_empty());
    assert_eq!(proxy.requests().log(), endpoint.requests().log());
}

#[tokio::test]
async fn each_fault_of_a_write_leaves_the_server_as_it_says() {
    for fault in Fault::ALL {
        let endpoint = S3Endpoint::start([BUCKET]);
        let proxy = Proxy::start(&endpoint.url(), 2);
        proxy.one_shot(fault, |request| {
            request.kind == Kind::ConditionalPut
                && request.condition == Some(Condition::IfNoneMatch("*".to_owned()))
        });
        let store = s3_at(&proxy.url());
        store.head(&"k".into()).await.unwrap_err();
        assert_eq!(proxy.waiting(), 1, "{fault}: a read is not what it waits for");
        let result = put(&*store, "k", "x", PutMode::Create).await;
        proxy.settled().await;

        assert_eq!(proxy.injected().into_iter().collect::<Vec<_>>(), [(fault, 1)]);
        let seen = endpoint.requests().of_kind(Kind::ConditionalPut).len();
        let there = endpoint.bucket(BUCKET).get("k").is_some();
        let expected = match fault {
            Fault::CutBefore
            | Fault::Error500Before
            | Fault::Error503Before
            | Fault::Conflict409Before
            | Fault::Expired => (false, 0, false),
            // This client accepts pages, and follows redirects where possible.
            Fault::RedirectBefore | Fault::PageBefore => (result.is_ok(), 0, false),
            Fault::RedirectAfter | Fault::PageAfter => (result.is_ok(), 1, true),
            Fault::Delay => (true, 1, true),
            // The second request conflicts with the first.
            Fault::Duplicate => (false, 2, true),
            _ => (false, 1, true),
        };
        assert_eq!((result.is_ok(), seen, there), expected, "{fault}: {result:?}");
        let is_told = matches!(fault, Fault::Duplicate | Fault::Delay);
        assert_eq!(fault.applies_silently(), there && !is_told, "{fault}");
        let told = proxy.requests().of_kind(Kind::ConditionalPut)[0].status;
        let status = match fault {
            Fault::Error500Before | Fault::Error500After => Some(500),
            Fault::Error503Before | Fault::Error503After => Some(503),
            Fault::Conflict409Before | Fault::Conflict409After => Some(409),
            Fault::CutBefore | Fault::DropReply | Fault::TruncateReply => None,
            Fault::Duplicate => Some(412),
            Fault::Delay => Some(200),
            Fault::LateWrite
            | Fault::LandsLate
            | Fault::Expired
            | Fault::RedirectBefore
            | Fault::RedirectAfter => told,
            Fault::PageBefore | Fault::PageAfter => Some(200),
        };
        assert_eq!(told, status, "{fault}");
        put(&*store, "after", "y", PutMode::Create).await.unwrap();
    }
}

#[tokio::test]
async fn a_late_write_lands_after_the_client_was_told_that_it_failed() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let plan = FaultPlan::none().with(Fault::LateWrite, 1.0).with_longest_delay(Duration::from_millis(500));
    let (mut cut, mut refused) = (0, 0);
    for seed in 0..6 {
        let proxy = Proxy::start(&endpoint.url(), seed).with_plan(plan.clone());
        let key = format!("k{seed}");
        put(&*s3_at(&proxy.url()), &key, "x", PutMode::Overwrite).await.unwrap_err();
        match proxy.requests().log()[0].status {
            Some(500) => refused += 1,
            None => cut += 1,
            other => panic!("{other:?}"),
        }
        proxy.settled().await;
        assert!(endpoint.bucket(BUCKET).get(&key).is_some());
    }
    assert!(cut > 0 && refused > 0, "{cut} cut, {refused} refused");
}

#[tokio::test]
async fn a_truncated_answer_is_an_error_to_its_reader() {
    let endpoint = S3Endpoint::start([BUCKET]);
    endpoint.bucket(BUCKET).put("k", vec![b'x'; 100_000]);
    let proxy = Proxy::start(&endpoint.url(), 3);
    proxy.one_shot(Fault::TruncateReply, |request| request.key == "k");
    let store = s3_at(&proxy.url());
    store.get(&"k".into()).await.unwrap().bytes().await.unwrap_err();
    assert_eq!(store.get(&"k".into()).await.unwrap().bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn the_same_seed_does_the_same_to_the_same_requests() {
    let told = |seed| async move {
        let endpoint = S3Endpoint::start([BUCKET]);
        let proxy = Proxy::start(&endpoint.url(), seed).with_plan(FaultPlan::each(0.05));
        let store = s3_at(&proxy.url());
        for number in 0..100 {
            // Some fail; the test compares which.
            drop(put(&*store, &format!("k{number}"), "x", PutMode::Create).await);
        }
        proxy.settled().await;
        let statuses: Vec<_> = proxy.requests().log().into_iter().map(|request| request.status).collect();
        (proxy.injected(), statuses)
    };
    let first = told(11).await;
    assert!(first.0.len() > 6, "{:?}", first.0);
    assert_eq!(told(11).await, first);
    assert_ne!(told(12).await, first);
}

#[tokio::test]
async fn latency_is_added_to_every_request() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let proxy = Proxy::start(&endpoint.url(), 4);
    proxy.set_shaping(Shaping::latency(Duration::from_millis(20)));
    let store = s3_at(&proxy.url());
    let started = std::time::Instant::now();
    for _ in 0..3 {
        put(&*store, "k", "x", PutMode::Overwrite).await.unwrap();
    }
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_server_that_is_gone_is_answered_for() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let proxy = Proxy::start(&endpoint.url(), 5);
    drop(endpoint);
    put(&*s3_at(&proxy.url()), "k", "x", PutMode::Overwrite).await.unwrap_err();
    assert_eq!(proxy.requests().log()[0].status, Some(502));
}
