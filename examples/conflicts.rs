//! Two people edit one workflow: edits that do not overlap are merged, and a custom resolver decides about
//! those that do.
//!
//! Run it with `cargo run -p examples --bin conflicts`.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::{error::Error, sync::Arc};

use pflow_store::{
    Expect, SaveRequest, Store, WorkflowId,
    backend::async_trait,
    conflict::{Case, ConflictResolver, How, Obstacle, Policy, Resolution},
};

/// Merges, and keeps ours as another workflow if that is not possible. A program with a user interface would
/// ask here.
#[derive(Debug)]
struct KeepWhatCannotBeMerged;

#[async_trait]
impl ConflictResolver for KeepWhatCannotBeMerged {
    async fn resolve(&self, case: &Case) -> pflow_store::Result<Resolution> {
        Ok(match case.obstacle() {
            None => {
                println!("  {}", case.conflict());
                for change in case.their_changes().await?.unwrap_or_default() {
                    println!("    they: {change}");
                }
                Resolution::Merge
            }
            Some(Obstacle::Overlaps(overlaps)) => {
                for overlap in overlaps {
                    println!("    both: {overlap}");
                }
                Resolution::KeepBoth { id: None }
            }
            Some(_) => Resolution::Cancel,
        })
    }
}

/// A workflow that fetches a page and sends a mail.
fn plan(url: &str, to: &str) -> String {
    format!(
        r#"{{
  "nodes": [
    {{ "id": "fetch", "type": "http", "params": {{ "url": "{url}" }} }},
    {{ "id": "send", "type": "mail", "params": {{ "to": "{to}" }} }}
  ],
  "edges": [ {{ "from": "fetch", "to": "send" }} ]
}}
"#
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::builder("memory:").init().await?;
    let id = WorkflowId::parse("daily-mail")?;
    let save = |text: String, expect| SaveRequest::new(id.clone(), text, expect);
    store.save(save(plan("a.example", "ada"), Expect::Absent)).await?;

    // Ada and Grace have both loaded generation 1. Ada saves first.
    let loaded = Expect::Generation(1);
    store.save(save(plan("b.example", "ada"), loaded)).await?;

    println!("Grace changes another node, and leaves the rest to a policy:");
    let merged =
        store.save(save(plan("a.example", "grace"), loaded).resolver(Arc::new(Policy::Merge))).await?;
    println!(
        "  generation {}: {}",
        merged.generation,
        merged.resolved.and_then(|it| it.how).map_or("", |how| how.as_str())
    );
    assert_eq!(store.load(&id).await?.content, plan("b.example", "grace"));

    println!("Linus changes what Ada has changed, on top of generation 1 too:");
    let linus = save(plan("c.example", "ada"), loaded).resolver(Arc::new(KeepWhatCannotBeMerged));
    let kept = store.save(linus).await?;
    assert_eq!(kept.resolved.and_then(|it| it.how), Some(How::KeptBoth { instead_of: id.clone() }));
    println!("  kept as {}", kept.id);

    // No version is lost, whatever was decided.
    for generation in 1..=3 {
        let version = store.load_generation(&id, generation).await?;
        println!("generation {generation} by {}: {} bytes", version.record.author, version.content.len());
    }
    store.close().await?;
    Ok(())
}
