//! Copies that are written after the reply.
#![cfg(feature = "s3")]

use std::{sync::Arc, time::Duration};

use pflow_backend::{Batch, Commit, ErrorKind, Key, Operation, StorageBackend, SystemEnvironment};
use pflow_backend_object::{ObjectBackend, ObjectOptions};
use pflow_test_endpoints::{S3Endpoint, Shaping};
use tokio::runtime::Builder;

/// A copy is written after its reply. If the runtime ends in between, no caller waits for the copy.
#[test]
fn a_copy_whose_runtime_ended_is_reported_and_not_waited_for() {
    let server = S3Endpoint::start(["probe"]);
    let options = ObjectOptions::new().variables(server.variables("probe"));
    let environment = Arc::new(SystemEnvironment::new().unwrap());
    let backend = ObjectBackend::open(&"s3://probe/late".parse().unwrap(), options, environment).unwrap();
    let key = |name: &str| Key::parse(name).unwrap();
    let first = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    server.set_shaping(Shaping::latency(Duration::from_millis(300)));
    let batch =
        Batch::new().stage([Operation::put(key("a"), "1")]).stage([Operation::put(key("b"), "1").copy()]);
    assert!(matches!(first.block_on(backend.commit(batch)).unwrap(), Commit::Committed(_)));
    first.shutdown_background();
    server.set_shaping(Shaping::default());
    let second = Builder::new_current_thread().enable_all().build().unwrap();
    let lost = second.block_on(backend.close()).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unavailable);
    assert!(lost.to_string().contains('b'), "{lost}");
}
