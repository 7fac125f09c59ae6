//! Acquiring and releasing locks, on every backend.

use std::{sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, LeaseId, LeaseRequest,
    backend::{Environment, ManualEnvironment},
    document::ContentHash,
};
use pflow_testkit::{Site, conflict, every_backend, generations, id, notices, plan, save};

every_backend!(
    lock_is_acquired_shown_and_released,
    mirror_has_the_fields_of_the_seed,
    lock_of_another_client_is_a_conflict,
    acquire_of_the_same_content_reports_already_locked,
    lock_without_a_version_makes_no_workflow,
    acquire_is_idempotent_for_the_same_lease_id,
    fence_distinguishes_grants_of_a_reused_lease_id,
    expired_lease_is_taken_over_after_the_skew_allowance,
    fence_never_decreases,
    lost_race_for_the_head_is_retried,
);

const MINUTE: Duration = Duration::from_secs(60);

fn lease(operation: &str) -> LeaseRequest {
    LeaseRequest::new(operation, MINUTE)
}

async fn lock_is_acquired_shown_and_released(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let free = store.lock_state(&id("a")).await.unwrap();
    assert_eq!((free.lease, free.live, free.fence), (None, false, 0));

    let grant = store.acquire(&id("a"), lease("edit")).await.unwrap();
    assert!(!grant.already_held);
    assert_eq!((grant.lease.fence, grant.lease.holder().as_str()), (1, "tester@host-1"));
    assert_eq!((grant.lease.operation.as_str(), grant.lease.renewals), ("edit", 0));
    assert_eq!(grant.lease.hash, Some(ContentHash::of(plan("1").as_bytes())));
    assert_eq!(grant.lease.expires, site.environment.now() + MINUTE);
    let other = site.other_store(2).await;
    let held = other.lock_state(&id("a")).await.unwrap();
    assert_eq!((held.lease.as_ref(), held.live, held.fence), (Some(&grant.lease), true, 1));
    assert_eq!(other.status().await.unwrap().locked[0].lease, Some(grant.lease.clone()));

    let wrong = store.release(&id("a"), LeaseId::parse("other").unwrap()).await;
    assert!(matches!(conflict(wrong), Conflict::LeaseLost { held: Some(_), fence: 1, .. }));
    assert_eq!(store.release(&id("a"), grant.lease.id.clone()).await.unwrap(), grant.lease);
    let again = store.release(&id("a"), grant.lease.id).await;
    assert!(matches!(conflict(again), Conflict::LeaseLost { held: None, .. }));
    assert_eq!(other.lock_state(&id("a")).await.unwrap().lease, None);
    assert_eq!(other.status().await.unwrap().locked.len(), 0);
    assert_eq!(generations(&store).await, ["a@1"], "a lock is no version");
}

async fn mirror_has_the_fields_of_the_seed(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let grant = store.acquire(&id("a"), lease("edit")).await.unwrap();
    let mirror = site.json("workflows/a/workflow.lock").await;
    let seed = serde_json::json!({
        "version": "1.0",
        "hash": ContentHash::of(plan("1").as_bytes()),
        "timestamp": "2024-01-15T10:30:00Z",
        "pid": 4242,
        "host": "host-1",
        "user": "tester",
        "expires": "2024-01-15T10:31:00Z",
    });
    for (field, value) in seed.as_object().unwrap() {
        assert_eq!(&mirror[field], value, "{field}");
    }
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
    store.release(&id("a"), grant.lease.id).await.unwrap();
    assert_eq!(site.get("workflows/a/workflow.lock").await, None);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn lock_of_another_client_is_a_conflict(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    let other = site.other_store(2).await;
    let elsewhere = ContentHash::of(b"another content");
    let refused = conflict(other.acquire(&id("a"), lease("run").hash(elsewhere)).await);
    let Conflict::Locked { lease, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(**lease, held);
    let text = refused.to_string();
    for words in
        ["tester@host-1", "pid 4242", "edit", "for another 1m", "2024-01-15T10:30:00Z", held.id.as_str()]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
}

async fn acquire_of_the_same_content_reports_already_locked(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let held = store.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    let before = site.dump().await;
    let other = site.other_store(2).await;
    let already = conflict(other.acquire(&id("a"), lease("run")).await);
    assert!(matches!(&already, Conflict::AlreadyLocked { lease, .. } if **lease == held));
    let named = other.acquire(&id("a"), lease("run").hash(held.hash.unwrap())).await;
    assert!(matches!(conflict(named), Conflict::AlreadyLocked { .. }));
    assert_eq!(site.dump().await, before, "that is no grant");
    store.save(save("a", "2", Expect::Any).lease(held.id)).await.unwrap();
    let now = conflict(other.acquire(&id("a"), lease("run")).await);
    assert!(matches!(now, Conflict::Locked { .. }), "the current content is not the one that was locked");
}

async fn lock_without_a_version_makes_no_workflow(site: Site) {
    let store = site.store().await;
    let grant = store.acquire(&id("new"), lease("create")).await.unwrap();
    assert_eq!((grant.lease.hash, grant.lease.fence), (None, 1));
    let head = site.json("workflows/new/metadata.json").await;
    assert_eq!(head["current"], serde_json::Value::Null);
    assert!(matches!(store.show(&id("new")).await, Err(Error::WorkflowMissing { deleted: false, .. })));
    assert!(matches!(store.load(&id("new")).await, Err(Error::WorkflowMissing { deleted: false, .. })));
    assert_eq!(generations(&site.other_store(2).await).await, [""; 0]);
    assert_eq!(store.reindex().await.unwrap(), 0);
    assert_eq!(store.verify().await.unwrap().workflows, 0);

    let refused = site.other_store(2).await.save(save("new", "theirs", Expect::Absent)).await;
    assert!(matches!(conflict(refused), Conflict::Locked { .. }));
    let saved = store.save(save("new", "mine", Expect::Absent).lease(grant.lease.id.clone())).await.unwrap();
    assert_eq!((saved.generation, saved.lease), (1, Some(grant.lease)));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn acquire_is_idempotent_for_the_same_lease_id(site: Site) {
    let store = site.store().await;
    let mine = || lease("edit").id(LeaseId::parse("mine-1").unwrap());
    let first = store.acquire(&id("a"), mine()).await.unwrap();
    let before = site.dump().await;
    let again = store.acquire(&id("a"), mine()).await.unwrap();
    assert_eq!((again.lease, again.already_held, first.already_held), (first.lease.clone(), true, false));
    assert_eq!(site.dump().await, before);
    assert_eq!(first.lease.id.as_str(), "mine-1");
    let others = site.other_store(2).await.acquire(&id("a"), lease("edit")).await;
    assert!(matches!(conflict(others), Conflict::Locked { .. }), "there is no content to be locked already");
    let others = site.other_store(2).await.acquire(&id("a"), mine()).await;
    assert!(matches!(conflict(others), Conflict::Locked { .. }), "the lease id of another client is refused");
}

async fn fence_distinguishes_grants_of_a_reused_lease_id(site: Site) {
    let store = site.store_with(site.builder().clock_skew(Duration::ZERO)).await;
    let name = LeaseId::parse("mine-1").unwrap();
    let mine = || lease("edit").id(name.clone());
    store.acquire(&id("a"), mine()).await.unwrap();
    store.release(&id("a"), name.clone()).await.unwrap();
    // The head does not remember an id that its holder released, so the id can be granted again.
    assert_eq!(store.acquire(&id("a"), mine()).await.unwrap().lease.fence, 2);
    let under = |fence| save("a", "1", Expect::Absent).lease(name.clone()).fence(fence);
    let lost = conflict(store.save(under(1)).await);
    assert!(lost.to_string().contains("each id is for one grant"), "{lost}");
    store.save(under(2)).await.unwrap();
    // It remembers an id that was taken from its holder.
    site.environment.advance(MINUTE * 2);
    let stale = conflict(store.acquire(&id("a"), mine()).await);
    assert!(matches!(&stale, Conflict::LeaseLost { held: Some(_), .. }), "{stale}");
    let hold = save("a", "2", Expect::Generation(1)).hold(mine());
    assert!(matches!(conflict(store.save(hold).await), Conflict::LeaseLost { .. }));
    let hold = save("a", "2", Expect::Generation(1)).hold(lease("take over"));
    let theirs = store.save(hold).await.unwrap().lease.unwrap();
    let text = conflict(store.renew(&id("a"), name.clone(), None).await).to_string();
    assert!(text.contains("it was taken over by tester@host-1 at 2024-01-15T10:3"), "{text}");
    store.release(&id("a"), theirs.id).await.unwrap();
    let ended = conflict(store.acquire(&id("a"), mine()).await).to_string();
    assert!(ended.contains("it was taken over by"), "{ended}");
}

async fn expired_lease_is_taken_over_after_the_skew_allowance(site: Site) {
    let holder = site.store_with(site.builder().clock_skew(Duration::from_secs(5))).await;
    let other = Arc::new(ManualEnvironment::new(2));
    let skew = Duration::from_secs(5);
    let store = site.other_store_with(other.clone(), |builder| builder.clock_skew(skew)).await;
    let old = holder.acquire(&id("a"), lease("edit")).await.unwrap().lease;
    let take = async || store.acquire(&id("a"), lease("take").hash(ContentHash::of(b"x"))).await;
    for clock in [&site.environment, &other] {
        clock.advance(MINUTE + Duration::from_secs(5));
    }
    assert!(store.lock_state(&id("a")).await.unwrap().live);
    assert!(!holder.lock_state(&id("a")).await.unwrap().live, "on one machine there is one clock");
    let refused = conflict(take().await);
    assert!(refused.to_string().contains("within the allowance"), "{refused}");

    other.advance(Duration::from_millis(1));
    let state = store.lock_state(&id("a")).await.unwrap();
    assert_eq!((state.live, state.lease), (false, Some(old.clone())));
    let new = take().await.unwrap().lease;
    assert_eq!((old.fence, new.fence), (1, 2));
    assert_eq!(site.json("workflows/a/workflow.lock").await["lease_id"], new.id.as_str());
    for lost in [
        store.release(&id("a"), old.id.clone()).await.map(drop),
        store.save(save("a", "1", Expect::Absent).lease(old.id.clone())).await.map(drop),
    ] {
        let lost = conflict(lost);
        assert!(lost.to_string().contains("it was taken over by tester@host-2 at 2024-"), "{lost}");
        let Conflict::LeaseLost { held, fence, lease_id, .. } = lost else { panic!("not lost") };
        assert_eq!((held.as_deref(), fence, &lease_id), (Some(&new), 2, &old.id));
    }
}

async fn fence_never_decreases(site: Site) {
    let store = site.store_with(site.builder().clock_skew(Duration::ZERO)).await;
    let mut fences = Vec::new();
    for round in 0..3 {
        let grant = store.acquire(&id("a"), lease("edit")).await.unwrap();
        fences.push(grant.lease.fence);
        store.release(&id("a"), grant.lease.id).await.unwrap();
        store.save(save("a", &round.to_string(), Expect::Absent)).await.unwrap();
        fences.push(store.acquire(&id("a"), lease("edit")).await.unwrap().lease.fence);
        site.environment.advance(MINUTE * 2);
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        fences.push(store.lock_state(&id("a")).await.unwrap().fence);
        store.undelete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        fences.push(store.acquire(&id("a"), lease("edit")).await.unwrap().lease.fence);
        site.environment.advance(MINUTE * 2);
        store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap();
        fences.push(store.lock_state(&id("a")).await.unwrap().fence);
    }
    // Each grant and each override raises it by one.
    assert_eq!(fences, (1..=15).collect::<Vec<_>>());
}

async fn lost_race_for_the_head_is_retried(site: Site) {
    let store = site.store().await;
    store.save(save("a", "1", Expect::Absent)).await.unwrap();
    let other = site.other_store(2).await;
    // The first call reads the head, the second one swaps it.
    site.probe.at_call(1, move || async move {
        other.save(save("a", "2", Expect::Generation(1))).await.unwrap();
    });
    let grant = store.acquire(&id("a"), lease("edit")).await.unwrap();
    assert!(site.probe.hook_has_run());
    assert_eq!(grant.lease.hash, Some(ContentHash::of(plan("2").as_bytes())));
    assert_eq!(generations(&store).await, ["a@2"]);
}
