//! The two tests of the seed, under their names, on every backend.

use std::time::Duration;

use pflow_store::{
    Conflict, Error, ErrorKind, Expect, LeaseRequest, Store, backend::ErrorKind as StorageErrorKind,
};
use pflow_testkit::{Fault, Kind, Site, conflict, every_backend, id, listed, plan, save};

every_backend!(atomic_write, atomic_write_fails_if_an_object_blocks_the_folder, concurrent_access);

/// A write that keeps failing ends in the seed's `write_error` and leaves nothing, not even parts.
async fn atomic_write(site: Site) {
    let store = site.store().await;
    let before = site.dump().await;
    site.probe.fail(Fault { kind: StorageErrorKind::Exhausted, ..Fault::refuse(usize::MAX) });

    let failed = store.save(save("test", "x", Expect::Absent)).await.unwrap_err();

    assert!(matches!(&failed, Error::Storage(source) if source.kind() == StorageErrorKind::Exhausted));
    assert_eq!(failed.kind(), ErrorKind::Failed);
    assert_eq!(site.dump().await, before);
    site.probe.heal();
    assert!(matches!(store.load(&id("test")).await, Err(Error::WorkflowMissing { deleted: false, .. })));
    assert_eq!(listed(&store).await, [""; 0]);
    let save_flow = Store::flows().unwrap().into_iter().find(|flow| flow.name == "save").unwrap();
    assert!(save_flow.mermaid.contains("write_error"), "{}", save_flow.mermaid);

    store.save(save("test", "x", Expect::Absent)).await.unwrap();
    assert_eq!(store.load(&id("test")).await.unwrap().content, plan("x"));
}

/// The same with a real cause: an object exists where the workflow needs a folder. A bucket and a database can
/// store both.
async fn atomic_write_fails_if_an_object_blocks_the_folder(site: Site) {
    if matches!(site.kind, Kind::Bucket | Kind::Sqlite) {
        return;
    }
    let store = site.store().await;
    site.put("workflows/test", "in the way").await;
    let before = site.dump().await;

    let failed = store.save(save("test", "x", Expect::Absent)).await.unwrap_err();

    let Error::Storage(source) = failed else { panic!("{failed:?}") };
    assert_eq!(source.kind(), StorageErrorKind::InvalidInput);
    assert_eq!(site.dump().await, before);
}

/// A save that holds the lock, and a second save that conflicts with it.
async fn concurrent_access(site: Site) {
    let store = site.store().await;
    let first = save("shared", "1", Expect::Absent).hold(LeaseRequest::new("edit", Duration::from_secs(60)));
    let held = store.save(first).await.unwrap().lease.unwrap();

    let second = site.other_store(2).await;
    for request in [save("shared", "2", Expect::Any), save("shared", "2", Expect::Generation(1))] {
        let refused = second.save(request).await;
        let Conflict::Locked { id: locked, lease, .. } = conflict(refused) else { panic!("not locked") };
        assert_eq!((locked, *lease), (id("shared"), held.clone()));
    }
    assert_eq!(second.load(&id("shared")).await.unwrap().content, plan("1"));
}
