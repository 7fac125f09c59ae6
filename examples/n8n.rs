//! Workflows of n8n, as its "Download" exports them, in a store: listed by their names, found by their tags
//! and node types, and merged when two people changed them.
//!
//! Run it with `cargo run -p examples --bin n8n`, or with the files of your own:
//! `cargo run -p examples --bin n8n -- workflow.json`.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::{error::Error, fs};

use futures::TryStreamExt;
use pflow_store::{
    Expect, Query, SaveRequest, Store, WorkflowId,
    conflict::Policy,
    document::{Extracted, Extractor},
};
use serde::Deserialize;

/// What an export of n8n has, as far as a store wants to know it.
#[derive(Deserialize)]
struct Export {
    name: String,
    nodes: Vec<ExportedNode>,
    /// Only n8n has it: it tells an export from a workflow of pflow.
    #[serde(rename = "connections")]
    _connections: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    tags: Vec<ExportedTag>,
    #[serde(rename = "versionId")]
    version: Option<String>,
}

#[derive(Deserialize)]
struct ExportedNode {
    #[serde(rename = "type")]
    kind: String,
}

/// The editor exports objects, the API names alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExportedTag {
    Object { name: String },
    Name(String),
}

#[derive(Debug)]
struct N8n;

impl Extractor for N8n {
    fn extract(&self, json: &str) -> Option<Extracted> {
        let export: Export = serde_json::from_str(json).ok()?;
        let name_of = |tag| match tag {
            ExportedTag::Object { name } | ExportedTag::Name(name) => name,
        };
        Some(Extracted {
            name: Some(export.name),
            tags: export.tags.into_iter().map(name_of).collect(),
            // `n8n-nodes-base.slack` is found by its last word.
            nodes: export.nodes.into_iter().map(|node| node.kind).collect(),
            version: export.version,
            ..Extracted::default()
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::builder("memory:").extractor(N8n).init().await?;
    let file =
        std::env::args().nth(1).unwrap_or_else(|| "examples/other_tools/n8n-order-alerts.json".to_owned());
    let text = fs::read_to_string(&file)?;
    let id = WorkflowId::parse("order-alerts")?;
    let saved = store.save(SaveRequest::new(id.clone(), text.clone(), Expect::Absent)).await?;
    println!("Saved {file} as {} with the node types {:?}", saved.record.media_type, saved.record.nodes);
    assert_eq!(store.load(&id).await?.content, text, "byte for byte");

    // One person renames the workflow, the other one turns it on, both from generation 1.
    let renamed = text.replacen("\"name\": \"", "\"name\": \"Our ", 1);
    store.save(SaveRequest::new(id.clone(), renamed, Expect::Generation(1))).await?;
    let turned_on = text.replacen("\"active\": false", "\"active\": true", 1);
    let request = SaveRequest::new(id.clone(), turned_on, Expect::Generation(1)).resolver(Policy::Merge);
    let merged = store.save(request).await?;
    println!("Merged as generation {}: {:?}", merged.generation, merged.record.name.text());

    let found: Vec<_> = store.list(Query::new().text("slack")).try_collect().await?;
    println!("With a node of Slack: {:?}", found.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>());
    Ok(())
}
