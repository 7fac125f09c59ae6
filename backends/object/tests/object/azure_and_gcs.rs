//! Credentials of Azure and GCS: connection strings, the program `az`, application default credentials.
#![cfg(unix)]

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path};

use crate::common::{
    answering::Answering,
    aws::{SECRET, assert_says},
    impatient, open,
};
use pflow_backend::{ErrorKind, Key, StorageBackend};

/// Base64, as account keys are.
const ACCOUNT_KEY: &str = "aHVudGVyMmh1bnRlcjI=";

fn key() -> Key {
    Key::parse("a").unwrap()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn az(folder: &Path, text: &str) {
    let path = folder.join("az");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_connection_string_is_all_that_azure_needs() {
    let server = Answering::start(|_| (200, "x".to_owned())).await;
    let at = |account: &str| {
        format!("AccountName={account};AccountKey={ACCOUNT_KEY};BlobEndpoint={}/{account}", server.url)
    };
    let signature =
        format!("BlobEndpoint={}/plans;AccountName=plans;SharedAccessSignature=sv=2024&sig=S", server.url);
    for (others, words) in [
        (&[("AZURE_STORAGE_CONNECTION_STRING", at("plans").as_str())][..], "SharedKey plans:"),
        (&[("AZURE_STORAGE_CONNECTION_STRING", signature.as_str())], "sig=S"),
        (
            &[("AZURE_STORAGE_CONNECTION_STRING", signature.as_str()), ("AZURE_STORAGE_KEY", ACCOUNT_KEY)],
            "SharedKey plans:",
        ),
        (
            &[
                ("AZURE_STORAGE_ACCOUNT", "plans"),
                ("AZURE_STORAGE_KEY", ACCOUNT_KEY),
                ("AZURE_STORAGE_ENDPOINT", server.url.as_str()),
            ],
            "SharedKey plans:",
        ),
    ] {
        let mut pairs = others.to_vec();
        pairs.push(("AZURE_ALLOW_HTTP", "true"));
        let backend = open("az://box", impatient(variables(&pairs))).unwrap();
        backend.get(&key()).await.unwrap();
        let head = server.asked().pop().unwrap();
        assert!(head.contains(words), "{words}: {head}");
        assert!(!format!("{backend:?}").contains(ACCOUNT_KEY), "{backend:?}");
    }
    let place = |text: &str| {
        open("az://box", impatient(variables(&[("AZURE_STORAGE_CONNECTION_STRING", text)])))
            .unwrap()
            .endpoint()
            .unwrap()
    };
    let usual = format!("AccountName=plans;AccountKey={ACCOUNT_KEY}");
    assert!(place(&usual).contains("https://plans.blob.core.windows.net"));
    assert!(place("UseDevelopmentStorage=true").contains("http://127.0.0.1:10000"));
    for (others, words) in [
        (&[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=plans")][..], "neither AccountKey"),
        (&[("AZURE_STORAGE_CONNECTION_STRING", SECRET)], "without `=`"),
        (
            &[("AZURE_STORAGE_CONNECTION_STRING", usual.as_str()), ("AZURE_STORAGE_ACCOUNT_NAME", "other")],
            "another account",
        ),
    ] {
        let error = open("az://box", impatient(variables(others))).unwrap_err();
        assert_says(&error, ErrorKind::InvalidInput, &["AZURE_STORAGE_CONNECTION_STRING", words]);
    }
}

#[tokio::test]
async fn the_program_az_gives_tokens_and_its_refusals_are_named() {
    let server = Answering::start(|head| match head.contains("Bearer OLD") {
        true => (401, "<Error><Code>InvalidAuthenticationInfo</Code></Error>".to_owned()),
        false => (200, "x".to_owned()),
    })
    .await;
    let bin = tempfile::tempdir().unwrap();
    let path = bin.path().to_str().unwrap();
    let opened = || {
        let pairs = [
            ("AZURE_STORAGE_ACCOUNT", "plans"),
            ("AZURE_STORAGE_ENDPOINT", server.url.as_str()),
            ("AZURE_ALLOW_HTTP", "true"),
            ("AZURE_USE_AZURE_CLI", "true"),
            ("PATH", path),
        ];
        open("az://box", impatient(variables(&pairs))).unwrap()
    };
    let refusal = async || opened().get(&key()).await.unwrap_err();
    let denied = ErrorKind::Denied;
    assert_says(&refusal().await, denied, &["program az", "not on the PATH", "Install the Azure CLI"]);
    az(bin.path(), &format!("echo \"ERROR: Please run 'az login' to setup account. {SECRET}\" >&2; exit 1"));
    assert_says(&refusal().await, denied, &["not signed in", "Run `az login`"]);
    az(bin.path(), &format!("echo {SECRET} >&2; exit 2"));
    assert_says(&refusal().await, denied, &["`az account get-access-token", "exit code 2"]);
    az(bin.path(), &format!("echo {SECRET}"));
    assert_says(&refusal().await, denied, &["printed no token"]);
    assert_eq!(server.asked(), [""; 0]);

    let printing = |token: &str| format!(r#"echo '{{"accessToken":"{token}","tokenType":"Bearer"}}'"#);
    az(bin.path(), &printing("OLD"));
    let backend = opened();
    assert_says(
        &backend.get(&key()).await.unwrap_err(),
        denied,
        &["refuses them", "the program az", "Run `az login`"],
    );
    az(bin.path(), &printing("NEW"));
    backend.get(&key()).await.unwrap();
    assert!(server.asked().pop().unwrap().contains("Bearer NEW"));
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_is_named_with_what_it_refused() {
    let server = Answering::start(|_| (401, format!(r#"{{"error":"invalid_client {SECRET}"}}"#))).await;
    let pairs = [
        ("AZURE_STORAGE_ACCOUNT", "plans"),
        ("AZURE_ALLOW_HTTP", "true"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_SECRET", SECRET),
        ("AZURE_AUTHORITY_HOST", server.url.as_str()),
    ];
    let error = open("az://box", impatient(variables(&pairs))).unwrap().get(&key()).await.unwrap_err();
    assert_says(&error, ErrorKind::Denied, &["127.0.0.1 gives no credentials for", "AZURE_CLIENT_", "(401)"]);
}

/// What Google's own programs write.
#[test]
fn files_of_google_are_read_and_what_cannot_be_done_is_named() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("application_default_credentials.json");
    let user = format!(
        r#"{{"type":"authorized_user","client_id":"c","client_secret":"{SECRET}","refresh_token":"r"}}"#
    );
    let in_home = [("HOME", home.path().to_str().unwrap())];
    let by_name = [("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())];
    let invalid = ErrorKind::InvalidInput;
    let missing = open("gs://plans", impatient(variables(&by_name))).unwrap_err();
    assert_says(
        &missing,
        invalid,
        &["cannot be read", "application_default_credentials.json", "gcloud auth"],
    );
    for (text, words) in [
        (
            r#"{"type":"external_account","audience":"SECRET"}"#,
            "workload identity federation), which is not supported",
        ),
        (r#"{"type":"impersonated_service_account"}"#, "(impersonation), which is not supported"),
        (r#"{"type":"service_account","private_key":"SECRET","private_key_id":"i"}"#, "has no client_email"),
        (r#"{"type":"authorized_user","client_id":"c","client_secret":"SECRET"}"#, "has no refresh_token"),
        (r#"{"type":"other"}"#, "neither of the kind"),
        ("SECRET", "is no JSON"),
    ] {
        std::fs::write(&file, text.replace("SECRET", SECRET)).unwrap();
        for pairs in [&in_home, &by_name] {
            let error = open("gs://plans", impatient(variables(pairs))).unwrap_err();
            assert_says(&error, invalid, &[words, "application_default_credentials.json", "gcloud auth"]);
        }
    }
    std::fs::write(&file, user).unwrap();
    for pairs in [&in_home, &by_name] {
        let backend = open("gs://plans", impatient(variables(pairs))).unwrap();
        assert!(!format!("{backend:?}").contains(SECRET), "{backend:?}");
    }
}
