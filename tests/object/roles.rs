//! The policies of `docs/guide/buckets.md` allow what their roles need, and no more than the guide says.

use std::{collections::BTreeMap, time::Duration};

use crate::policy::{Gate, Policy};
use futures::StreamExt;
use pflow_store::{
    ChangeRequest, Error, Expect, LeaseRequest, Store, StoreBuilder, backend::Prefix, object::ObjectOptions,
};
use pflow_test_endpoints::{S3Endpoint, s3_variables};
use pflow_testkit::{everything, id, save};

const URL: &str = "s3://my-bucket/plans";
const AGENT: &str = "Append-only agent";

type Variables = BTreeMap<String, String>;

fn at(variables: &Variables) -> StoreBuilder {
    let object = ObjectOptions::new().variables(variables.clone());
    Store::builder(URL).object_options(object).fold_behind(false)
}

fn lease() -> LeaseRequest {
    LeaseRequest::new("t", Duration::from_secs(60))
}

fn said(error: &Error) -> String {
    format!("{error} {}", error.remedy().map(|remedy| remedy.to_string()).unwrap_or_default())
}

/// Everything that the store does.
async fn write(variables: &Variables) {
    let store = at(variables).fold_after(2).init().await.unwrap();
    for n in 0..6 {
        store.save(save(&format!("w{n}"), "1", Expect::Absent)).await.unwrap();
    }
    store.save(save("w0", "2", Expect::Generation(1))).await.unwrap();
    let grant = store.acquire(&id("w0"), lease()).await.unwrap();
    store.release(&id("w0"), grant.lease.id).await.unwrap();
    store.delete(ChangeRequest::new(id("w1"), Expect::Any)).await.unwrap();
    store.reindex().await.unwrap();
    store.close().await.unwrap();
}

/// A reader may read, and may do nothing else.
async fn read(variables: &Variables) {
    let store = at(variables).open().await.unwrap();
    assert_eq!(everything(&store).await.len(), 5);
    store.load(&id("w0")).await.unwrap();
    store.load_generation(&id("w0"), 1).await.unwrap();
    assert!(store.verify().await.unwrap().findings.is_empty());
    let said = said(&store.save(save("w0", "3", Expect::Any)).await.unwrap_err());
    assert!(said.contains("403 AccessDenied") && said.contains("Allow s3:PutObject"), "{said}");
    store.close().await.unwrap();
}

/// An agent without the right to delete works in a store that a writer has made, as the guide says.
async fn append(variables: &Variables) {
    let store = at(variables).fold_after(2).open().await.unwrap();
    for n in 0..6 {
        store.save(save(&format!("x{n}"), "1", Expect::Absent)).await.unwrap();
    }
    let grant = store.acquire(&id("x0"), lease()).await.unwrap();
    store.save(save("x0", "2", Expect::Generation(1)).lease(grant.lease.id.clone())).await.unwrap();
    store.release(&id("x0"), grant.lease.id).await.unwrap();
    assert!(store.lock_state(&id("x0")).await.unwrap().lease.is_none(), "whatever its mirror says");
    store.delete(ChangeRequest::new(id("x1"), Expect::Any)).await.unwrap();
    assert_eq!(everything(&store).await.len(), 10);
    store.close().await.unwrap();
}

/// An agent cannot create the store.
async fn append_first(variables: &Variables) {
    let said = said(&at(variables).init().await.unwrap_err());
    assert!(said.contains("Failed to probe the storage") && said.contains("Allow s3:DeleteObject"), "{said}");
}

/// A writer removes what an agent could not.
async fn tidy(variables: &Variables) {
    let store = at(variables).open().await.unwrap();
    store.reindex().await.unwrap();
    let pending = Prefix::parse("ops/pending").unwrap();
    let left: Vec<_> = store.backend().list(&pending, None).collect().await;
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(everything(&store).await.len(), 10);
    store.close().await.unwrap();
}

/// A probed place is recorded by its endpoint, so all roles use the same endpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_all_of_its_own_with_its_policy() {
    let server = S3Endpoint::start(["my-bucket"]);
    let gate = Gate::start(&server.url(), Policy::of_the_guide(AGENT));
    let variables = s3_variables(&gate.url, "my-bucket");
    append_first(&variables).await;
    gate.set(Policy::of_the_guide("Writer"));
    gate.refused();
    write(&variables).await;
    assert_eq!(gate.refused(), [""; 0], "a writer");
    gate.set(Policy::of_the_guide("Reader"));
    read(&variables).await;
    let refused = gate.refused();
    let is_a_change = |it: &String| it.starts_with("s3:PutObject ") || it.starts_with("s3:DeleteObject ");
    assert!(refused.iter().all(is_a_change), "a reader, whose save is refused: {refused:#?}");
    gate.set(Policy::of_the_guide(AGENT));
    append(&variables).await;
    let refused = gate.refused();
    for left in ["ops/pending/", "ops/fold", "workflows/x0/workflow.lock", "workflows/x1/workflow.json"] {
        let left = format!("s3:DeleteObject arn:aws:s3:::my-bucket/plans/{left}");
        assert!(refused.iter().any(|it| it.starts_with(&left)), "{left}: {refused:#?}");
    }
    assert!(refused.iter().all(|it| it.starts_with("s3:DeleteObject ")), "an agent: {refused:#?}");
    gate.set(Policy::of_the_guide("Writer"));
    tidy(&variables).await;
    assert_eq!(gate.refused(), [""; 0], "a writer");
}

/// The same with a server that checks IAM policies: `PFLOW_TEST_IAM` has the endpoint and the keys of each
/// role, as `tests/servers/moto-iam.sh` prints them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_iam_lets_each_role_do_all_of_its_own() {
    let Ok(told) = std::env::var("PFLOW_TEST_IAM") else {
        return println!("skipped: PFLOW_TEST_IAM names no server");
    };
    let mut parts = told.split(',');
    let endpoint = parts.next().unwrap();
    let of_role = |role: &str| {
        let keys = told.split(',').find_map(|it| it.strip_prefix(role)?.strip_prefix(':')).unwrap();
        let (id, secret) = keys.split_once(':').unwrap();
        let mut variables = s3_variables(endpoint, "my-bucket");
        variables.insert("AWS_ACCESS_KEY_ID".to_owned(), id.to_owned());
        variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), secret.to_owned());
        variables
    };
    append_first(&of_role(AGENT)).await;
    write(&of_role("Writer")).await;
    read(&of_role("Reader")).await;
    append(&of_role(AGENT)).await;
    tidy(&of_role("Writer")).await;
}
