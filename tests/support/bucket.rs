use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use pflow_store::{
    pflow_backend::{Environment, StorageBackend, SystemEnvironment},
    pflow_backend_object::{ObjectBackend, ObjectOptions, ObjectUrl},
};
use pflow_test_endpoints::{S3Endpoint, s3_variables};

use super::Remote;

/// The server in this process, for all tests of it.
static OWN: LazyLock<S3Endpoint> = LazyLock::new(|| S3Endpoint::start([BUCKET]));

const BUCKET: &str = "probe";

/// Where a server is, and what a client needs to know to use it.
pub(crate) struct BucketServer {
    pub(crate) bucket: String,
    pub(crate) variables: BTreeMap<String, String>,
}

impl BucketServer {
    /// The one that `PFLOW_TEST_S3_ENDPOINT` names, with the credentials in `AWS_...`, else the one in this
    /// process.
    pub(crate) fn chosen() -> Self {
        let Some(endpoint) = external() else {
            return Self { bucket: BUCKET.to_owned(), variables: OWN.variables(BUCKET) };
        };
        let bucket = std::env::var("PFLOW_TEST_S3_BUCKET").unwrap_or_else(|_| BUCKET.to_owned());
        Self { variables: s3_variables(&endpoint, &bucket), bucket }
    }

    /// `http://host:port`.
    pub(crate) fn endpoint(&self) -> String {
        self.variables["AWS_ENDPOINT_URL"].clone()
    }

    pub(crate) fn options(&self) -> ObjectOptions {
        ObjectOptions { variables: self.variables.clone(), ..ObjectOptions::default() }
    }

    /// A place below which nobody has written anything.
    pub(crate) fn fresh_url(&self) -> ObjectUrl {
        static PLACES: AtomicUsize = AtomicUsize::new(0);
        // Servers outlive a test run, so its id belongs to the name.
        static RUN: LazyLock<String> = LazyLock::new(|| SystemEnvironment::new().unwrap().new_id());
        let place = PLACES.fetch_add(1, Ordering::Relaxed);
        format!("s3://{}/{}/{place}", self.bucket, *RUN).parse().unwrap()
    }

    /// A handle with a clock that runs: what waits for a server has to wait.
    pub(crate) fn open(&self, url: &ObjectUrl) -> ObjectBackend {
        let environment = Arc::new(SystemEnvironment::new().unwrap());
        ObjectBackend::open(url, self.options(), environment).unwrap()
    }
}

/// The endpoint to test against instead of the one in this process.
pub(crate) fn external() -> Option<String> {
    std::env::var("PFLOW_TEST_S3_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
}

/// An empty place in a bucket.
pub(crate) fn fresh_url() -> ObjectUrl {
    BucketServer::chosen().fresh_url()
}

/// A handle on it. It has no name that would have it probed: that is for the tests of the probe.
pub(crate) fn open(url: &ObjectUrl) -> Arc<dyn StorageBackend> {
    Arc::new(Remote(Arc::new(BucketServer::chosen().open(url))))
}
