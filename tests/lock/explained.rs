//! Every state of a lock is distinguished and explained, and only stale leases are taken over.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt};
use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, LeaseRequest, Store,
    backend::{Batch, Environment, Identity, Key, ManualEnvironment, Operation, Process},
    conflict::Policy,
    lock::{Holder, Live, Mirror, Stale, Standing},
};
use pflow_testkit::{Fault, Kind, Left, Site, conflict, every_backend, id, save};
use serde_json::Value;

every_backend!(
    every_lock_state_has_a_reason,
    unrenewed_lease_is_taken_over_despite_a_wrong_clock,
    mirror_is_repaired_and_foreign_content_is_kept,
    locks_are_listed_from_the_heads,
    lock_changes_keep_foreign_mirror_content,
);

const MINUTE: Duration = Duration::from_secs(60);
/// The store's default allowance for clock skew.
const SKEW: Duration = Duration::from_secs(60);
const MIRROR: &str = "workflows/a/workflow.lock";

/// The observer: the machine `host-1`.
fn me() -> Identity {
    ManualEnvironment::new(1).identity().clone()
}

/// Another process of the same machine.
fn neighbour() -> Identity {
    but(me(), |it| {
        it.pid = 77;
        it.process_start = Some("5".to_owned());
    })
}

/// The process with a difference.
fn but(mut process: Identity, change: impl FnOnce(&mut Identity)) -> Identity {
    change(&mut process);
    process
}

struct Case {
    name: &'static str,
    holder: Identity,
    /// The process that has the holder's pid now.
    process: Process,
    /// How far the holder's clock is ahead of ours, and the time from the grant to the read, in seconds.
    ahead: i64,
    passed: u64,
    detached: bool,
    expected: Standing,
    /// A part of the reason text.
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
            expected: Standing::Live { why: Live::Allowance, holder: Holder::OtherHost },
            words: "within the allowance for skewed clocks",
            holder: elsewhere(),
            process: Process::Unknown,
            ..live
        },
        Case {
            name: "expired",
            passed: 121,
            expected: Standing::Stale(Stale::Expired { holder: Holder::OtherHost }),
            words: "its lease ended 1m 1s ago, longer than clocks may differ",
            holder: elsewhere(),
            process: Process::Unknown,
            ..live
        },
        Case {
            name: "expired by the clock that both have",
            passed: 61,
            expected: Standing::Stale(Stale::Expired { holder: Holder::Running }),
            words: "its lease ended 1s ago, and its holder did not renew it; its process runs",
            holder: neighbour(),
            process: started("5"),
            ..live
        },
        Case {
            name: "the same boot under another host name",
            process: Process::Gone,
            expected: Standing::Stale(Stale::ProcessGone),
            words: "its process 77 on this machine is gone",
            holder: but(neighbour(), |it| it.host = "elsewhere".to_owned()),
            ..live
        },
        Case {
            name: "a container of this machine",
            passed: 61,
            process: Process::Gone,
            expected: Standing::Stale(Stale::Expired { holder: Holder::OtherNamespace }),
            words: "its lease ended 1s ago",
            holder: but(neighbour(), |it| {
                it.host = "container".to_owned();
                it.pid_namespace = Some("pid:[7]".to_owned());
            }),
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
            holder: but(neighbour(), |it| it.pid_namespace = Some("pid:[7]".to_owned())),
            expected: not_ended(Holder::OtherNamespace),
            words: "in another pid namespace",
            ..live
        },
        Case {
            name: "other boot",
            process: Process::Gone,
            holder: but(neighbour(), |it| it.boot_id = Some("before".to_owned())),
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
    site.other_store_with(environment, |store| store.clock_skew(SKEW)).await
}

async fn every_lock_state_has_a_reason(site: Site) {
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

async fn unrenewed_lease_is_taken_over_despite_a_wrong_clock(site: Site) {
    let (store, other) = (site.store().await, Arc::new(ManualEnvironment::new(2)));
    // Three days ahead, so that its end is far in the future by our clock.
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

async fn mirror_is_repaired_and_foreign_content_is_kept(site: Site) {
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
    // The same content is kept only once.
    site.put(MIRROR, "garbage").await;
    let again = store.inspect_lock(&id("a")).await.unwrap();
    assert!((again.mended, again.kept.as_ref()) == (true, kept.first()), "{again:?}");
    // On storage with plain files, every other lock operation checks the mirror too.
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
    // The mirror of an earlier lease is not an edit.
    site.put(MIRROR, faithful).await;
    let seen = store.inspect_lock(&id("a")).await.unwrap();
    assert_eq!((seen.mirror, seen.kept), (Mirror::Lagging, None));
    assert_eq!((seen.mended, site.get(MIRROR).await.is_none()), (true, true));
}

async fn locks_are_listed_from_the_heads(site: Site) {
    let store = site.store().await;
    for name in ["a", "b", "c", "d", "f"] {
        store.acquire(&id(name), request()).await.unwrap();
    }
    for name in ["b", "f"] {
        let released = store.lock_state(&id(name)).await.unwrap().lease.unwrap();
        store.release(&id(name), released.id).await.unwrap();
    }
    site.remove("workflows/c/workflow.lock").await;
    site.put("workflows/d/workflow.lock", "garbage").await;
    site.put("workflows/e/workflow.lock", "garbage").await;
    site.probe.take();
    let found: Vec<_> = store.locks().try_collect().await.unwrap();
    // Reads the head of each of six workflows and four mirrors. If a mirror does not match, the head is read
    // again.
    assert_eq!(site.probe.take().calls(), (6 + 4 + 3, 1, 0));
    let line =
        |lock: &pflow_store::lock::Inspection| (lock.state.id.to_string(), lock.state.live, lock.mirror);
    let wanted = [
        ("a", true, Mirror::Faithful),
        ("c", true, Mirror::Missing),
        ("d", true, Mirror::Foreign),
        ("e", false, Mirror::Foreign),
    ];
    let wanted = wanted.map(|(name, live, mirror)| (name.to_owned(), live, mirror));
    assert_eq!(found.iter().map(line).collect::<Vec<_>>(), wanted);
    let locked = store.status().await.unwrap().locked;
    assert_eq!(locked.iter().map(|lock| lock.id.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
    site.put("workflows/a/metadata.json", "garbage").await;
    let found: Vec<_> = store.locks().collect().await;
    assert!(matches!(&found[0], Err(Error::Unreadable(it)) if it.id == id("a")), "{found:?}");
    assert_eq!(found.iter().flatten().count(), 3, "one bad head does not hide the others");
    assert!(matches!(conflict(store.acquire(&id("d"), request()).await), Conflict::Locked { .. }));
}

/// On storage with plain files, every change of a lease keeps foreign content of the mirror.
async fn lock_changes_keep_foreign_mirror_content(site: Site) {
    let store = site.store().await;
    if !store.backend().capabilities().plain_files {
        return;
    }
    let other = site.other_store(2).await;
    store.save(save("a", "0", Expect::Absent)).await.unwrap();
    let lease = async || store.lock_state(&id("a")).await.unwrap().lease.unwrap().id;
    let mut put = 0;
    for step in
        ["hold", "renew", "release", "acquire", "break", "take over", "save over", "override", "delete"]
    {
        match step {
            "renew" | "release" | "acquire" | "hold" => {}
            // These steps end the lease of another machine.
            _ => drop(other.acquire(&id("a"), LeaseRequest::new("theirs", MINUTE)).await.unwrap()),
        }
        put += 1;
        site.put(MIRROR, format!("foreign, {put}")).await;
        match step {
            "hold" => {
                let held = save("a", "1", Expect::Any).hold(request());
                store.save(held).await.unwrap();
            }
            "renew" => drop(store.renew(&id("a"), lease().await, None).await.unwrap()),
            "release" => drop(store.release(&id("a"), lease().await).await.unwrap()),
            "acquire" => drop(store.acquire(&id("a"), request()).await.unwrap()),
            "break" => drop(store.break_lock(&id("a"), lease().await).await.unwrap()),
            "override" => {
                let over = save("a", "2", Expect::Any).resolver(Arc::new(Policy::Override));
                store.save(over).await.unwrap();
            }
            stale => {
                site.environment.advance(MINUTE * 10);
                match stale {
                    "take over" => {
                        let grant = store.acquire(&id("a"), request()).await.unwrap();
                        store.release(&id("a"), grant.lease.id).await.unwrap();
                    }
                    "save over" => drop(store.save(save("a", "3", Expect::Any)).await.unwrap()),
                    _ => drop(store.delete(ChangeRequest::new(id("a"), Expect::Any)).await.unwrap()),
                }
            }
        }
        let mut kept = Vec::new();
        for key in site.keys("workflows/a/").await.iter().filter(|key| key.ends_with(".odd")) {
            kept.push(site.get(key).await.unwrap());
        }
        assert!(kept.contains(&format!("foreign, {put}").into()), "{step}: {kept:?}");
        assert_eq!(kept.len(), put, "{step}");
        if step == "acquire" {
            store.release(&id("a"), lease().await).await.unwrap();
        }
    }
}

/// A grant whose reply was lost has its mirror written when it is found.
#[tokio::test]
async fn settling_a_lost_reply_keeps_foreign_mirror_content() {
    let site = Site::new(Kind::PlainMemory).await;
    let store = site.store().await;
    site.probe.fail(Fault::unknown(Left::Stages(1)));
    let raw = site.raw.clone();
    // The calls: head and mirror, the commit, then head and mirror again.
    site.probe.at_call(3, move || async move {
        let put = Operation::put(Key::parse(MIRROR).unwrap(), "foreign");
        let _committed = raw.commit(Batch::new().stage([put])).await.unwrap();
    });
    let grant = store.acquire(&id("a"), request()).await.unwrap();
    assert!(site.probe.hook_has_run() && !grant.already_held);
    assert_eq!(site.json(MIRROR).await["lease_id"], grant.lease.id.as_str());
    assert_eq!(site.keys("workflows/a/workflow.lock.").await.len(), 1);
}
