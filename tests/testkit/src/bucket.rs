use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use pflow_store::{
    backend::{Environment, StorageBackend, SystemEnvironment},
    object::{ObjectBackend, ObjectOptions, ObjectUrl},
};
use pflow_test_endpoints::{S3Endpoint, s3_variables};

use super::layers::Remote;

/// The server in this process, shared by all its tests.
static OWN: LazyLock<S3Endpoint> = LazyLock::new(|| S3Endpoint::start([BUCKET]));

const BUCKET: &str = "probe";

/// A server's bucket, and the variables that a client needs to use it.
pub struct BucketServer {
    pub bucket: String,
    pub variables: BTreeMap<String, String>,
}

impl BucketServer {
    /// Returns the server that `PFLOW_TEST_S3_ENDPOINT` names, with the credentials in `AWS_...`, or else the
    /// one in this process.
    pub fn chosen() -> Self {
        let Some(endpoint) = external() else {
            return Self { bucket: BUCKET.to_owned(), variables: OWN.variables(BUCKET) };
        };
        let bucket = std::env::var("PFLOW_TEST_S3_BUCKET").unwrap_or_else(|_| BUCKET.to_owned());
        Self { variables: s3_variables(&endpoint, &bucket), bucket }
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> String {
        self.variables["AWS_ENDPOINT_URL"].clone()
    }

    pub fn options(&self) -> ObjectOptions {
        ObjectOptions::new().variables(self.variables.clone())
    }

    /// Returns a location that has never been used.
    pub fn fresh_url(&self) -> ObjectUrl {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        // Servers outlive a test run, so the id of the run is part of the name.
        static RUN: LazyLock<String> = LazyLock::new(|| SystemEnvironment::new().unwrap().new_id());
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        format!("s3://{}/{}/{place}", self.bucket, *RUN).parse().unwrap()
    }

    /// Opens a handle with a real clock, because requests to a server take real time.
    pub fn open(&self, url: &ObjectUrl) -> ObjectBackend {
        let environment = Arc::new(SystemEnvironment::new().unwrap());
        ObjectBackend::open(url, self.options(), environment).unwrap()
    }
}

/// Returns the endpoint to test against instead of the one in this process.
pub fn external() -> Option<String> {
    std::env::var("PFLOW_TEST_S3_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
}

/// Returns an empty location in a bucket.
pub(crate) fn fresh_url() -> ObjectUrl {
    BucketServer::chosen().fresh_url()
}

/// Opens a handle on it. The handle reports no place, so the store does not probe it; the probe has its own
/// tests.
pub(crate) fn open(url: &ObjectUrl) -> Arc<dyn StorageBackend> {
    Arc::new(Remote(Arc::new(BucketServer::chosen().open(url))))
}
