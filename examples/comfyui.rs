//! Workflows of ComfyUI in a store: what "Save" writes, and what "Export (API)" writes.
//!
//! Run it with `cargo run -p examples --bin comfyui`, or with files of your own:
//! `cargo run -p examples --bin comfyui -- workflow.json`.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use pflow_store::{
    Expect, SaveRequest, Store, WorkflowId,
    document::{Extracted, Extractor},
};
use serde::Deserialize;

/// What "Save" writes: the graph with the places of its nodes.
#[derive(Deserialize)]
struct SavedGraph {
    nodes: Vec<GraphNode>,
    #[serde(rename = "links")]
    _links: Vec<serde_json::Value>,
    #[serde(default)]
    extra: Extra,
}

#[derive(Deserialize)]
struct GraphNode {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Default)]
struct Extra {
    #[serde(default)]
    info: Info,
}

#[derive(Deserialize, Default)]
struct Info {
    name: Option<String>,
    description: Option<String>,
    version: Option<String>,
}

/// What "Export (API)" writes: the nodes by their ids, without a title of the whole.
#[derive(Deserialize)]
struct ApiNode {
    class_type: String,
    #[serde(rename = "inputs")]
    _inputs: serde_json::Map<String, serde_json::Value>,
}

#[derive(Debug)]
struct ComfyUi;

impl Extractor for ComfyUi {
    fn extract(&self, json: &str) -> Option<Extracted> {
        if let Ok(graph) = serde_json::from_str::<SavedGraph>(json) {
            let Info { name, description, version } = graph.extra.info;
            let nodes = graph.nodes.into_iter().map(|node| node.kind).collect();
            return Some(Extracted { name, description, version, nodes, ..Extracted::default() });
        }
        let nodes: BTreeMap<String, ApiNode> = serde_json::from_str(json).ok()?;
        if nodes.is_empty() {
            return None;
        }
        let nodes = nodes.into_values().map(|node| node.class_type).collect();
        Some(Extracted { nodes, ..Extracted::default() })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Store::builder("memory:").extractor(ComfyUi).init().await?;
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        files = ["comfyui-portrait.json", "comfyui-portrait-api.json"]
            .map(|name| format!("examples/other_tools/{name}"))
            .into();
    }
    for file in files {
        let text = fs::read(&file)?;
        let stem = Path::new(&file).file_stem().unwrap_or_default().to_string_lossy();
        let id = WorkflowId::parse(&*stem)?;
        let saved = store.save(SaveRequest::new(id.clone(), text.clone(), Expect::Absent)).await?;
        let record = saved.record;
        println!("Saved {file}: title {:?}, nodes {:?}", record.name.text(), record.nodes);
        assert_eq!(store.load(&id).await?.content, text, "byte for byte");
    }
    Ok(())
}
