//! Credentials and settings from the files of AWS, as `aws configure` writes them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use crate::common::{
    answering::Answering,
    aws::{SECRET, assert_says, home, signed_with, variables},
    impatient, open,
};
use pflow_backend::{Batch, Commit, Error, ErrorKind, Key, Operation, StorageBackend};
use pflow_test_endpoints::S3Endpoint;
use tempfile::TempDir;

fn key() -> Key {
    Key::parse("a").unwrap()
}

fn refused(home: &TempDir, others: &[(&str, &str)]) -> Error {
    open("s3://plans", impatient(variables(home.path(), others))).unwrap_err()
}

#[tokio::test]
async fn a_profile_gives_keys_region_and_endpoint() {
    let server = S3Endpoint::start(["plans"]);
    let config = format!(
        "[default]\nregion = us-east-1\nendpoint_url = {url}\n\
         [profile work]\nregion = us-east-1\nservices = local\ns3 =\n  addressing_style = path\n  max_concurrent_requests = 3\n\
         [services local]\ns3 =\n  endpoint_url = {url}\nec2 =\n  endpoint_url = http://127.0.0.1:1\n",
        url = server.url()
    );
    let credentials = "[default]\naws_access_key_id = test\naws_secret_access_key = testtest\n\
                       [work]\naws_access_key_id=test\naws_secret_access_key=testtest\n";
    let home = home(&config, credentials);
    for profile in [&[][..], &[("AWS_PROFILE", "work")], &[("AWS_DEFAULT_PROFILE", "work")]] {
        let backend = open("s3://plans/p", impatient(variables(home.path(), profile))).unwrap();
        assert!(backend.endpoint().unwrap().contains(&server.url()), "{:?}", backend.endpoint());
        assert_eq!(backend.get(&key()).await.unwrap(), None, "{profile:?}");
    }
}

/// Variables take precedence over the profile, and the credentials file over the config file.
#[tokio::test]
async fn what_goes_first_is_what_goes_first_for_aws() {
    let server = Answering::start(|_| (200, "x".to_owned())).await;
    let pair = |id: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = s\n");
    let config = format!("[default]\n{}region = eu-west-1\n[profile two]\n{}", pair("CONFIG"), pair("TWO"));
    let credentials = format!("[default]\n{}aws_session_token = TOKEN\n", pair("CREDENTIALS"));
    let home = home(&config, &credentials);
    let keys = [("AWS_ACCESS_KEY_ID", "VARIABLE"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let elsewhere = home.path().join("elsewhere");
    std::fs::write(&elsewhere, format!("[default]\n{}", pair("ELSEWHERE"))).unwrap();
    let elsewhere = [("AWS_SHARED_CREDENTIALS_FILE", elsewhere.to_str().unwrap())];
    let in_home = [("AWS_SHARED_CREDENTIALS_FILE", "~/elsewhere")];
    for (others, id, token, region) in [
        (&[][..], "CREDENTIALS", Some("TOKEN"), "eu-west-1"),
        (&[("AWS_PROFILE", "two")], "TWO", None, "us-east-1"),
        (&[("AWS_PROFILE", "two"), ("AWS_DEFAULT_PROFILE", "three")], "TWO", None, "us-east-1"),
        (&[("AWS_REGION", "ap-south-1")], "CREDENTIALS", Some("TOKEN"), "ap-south-1"),
        (&keys, "VARIABLE", None, "eu-west-1"),
        (&elsewhere, "ELSEWHERE", None, "eu-west-1"),
        (&in_home, "ELSEWHERE", None, "eu-west-1"),
    ] {
        let mut others = others.to_vec();
        others.push(("AWS_ENDPOINT_URL", &server.url));
        let backend = open("s3://plans", impatient(variables(home.path(), &others))).unwrap();
        backend.get(&key()).await.unwrap();
        let head = server.asked().pop().unwrap();
        assert_eq!(signed_with(&head), (id.to_owned(), token.map(str::to_owned)), "{others:?}");
        assert!(head.contains(&format!("/{region}/s3/")), "{head}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_said_with_their_paths() {
    let secret = |text: &str| text.replace("SECRET", SECRET);
    let half = secret("[default]\naws_secret_access_key = SECRET\n");
    let broken = secret("[default]\naws_access_key_id = A\nSECRET\n");
    let line_end = secret(
        "[default]\naws_access_key_id = A\naws_secret_access_key = s\naws_session_token = SECRET\n  SECRET\n",
    );
    let invalid = ErrorKind::InvalidInput;
    let one = home("[profile work]\nregion = x\n", &half);
    for (others, words) in [
        (
            &[("AWS_PROFILE", "wrk")][..],
            &[
                "wrk",
                "config has no section [profile wrk]",
                "credentials has no section [wrk]",
                "aws configure --profile wrk",
            ][..],
        ),
        (&[], &["default", ".aws/credentials", "no aws_access_key_id", "Add aws_access_key_id"]),
        (&[("AWS_PROFILE", "work"), ("AWS_CONFIG_FILE", "/none/config")], &["/none/config does not exist"]),
    ] {
        assert_says(&refused(&one, others), invalid, words);
    }
    assert_says(
        &refused(&home("", &broken), &[]),
        invalid,
        &[".aws/credentials", "[default]", "no `=`", "Correct it"],
    );
    assert_says(&refused(&home("[default\n", ""), &[]), invalid, &[".aws/config", "line 1"]);
    assert_says(&refused(&home("", &line_end), &[]), invalid, &[".aws/credentials", "signs"]);
    let services = "[default]\nservices = here\n";
    assert_says(&refused(&home(services, ""), &[]), invalid, &["[services here]", ".aws/config"]);
    let folder = home("", "");
    std::fs::create_dir(folder.path().join(".aws/config")).unwrap();
    assert_says(&refused(&folder, &[]), invalid, &[".aws/config cannot be read", "AWS_CONFIG_FILE"]);
    let nowhere = BTreeMap::from([("AWS_PROFILE".to_owned(), "work".to_owned())]);
    assert_says(&open("s3://plans", impatient(nowhere)).unwrap_err(), invalid, &["work", "HOME"]);
    // Without files and without anything else.
    assert_says(&refused(&home("", ""), &[]), ErrorKind::Denied, &["no AWS credentials", "aws configure"]);
}

/// A service may run with the home of another user.
#[tokio::test]
async fn files_that_cannot_be_read_are_passed_over_where_none_is_needed() {
    let keys = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let unsigned = [("AWS_SKIP_SIGNATURE", "true")];
    let unreadable = home("", "");
    std::fs::create_dir(unreadable.path().join(".aws/config")).unwrap();
    for others in [&keys[..], &unsigned] {
        open("s3://plans", impatient(variables(unreadable.path(), others))).unwrap();
        let mut asked = others.to_vec();
        asked.push(("AWS_PROFILE", "default"));
        assert_says(&refused(&unreadable, &asked), ErrorKind::InvalidInput, &["cannot be read"]);
        // It may name an endpoint.
        assert_says(&refused(&home("[default\n", ""), others), ErrorKind::InvalidInput, &["line 1"]);
    }
    let no_folder = tempfile::NamedTempFile::new().unwrap();
    open("s3://plans", impatient(variables(no_folder.path(), &keys))).unwrap();
    let error = open("s3://plans", impatient(variables(no_folder.path(), &[]))).unwrap_err();
    assert_says(&error, ErrorKind::Denied, &["no AWS credentials"]);
}

#[tokio::test]
async fn a_profile_that_is_asked_for_and_has_no_credentials_is_named() {
    let home = home("[default]\nregion = x\n[profile work]\nregion = x\n", "");
    let error = refused(&home, &[("AWS_PROFILE", "work")]);
    let words = ["The AWS profile work has no credentials", ".aws/config", "aws configure --profile work"];
    assert_says(&error, ErrorKind::Denied, &words);
    assert_says(&refused(&home, &[]), ErrorKind::Denied, &["no AWS credentials"]);
}

#[tokio::test]
async fn expired_variables_are_named_with_the_token() {
    let server = Answering::start(|_| (400, "<Error><Code>ExpiredToken</Code></Error>".to_owned())).await;
    let home = home("", "");
    let mut others = vec![
        ("AWS_ENDPOINT_URL", server.url.as_str()),
        ("AWS_ACCESS_KEY_ID", "A"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let refusal = async |others: &[(&str, &str)]| {
        let backend = open("s3://plans", impatient(variables(home.path(), others))).unwrap();
        backend.get(&key()).await.unwrap_err()
    };
    assert!(!refusal(&others).await.hint().unwrap().contains("AWS_SESSION_TOKEN"));
    others.push(("AWS_SESSION_TOKEN", "t"));
    let words = ["Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN to"];
    assert_says(&refusal(&others).await, ErrorKind::Denied, &words);
}

#[tokio::test]
async fn a_refusal_says_which_file_the_keys_come_from() {
    let code = |code: &'static str, status| (status, format!("<Error><Code>{code}</Code></Error>"));
    let home = home("", "[work]\naws_access_key_id = OLD\naws_secret_access_key = s\n");
    for (answer, words) in [
        (code("InvalidAccessKeyId", 403), ["does not know the access key", "aws configure --profile work"]),
        (code("ExpiredToken", 400), ["have expired", "aws configure --profile work"]),
        (code("SignatureDoesNotMatch", 403), ["secret key does not fit", "aws configure --profile work"]),
    ] {
        let server = Answering::start(move |_| answer.clone()).await;
        let others = [("AWS_PROFILE", "work"), ("AWS_ENDPOINT_URL", server.url.as_str())];
        let backend = open("s3://plans", impatient(variables(home.path(), &others))).unwrap();
        let error = backend.get(&key()).await.unwrap_err();
        assert_says(
            &error,
            ErrorKind::Denied,
            &[words[0], words[1], "the AWS profile work of ", ".aws/credentials"],
        );
        assert!(server.asked().len() <= 2, "new keys are asked for once");
    }
}

/// Some tools write short-lived keys into the file.
#[tokio::test]
async fn keys_that_another_program_replaces_are_found() {
    let accepted = Arc::new(Mutex::new("OLD"));
    let server = Answering::start({
        let accepted = accepted.clone();
        move |head| match head.contains(&format!("Credential={}/", accepted.lock().unwrap())) {
            true => (200, "x".to_owned()),
            false => (400, "<Error><Code>ExpiredToken</Code></Error>".to_owned()),
        }
    })
    .await;
    let keys = |id: &str| format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = s\n");
    let home = home("", &keys("OLD"));
    let others = [("AWS_ENDPOINT_URL", server.url.as_str())];
    let backend = open("s3://plans", impatient(variables(home.path(), &others))).unwrap();
    backend.get(&key()).await.unwrap();
    *accepted.lock().unwrap() = "NEW";
    std::fs::write(home.path().join(".aws/credentials"), keys("NEW")).unwrap();
    server.asked();
    let operation = Operation::put(key(), "x").absent();
    let written = backend.commit(Batch::new().stage([operation])).await.unwrap();
    assert!(matches!(written, Commit::Committed(_)), "{written:?}");
    assert_eq!(server.asked().len(), 2, "refused, and with the new keys");
    backend.stat(&key()).await.unwrap();
    backend.get(&key()).await.unwrap();
    assert_eq!(server.asked().len(), 2, "none is refused any more");
    *accepted.lock().unwrap() = "NEWEST";
    backend.get(&key()).await.unwrap_err();
    std::fs::write(home.path().join(".aws/credentials"), keys("NEWEST")).unwrap();
    server.asked();
    backend.get(&key()).await.unwrap();
    assert_eq!(server.asked().len(), 1, "refused keys are not sent again before the file is read");
}
