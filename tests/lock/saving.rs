//! Saving and deleting with a lease, without one, and against another client's, on every backend.

use std::time::Duration;

use pflow_store::{ChangeRequest, Conflict, Expect, LeaseId, LeaseRequest, document::ContentHash};
use pflow_testkit::{Fault, Left, Site, conflict, every_backend, generations, id, notices, plan, save};

every_backend!(
    only_the_holder_can_save,
    unchanged_save_needs_no_lock,
    lost_lease_cannot_save,
    expired_lease_is_valid_until_it_is_taken_over,
    save_over_an_expired_lease_ends_it,
    save_can_acquire_the_lock,
    unchanged_save_can_acquire_the_lock,
    save_that_acquires_the_lock_is_idempotent,
    save_with_hold_replaces_an_expired_lease,
);

const MINUTE: Duration = Duration::from_secs(60);

fn lease(operation: &str) -> LeaseRequest {
    LeaseRequest::new(operation, MINUTE)
}

async fn only_the_holder_can_save(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    let other = site.other_store(2).await;
    let before = site.dump().await;
    for refused in [
        other.save(save("a", "2", Expect::Any)).await,
        other.save(save("a", "1", Expect::Any).hold(lease("too"))).await,
        other.delete(ChangeRequest::new(id("a"), Expect::Any)).await,
        // Also refused from the holder's own process: every save must name the lease.
        store.save(save("a", "2", Expect::Any)).await,
    ] {
        assert!(matches!(conflict(refused), Conflict::Locked { .. }));
    }
    assert!(other.save(save("a", "1", Expect::Any)).await.unwrap().unchanged, "nothing is to be done");
    assert_eq!(site.dump().await, before);

    let mine = || held.id.clone();
    let saved = store.save(save("a", "2", Expect::Generation(1)).lease(mine())).await.unwrap();
    assert_eq!((saved.generation, saved.lease), (2, Some(held.clone())));
    store.delete(ChangeRequest::new(id("a"), Expect::Generation(2)).lease(mine())).await.unwrap();
    let undelete = || ChangeRequest::new(id("a"), Expect::Generation(3));
    assert!(matches!(conflict(other.undelete(undelete()).await), Conflict::Locked { .. }));
    let back = store.undelete(undelete().lease(mine())).await.unwrap();
    assert_eq!((back.generation, back.lease), (4, Some(held.clone())));
    let stale = store.save(save("a", "3", Expect::Generation(1)).lease(mine())).await;
    assert!(matches!(conflict(stale), Conflict::Version { .. }), "a lease does not replace the expectation");
    store.release(&id("a"), held.id).await.unwrap();
    assert_eq!(other.save(save("a", "9", Expect::Any)).await.unwrap().generation, 5);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

/// `docs/decisions/0037-unchanged-under-a-lock.md` has the reasons.
async fn unchanged_save_needs_no_lock(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent).name("name")).await.unwrap();
    store.save(save("b", "1", Expect::Absent)).await.unwrap();
    store.delete(ChangeRequest::new(id("b"), Expect::Any)).await.unwrap();
    for name in ["a", "b"] {
        store.acquire(&id(name), lease("edit")).await.unwrap();
    }
    let (other, before) = (site.other_store(2).await, site.dump().await);
    for unchanged in [
        other.save(save("a", "1", Expect::Any)).await,
        other.save(save("a", "1", Expect::Generation(1)).name("name")).await,
        other.delete(ChangeRequest::new(id("b"), Expect::Any)).await,
        other.undelete(ChangeRequest::new(id("a"), Expect::Any)).await,
    ] {
        let unchanged = unchanged.unwrap();
        assert!(unchanged.unchanged && unchanged.lease.is_none() && unchanged.resolved.is_none());
    }
    // Every request that would write, acquire a lease, or build on something else is refused.
    for refused in [
        other.save(save("a", "1", Expect::Any).name("other")).await,
        other.save(save("a", "1", Expect::Any).hold(lease("too"))).await,
        other.delete(ChangeRequest::new(id("a"), Expect::Any)).await,
        other.undelete(ChangeRequest::new(id("b"), Expect::Any)).await,
    ] {
        assert!(matches!(conflict(refused), Conflict::Locked { .. }));
    }
    let stale = other.save(save("a", "1", Expect::Absent)).await;
    assert!(matches!(conflict(stale), Conflict::Exists { .. }));
    assert_eq!(site.dump().await, before);
}

async fn lost_lease_cannot_save(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    store.release(&id("a"), held.id.clone()).await.unwrap();
    let before = site.dump().await;
    for refused in [
        store.save(save("a", "2", Expect::Any).lease(held.id.clone())).await,
        store.save(save("a", "1", Expect::Any).lease(held.id.clone())).await,
        store.delete(ChangeRequest::new(id("a"), Expect::Any).lease(held.id.clone())).await,
        store.save(save("b", "1", Expect::Any).lease(held.id)).await,
    ] {
        assert!(matches!(conflict(refused), Conflict::LeaseLost { held: None, .. }));
    }
    assert_eq!(site.dump().await, before);
}

async fn expired_lease_is_valid_until_it_is_taken_over(site: Site) {
    let store = site.store().await;
    let held = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    site.environment.advance(MINUTE * 60);
    let saved = store.save(save("a", "1", Expect::Absent).lease(held.id.clone())).await.unwrap();
    assert_eq!((saved.generation, saved.lease), (1, Some(held)));
}

async fn save_over_an_expired_lease_ends_it(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    // One minute, the duration of the lease. On the holder's machine there is one clock, so no allowance for
    // skew.
    site.environment.advance(MINUTE);
    assert!(matches!(conflict(store.save(save("a", "2", Expect::Any)).await), Conflict::Locked { .. }));
    site.environment.advance(Duration::from_millis(1));
    let saved = store.save(save("a", "2", Expect::Any)).await.unwrap();
    assert_eq!((saved.generation, saved.lease), (2, None));
    let state = store.lock_state(&id("a")).await.unwrap();
    assert_eq!((state.lease, state.fence), (None, 2));
    assert_eq!(site.get("workflows/a/workflow.lock").await, None);
    let late = store.save(save("a", "late", Expect::Any).lease(held.id)).await;
    assert!(matches!(conflict(late), Conflict::LeaseLost { held: None, fence: 2, .. }));
    assert_eq!(store.load(&id("a")).await.unwrap().content, plan("2"));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn save_can_acquire_the_lock(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    site.probe.take();
    let saved = store.save(save("a", "2", Expect::Generation(1)).hold(lease("edit"))).await.unwrap();
    let log = site.probe.take();
    assert_eq!((log.commits.len(), log.puts("workflows/a/metadata.json")), (1, 1), "one swap for both");
    let held = saved.lease.unwrap();
    assert_eq!((held.fence, held.hash), (1, Some(ContentHash::of(plan("2").as_bytes()))));
    assert_eq!(site.json("workflows/a/workflow.lock").await["lease_id"], held.id.as_str());
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease.as_ref(), Some(&held));
    // A caller that holds the lock already is granted no other.
    let again = save("a", "3", Expect::Any).lease(held.id.clone()).hold(lease("more"));
    assert_eq!(store.save(again).await.unwrap().lease, Some(held));
    assert_eq!(store.lock_state(&id("a")).await.unwrap().fence, 1);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn unchanged_save_can_acquire_the_lock(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let refused = store.save(save("a", "1", Expect::Absent).hold(lease("edit"))).await;
    assert!(matches!(conflict(refused), Conflict::Exists { .. }), "a lock is wanted on what was expected");
    let saved = store.save(save("a", "1", Expect::Generation(1)).hold(lease("edit"))).await.unwrap();
    assert_eq!((saved.unchanged, saved.generation), (true, 1));
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, saved.lease);
    assert!(saved.lease.is_some());
    assert_eq!(site.keys("versions/").await.len(), 1);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn save_that_acquires_the_lock_is_idempotent(site: Site) {
    let store = site.store().await;
    let mine = || lease("edit").id(LeaseId::parse("mine").unwrap());
    let request = || save("a", "1", Expect::Absent).hold(mine());
    // On a disk the outcome stays unknown; elsewhere the store finds it out itself.
    site.probe.fail(Fault::unknown(Left::All));
    assert_eq!(store.save(request()).await.is_err(), site.kind.survives_power_loss());
    let saved = store.save(request()).await.unwrap();
    assert_eq!((saved.generation, saved.unchanged), (1, true));
    assert_eq!(saved.lease.unwrap().id.as_str(), "mine");
    let next = store.save(save("a", "2", Expect::Generation(1)).hold(mine())).await.unwrap();
    assert_eq!((next.generation, next.lease.unwrap().fence), (2, 1), "it is the same grant still");
    assert_eq!(generations(&store).await, ["a@2"]);
}

async fn save_with_hold_replaces_an_expired_lease(site: Site) {
    let store = site.store().await;
    let old = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    site.environment.advance(MINUTE * 3);
    let new = store.save(save("a", "1", Expect::Absent).hold(lease("take"))).await.unwrap().lease.unwrap();
    assert_eq!((old.fence, new.fence), (1, 2));
    assert_eq!(site.json("workflows/a/workflow.lock").await["fence"], 2);
    let late = store.release(&id("a"), old.id).await;
    assert!(matches!(conflict(late), Conflict::LeaseLost { .. }));
}
