//! Places in buckets, each case on a prefix of its own.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pflow_backend::{
    Environment, Error, ErrorKind, Result, StorageBackend, SystemEnvironment, async_trait,
    conformance::{Harness, Site},
};
use pflow_backend_object::{ObjectBackend, ObjectOptions};

/// A bucket on a server, and how to get at it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `s3://probe`, without a prefix.
    pub url: String,
    pub variables: BTreeMap<String, String>,
    /// The same through something that loses the reply to the next write, where there is one. Asked for once for each handle.
    pub losing: Option<fn(&Bucket) -> Losing>,
}

/// Variables that lead through something that loses a reply, and what has to live as long.
pub struct Losing {
    pub variables: BTreeMap<String, String>,
    pub keeps: Box<dyn std::any::Any + Send + Sync>,
}

impl Bucket {
    pub fn new(url: &str, variables: BTreeMap<String, String>) -> Self {
        Self { url: url.to_owned(), variables, losing: None }
    }

    pub fn options(&self) -> ObjectOptions {
        ObjectOptions {
            max_object_size: 2 << 20,
            variables: self.variables.clone(),
            ..ObjectOptions::default()
        }
    }
}

/// Opens a place as the clouds' variables say, with a real clock.
pub fn open(url: &str, options: ObjectOptions) -> Result<ObjectBackend> {
    let url = url.parse().map_err(|refused| Error::new(ErrorKind::InvalidInput, format!("{refused}")))?;
    ObjectBackend::open(&url, options, environment())
}

pub fn environment() -> Arc<SystemEnvironment> {
    Arc::new(SystemEnvironment::new().unwrap())
}

/// Limits for tests of what fails: long enough for a busy machine, short enough for a person.
pub fn impatient(variables: BTreeMap<String, String>) -> ObjectOptions {
    ObjectOptions { deadline: Duration::from_secs(5), variables, ..ObjectOptions::default() }
}

struct Place {
    bucket: Bucket,
    url: String,
    kept: std::sync::Mutex<Vec<Box<dyn std::any::Any + Send + Sync>>>,
}

#[async_trait]
impl Harness for Bucket {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let url = format!("{}/conformance/{}", self.url, environment().new_id());
        Ok(Box::new(Place { bucket: self.clone(), url, kept: Default::default() }))
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
        let Some(losing) = self.bucket.losing else { return Ok(None) };
        let Losing { variables, keeps } = losing(&self.bucket);
        self.kept.lock().unwrap().push(keeps);
        let options = ObjectOptions { variables, ..self.bucket.options() };
        Ok(Some(Arc::new(open(&self.url, options)?)))
    }
}
