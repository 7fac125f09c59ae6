//! Every case that a lock can be in is told apart and explained, and only what is stale is taken over.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use pflow_store::{
    Conflict, LeaseRequest, Store, StoreOptions,
    lock::{Holder, Live, Mirror, Stale, Standing},
    pflow_backend::{Environment, Identity, ManualEnvironment, Process},
};
use serde_json::Value;
use support::{Kind, Site, conflict, every_backend, id};

every_backend!(
    every_case_has_a_reason,
    a_renewal_that_stays_away_frees_the_lock_whatever_the_clocks_say,
    the_mirror_is_mended_and_what_others_put_there_is_kept,
    locks_are_listed_by_their_mirrors_and_confirmed_by_the_heads,
);

const MINUTE: Duration = Duration::from_secs(60);
/// The allowance for skewed clocks of the store's defaults.
const SKEW: Duration = Duration::from_secs(60);

/// Whoever looks: the machine `host-1`.
fn me() -> Identity {
    ManualEnvironment::new(1).identity().clone()
}

/// Another process of the same machine.
fn neighbour() -> Identity {
    Identity { pid: 77, process_start: Some("5".to_owned()), ..me() }
}

struct Case {
    name: &'static str,
    holder: Identity,
    /// What has the holder's pid now.
    process: Process,
    /// How far the holder's clock is ahead of ours, and how long after the grant we look, in seconds.
    ahead: i64,
    passed: u64,
    detached: bool,
    expected: Standing,
    /// What the reason says.
    words: &'static str,
}

fn cases() -> Vec<Case> {
    let started = |at: &str| Process::Started(at.to_owned());
    let not_ended = |holder| Standing::Live { why: Live::NotEnded, holder };
    let live = Case {
        name: "live",
        holder: neighbour(),
        process: started("5"),
        ahead: 0,
        passed: 30,
        detached: false,
        expected: not_ended(Holder::Running),
        words: "its lease has not ended, and its process runs",
    };
    let elsewhere = || ManualEnvironment::new(9).identity().clone();
    vec![
        Case {
            name: "at its end",
            passed: 61,
            expected: Standing::Live { why: Live::Allowance, holder: Holder::Running },
            words: "within the allowance for skewed clocks",
            holder: neighbour(),
            process: started("5"),
            ..live
        },
        Case {
            name: "expired",
            passed: 121,
            expected: Standing::Stale(Stale::Expired { holder: Holder::Running }),
            words: "its lease ended 1m 1s ago, longer than clocks may differ",
            holder: neighbour(),
            process: started("5"),
            ..live
        },
        Case {
            name: "dead pid",
            process: Process::Gone,
            expected: Standing::Stale(Stale::ProcessGone),
            words: "its process 77 on this machine is gone",
            holder: neighbour(),
            ..live
        },
        Case {
            name: "reused pid",
            process: started("6"),
            expected: Standing::Stale(Stale::PidReused),
            words: "the pid 77 belongs to one that started at another time",
            holder: neighbour(),
            ..live
        },
        Case {
            name: "other pid namespace",
            process: Process::Gone,
            holder: Identity { pid_namespace: Some("pid:[7]".to_owned()), ..neighbour() },
            expected: not_ended(Holder::OtherNamespace),
            words: "in another pid namespace",
            ..live
        },
        Case {
            name: "other boot",
            process: Process::Gone,
            holder: Identity { boot_id: Some("before".to_owned()), ..neighbour() },
            expected: not_ended(Holder::OtherBoot),
            words: "another boot of this machine, or to another machine of that name",
            ..live
        },
        Case {
            name: "other host",
            process: Process::Gone,
            holder: elsewhere(),
            expected: not_ended(Holder::OtherHost),
            words: "on another machine",
            ..live
        },
        Case {
            name: "taken to outlast its process",
            process: Process::Gone,
            holder: neighbour(),
            detached: true,
            expected: not_ended(Holder::Detached),
            words: "taken to outlast the process",
            ..live
        },
        Case {
            name: "a system that tells nothing",
            process: Process::Unknown,
            holder: neighbour(),
            expected: not_ended(Holder::Unknown),
            words: "cannot be told",
            ..live
        },
        Case {
            name: "a clock 3 days ahead",
            holder: elsewhere(),
            process: Process::Unknown,
            ahead: 3 * 86_400,
            passed: 0,
            expected: Standing::Live { why: Live::Ahead, holder: Holder::OtherHost },
            words: "3d in the future",
            ..live
        },
        Case {
            name: "a clock 3 days behind",
            holder: elsewhere(),
            process: Process::Unknown,
            ahead: -3 * 86_400,
            passed: 0,
            expected: Standing::Stale(Stale::Expired { holder: Holder::OtherHost }),
            words: "if its holder's clock is behind ours it may still be in use",
            ..live
        },
        Case {
            name: "a timestamp that is hardly in the future",
            holder: elsewhere(),
            process: Process::Unknown,
            ahead: 90,
            passed: 0,
            expected: Standing::Live { why: Live::Ahead, holder: Holder::OtherHost },
            words: "1m 30s in the future",
            ..live
        },
        Case {
            name: "a clock within the allowance",
            holder: elsewhere(),
            process: Process::Unknown,
            ahead: 45,
            passed: 0,
            expected: not_ended(Holder::OtherHost),
            words: "its lease has not ended",
            ..live
        },
        live,
    ]
}

fn request() -> LeaseRequest {
    LeaseRequest::new("edit", MINUTE)
}

async fn store_of(site: &Site, environment: Arc<ManualEnvironment>) -> Store {
    site.other_store_with(StoreOptions::new(environment).clock_skew(SKEW)).await
}

async fn every_case_has_a_reason(site: Site) {
    let _creates = site.store().await;
    for (n, case) in cases().into_iter().enumerate() {
        let (name, workflow) = (case.name, id(&format!("w{n}")));
        let theirs = Arc::new(ManualEnvironment::new(100 + n as u64).with_identity(case.holder));
        let mine = Arc::new(ManualEnvironment::new(200 + n as u64).with_identity(me()));
        mine.set_process(77, case.process);
        theirs.set_now(mine.now() + TimeDelta::seconds(case.ahead));
        let wish = if case.detached { request().detached() } else { request() };
        let held = store_of(&site, theirs).await.acquire(&workflow, wish).await.unwrap().lease;
        mine.advance(Duration::from_secs(case.passed));

        let store = store_of(&site, mine).await;
        let state = store.lock_state(&workflow).await.unwrap();
        let standing = state.standing.unwrap();
        assert_eq!((standing, state.live), (case.expected, case.expected.is_live()), "{name}");
        let reason = standing.reason(&held, state.now);
        assert!(reason.contains(case.words), "{name}: {reason}");
        match store.acquire(&workflow, request()).await {
            Ok(grant) => {
                assert!(!case.expected.is_live(), "{name}");
                assert_eq!(grant.lease.fence, 2, "{name}");
            }
            refused => {
                assert!(case.expected.is_live(), "{name}");
                let refused = conflict(refused);
                assert!(refused.to_string().contains(case.words), "{name}: {refused}");
            }
        }
    }
}

async fn a_renewal_that_stays_away_frees_the_lock_whatever_the_clocks_say(site: Site) {
    let (store, other) = (site.store().await, Arc::new(ManualEnvironment::new(2)));
    // Three days ahead, so that its end is far away by our clock.
    other.set_now(other.now() + TimeDelta::days(3));
    let theirs = store_of(&site, other).await;
    let held = theirs.acquire(&id("a"), request()).await.unwrap().lease;
    for _ in 0..3 {
        assert!(store.lock_state(&id("a")).await.unwrap().live);
        site.environment.advance(MINUTE);
        assert!(store.lock_state(&id("a")).await.unwrap().live, "not yet longer than it lasts");
        theirs.renew(&id("a"), held.id.clone(), None).await.unwrap();
    }
    assert!(store.lock_state(&id("a")).await.unwrap().live);
    site.environment.advance(MINUTE + Duration::from_millis(1));
    let state = store.lock_state(&id("a")).await.unwrap();
    assert!(matches!(state.standing, Some(Standing::Stale(Stale::Unrenewed { .. }))), "{state:?}");
    let taken = store.acquire(&id("a"), request()).await.unwrap().lease;
    let lost = conflict(theirs.renew(&id("a"), held.id.clone(), None).await);
    let text = lost.to_string();
    for words in ["tester@host-1", "pid 4242", "since 2024-01-15T", "under fence 2"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(store.lock_state(&id("a")).await.unwrap().lease, Some(taken));
}

async fn the_mirror_is_mended_and_what_others_put_there_is_kept(site: Site) {
    const MIRROR: &str = "workflows/a/workflow.lock";
    let store = site.store().await;
    let held = store.acquire(&id("a"), request()).await.unwrap().lease;
    let faithful = site.get(MIRROR).await.unwrap();
    assert_eq!(store.inspect_lock(&id("a")).await.unwrap().mirror, Mirror::Faithful);
    let edited = String::from_utf8(faithful.to_vec()).unwrap().replace("tester", "mallory");
    let mut kept = Vec::new();
    for (put, expected) in [
        (None, Mirror::Missing),
        (Some("garbage".to_owned()), Mirror::Foreign),
        (Some(edited), Mirror::Edited),
    ] {
        match &put {
            Some(text) => site.put(MIRROR, text.clone()).await,
            None => site.remove(MIRROR).await,
        }
        let seen = store.inspect_lock(&id("a")).await.unwrap();
        assert_eq!((seen.mirror, seen.mended), (expected, true));
        assert_eq!(seen.state.lease.as_ref(), Some(&held), "the head decides");
        assert_eq!(seen.kept.is_some(), put.is_some());
        assert_eq!(site.get(MIRROR).await.unwrap(), faithful);
        if let (Some(key), Some(text)) = (seen.kept, put) {
            assert_eq!(site.get(&key).await.unwrap(), text.as_bytes());
            kept.push(key);
        }
    }
    // What is put there again is kept once.
    site.put(MIRROR, "garbage").await;
    let again = store.inspect_lock(&id("a")).await.unwrap();
    assert!((again.mended, again.kept.as_ref()) == (true, kept.first()), "{again:?}");
    // Where people edit files, every other lock operation looks too.
    site.put(MIRROR, "by hand").await;
    store.renew(&id("a"), held.id.clone(), None).await.unwrap();
    let json: Value = site.json(MIRROR).await;
    assert_eq!(json["renewals"], 1);
    let plain = matches!(site.kind, Kind::Disk | Kind::PlainMemory);
    let odd: Vec<String> =
        site.keys("workflows/a/").await.into_iter().filter(|key| key.ends_with(".odd")).collect();
    assert_eq!(odd.len(), kept.len() + usize::from(plain), "{odd:?}");
    store.release(&id("a"), held.id).await.unwrap();
    assert_eq!(site.get(MIRROR).await, None);
    // What an earlier lease left is no edit of anybody.
    site.put(MIRROR, faithful).await;
    let seen = store.inspect_lock(&id("a")).await.unwrap();
    assert_eq!((seen.mirror, seen.kept), (Mirror::Lagging, None));
    let conditional = store.backend().capabilities().conditional_delete;
    assert_eq!((seen.mended, site.get(MIRROR).await.is_none()), (conditional, conditional));
}

async fn locks_are_listed_by_their_mirrors_and_confirmed_by_the_heads(site: Site) {
    use pflow_store::lock::LockScope;
    let store = site.store().await;
    for name in ["a", "b", "c", "d"] {
        store.acquire(&id(name), request()).await.unwrap();
    }
    let released = store.lock_state(&id("b")).await.unwrap().lease.unwrap();
    store.release(&id("b"), released.id).await.unwrap();
    site.remove("workflows/c/workflow.lock").await;
    site.put("workflows/d/workflow.lock", "garbage").await;
    site.put("workflows/e/workflow.lock", "garbage").await;
    let listed = async |scope| {
        let found = store.locks(scope).await.unwrap();
        let line =
            |lock: &pflow_store::lock::Inspection| (lock.state.id.to_string(), lock.state.live, lock.mirror);
        found.locks.iter().map(line).collect::<Vec<_>>()
    };
    let line = |name: &str, live, mirror| (name.to_owned(), live, mirror);
    let mirrored = [
        line("a", true, Mirror::Faithful),
        line("d", true, Mirror::Foreign),
        line("e", false, Mirror::Foreign),
    ];
    assert_eq!(listed(LockScope::Mirrored).await, mirrored);
    let everything = listed(LockScope::Everything).await;
    assert_eq!(everything.len(), 4);
    assert_eq!(everything[1], line("c", true, Mirror::Missing));
    site.put("workflows/a/metadata.json", "garbage").await;
    let found = store.locks(LockScope::Mirrored).await.unwrap();
    assert_eq!((found.locks.len(), found.unreadable.len()), (2, 1), "one bad head does not hide the others");
    assert!(matches!(conflict(store.acquire(&id("d"), request()).await), Conflict::Locked { .. }));
}
