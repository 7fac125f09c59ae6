//! Clients like those of users.

use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{
    ClientOptions, ObjectStore, PutMode, PutOptions, PutPayload, PutResult, RetryConfig, UpdateVersion,
};
use pflow_test_endpoints::{ACCESS_KEY, REGION, S3Endpoint, SECRET_KEY};

pub(crate) const BUCKET: &str = "bucket";

pub(crate) fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// A client of the server at `url`, without retries.
pub(crate) fn s3_at(url: &str) -> Arc<AmazonS3> {
    let builder = AmazonS3Builder::new()
        .with_endpoint(url)
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_region(REGION)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(no_retries());
    Arc::new(builder.build().unwrap())
}

pub(crate) fn s3(endpoint: &S3Endpoint) -> Arc<AmazonS3> {
    s3_at(&endpoint.url())
}

pub(crate) async fn put(
    store: &dyn ObjectStore,
    key: &str,
    text: &str,
    mode: PutMode,
) -> object_store::Result<PutResult> {
    let payload = PutPayload::from(text.as_bytes().to_vec());
    store.put_opts(&key.into(), payload, PutOptions::from(mode)).await
}

pub(crate) fn update(of: &PutResult) -> PutMode {
    PutMode::Update(UpdateVersion { e_tag: of.e_tag.clone(), version: of.version.clone() })
}
