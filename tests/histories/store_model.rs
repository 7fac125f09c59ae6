//! Random sequences of operations on two handles, on one machine or on two, compared with a simple model.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, LeaseId, LeaseRequest, Saved, Store, StoreBuilder,
    backend::ManualEnvironment,
    lock::{Stale, Standing},
};
use pflow_testkit::{Kind, Site, generations, history, id, notices, plan, save, versions};
use proptest::prelude::*;

/// The allowance for clock skew between two machines.
const SKEW: u64 = 60;

#[derive(Debug, Clone)]
enum Step {
    Save(u8, u8, Guess, Under),
    Delete(u8, Guess, Under),
    Undelete(u8, Guess, Under),
    Acquire(u8, u64),
    Release(u8, Under),
    Advance(u64),
    Load(u8),
    List,
}

impl Step {
    fn workflow(&self) -> Option<u8> {
        match self {
            Self::Save(number, ..)
            | Self::Delete(number, ..)
            | Self::Undelete(number, ..)
            | Self::Acquire(number, _)
            | Self::Release(number, _) => Some(*number),
            Self::Advance(_) | Self::Load(_) | Self::List => None,
        }
    }
}

/// The caller's expectation.
#[derive(Debug, Clone, Copy)]
enum Guess {
    Absent,
    Any,
    /// The current generation plus this.
    Near(i64),
}

/// The lease that the caller names.
#[derive(Debug, Clone, Copy)]
enum Under {
    None,
    /// The last lease that was granted for this workflow. It may have ended since.
    Last,
}

#[derive(Debug, PartialEq)]
enum Told {
    At(u64),
    Unchanged(u64),
    Granted(u64),
    Released,
    Missing,
    Exists,
    Version,
    Locked,
    AlreadyLocked,
    LeaseLost,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    workflows: BTreeMap<u8, Workflow>,
}

/// The time and the machine of a step.
#[derive(Debug, Clone, Copy)]
struct At {
    now: u64,
    machine: usize,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    fence: u64,
    end: u64,
    /// The content that it was granted for.
    content: Option<u8>,
    /// The machine that it was granted on.
    machine: usize,
}

impl Held {
    /// One machine has one clock, so there is no skew.
    fn allowance(&self, observer: usize) -> u64 {
        if self.machine == observer { 0 } else { SKEW }
    }
}

#[derive(Debug, Default)]
struct Workflow {
    /// The content of each generation; none for a deletion.
    history: Vec<Option<u8>>,
    fence: u64,
    lease: Option<Held>,
    /// The fence of the last grant, which identifies it.
    granted: u64,
    /// Whether the handle that is used next has itself observed that the lease was not renewed for its whole
    /// duration.
    counted: bool,
}

impl Workflow {
    fn generation(&self) -> u64 {
        self.history.len() as u64
    }

    fn content(&self) -> Option<u8> {
        self.history.last().copied().flatten()
    }

    fn expect(&self, guess: Guess) -> Expect {
        match guess {
            Guess::Absent => Expect::Absent,
            Guess::Any => Expect::Any,
            Guess::Near(by) => Expect::Generation(self.generation().saturating_add_signed(by)),
        }
    }

    fn is_locked(&self, at: At) -> bool {
        self.lease.is_some_and(|held| at.now <= held.end + held.allowance(at.machine) && !self.counted)
    }

    fn unexpected(&self, guess: Guess) -> Option<Told> {
        match self.expect(guess) {
            Expect::Absent | Expect::Generation(0) if self.content().is_some() => Some(Told::Exists),
            Expect::Generation(expected) if expected > 0 && expected != self.generation() => {
                Some(Told::Version)
            }
            _ => None,
        }
    }

    fn change(&mut self, at: At, guess: Guess, under: Under, next: Option<Option<u8>>) -> Told {
        let holds = self.lease.is_some_and(|held| held.fence == self.granted);
        let named = matches!(under, Under::Last) && self.granted > 0;
        if named && !holds {
            return Told::LeaseLost;
        }
        let Some(next) = next else { return Told::Missing };
        if self.history.last() == Some(&next) {
            return self.unexpected(guess).filter(|_| !named).unwrap_or(Told::Unchanged(self.generation()));
        }
        if !named && self.is_locked(at) {
            return Told::Locked;
        }
        if let Some(told) = self.unexpected(guess) {
            return told;
        }
        if !named && self.lease.take().is_some() {
            self.fence += 1;
        }
        self.history.push(next);
        Told::At(self.generation())
    }

    /// Returns the content after a deletion; none if there is no version.
    fn deleted(&self) -> Option<Option<u8>> {
        self.history.last().map(|_| None)
    }

    fn undeleted(&self) -> Option<Option<u8>> {
        let before = self.history.len().checked_sub(2);
        self.history.last().map(|last| last.or_else(|| before.and_then(|at| self.history[at])))
    }

    fn acquire(&mut self, at: At, seconds: u64) -> Told {
        if let Some(Held { content, .. }) = self.lease.filter(|_| self.is_locked(at)) {
            let already = content.is_some() && content == self.content();
            return if already { Told::AlreadyLocked } else { Told::Locked };
        }
        self.fence += 1;
        self.granted = self.fence;
        let (end, content) = (at.now + seconds, self.content());
        self.lease = Some(Held { fence: self.fence, end, content, machine: at.machine });
        Told::Granted(self.fence)
    }

    fn release(&mut self, under: Under) -> Told {
        let named = matches!(under, Under::Last) && self.granted > 0;
        if named && self.lease.is_some_and(|held| held.fence == self.granted) {
            self.lease = None;
            Told::Released
        } else {
            Told::LeaseLost
        }
    }
}

fn told<T>(result: Result<T, Error>, good: impl FnOnce(T) -> Told) -> Told {
    match result {
        Ok(value) => good(value),
        Err(Error::WorkflowMissing { .. }) => Told::Missing,
        Err(Error::Conflict(conflict)) => match *conflict {
            Conflict::Exists { .. } => Told::Exists,
            Conflict::Version { .. } | Conflict::DeletedMeanwhile { .. } => Told::Version,
            Conflict::Locked { .. } => Told::Locked,
            Conflict::AlreadyLocked { .. } => Told::AlreadyLocked,
            Conflict::LeaseLost { .. } => Told::LeaseLost,
            other => panic!("{other}"),
        },
        Err(other) => panic!("{other}"),
    }
}

fn changed(saved: Saved) -> Told {
    assert!(saved.copy_error.is_none() && saved.index_error.is_none());
    if saved.unchanged { Told::Unchanged(saved.generation) } else { Told::At(saved.generation) }
}

fn name(workflow: u8) -> String {
    format!("w{workflow}")
}

fn lease_id(workflow: u8, fence: u64) -> LeaseId {
    LeaseId::parse(format!("lease-{workflow}-{fence}")).unwrap()
}

/// Runs the steps. Each handle is on a machine of its own if they are `apart`.
async fn run(kind: Kind, steps: Vec<(bool, Step)>, apart: bool) {
    let site = Site::new(kind).await;
    let mut machines = vec![site.environment.clone()];
    machines.extend(apart.then(|| Arc::new(ManualEnvironment::new(2))));
    let set = |builder: StoreBuilder| builder.fold_after(3).clock_skew(Duration::from_secs(SKEW));
    let second = machines[usize::from(apart)].clone();
    let stores = [site.store_with(set(site.builder())).await, site.other_store_with(second, set).await];
    let mut model = Model::default();
    for (second, step) in steps {
        let at = At { now: model.now, machine: usize::from(apart && second) };
        take(&machines, &stores[usize::from(second)], &mut model, at, step).await;
    }
    for store in &stores {
        assert_eq!(generations(store).await, model.listed());
    }
    stores[0].reindex().await.unwrap();
    assert_eq!(generations(&stores[1]).await, model.listed());
    let report = stores[1].verify().await.unwrap();
    let made: usize = model.workflows.values().map(|workflow| workflow.history.len()).sum();
    assert_eq!((notices(&report), report.versions), (vec![], made));
    let mut named = history(&site).await;
    named.sort();
    assert_eq!(named, versions(&site).await);
}

impl Model {
    fn listed(&self) -> Vec<String> {
        let live = self.workflows.iter().filter(|(_, workflow)| workflow.content().is_some());
        live.map(|(number, workflow)| format!("{}@{}", name(*number), workflow.generation())).collect()
    }
}

async fn take(machines: &[Arc<ManualEnvironment>], store: &Store, model: &mut Model, at: At, step: Step) {
    let of = |number: u8| id(&name(number));
    if let Some(number) = step.workflow() {
        let state = store.lock_state(&of(number)).await.unwrap();
        let workflow = model.workflows.entry(number).or_default();
        workflow.counted = matches!(state.standing, Some(Standing::Stale(Stale::Unrenewed { .. })));
        assert!(
            !workflow.counted || workflow.lease.is_some_and(|held| at.now > held.end),
            "it counts no less than a whole lease"
        );
        assert_eq!(state.live, workflow.is_locked(at), "{step:?}, {at:?}: {model:#?}");
    }
    let (did, wanted) = match step.clone() {
        Step::Save(number, content, guess, under) => {
            let workflow = model.workflows.entry(number).or_default();
            let mut request = save(&name(number), &content.to_string(), workflow.expect(guess));
            if let (Under::Last, 1..) = (under, workflow.granted) {
                request = request.lease(lease_id(number, workflow.granted));
            }
            let wanted = workflow.change(at, guess, under, Some(Some(content)));
            (told(store.save(request).await, changed), wanted)
        }
        Step::Delete(number, guess, under) => {
            let workflow = model.workflows.entry(number).or_default();
            let mut request = ChangeRequest::new(of(number), workflow.expect(guess));
            if let (Under::Last, 1..) = (under, workflow.granted) {
                request = request.lease(lease_id(number, workflow.granted));
            }
            let wanted = workflow.change(at, guess, under, workflow.deleted());
            (told(store.delete(request).await, changed), wanted)
        }
        Step::Undelete(number, guess, under) => {
            let workflow = model.workflows.entry(number).or_default();
            let mut request = ChangeRequest::new(of(number), workflow.expect(guess));
            if let (Under::Last, 1..) = (under, workflow.granted) {
                request = request.lease(lease_id(number, workflow.granted));
            }
            let wanted = workflow.change(at, guess, under, workflow.undeleted());
            (told(store.undelete(request).await, changed), wanted)
        }
        Step::Acquire(number, seconds) => {
            let workflow = model.workflows.entry(number).or_default();
            let chosen = lease_id(number, workflow.fence + 1);
            let request = LeaseRequest::new("model", Duration::from_secs(seconds)).id(chosen);
            let wanted = workflow.acquire(at, seconds);
            (
                told(store.acquire(&of(number), request).await, |grant| Told::Granted(grant.lease.fence)),
                wanted,
            )
        }
        Step::Release(number, under) => {
            let workflow = model.workflows.entry(number).or_default();
            let named = if matches!(under, Under::Last) { workflow.granted } else { 0 };
            let released = store.release(&of(number), lease_id(number, named)).await;
            (told(released, |_| Told::Released), workflow.release(under))
        }
        Step::Advance(seconds) => {
            model.now += seconds;
            return machines.iter().for_each(|machine| machine.advance(Duration::from_secs(seconds)));
        }
        Step::Load(number) => {
            let workflow = model.workflows.entry(number).or_default();
            let loaded = store.load(&of(number)).await.ok().map(|loaded| loaded.content);
            let wanted = workflow.content().map(|content| plan(&content.to_string()));
            return assert_eq!(loaded, wanted.map(Into::into));
        }
        Step::List => return assert_eq!(generations(store).await, model.listed()),
    };
    assert_eq!(did, wanted, "{step:?}, {at:?}: {model:#?}");
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let guess = || {
        prop_oneof![
            2 => Just(Guess::Any),
            2 => Just(Guess::Absent),
            3 => Just(Guess::Near(0)),
            1 => (-2_i64..3).prop_map(Guess::Near)
        ]
    };
    let under = || prop_oneof![2 => Just(Under::None), 1 => Just(Under::Last)];
    let step = prop_oneof![
        8 => (0..3_u8, 0..4_u8, guess(), under()).prop_map(|(w, c, g, u)| Step::Save(w, c, g, u)),
        2 => (0..3_u8, guess(), under()).prop_map(|(w, g, u)| Step::Delete(w, g, u)),
        2 => (0..3_u8, guess(), under()).prop_map(|(w, g, u)| Step::Undelete(w, g, u)),
        3 => (0..3_u8, 1..90_u64).prop_map(|(w, seconds)| Step::Acquire(w, seconds)),
        2 => (0..3_u8, under()).prop_map(|(w, u)| Step::Release(w, u)),
        3 => (0..120_u64).prop_map(Step::Advance),
        2 => (0..3_u8).prop_map(Step::Load),
        1 => Just(Step::List),
    ];
    prop::collection::vec((any::<bool>(), step), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn store_behaves_like_the_model(steps in steps(), kind in prop_oneof![Just(Kind::Memory), Just(Kind::PlainMemory), Just(Kind::Staged)], apart: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(kind, steps, apart));
    }
}
