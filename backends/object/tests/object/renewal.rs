//! Handles that live longer than their credentials, and services that fail for a while.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::common::{
    answering::Answering,
    aws::{assert_says, signed_with},
    impatient, open,
};
use pflow_backend::{
    Batch, Commit, Environment, ErrorKind, Key, ManualEnvironment, Operation, Outcome, StorageBackend,
};
use pflow_backend_object::{ObjectBackend, ObjectOptions};

fn key() -> Key {
    Key::parse("a").unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = [("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")].iter().chain(pairs);
    pairs.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn document(id: &str, until: &str) -> String {
    format!(r#"{{"AccessKeyId":"{id}","SecretAccessKey":"s","Token":"T{id}","Expiration":"{until}"}}"#)
}

/// The credential service of a container, whose reply a test changes.
#[tokio::test]
async fn credentials_of_a_container_are_renewed_and_used_while_the_service_fails() {
    let objects = Answering::start(|_| (200, "x".to_owned())).await;
    let environment = Arc::new(ManualEnvironment::new(7).stepped());
    let until = |seconds| (environment.now() + Duration::from_secs(seconds)).to_rfc3339();
    let told = Arc::new(Mutex::new((200, document("ONE", &until(3_600)))));
    let service = Answering::start({
        let told = told.clone();
        move |head| {
            assert!(head.contains("authorization: hunter2"), "{head}");
            told.lock().unwrap().clone()
        }
    })
    .await;
    let uri = format!("{}/creds?secret", service.url);
    let pairs = [
        ("AWS_ENDPOINT_URL", objects.url.as_str()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2"),
    ];
    let options = ObjectOptions::new().variables(variables(&pairs));
    let backend = ObjectBackend::open(&"s3://plans".parse().unwrap(), options, environment.clone()).unwrap();
    let signed = async || {
        backend.get(&key()).await.unwrap();
        signed_with(&objects.asked()[0]).0
    };
    assert_eq!((signed().await, signed().await), ("ONE".to_owned(), "ONE".to_owned()));
    assert_eq!(service.asked().len(), 1);
    environment.advance(Duration::from_secs(3_400));
    for trouble in [(404, String::new()), (200, "no JSON".to_owned()), (500, String::new())] {
        *told.lock().unwrap() = trouble;
        assert_eq!((signed().await, signed().await), ("ONE".to_owned(), "ONE".to_owned()));
        assert_eq!(service.asked().len(), 1, "it is left alone for a while");
        environment.advance(Duration::from_secs(30));
    }
    // 110 seconds are left.
    *told.lock().unwrap() = (200, document("TWO", &until(3_600)));
    assert_eq!(signed().await, "TWO");
    *told.lock().unwrap() = (404, String::new());
    environment.advance(Duration::from_secs(3_600));
    let error = backend.get(&key()).await.unwrap_err();
    let host = service.url.trim_start_matches("http://");
    assert_says(
        &error,
        ErrorKind::Denied,
        &[&format!("{host} gives no credentials (404)"), "role of the task or pod"],
    );
    assert!(!format!("{error:?}{backend:?}").contains("hunter2") && !format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn a_container_without_a_service_that_may_be_trusted_is_refused() {
    for (uri, words) in [("http://192.0.2.1/creds", "without TLS"), ("creds", "no URL")] {
        let options = impatient(variables(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)]));
        let error = open("s3://plans", options).unwrap_err();
        assert_says(&error, ErrorKind::InvalidInput, &["AWS_CONTAINER_CREDENTIALS_FULL_URI", words]);
    }
}

/// The service is there, so it may come back.
#[tokio::test]
async fn a_credential_service_that_cuts_connections_is_in_trouble() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for name in ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_METADATA_ENDPOINT"] {
        let pairs = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), (name, &url)];
        let limit = Duration::from_millis(200);
        let options = impatient(variables(&pairs)).deadline(limit);
        let backend = open("s3://plans", options).unwrap();
        let operation = Operation::put(key(), "x").absent();
        let error = backend.commit(Batch::new().stage([operation])).await.unwrap_err();
        assert_says(&error, ErrorKind::Unavailable, &["127.0.0.1", "hands out credentials, gives none at"]);
        assert_eq!(error.outcome(), Outcome::NotApplied { applied: 0 }, "{name}");
    }
}

/// object_store speaks with this service. Its credentials hold for a minute, so that it asks again at every
/// request.
#[tokio::test]
async fn credentials_of_a_machine_are_used_while_its_service_fails() {
    let until = (crate::common::environment().now() + Duration::from_secs(60)).to_rfc3339();
    let (id, fails) = (Arc::new(Mutex::new("ONE")), Arc::new(Mutex::new(false)));
    let service = Answering::start({
        let (id, fails) = (id.clone(), fails.clone());
        move |head| match () {
            () if *fails.lock().unwrap() => (500, String::new()),
            () if head.contains("/api/token") => (200, "token".to_owned()),
            () if head.contains("credentials/ ") => (200, "role".to_owned()),
            () => (200, document(&id.lock().unwrap(), &until)),
        }
    })
    .await;
    let refused = Arc::new(Mutex::new(""));
    let objects = Answering::start({
        let refused = refused.clone();
        move |head| match signed_with(head).0 == *refused.lock().unwrap() {
            true => (400, "<Error><Code>ExpiredToken</Code></Error>".to_owned()),
            false => (200, "x".to_owned()),
        }
    })
    .await;
    let pairs = [("AWS_ENDPOINT_URL", objects.url.as_str()), ("AWS_METADATA_ENDPOINT", service.url.as_str())];
    let limit = Duration::from_secs(2);
    let options = impatient(variables(&pairs)).deadline(limit);
    let backend = open("s3://plans", options).unwrap();
    backend.get(&key()).await.unwrap();
    *fails.lock().unwrap() = true;
    for _ in 0..3 {
        backend.get(&key()).await.unwrap();
        assert_eq!(signed_with(objects.asked().last().unwrap()).0, "ONE");
    }
    // The server says that they are over, and the service still fails.
    *refused.lock().unwrap() = "ONE";
    let error = backend.get(&key()).await.unwrap_err();
    assert_says(
        &error,
        ErrorKind::Unavailable,
        &["hands out credentials, gives none at the moment (status 500)"],
    );
    (*fails.lock().unwrap(), *id.lock().unwrap()) = (false, "TWO");
    let operation = Operation::put(key(), "x").absent();
    let written = backend.commit(Batch::new().stage([operation])).await.unwrap();
    assert!(matches!(written, Commit::Committed(_)), "{written:?}");
    assert_eq!(signed_with(objects.asked().last().unwrap()).0, "TWO");
}

/// object_store would keep credentials for as long as they hold by the clock of this machine.
#[tokio::test]
async fn credentials_that_the_server_refuses_are_replaced_though_the_clock_says_they_hold() {
    let until = (crate::common::environment().now() + Duration::from_secs(36_000)).to_rfc3339();
    let asked = Arc::new(Mutex::new(0));
    let service = Answering::start(move |head| match () {
        () if head.contains("/api/token") => (200, "token".to_owned()),
        () if head.contains("credentials/ ") => (200, "role".to_owned()),
        () => {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            (200, document(&format!("N{asked}"), &until))
        }
    })
    .await;
    let accepted = Arc::new(Mutex::new("N1"));
    let objects = Answering::start({
        let accepted = accepted.clone();
        move |head| match signed_with(head).0 == *accepted.lock().unwrap() {
            true => (200, "x".to_owned()),
            // S3 answers a HEAD without a body, so the error has no code.
            false if head.starts_with("HEAD") => (400, String::new()),
            false => (403, "<Error><Code>InvalidAccessKeyId</Code></Error>".to_owned()),
        }
    })
    .await;
    let pairs = [("AWS_ENDPOINT_URL", objects.url.as_str()), ("AWS_METADATA_ENDPOINT", service.url.as_str())];
    let backend = open("s3://plans", impatient(variables(&pairs))).unwrap();
    backend.get(&key()).await.unwrap();
    *accepted.lock().unwrap() = "N2";
    backend.stat(&key()).await.unwrap();
    *accepted.lock().unwrap() = "N3";
    backend.get(&key()).await.unwrap();
    backend.get(&key()).await.unwrap();
    assert_eq!(objects.asked().len(), 6);
}

/// Tokens of a managed identity, which go to Azure.
#[tokio::test]
async fn tokens_are_used_while_their_service_fails_and_replaced_when_they_are_refused() {
    let until = crate::common::environment().now().timestamp() + 60;
    let (token, fails) = (Arc::new(Mutex::new("")), Arc::new(Mutex::new(false)));
    let service = Answering::start({
        let (token, fails) = (token.clone(), fails.clone());
        // They hold for a minute, so that object_store asks again at every request.
        move |_| match *fails.lock().unwrap() {
            true => (500, String::new()),
            false => {
                let token = token.lock().unwrap();
                let body =
                    format!(r#"{{"access_token":"{token}","expires_on":"{until}","token_type":"Bearer"}}"#);
                (200, if token.is_empty() { "hunter2".to_owned() } else { body })
            }
        }
    })
    .await;
    let refused = Arc::new(Mutex::new(""));
    let objects = Answering::start({
        let refused = refused.clone();
        move |head| {
            let refused = *refused.lock().unwrap();
            match !refused.is_empty() && head.contains(refused) {
                true => (401, "<Error><Code>InvalidAuthenticationInfo</Code></Error>".to_owned()),
                false => (200, "x".to_owned()),
            }
        }
    })
    .await;
    let endpoint = format!("{}/metadata/identity/oauth2/token", service.url);
    let pairs = [
        ("AZURE_ALLOW_HTTP", "true"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "plans"),
        ("AZURE_STORAGE_ENDPOINT", objects.url.as_str()),
        ("AZURE_MSI_ENDPOINT", &endpoint),
    ];
    let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let backend = open("az://plans", impatient(variables)).unwrap();
    let error = backend.get(&key()).await.unwrap_err();
    assert_says(&error, ErrorKind::Denied, &["the managed identity of this machine gives no credentials"]);
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    *token.lock().unwrap() = "ONE";
    backend.get(&key()).await.unwrap();
    *fails.lock().unwrap() = true;
    for _ in 0..3 {
        backend.get(&key()).await.unwrap();
        assert!(objects.asked().last().unwrap().contains("Bearer ONE"));
    }
    *refused.lock().unwrap() = "Bearer ONE";
    (*fails.lock().unwrap(), *token.lock().unwrap()) = (false, "TWO");
    backend.get(&key()).await.unwrap();
    assert!(objects.asked().last().unwrap().contains("Bearer TWO"));
}
