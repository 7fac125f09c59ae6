//! The contract, kept on a real HTTP server in this process, and on every other server that the environment
//! names.

use std::collections::BTreeMap;

use crate::common::Bucket;
use pflow_backend::conformance::{self, Report};
use pflow_test_endpoints::{GcsEndpoint, S3Endpoint};

fn assert_conformant_in_all(report: &Report) {
    report.assert_conformant();
    let skipped = [
        // It promises neither atomic batches nor conditional deletes.
        "visibility::an_atomic_batch_is_never_seen_in_part",
        "racing::of_many_conditional_deletes_one_wins",
        "racing::transfers_between_two_keys_keep_the_sum",
        // Its client is asynchronous.
        "polling::no_call_works_on_the_polling_thread",
        // Its reads are repeated until their deadline: the tests of this crate cut them off.
        "failures::a_failed_read_is_an_error_and_never_unknown",
        // The store keeps an instance for each endpoint.
        "places::an_instance_is_one_place_and_stays",
    ];
    assert_eq!(report.skipped().collect::<Vec<_>>(), skipped, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3_in_this_process_keeps_the_contract() {
    let endpoint = S3Endpoint::start(["plans"]);
    let bucket = Bucket::new("s3://plans", "AWS_ENDPOINT_URL", endpoint.variables("plans"));
    assert_conformant_in_all(&conformance::run(&bucket).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn gcs_in_this_process_keeps_the_contract() {
    let endpoint = GcsEndpoint::start(["plans"]);
    let bucket = Bucket::new("gs://plans", "GOOGLE_BASE_URL", endpoint.variables("plans"));
    assert_conformant_in_all(&conformance::run(&bucket).await);
}

fn named(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn variables<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// `PFLOW_TEST_S3_ENDPOINT`, with `PFLOW_TEST_S3_BUCKET` and the usual `AWS_…` credentials, else those of the
/// servers in `tests/servers`: a test never asks the machine for credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_s3_server_elsewhere_keeps_the_contract() {
    let Some(endpoint) = named("PFLOW_TEST_S3_ENDPOINT") else {
        return println!("skipped: PFLOW_TEST_S3_ENDPOINT names no server");
    };
    let bucket = named("PFLOW_TEST_S3_BUCKET").unwrap_or_else(|| "probe".to_owned());
    let mut settings = pflow_test_endpoints::s3_variables(&endpoint, &bucket);
    settings.extend(std::env::vars().filter(|(name, _)| name.starts_with("AWS_")));
    settings.insert("AWS_ENDPOINT_URL".to_owned(), endpoint);
    let bucket = Bucket::new(&format!("s3://{bucket}"), "AWS_ENDPOINT_URL", settings);
    assert_conformant_in_all(&conformance::run(&bucket).await);
}

/// `PFLOW_TEST_AZURE_ENDPOINT` (`http://127.0.0.1:10000`): an emulator with its well-known account, and
/// `PFLOW_TEST_AZURE_CONTAINER`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_azure_emulator_keeps_the_contract() {
    let Some(endpoint) = named("PFLOW_TEST_AZURE_ENDPOINT") else {
        return println!("skipped: PFLOW_TEST_AZURE_ENDPOINT names no server");
    };
    // https://learn.microsoft.com/en-us/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key
    let account = "devstoreaccount1";
    let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let container = named("PFLOW_TEST_AZURE_CONTAINER").unwrap_or_else(|| "probe".to_owned());
    let settings = variables([
        ("AZURE_STORAGE_ACCOUNT_NAME", account.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", key.to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("{}/{account}", endpoint.trim_end_matches('/'))),
        ("AZURE_ALLOW_HTTP", "true".to_owned()),
    ]);
    let bucket = Bucket::new(&format!("az://{container}"), "AZURE_STORAGE_ENDPOINT", settings);
    assert_conformant_in_all(&conformance::run(&bucket).await);
}

/// `PFLOW_TEST_GCS_ENDPOINT`: a server that speaks GCS's XML API and asks for no token, and
/// `PFLOW_TEST_GCS_BUCKET`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_gcs_server_elsewhere_keeps_the_contract() {
    let Some(endpoint) = named("PFLOW_TEST_GCS_ENDPOINT") else {
        return println!("skipped: PFLOW_TEST_GCS_ENDPOINT names no server");
    };
    let bucket = named("PFLOW_TEST_GCS_BUCKET").unwrap_or_else(|| "probe".to_owned());
    let account = r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;
    let settings = variables([
        ("GOOGLE_SERVICE_ACCOUNT_KEY", account.to_owned()),
        ("GOOGLE_BASE_URL", endpoint),
        ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
    ]);
    let bucket = Bucket::new(&format!("gs://{bucket}"), "GOOGLE_BASE_URL", settings);
    assert_conformant_in_all(&conformance::run(&bucket).await);
}
