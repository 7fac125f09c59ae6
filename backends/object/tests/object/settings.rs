//! Errors about the bucket, the keys, the region or the endpoint are one sentence without a secret.

use std::collections::BTreeMap;

use crate::common::{impatient, open};
use pflow_backend::{Batch, Error, ErrorKind, Key, Operation, Outcome, StorageBackend};
use pflow_backend_object::{ObjectBackend, ObjectOptions};
use pflow_test_endpoints::S3Endpoint;

const SECRET: &str = "hunter2hunter2";

fn with(variables: &BTreeMap<String, String>, name: &str, value: &str) -> BTreeMap<String, String> {
    let mut variables = variables.clone();
    variables.insert(name.to_owned(), value.to_owned());
    variables
}

fn key() -> Key {
    Key::parse("a/b").unwrap()
}

/// Returns the error of each kind of operation.
async fn refusals(backend: &ObjectBackend) -> Vec<Error> {
    let create = Batch::new().stage([Operation::put(key(), "x").absent()]);
    let delete = Batch::new().stage([Operation::delete(key())]);
    let listed =
        futures::TryStreamExt::try_collect::<Vec<_>>(backend.list(&pflow_backend::Prefix::root(), None));
    vec![
        backend.get(&key()).await.unwrap_err(),
        backend.stat(&key()).await.unwrap_err(),
        backend.commit(create).await.unwrap_err(),
        backend.commit(delete).await.unwrap_err(),
        listed.await.unwrap_err(),
    ]
}

fn assert_sentence(error: &Error, kind: ErrorKind, words: &[&str]) {
    let (shown, all) = (error.to_string(), format!("{error} {error:?}"));
    assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied { applied: 0 }), "{shown}");
    let told = format!("{shown} {}", error.hint().unwrap_or_default());
    assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
    assert!(!shown.contains('\n') && !all.contains(SECRET) && !all.contains("testtest"), "{all}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    let endpoint = S3Endpoint::start(["plans"]);
    let backend = open("s3://nowhere/p", impatient(endpoint.variables("nowhere"))).unwrap();
    for error in refusals(&backend).await {
        assert_sentence(&error, ErrorKind::Missing, &["nowhere", "does not exist"]);
    }
}

#[tokio::test]
async fn wrong_credentials_are_denied() {
    let endpoint = S3Endpoint::start(["plans"]);
    let good = endpoint.variables("plans");
    for (name, value) in [("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ACCESS_KEY_ID", "wrong")] {
        let backend = open("s3://plans/p", impatient(with(&good, name, value))).unwrap();
        for error in refusals(&backend).await {
            assert_sentence(&error, ErrorKind::Denied, &["s3://plans/p", &endpoint.url()]);
        }
        let shown = format!("{backend:?} {:?}", backend.endpoint());
        assert!(!shown.contains(SECRET) && shown.contains("s3://plans/p"), "{shown}");
    }
}

/// Returns a socket and the URL of its port, which refuses connections while the socket is held: it is bound,
/// so no other process gets the port, and it does not listen.
fn refusing() -> (tokio::net::TcpSocket, String) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test]
async fn a_refused_port_is_said_to_be_unreachable() {
    let endpoint = S3Endpoint::start(["plans"]);
    let (_held, refused) = refusing();
    let variables = with(&endpoint.variables("plans"), "AWS_ENDPOINT_URL", &refused);
    let options = ObjectOptions::new().variables(variables);
    // Another test checks with its own clock that the pauses keep to the limit.
    let backend = open("s3://plans", options).unwrap();
    let error = backend.commit(Batch::new().stage([Operation::put(key(), "x").absent()])).await.unwrap_err();
    assert_sentence(&error, ErrorKind::Unavailable, &[&refused, "cannot be reached"]);
}

#[tokio::test]
async fn plain_http_needs_its_setting() {
    let account = r#"{"gcs_base_url": "http://127.0.0.1:1", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;
    for (url, pairs, setting) in [
        ("s3://plans", vec![("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], "AWS_ALLOW_HTTP=true"),
        ("s3://plans", vec![("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")], "AWS_ALLOW_HTTP=true"),
        ("gs://plans", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", account)], "GOOGLE_ALLOW_HTTP=true"),
        ("gs://plans", vec![("GOOGLE_BASE_URL", "http://127.0.0.1:1")], "GOOGLE_ALLOW_HTTP=true"),
        (
            "az://plans",
            vec![("AZURE_STORAGE_ACCOUNT_NAME", "a"), ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1/a")],
            "AZURE_ALLOW_HTTP=true",
        ),
    ] {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let error = open(url, impatient(variables)).unwrap_err();
        assert_sentence(&error, ErrorKind::InvalidInput, &["http://127.0.0.1:1", setting]);
    }
}

#[tokio::test]
async fn settings_that_do_not_fit_are_named_without_their_values() {
    let secret = SECRET.to_owned();
    let at = format!("https://user:{SECRET}@example.invalid");
    for (url, pairs, words) in [
        ("s3://plans", vec![("AWS_SECRET_ACCESS_KEY", &secret)], "AWS_ACCESS_KEY_ID"),
        ("s3://plans", vec![("AWS_ENDPOINT_URL", &at)], "carries credentials"),
        ("s3://plans", vec![("AWS_ENDPOINT_URL", &secret)], "no URL"),
        ("s3://plans", vec![("AWS_CHECKSUM_ALGORITHM", &secret)], "AWS_CHECKSUM_ALGORITHM"),
        ("az://plans", vec![("AZURE_STORAGE_ACCOUNT_KEY", &secret)], "AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://plans", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", &secret)], "GOOGLE_SERVICE_ACCOUNT_KEY"),
    ] {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone())).collect();
        let error = open(url, impatient(variables)).unwrap_err();
        assert_sentence(&error, ErrorKind::InvalidInput, &[words]);
    }
}

#[tokio::test]
async fn a_server_of_another_kind_is_found_out() {
    let endpoint = other_server(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found");
    let endpoint = endpoint.await;
    let variables = with(&S3Endpoint::start(["plans"]).variables("plans"), "AWS_ENDPOINT_URL", &endpoint);
    let backend = open("s3://plans", impatient(variables)).unwrap();
    let error = backend.get(&key()).await.unwrap_err();
    assert_sentence(&error, ErrorKind::Unavailable, &[&endpoint, "no S3 server"]);
}

#[tokio::test]
async fn a_bucket_of_another_region_is_found_out() {
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>";
    let answer = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let redirect =
        "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-central-1\r\ncontent-length: 0\r\n\r\n".to_owned();
    for answer in [answer, redirect] {
        let endpoint = other_server(answer.leak().as_bytes()).await;
        let variables = with(&S3Endpoint::start(["plans"]).variables("plans"), "AWS_ENDPOINT_URL", &endpoint);
        let backend = open("s3://plans", impatient(variables)).unwrap();
        let error = backend.get(&key()).await.unwrap_err();
        assert_sentence(&error, ErrorKind::Missing, &["us-east-1", "eu-central-1", "AWS_REGION"]);
    }
}

/// With a domain of its own the host does not begin with the bucket, and a base path comes before it.
#[tokio::test]
async fn an_endpoint_that_does_not_name_the_bucket_at_once_is_no_credential_service() {
    let body = "<Error><Code>NoSuchKey</Code></Error>";
    let answer = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let endpoint = other_server(answer.leak().as_bytes()).await;
    // The last one has a key below it that is a path of the instance metadata service.
    for (path, virtual_hosted, url) in [
        ("", "true", "s3://plans"),
        ("/a/b/c", "false", "s3://plans"),
        ("", "true", "s3://plans/latest/meta-data/iam"),
    ] {
        let usual = S3Endpoint::start(["plans"]).variables("plans");
        let variables = with(&usual, "AWS_ENDPOINT_URL", &format!("{endpoint}{path}"));
        let variables = with(&variables, "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", virtual_hosted);
        let backend = open(url, impatient(variables)).unwrap();
        assert_eq!(backend.get(&key()).await.unwrap(), None, "{url} {path}");
    }
}

#[tokio::test]
async fn a_credential_service_in_trouble_is_not_one_without_credentials() {
    let endpoint = other_server(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await;
    let usual = S3Endpoint::start(["plans"]).variables("plans");
    let mut variables = with(&usual, "AWS_METADATA_ENDPOINT", &endpoint);
    variables.retain(|name, _| !matches!(name.as_str(), "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY"));
    // It is asked again until the deadline of each operation.
    let limit = std::time::Duration::from_millis(200);
    let options = impatient(variables).deadline(limit).request_timeout(limit);
    let backend = open("s3://plans", options).unwrap();
    for error in refusals(&backend).await {
        assert_sentence(
            &error,
            ErrorKind::Unavailable,
            &["hands out credentials, gives none at the moment (status 500)"],
        );
    }
}

#[tokio::test]
async fn an_empty_variable_is_not_set() {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"];
    let variables = names.map(|name| (name.to_owned(), String::new())).into();
    let backend = open("s3://plans", impatient(variables)).unwrap();
    let place = backend.endpoint().unwrap();
    assert!(place.contains("https://s3.us-east-1.amazonaws.com"), "{place}");
}

/// Answers every request with these bytes, until the test's runtime ends.
async fn other_server(answer: &'static [u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}
