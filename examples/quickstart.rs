//! The main use from start to end: creates a store in a folder, saves the workflows of `examples/workflows/`,
//! locks one, lists, searches and loads.
//!
//! ```sh
//! cargo run -p examples --bin quickstart            # in a temporary folder
//! cargo run -p examples --bin quickstart -- ./demo  # in a folder that stays
//! ```

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::{error::Error, path::Path, time::Duration};

use futures::StreamExt;
use futures::TryStreamExt;
use pflow_store::{Expect, LeaseRequest, Query, SaveRequest, Store, WorkflowId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let folder =
        std::env::args().nth(1).unwrap_or_else(|| temporary.path().join(".pflow").display().to_string());
    let store = Store::builder(&folder).init().await?;
    println!("A store at {folder}");

    // Saves many at once. Each is a save of its own with its own result.
    let mut saves = std::pin::pin!(store.save_all(workflows("examples/workflows")?));
    while let Some((id, saved)) = saves.next().await {
        println!("  saved {id} as generation {}", saved?.generation);
    }

    // A lock is a lease: it has an id, a fence that never decreases, and an end. The guard renews it until it
    // is released.
    let id = WorkflowId::parse("daily-report")?;
    let request = LeaseRequest::new("edit", Duration::from_secs(60)).wait(Duration::from_secs(10));
    let guard = store.lock(&id, request).await?;
    let lease = guard.lease();
    println!("Locked {id} until {} under fence {}", lease.expires, lease.fence);

    // A save without the lease is refused with the name of the holder, and changes nothing.
    let text = store.load(&id).await?.content;
    let edited = String::from_utf8(text.to_vec())?.replace("in five sentences", "in three sentences");
    let refused = store.save(SaveRequest::new(id.clone(), edited.clone(), Expect::Any)).await;
    println!("Without the lease: {}", refused.err().map_or_else(String::new, |error| error.to_string()));

    // Built on generation 1: if another client had saved in the meantime, this would be a conflict and not a
    // lost update.
    let request = SaveRequest::new(id.clone(), edited, Expect::Generation(1))
        .lease(guard.lease_id()?)
        .message("Shorter");
    let saved = store.save(request).await?;
    guard.release().await?;
    println!(
        "With it: generation {} ({})",
        saved.generation,
        saved.hash.map_or_else(String::new, |hash| hash.to_string())
    );

    println!("All workflows:");
    let mut all = store.list(Query::new());
    while let Some(entry) = all.try_next().await? {
        println!("  {:<26} {} [{}]", entry.id, entry.title(), entry.tags.join(", "));
    }
    let found = store.list(Query::new().text("model").nodes(["llm"]));
    let found: Vec<String> = found.map_ok(|entry| entry.id.to_string()).try_collect().await?;
    println!("With `model` in the text and an `llm` node: {}", found.join(", "));

    let before = store.load_generation(&id, 1).await?;
    println!(
        "Generation 1 of {id} is still there: {} bytes, saved by {}",
        before.content.len(),
        before.record.author
    );

    let report = store.verify().await?;
    println!(
        "Verified {} workflows with {} versions: sound = {}",
        report.workflows,
        report.versions,
        report.is_sound()
    );
    store.close().await?;
    Ok(())
}

/// Returns the workflows of a folder, each under its own name.
fn workflows(folder: impl AsRef<Path>) -> Result<Vec<SaveRequest>, Box<dyn Error>> {
    let mut paths =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|it| it.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    let mut requests = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let id = WorkflowId::parse(name.strip_suffix(".pflow.md").unwrap_or(&name))?;
        requests.push(SaveRequest::new(id, std::fs::read(&path)?, Expect::Any));
    }
    Ok(requests)
}
