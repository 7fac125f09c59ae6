//! A backend of your own, certified by the conformance suite, and a store on it.
//!
//! `own_backend/sqlite.rs` is the backend: a table of an SQLite file.
//!
//! ```sh
//! cargo run -p examples --features own-backend --bin own_backend
//! ```

#![allow(clippy::print_stdout, reason = "an example prints for the person who runs it")]

#[path = "own_backend/sqlite.rs"]
mod sqlite;

use std::{error::Error, path::PathBuf, sync::Arc};

use pflow_store::{
    Expect, Store, WorkflowId,
    backend::{
        Result, StorageBackend, async_trait,
        conformance::{self, Harness, LosingReplies, Site},
    },
};
use sqlite::Sqlite;
use tempfile::TempDir;

/// Provides the suite with new storages in a folder.
struct Certification(TempDir);

/// One file. Each handle is a connection, as in another process.
struct Database(PathBuf);

#[async_trait]
impl Harness for Certification {
    async fn fresh(&self) -> Result<Box<dyn Site>> {
        let number = std::fs::read_dir(self.0.path()).map_or(0, Iterator::count);
        Ok(Box::new(Database(self.0.path().join(format!("{number}.sqlite")))))
    }
}

#[async_trait]
impl Site for Database {
    async fn open(&self) -> Result<Arc<dyn StorageBackend>> {
        Ok(Arc::new(Sqlite::open(&self.0)?))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(self.open().await?))
    }

    async fn losing_a_reply(&self) -> Result<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(LosingReplies::new(self.open().await?))))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn Error>> {
    let report = conformance::run(&Certification(TempDir::new()?)).await;
    println!("{report}");
    report.assert_conformant();

    let folder = TempDir::new()?;
    let store = Store::on(Arc::new(Sqlite::open(&folder.path().join("plans.sqlite"))?)).init().await?;
    let greet = store.workflow(&WorkflowId::parse("greet")?);
    greet.save(r#"{ "nodes": [ { "id": "hello", "type": "echo" } ] }"#, Expect::Absent).await?;
    let loaded = greet.load().await?;
    println!("generation {} of greet is in {}", loaded.record.generation, store.location());
    store.close().await?;
    Ok(())
}
