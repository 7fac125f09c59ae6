//! Two machines share workflows through a bucket: no client overwrites a version that it has not seen, and no
//! lock server is needed.
//!
//! ```sh
//! cargo run -p examples --features bucket --bin bucket                         # a server inside this process
//! export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… AWS_REGION=…
//! cargo run -p examples --features bucket --bin bucket -- s3://my-bucket/plans # a real one; AWS_ENDPOINT_URL for one that is not Amazon's
//! ```
//!
//! `gs://` and `az://` work the same way, with `GOOGLE_…` and `AZURE_…` variables.

#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::{error::Error, time::Duration};

use pflow_store::{
    Conflict, Expect, SaveRequest, Store, WorkflowId, backend::probe::Depth, object::ObjectOptions,
};
use pflow_test_endpoints::S3Endpoint;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Starts a test server if no URL is given. It ends with this process.
    let (url, object, _server) = match std::env::args().nth(1) {
        Some(url) => (url, ObjectOptions::from_env(std::env::vars()), None),
        None => {
            let server = S3Endpoint::start(["plans"]);
            let object = ObjectOptions::new().variables(server.variables("plans"));
            ("s3://plans/team".to_owned(), object, Some(server))
        }
    };
    // Timeouts: one second to connect, ten for a request, twenty for an operation.
    let object = object
        .connect_timeout(Duration::from_secs(1))
        .request_timeout(Duration::from_secs(10))
        .deadline(Duration::from_secs(20));
    let at = |url: &str| Store::builder(url).object_options(object.clone());

    // The first client creates the store. It probes the server first, because a server that breaks its
    // guarantees would lose work.
    let laptop = at(&url).init().await?;
    println!("A store at {}", laptop.location());
    for check in laptop.doctor(&Depth::default()).await?.report.checks {
        println!("  {:<18} {:?}", check.name, check.verdict);
    }

    let id = WorkflowId::parse("nightly")?;
    let text = r#"{ "nodes": [ { "id": "fetch", "type": "http" } ] }"#;
    let saved = laptop.save(SaveRequest::new(id.clone(), text, Expect::Any)).await?;
    println!("The laptop saved generation {}", saved.generation);

    // Another machine loads it: two parallel requests, and the content is checked against the head's hash.
    let server = at(&url).open().await?;
    let loaded = server.load(&id).await?;
    let edited = String::from_utf8(loaded.content.to_vec())?.replace("http", "shell");
    let expect = Expect::Generation(loaded.record.generation);
    let saved = server.save(SaveRequest::new(id.clone(), edited, expect).message("no proxy here")).await?;
    println!("The server saved generation {}", saved.generation);

    // The laptop still builds on the version it knows. Its swap fails, and it gets a conflict that names the
    // current version.
    let late = laptop.save(SaveRequest::new(id.clone(), r#"{ "nodes": [] }"#, expect)).await;
    match late {
        Err(pflow_store::Error::Conflict(conflict)) => match *conflict {
            Conflict::Version { .. } => println!("The laptop was told: {conflict}"),
            other => println!("Something else is in the way: {other}"),
        },
        other => println!("Unexpected: {other:?}"),
    }

    // Work after the replies (the copy in workflow.json) is complete when this returns.
    laptop.close().await?;
    server.close().await?;
    Ok(())
}
