//! Custom resolvers: what they are told, what they may answer, and what happens with invalid answers.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{COPY, Situation, doc, shown, texts};
use pflow_store::{
    Conflict, Error, ErrorKind, Expect, LeaseRequest, Result, SaveRequest,
    backend::async_trait,
    conflict::{Case, ConflictResolver, How, Obstacle, Policy, Resolution},
};
use pflow_testkit::{Kind, Site, conflict, every_backend, id, notices};
use tokio_util::sync::CancellationToken;

every_backend!(
    keep_both_saves_ours_as_a_new_workflow,
    keep_both_keeps_the_metadata,
    wait_ends_when_the_lock_is_released,
    consent_is_valid_only_for_the_state_that_was_seen,
    invalid_resolution_is_reported,
    number_of_resolutions_is_limited,
);

/// Always gives this answer.
#[derive(Debug)]
struct Always(Resolution);

#[async_trait]
impl ConflictResolver for Always {
    async fn resolve(&self, _: &Case) -> Result<Resolution> {
        Ok(self.0.clone())
    }
}

/// Gives these answers, then repeats the last one, and records the questions.
#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Resolution>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Resolution>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl ConflictResolver for Script {
    async fn resolve(&self, case: &Case) -> Result<Resolution> {
        let word = match case.conflict() {
            Conflict::Locked { lease, .. } => format!("locked by {}", lease.operation),
            Conflict::Version { expected, found, .. } => format!("{}, not {expected}", found.generation),
            Conflict::Exists { id, found } => format!("{id} is there at {}", found.generation),
            Conflict::ModifiedOutside { .. } => "edited".to_owned(),
            other => panic!("{other}"),
        };
        self.asked.lock().unwrap().push(format!("{} {word}", case.answers()));
        let mut answers = self.answers.lock().unwrap();
        Ok(if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() })
    }
}

fn keep(id: Option<&str>) -> Resolution {
    Resolution::KeepBoth { id: id.map(pflow_testkit::id) }
}

fn wait(seconds: u64) -> Resolution {
    Resolution::Wait { limit: Duration::from_secs(seconds) }
}

async fn keep_both_saves_ours_as_a_new_workflow(site: Site) {
    let (store, other) = (site.store().await, site.other_store(2).await);
    for situation in [Situation::Stale, Situation::Locked, Situation::Deleted, Situation::LeaseLost] {
        let name = format!("{situation:?}").to_lowercase();
        let request = situation.bring(&site, &store, &other, &name).await;
        let request = request.tags(["kept"]).hold(LeaseRequest::new("edit", Duration::from_secs(60)));
        let before = store.show(&id(&name)).await.unwrap();
        let named = format!("{name}.mine");
        for (answer, wanted) in [
            (keep(None), format!("{name}-conflict-1")),
            // An identical workflow is not kept a second time.
            (keep(None), format!("{name}-conflict-1")),
            (keep(Some(&named)), named.clone()),
        ] {
            let saved = store.save(request.clone().resolver(Arc::new(Always(answer)))).await.unwrap();
            assert_eq!((saved.id, saved.generation), (id(&wanted), 1));
            assert_eq!(saved.resolved.unwrap().how, Some(How::KeptBoth { instead_of: id(&name) }));
            assert_eq!((saved.lease, &saved.record.tags.value()[..]), (None, &["kept".to_owned()][..]));
            assert_eq!(texts(&store.load(&id(&wanted)).await.unwrap().content), "2,1");
        }
        assert_eq!(store.show(&id(&name)).await.unwrap(), before, "what was there is as it was");
    }
    // A named id that is taken is a conflict like any other.
    let request = Situation::Stale.bring(&site, &store, &other, "a").await;
    let script = Script::new([keep(Some("stale.mine")), keep(None)]);
    let saved = store.save(request.resolver(script.clone())).await.unwrap();
    assert_eq!(saved.id, id("a-conflict-1"));
    assert_eq!(script.asked(), ["0 2, not 1", "1 stale.mine is there at 1"]);
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn keep_both_keeps_the_metadata(site: Site) {
    let store = site.store().await;
    store.save(pflow_testkit::save("a", "1", Expect::Absent)).await.unwrap();
    let both = |request: SaveRequest| request.resolver(Arc::new(Always(keep(None))));
    let ours = || pflow_testkit::save("a", "2", Expect::Absent);
    for (request, wanted) in [
        (ours().name("one"), "a-conflict-1"),
        (ours().name("two"), "a-conflict-2"),
        (ours().name("one").tags(["t"]), "a-conflict-3"),
        (ours().name("one").description("d"), "a-conflict-4"),
        // Each of them again: it is kept already.
        (ours().name("one"), "a-conflict-1"),
        (ours().name("two"), "a-conflict-2"),
        (ours().name("one").tags(["t"]), "a-conflict-3"),
        (ours().name("one").description("d"), "a-conflict-4"),
    ] {
        let wants = request.clone();
        let saved = store.save(both(request)).await.unwrap();
        assert_eq!((saved.id.as_str(), saved.generation), (wanted, 1));
        let there = store.show(&saved.id).await.unwrap().current.unwrap().record;
        assert_eq!(there, saved.record);
        let again = store.save(both(wants)).await.unwrap();
        assert!(again.unchanged && again.id == saved.id);
    }
}

async fn wait_ends_when_the_lock_is_released(site: Site) {
    let (store, other) = (site.store().await, site.other_store(2).await);
    let request = Situation::Locked.bring(&site, &store, &other, "a").await;
    let held = store.lock_state(&id("a")).await.unwrap().lease.unwrap();
    // The first wait times out: the store's clock moves while it sleeps.
    let script = Script::new([wait(3), Resolution::Cancel]);
    let refused = store.save(request.clone().resolver(script.clone())).await;
    assert_eq!(shown(&store, "a", &refused).await, "locked");
    assert_eq!(script.asked(), ["0 locked by edit", "1 locked by edit"]);

    let releaser = other.clone();
    site.probe.at_call(5, move || async move {
        releaser.release(&id("a"), held.id).await.unwrap();
        releaser.acquire(&id("a"), LeaseRequest::new("next", Duration::from_secs(600))).await.unwrap();
    });
    let script = Script::new([wait(60), Resolution::Override]);
    let saved = store.save(request.resolver(script.clone())).await.unwrap();
    assert!(site.probe.hook_has_run());
    assert_eq!(
        script.asked(),
        ["0 locked by edit", "0 locked by next"],
        "a wait that saw the lock change hands"
    );
    let resolved = saved.resolved.unwrap();
    assert_eq!((resolved.how, resolved.broken.unwrap().operation.as_str()), (Some(How::Overridden), "next"));
    assert!(resolved.waited < Duration::from_secs(60) && !resolved.waited.is_zero());
    // The break is recorded: in the head for the holder, and in the operation history.
    let ended = store.show(&id("a")).await.unwrap().ended.unwrap();
    assert_eq!((ended.how.as_str(), ended.by.as_str()), ("broken", "tester@host-1"));
    let mut records = site.keys("ops/pending/a.").await;
    records.retain(|key| key.ends_with(".op"));
    let record = site.json(&records.pop().unwrap()).await;
    assert_eq!((&record["kind"], &record["operation"]), (&"lock_broken".into(), &"next".into()));
    assert_eq!(records, [""; 0]);

    // A lock that has expired is no longer a conflict.
    other.acquire(&id("a"), LeaseRequest::new("brief", Duration::from_secs(5))).await.unwrap();
    let request =
        SaveRequest::new(id("a"), doc("4", "4"), Expect::Any).lock_timeout(Duration::from_secs(3600));
    let saved = store.save(request).await.unwrap();
    let resolved = saved.resolved.unwrap();
    assert_eq!((resolved.how, resolved.broken), (None, None));
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

/// Others change the workflow between the answer and the swap, at every call of the save.
async fn consent_is_valid_only_for_the_state_that_was_seen(site: Site) {
    // A check whether a fold is due would be one of the calls, at random.
    let store = site.store_with(site.builder().fold_after(usize::MAX)).await;
    let other = site.other_store(2).await;
    for call in 0..6 {
        for policy in [Policy::Ours, Policy::Merge] {
            let name = format!("a{call}{policy}");
            let request = Situation::Stale.bring(&site, &store, &other, &name).await;
            let (meddler, of) = (other.clone(), name.clone());
            site.probe.at_call(call, move || async move {
                let theirs = SaveRequest::new(id(&of), doc("1", "7"), Expect::Any);
                meddler.save(theirs).await.unwrap();
            });
            let saved = store.save(request.resolver(Arc::new(policy))).await.unwrap();
            let early = site.probe.hook_has_run();
            assert_eq!(saved.generation, if early { 4 } else { 3 }, "{name}");
            let mut contents = Vec::new();
            for generation in 1..=saved.generation {
                contents.push(texts(&store.load_generation(&id(&name), generation).await.unwrap().content));
            }
            let ours = match (policy, early) {
                (Policy::Merge, true) => "2,7",
                (Policy::Merge, false) => "2,2",
                _ => "2,1",
            };
            let mut wanted = vec!["1,1", "1,2", "1,7", ours];
            wanted.retain(|text| early || *text != "1,7");
            assert_eq!(contents, wanted, "{name}");
        }
    }
    assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
}

async fn invalid_resolution_is_reported(site: Site) {
    let (store, other) = (site.store().await, site.other_store(2).await);
    for (nth, (situation, answer, words)) in [
        (Situation::Stale, wait(1), "to wait is no answer to that"),
        (Situation::Locked, Resolution::Merge, "to merge is no answer to that"),
        (Situation::Locked, Resolution::TakeTheirs, "to take theirs is no answer to that"),
        (Situation::LeaseLost, Resolution::Override, "to override is no answer to that"),
        (Situation::Never, Resolution::TakeTheirs, "to take theirs is no answer to that"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("a{nth}");
        let request = situation.bring(&site, &store, &other, &name).await;
        let refused = store.save(request.resolver(Arc::new(Always(answer)))).await.unwrap_err();
        let kind = if matches!(situation, Situation::Locked | Situation::LeaseLost) {
            ErrorKind::Locked
        } else {
            ErrorKind::Conflict
        };
        assert_eq!(refused.kind(), kind);
        assert!(refused.to_string().ends_with(words), "{refused}");
        let Error::Conflict(conflict) = refused else { panic!("{refused}") };
        assert!(matches!(conflict.obstacle(), Some(Obstacle::Unfit { .. })));
    }
}

async fn number_of_resolutions_is_limited(site: Site) {
    let (store, other) = (site.store().await, site.other_store(2).await);
    // Waits that time out.
    let request = Situation::Locked.bring(&site, &store, &other, "a").await;
    let script = Script::new([Resolution::Wait { limit: Duration::from_millis(1) }]);
    let refused = conflict(store.save(request.resolver(script.clone())).await);
    assert!(matches!(refused.obstacle(), Some(Obstacle::Endless { answers: 100 })), "{refused}");
    assert!(matches!(refused.cause(), Conflict::Locked { .. }));
    assert_eq!(script.asked().len(), 100);
    // Merges that overlap, again and again.
    let request = Situation::Overlapping.bring(&site, &store, &other, "b").await;
    let script = Script::new([Resolution::Merge]);
    let refused = conflict(store.save(request.resolver(script.clone())).await);
    assert!(
        matches!(refused.obstacle(), Some(Obstacle::Overlaps(_))),
        "the overlaps are reported: {refused}"
    );
    assert_eq!(script.asked().len(), 100);
    assert_eq!(store.show(&id("b")).await.unwrap().generation(), 2);
}

#[tokio::test]
async fn conflict_costs_no_reads_unless_the_resolver_asks() {
    let site = Site::new(Kind::Memory).await;
    let (store, other) = (site.store().await, site.other_store(2).await);
    let stale = || SaveRequest::new(id("a"), doc("2", "1"), Expect::Generation(1));
    Situation::Stale.bring(&site, &store, &other, "a").await;
    site.probe.take();
    for policy in [Policy::Fail, Policy::Theirs] {
        drop(store.save(stale().resolver(Arc::new(policy))).await);
        assert_eq!(site.probe.take().gets, ["workflows/a/metadata.json"], "{policy}");
    }

    #[derive(Debug)]
    struct Curious;
    #[async_trait]
    impl ConflictResolver for Curious {
        async fn resolve(&self, case: &Case) -> Result<Resolution> {
            let (base, theirs) = (case.base().await?.unwrap(), case.theirs().await?.unwrap());
            assert_eq!((base.record.unwrap().generation, theirs.record.unwrap().generation), (1, 2));
            assert_eq!(
                (base.content.unwrap(), theirs.content.unwrap()),
                (doc("1", "1").into(), doc("1", "2").into())
            );
            assert_eq!(case.ours().unwrap().bytes(), &doc("2", "1"));
            let shown = |changes: Option<Vec<pflow_store::merge::Change>>| {
                changes.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
            };
            assert_eq!(shown(case.their_changes().await?), [r#"~ nodes[id=b].params.text: "1" -> "2""#]);
            assert_eq!(shown(case.our_changes().await?), [r#"~ nodes[id=a].params.text: "1" -> "2""#]);
            let difference =
                [r#"~ nodes[id=a].params.text: "1" -> "2""#, r#"~ nodes[id=b].params.text: "2" -> "1""#];
            assert_eq!(shown(case.difference().await?), difference);
            Ok(Resolution::Cancel)
        }
    }
    assert!(matches!(
        conflict(store.save(stale().resolver(Arc::new(Curious))).await),
        Conflict::Version { .. }
    ));
}

/// An obstacle to one answer says nothing about a later state.
#[tokio::test]
async fn obstacle_is_reported_until_the_head_changes() {
    /// Answers with a merge, which overlaps; then lets another client get in, and overrides.
    #[derive(Debug)]
    struct Meddled {
        other: pflow_store::Store,
        obstacles: Mutex<Vec<bool>>,
    }
    #[async_trait]
    impl ConflictResolver for Meddled {
        async fn resolve(&self, case: &Case) -> Result<Resolution> {
            let nth = {
                let mut obstacles = self.obstacles.lock().unwrap();
                obstacles.push(case.obstacle().is_some());
                obstacles.len()
            };
            if nth == 1 {
                return Ok(Resolution::Merge);
            }
            if nth == 2 {
                self.other.save(SaveRequest::new(id("a"), doc("4", "1"), Expect::Any)).await?;
            }
            Ok(Resolution::Override)
        }
    }
    let site = Site::new(Kind::Memory).await;
    let (store, other) = (site.store().await, site.other_store(2).await);
    let request = Situation::Overlapping.bring(&site, &store, &other, "a").await;
    let meddled = Arc::new(Meddled { other, obstacles: Mutex::default() });
    let saved = store.save(request.resolver(meddled.clone())).await.unwrap();
    assert_eq!((saved.generation, saved.resolved.unwrap().how), (4, Some(How::Ours)));
    assert_eq!(*meddled.obstacles.lock().unwrap(), [false, true, false]);
}

/// A person edits again while our save overwrites the first edit.
#[tokio::test]
async fn changed_edit_needs_new_consent() {
    for kind in [Kind::PlainMemory, Kind::Disk] {
        for policy in [Policy::Ours, Policy::Merge] {
            for call in 0..8 {
                let site = Site::new(kind).await;
                let (store, other) = (site.store().await, site.other_store(2).await);
                let request = Situation::Edited.bring(&site, &store, &other, "a").await;
                let raw = site.raw.clone();
                site.probe.at_call(call, move || async move {
                    use pflow_store::backend::{Batch, Key, Operation};
                    let put = Operation::put(Key::parse(COPY.replace('*', "a")).unwrap(), doc("1", "8"));
                    let _committed = raw.commit(Batch::new().stage([put])).await.unwrap();
                });
                let saved = store.save(request.resolver(Arc::new(policy))).await.unwrap();
                let again = site.probe.hook_has_run();
                let kept = saved.resolved.as_ref().unwrap().kept_edit.unwrap();
                let edit = texts(&store.load_generation(&id("a"), kept).await.unwrap().content);
                let loaded = store.load(&id("a")).await;
                if loaded.is_err() {
                    // The edit came after the swap, so it remains.
                    let copy = site.get(&COPY.replace('*', "a")).await.unwrap();
                    assert_eq!(
                        (texts(&copy).as_str(), edit.as_str()),
                        ("1,8", "1,2"),
                        "{kind:?} {policy} {call}"
                    );
                    continue;
                }
                let b = if policy == Policy::Ours { "1" } else { edit.split_once(',').unwrap().1 };
                assert_eq!(texts(&loaded.unwrap().content), format!("2,{b}"), "{kind:?} {policy} {call}");
                assert!(edit == "1,8" || !again || call > 4, "{kind:?} {policy} {call}: {edit}");
                assert_eq!(notices(&store.verify().await.unwrap()), [""; 0]);
            }
        }
    }
}

#[tokio::test]
async fn error_of_a_resolver_fails_the_change() {
    #[derive(Debug)]
    struct Away;
    #[async_trait]
    impl ConflictResolver for Away {
        async fn resolve(&self, _: &Case) -> Result<Resolution> {
            Err(Error::InvalidField { field: "answer", reason: "no person is there".to_owned() })
        }
    }
    let site = Site::new(Kind::Memory).await;
    let (store, other) = (site.store().await, site.other_store(2).await);
    let request = Situation::Stale.bring(&site, &store, &other, "a").await;
    let failed = store.save(request.resolver(Arc::new(Away))).await.unwrap_err();
    assert!(matches!(failed, Error::InvalidField { field: "answer", .. }), "{failed}");
    assert_eq!(store.show(&id("a")).await.unwrap().generation(), 2);
}

/// A waiting save, or one in a resolver, can be cancelled, and has changed nothing.
#[tokio::test]
async fn caller_can_cancel_waits_and_resolvers() {
    #[derive(Debug)]
    struct Slow(CancellationToken);
    #[async_trait]
    impl ConflictResolver for Slow {
        async fn resolve(&self, case: &Case) -> Result<Resolution> {
            self.0.cancel();
            if matches!(case.conflict(), Conflict::Locked { .. }) {
                return Ok(wait(3600));
            }
            std::future::pending().await
        }
    }
    let site = Site::new(Kind::Memory).await;
    let (store, other) = (site.store().await, site.other_store(2).await);
    for situation in [Situation::Stale, Situation::Locked] {
        let name = format!("{situation:?}").to_lowercase();
        let request = situation.bring(&site, &store, &other, &name).await;
        let before = store.show(&id(&name)).await.unwrap();
        let token = CancellationToken::new();
        let request = request.cancelled_by(token.clone()).resolver(Arc::new(Slow(token)));
        assert!(matches!(store.save(request).await, Err(Error::Cancelled)), "{situation:?}");
        assert_eq!(store.show(&id(&name)).await.unwrap(), before);
    }
}
