//! Tests of the credential service: an S3 client renews its credentials there, and each fault happens.

use std::time::Duration;

use crate::support::{BUCKET, put};
use object_store::{
    ClientOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, RetryConfig, aws::AmazonS3Builder,
};
use pflow_test_endpoints::{CredentialFault, CredentialService, S3Endpoint};

fn client(service: &CredentialService, endpoint: &S3Endpoint) -> object_store::aws::AmazonS3 {
    let variables = service.variables(&endpoint.url(), BUCKET);
    let set = |builder: AmazonS3Builder, (name, value): (&String, &String)| {
        builder.with_config(name.to_lowercase().parse().unwrap(), value)
    };
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    // Much longer than the slowest reply, but short if there is no reply.
    let limits = ClientOptions::new().with_timeout(Duration::from_secs(2));
    let builder = AmazonS3Builder::new().with_retry(retry).with_client_options(limits);
    variables.iter().fold(builder, set).build().unwrap()
}

#[tokio::test]
async fn what_is_handed_out_signs_requests() {
    let endpoint = S3Endpoint::start([BUCKET]);
    let service = CredentialService::start(1);
    let store = client(&service, &endpoint);
    put(&store, "a", "x", PutMode::Create).await.unwrap();
    assert_eq!(store.get(&"a".into()).await.unwrap().bytes().await.unwrap(), "x");
    assert_eq!(service.handed_out(), 1);
    assert!(service.injected().is_empty());
}

#[tokio::test]
async fn each_fault_happens_and_the_same_seed_repeats_them() {
    let told = |seed| async move {
        let endpoint = S3Endpoint::start([BUCKET]);
        let service = CredentialService::start(seed);
        service.fail(0.08);
        let mut refused = 0;
        for _ in 0..40 {
            // A new client has no earlier credentials.
            refused += u64::from(client(&service, &endpoint).list_with_delimiter(None).await.is_err());
        }
        (service.injected(), service.handed_out(), refused)
    };
    let first = told(5).await;
    assert!(CredentialFault::ALL.iter().all(|fault| first.0.contains_key(fault)), "{first:?}");
    assert!(first.2 > 0 && first.1 > 0, "{first:?}");
    assert_eq!(told(5).await, first);
}
