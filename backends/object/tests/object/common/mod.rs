//! Opens places in buckets. Each test case gets a prefix of its own.

pub(crate) mod answering;
pub(crate) mod aws;
mod losing;
pub(crate) mod raw;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pflow_backend::{
    Environment, Error, ErrorKind, Result, StorageBackend, SystemEnvironment, async_trait,
    conformance::{CommitFailure, Harness, Site},
};
use pflow_backend_object::{ObjectBackend, ObjectOptions};

use losing::Lost;

/// A bucket on a server, with the variables to open it.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// `s3://probe`, without a prefix.
    pub(crate) url: String,
    pub(crate) variables: BTreeMap<String, String>,
    /// The variable that names the server.
    pub(crate) endpoint: &'static str,
}

impl Bucket {
    pub(crate) fn new(url: &str, endpoint: &'static str, variables: BTreeMap<String, String>) -> Self {
        Self { url: url.to_owned(), endpoint, variables }
    }

    fn options(&self) -> ObjectOptions {
        ObjectOptions::new().max_object_size(2 << 20).variables(self.variables.clone())
    }
}

/// Opens a place with the variables of its cloud and a real clock.
pub(crate) fn open(url: &str, options: ObjectOptions) -> Result<ObjectBackend> {
    let url =
        url.parse().map_err(|refused| Error::not_applied(ErrorKind::InvalidInput, format!("{refused}")))?;
    ObjectBackend::open(&url, options, environment())
}

pub(crate) fn environment() -> Arc<SystemEnvironment> {
    Arc::new(SystemEnvironment::new().unwrap())
}

/// Time limits for tests of failures: long enough for a busy machine, short enough for a person who waits.
pub(crate) fn impatient(variables: BTreeMap<String, String>) -> ObjectOptions {
    ObjectOptions::new().deadline(Duration::from_secs(5)).variables(variables)
}

struct Place {
    bucket: Bucket,
    url: String,
}

#[async_trait]
impl Harness for Bucket {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let url = format!("{}/conformance/{}", self.url, environment().new_id());
        Ok(Box::new(Place { bucket: self.clone(), url }))
    }
}

#[async_trait]
impl Site for Place {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(open(&self.url, self.bucket.options())?))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        self.open().await.map(Some)
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        self.losing(Lost::Reply, 1).await
    }

    /// The second PUT of the suite's commit is that of its head.
    async fn failing_commit(&self, failure: CommitFailure) -> Result<Option<Arc<dyn StorageBackend>>> {
        let lost = match failure {
            CommitFailure::BeforeItsPoint => Lost::Request,
            CommitFailure::AfterItsPoint => Lost::Reply,
        };
        self.losing(lost, 2).await
    }
}

impl Place {
    async fn losing(&self, lost: Lost, number: usize) -> Result<Option<Arc<dyn StorageBackend>>> {
        let mut variables = self.bucket.variables.clone();
        let endpoint = variables.get_mut(self.bucket.endpoint).unwrap();
        let server = endpoint.strip_prefix("http://").unwrap().to_owned();
        let (address, path) = server.split_once('/').unwrap_or((&server, ""));
        *endpoint = format!("http://{}/{path}", losing::one_put(address.to_owned(), lost, number).await);
        Ok(Some(Arc::new(open(&self.url, self.bucket.options().variables(variables))?)))
    }
}
