//! A backend of your own, certified by the conformance suite, and a store on it.
//!
//! `own_backend/sqlite.rs` is the backend: a table of an SQLite file. `own_backend/harness.rs` provides the
//! suite with storages, and makes them fail.
//!
//! ```sh
//! cargo run -p examples --features own-backend --bin own_backend
//! ```

#![allow(clippy::print_stdout, reason = "an example prints for the person who runs it")]

#[path = "own_backend/harness.rs"]
mod harness;
#[path = "own_backend/sqlite.rs"]
mod sqlite;

use std::{error::Error, sync::Arc, time::Duration};

use futures::future::try_join_all;
use harness::Certification;
use pflow_store::{Expect, Store, WorkflowId, backend::conformance};
use sqlite::Sqlite;
use tempfile::TempDir;

/// How long a call waits for other connections, before it is refused as busy.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let report = conformance::run(&Certification).await;
    println!("{report}");
    report.assert_conformant();
    // A harness that loses a hook would certify less without a word. A file cannot tell whether it is a copy,
    // so this backend names no instance.
    assert_eq!(
        report.skipped().collect::<Vec<_>>(),
        ["places::an_instance_is_one_place_and_stays"],
        "{report}"
    );

    first_opens_wait_for_each_other().await?;

    let folder = TempDir::new()?;
    let backend = Sqlite::open(&folder.path().join("plans.sqlite"), PATIENCE).await?;
    let store = Store::on(Arc::new(backend)).init().await?;
    let greet = store.workflow(&WorkflowId::parse("greet")?);
    greet.save(r#"{ "nodes": [ { "id": "hello", "type": "echo" } ] }"#, Expect::Absent).await?;
    let loaded = greet.load().await?;
    println!("generation {} of greet is in {}", loaded.record.generation, store.location());
    store.close().await?;
    Ok(())
}

/// Many processes may open a new file at once.
async fn first_opens_wait_for_each_other() -> std::result::Result<(), Box<dyn Error>> {
    for _ in 0..16 {
        let folder = TempDir::new()?;
        let path = folder.path().join("plans.sqlite");
        drop(try_join_all((0..8).map(|_| Sqlite::open(&path, PATIENCE))).await?);
    }
    Ok(())
}
