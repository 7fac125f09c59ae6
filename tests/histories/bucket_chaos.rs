//! Eight writers behind a network that loses, repeats, delays and garbles what they say and hear, by a seed.
//! It shows web pages in place of answers, and redirects to one; puts land seconds later; the credentials
//! expire, and the service that hands them out fails as well.
//!
//! Whatever they are told must fit one order of what happened. The chain of each workflow is that order: it
//! is read when all is quiet, without the network in between.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use pflow_store::{
    Error, ErrorKind, Expect, LeaseId, LeaseRequest, SaveRequest, Store,
    backend::{Environment, StorageBackend},
    object::{ObjectBackend, ObjectOptions, ObjectUrl},
};
use pflow_test_endpoints::{CredentialFault, CredentialService, Fault, FaultPlan, Proxy};
use pflow_testkit::{BucketServer, Hasty, Remote, chain, damaged, everything, id, plan, seed};

const WRITERS: u64 = 8;
const OPERATIONS: u64 = 1_600;
/// Of each fault of a network. There are twelve, and with the others six of ten requests go wrong.
const PROBABILITY: f64 = 0.045;
/// Of each fault that ends an operation. Credentials that have expired stay so for eight requests.
const OF_AN_END: [(Fault, f64); 5] = [
    (Fault::RedirectBefore, 0.004),
    (Fault::RedirectAfter, 0.004),
    (Fault::PageBefore, 0.008),
    (Fault::PageAfter, 0.008),
    (Fault::Expired, 0.001),
];
const OF_LANDING_LATE: f64 = 0.03;
/// Of each fault of the service that hands out credentials.
const OF_CREDENTIALS: f64 = 0.05;
/// The number of workflows that all writers change. Each writer also has one workflow of its own, in which
/// it can only conflict with itself.
const SHARED: u64 = 4;
/// How much faster than ours the clock of the writers runs.
const HASTE: u32 = 20;
/// When puts land that land late, by the clock of the writers.
const LANDING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(4);

fn plan_of_faults() -> FaultPlan {
    let landing = *LANDING.start() / HASTE..=*LANDING.end() / HASTE;
    let plan = FaultPlan::each(PROBABILITY).with(Fault::LandsLate, OF_LANDING_LATE).with_landing(landing);
    OF_AN_END.into_iter().fold(plan, |plan, (fault, probability)| plan.with(fault, probability))
}

/// Whether it is an error of the network, which says nothing of the store.
fn is_of_the_network(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Failed)
}

/// An operation of a writer on a workflow, and its reply. All times are of one clock.
#[derive(Debug, Clone)]
struct Event {
    workflow: String,
    text: String,
    began: Duration,
    /// None: it may happen at any later time.
    ended: Option<Duration>,
    told: Told,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Saved(u64),
    /// It did not happen: a conflict, or an error that says so.
    Refused {
        why: String,
        /// The generation that it was to follow; 0 if there was to be none.
        expected: u64,
    },
    Unknown,
    Read(u64),
}

struct Writer {
    number: u64,
    store: Store,
    clock: Arc<Hasty>,
    events: Arc<Mutex<Vec<Event>>>,
    /// The generation of each workflow that it saw last.
    seen: BTreeMap<String, u64>,
}

impl Writer {
    async fn work(mut self, operations: u64) {
        let own = format!("own{}", self.number);
        for n in 0..operations {
            let text = format!("{}.{n}", self.number);
            match self.clock.random() % 10 {
                0..=1 => self.load(format!("shared{}", self.clock.random() % SHARED)).await,
                2..=5 => {
                    let workflow = format!("shared{}", self.clock.random() % SHARED);
                    self.save(workflow, text, None).await;
                }
                6 => self.load(own.clone()).await,
                7..=8 => self.save(own.clone(), text, None).await,
                _ => self.save_under_a_lock(own.clone(), text, n).await,
            }
        }
        // What lags behind the answers may be lost on such a network; it is derived.
        drop(self.store.close().await);
    }

    async fn load(&mut self, workflow: String) {
        let began = self.clock.monotonic();
        match self.store.load(&id(&workflow)).await {
            Ok(loaded) => {
                let generation = loaded.record.generation;
                let text = String::from_utf8(loaded.content.to_vec()).unwrap();
                self.seen.insert(workflow.clone(), generation);
                self.note(workflow, text, began, Told::Read(generation));
            }
            // The workflow does not exist yet, or the network failed too often, so nothing was read.
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict)
                    || is_of_the_network(&error),
                "{error:?}"
            ),
        }
    }

    async fn save(&mut self, workflow: String, text: String, lease: Option<LeaseId>) {
        let content = plan(&text);
        let expect = match self.seen.get(&workflow) {
            Some(generation) => Expect::Generation(*generation),
            None => Expect::Absent,
        };
        let mut request = SaveRequest::new(id(&workflow), content.clone(), expect);
        if let Some(lease) = lease {
            request = request.lease(lease);
        }
        let began = self.clock.monotonic();
        let told = match self.store.save(request).await {
            Ok(saved) => {
                assert!(!saved.unchanged, "every text is new: {saved:?}");
                self.seen.insert(workflow.clone(), saved.generation);
                Told::Saved(saved.generation)
            }
            Err(Error::OutcomeUnknown { .. }) => Told::Unknown,
            Err(error) => {
                let expected = self.seen.get(&workflow).copied().unwrap_or_default();
                Told::Refused { why: error.to_string(), expected }
            }
        };
        if !matches!(told, Told::Saved(_)) {
            // The current version may be from another writer or from this one, so the writer reads the head.
            let known = self.store.show(&id(&workflow)).await;
            if let Ok(head) = known {
                self.seen.insert(workflow.clone(), head.generation());
            }
        }
        self.note(workflow, content, began, told);
    }

    /// Saves the writer's own workflow under a lock. A conflict can only come from an earlier request of the
    /// same writer.
    async fn save_under_a_lock(&mut self, workflow: String, text: String, n: u64) {
        let lease = LeaseId::parse(format!("lease-{}-{n}", self.number)).unwrap();
        let wish = LeaseRequest::new("chaos", Duration::from_secs(3600)).id(lease.clone());
        let granted = self.store.acquire(&id(&workflow), wish.clone()).await;
        if let Err(error) = granted {
            assert!(is_of_the_network(&error), "in its own way: {error:?}");
            // The lease may have been granted although the reply was lost. It would block all later saves.
            for _ in 0..100 {
                if self.store.acquire(&id(&workflow), wish.clone()).await.is_ok() {
                    break;
                }
            }
        }
        self.save(workflow.clone(), text, Some(lease.clone())).await;
        for _ in 0..100 {
            match self.store.release(&id(&workflow), lease.clone()).await {
                Ok(_) => return,
                Err(error) if is_of_the_network(&error) => {}
                // An earlier try that was told unknown had given it back.
                Err(error) => match self.store.lock_state(&id(&workflow)).await {
                    Ok(state) => {
                        assert_eq!(state.lease, None, "{error:?}");
                        return;
                    }
                    Err(unread) => assert!(is_of_the_network(&unread), "{unread:?}"),
                },
            }
        }
        panic!("the lease {lease} could not be given back");
    }

    fn note(&self, workflow: String, text: String, began: Duration, told: Told) {
        let ended = (told != Told::Unknown).then(|| self.clock.monotonic());
        self.events.lock().unwrap().push(Event { workflow, text, began, ended, told });
    }
}

/// Whether what was told of one workflow fits its chain: each answer is true, and the order of the chain
/// contradicts no order in time.
fn check(chain: &[String], events: &[Event]) -> Result<(), String> {
    let place = |text: &str| chain.iter().position(|there| there == text).map(|at| at as u64 + 1);
    let mut placed: Vec<(&Event, u64, bool)> = Vec::new();
    for event in events {
        let at = place(&event.text);
        match (&event.told, at) {
            (Told::Saved(generation), Some(at)) if *generation == at => placed.push((event, at, true)),
            (Told::Read(generation), Some(at)) if *generation == at => placed.push((event, at, false)),
            (Told::Unknown, Some(at)) => placed.push((event, at, true)),
            (Told::Unknown | Told::Refused { .. }, None) => {}
            (told, at) => return Err(format!("told {told:?}, and it is at {at:?}: {event:?}")),
        }
    }
    if chain.len() != placed.iter().filter(|(_, _, wrote)| *wrote).count() {
        return Err(format!("{} generations, and not as many writers who may have made them", chain.len()));
    }
    for (earlier, before, _) in &placed {
        for (later, after, wrote) in &placed {
            let follows = earlier.ended.is_some_and(|ended| ended < later.began);
            if follows && (after < before || (*wrote && after == before)) {
                return Err(format!(
                    "at {before} before it began, and then at {after}: {earlier:?}, {later:?}"
                ));
            }
        }
    }
    Ok(())
}

/// A conflict in a workflow that no other writer changes, unless it is with a save of unknown outcome that
/// landed since.
fn conflict_with_oneself<'a>(chain: &[String], events: &'a [Event]) -> Option<&'a Event> {
    events.iter().find(|event| {
        let Told::Refused { why, expected } = &event.told else { return false };
        if !why.contains("generation") && !why.contains("exists") {
            return false;
        }
        let in_the_way = chain.get(usize::try_from(*expected).unwrap());
        let landed = |earlier: &Event| {
            earlier.told == Told::Unknown
                && Some(&earlier.text) == in_the_way
                && event.ended.is_some_and(|ended| earlier.began < ended)
        };
        !events.iter().any(landed)
    })
}

fn open(url: &ObjectUrl, variables: BTreeMap<String, String>) -> Arc<dyn StorageBackend> {
    let options = ObjectOptions::new().variables(variables);
    let backend = ObjectBackend::open(url, options, Hasty::new(HASTE)).unwrap();
    Arc::new(Remote(Arc::new(backend)))
}

async fn chaos(seed: u64) {
    let server = BucketServer::chosen();
    let url = server.fresh_url();
    let on = |backend| Store::on(backend).environment(Hasty::new(1));
    on(open(&url, server.variables.clone())).init().await.unwrap();
    let (proxy, credentials) = (Proxy::start(&server.endpoint(), seed), CredentialService::start(seed));
    let (clock, events) = (Hasty::new(HASTE), Arc::new(Mutex::new(Vec::new())));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let variables = credentials.variables(&proxy.url(), &server.bucket);
        let store = Store::on(open(&url, variables)).environment(Hasty::new(HASTE)).open().await;
        let (clock, events) = (clock.clone(), events.clone());
        writers.push(Writer { number, store: store.unwrap(), clock, events, seen: BTreeMap::new() });
    }
    proxy.set_plan(plan_of_faults());
    credentials.fail(OF_CREDENTIALS);
    let working = writers.into_iter().map(|writer| tokio::spawn(writer.work(OPERATIONS / WRITERS)));
    for worked in join_all(working).await {
        worked.unwrap();
    }
    proxy.set_plan(FaultPlan::none());
    proxy.settled().await;
    let (injected, of_credentials) = (proxy.injected(), credentials.injected());
    assert!(Fault::ALL.iter().all(|fault| injected.contains_key(fault)), "{injected:?}");
    let all = CredentialFault::ALL;
    assert!(all.iter().all(|fault| of_credentials.contains_key(fault)), "{of_credentials:?}");
    assert_eq!(proxy.followed(), 0, "a redirect was followed");

    let store = on(open(&url, server.variables.clone())).open().await.unwrap();
    let events = events.lock().unwrap().clone();
    let workflows: Vec<String> =
        (0..SHARED).map(|n| format!("shared{n}")).chain((0..WRITERS).map(|n| format!("own{n}"))).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut listed = BTreeMap::new();
    let chains = join_all(workflows.iter().map(|workflow| chain(&store, workflow))).await;
    for (workflow, chain) in workflows.iter().zip(chains) {
        let of_it: Vec<Event> = events.iter().filter(|event| event.workflow == *workflow).cloned().collect();
        if let Err(broken) = check(&chain, &of_it) {
            panic!("{workflow}, seed {seed}: {broken}");
        }
        if workflow.starts_with("own") {
            let own = conflict_with_oneself(&chain, &of_it);
            assert!(own.is_none(), "a conflict with oneself, seed {seed}: {own:?}");
        }
        for event in &of_it {
            let what = match event.told {
                Told::Saved(_) => "saved",
                Told::Refused { .. } => "refused",
                Told::Unknown => "unknown",
                Told::Read(_) => "read",
            };
            *counts.entry(what).or_default() += 1;
        }
        listed.insert(workflow.clone(), chain.len() as u64);
    }
    println!(
        "seed {seed}: {counts:?}, {injected:?}, {of_credentials:?}, {} handed out",
        credentials.handed_out()
    );
    assert!(counts["saved"] as u64 > OPERATIONS / 10, "{counts:?}");

    // The index tells the same, before and after everything was folded, and nothing is damaged.
    for folded in [false, true] {
        if folded {
            store.reindex().await.unwrap();
        }
        let index = everything(&store).await;
        let index: BTreeMap<String, u64> =
            index.iter().map(|entry| (entry.id.to_string(), entry.generation)).collect();
        let written = listed.iter().filter(|(_, generation)| **generation > 0);
        assert_eq!(index, written.map(|(id, generation)| (id.clone(), *generation)).collect(), "seed {seed}");
    }
    assert_eq!(damaged(&store.verify().await.unwrap()), [""; 0], "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_everybody_was_told_fits_one_order() {
    let _turn = pflow_testkit::turn().await;
    chaos(seed()).await;
}

#[test]
fn the_check_can_fail() {
    let event = |text: &str, began: u64, ended: Option<u64>, told: Told| Event {
        workflow: "w".to_owned(),
        text: text.to_owned(),
        began: Duration::from_secs(began),
        ended: ended.map(Duration::from_secs),
        told,
    };
    let chain = ["a", "b"].map(str::to_owned);
    let a = || event("a", 0, Some(1), Told::Saved(1));
    let b = || event("b", 2, Some(3), Told::Saved(2));
    let refused_after = |expected| Told::Refused { why: "generation".to_owned(), expected };
    let refused = || refused_after(1);
    let fits = |more: Vec<Event>| check(&chain, &[vec![a(), b()], more].concat());
    fits(vec![]).unwrap();
    fits(vec![event("c", 0, None, Told::Unknown), event("a", 1, Some(3), Told::Read(1))]).unwrap();
    fits(vec![event("c", 0, Some(1), Told::Saved(3))]).unwrap_err();
    fits(vec![event("a", 4, Some(5), Told::Read(1))]).unwrap_err();
    fits(vec![event("b", 0, Some(1), Told::Read(2)), event("a", 2, Some(3), Told::Read(1))]).unwrap_err();
    check(&chain, &[a(), event("b", 2, Some(3), refused())]).unwrap_err();
    check(&chain, &[a()]).unwrap_err();
    check(&chain, &[event("a", 4, Some(5), Told::Saved(1)), b()]).unwrap_err();
    check(&chain, &[a(), event("b", 2, None, Told::Unknown)]).unwrap();

    let conflicts = |events: &[Event]| conflict_with_oneself(&chain, events).is_some();
    let (late, c) =
        (event("b", 2, None, Told::Unknown), |expected| event("c", 4, Some(5), refused_after(expected)));
    assert!(conflicts(&[a(), b(), c(1)]), "b was acknowledged, so c was to follow it");
    assert!(!conflicts(&[a(), late.clone(), c(1)]), "b landed behind the look at the head");
    assert!(conflicts(&[a(), late.clone(), c(2)]), "nothing is in its way");
    assert!(conflicts(&[a(), Event { began: Duration::from_secs(6), ..late }, c(1)]), "b began later");
}
