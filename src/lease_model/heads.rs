//! Converts the model's registers to heads and back.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pflow_backend::{Environment, Identity, ManualEnvironment};
use serde_json::Map;

use super::world::{Attempt, Held, Name, Register, Role};
use crate::{
    document::{ContentHash, Document, Limits, MediaType},
    format::{
        Current, Head, Lease, LeaseId, Operation, Sourced, VersionId, VersionRecord, WorkflowId,
        version::tests::next,
    },
    lock::{LeaseClaim, LeaseRequest},
};

/// The duration of a lease and the clock skew. Their sum is less than one unit of the model's time.
pub(super) const LEASE: Duration = Duration::from_secs(60);
pub(super) const SKEW: Duration = Duration::from_secs(5);
pub(super) const UNIT: Duration = Duration::from_secs(100);

pub(super) struct Heads {
    identities: [Identity; 5],
}

impl Heads {
    pub(super) fn new() -> Self {
        let identity = |role: Role| ManualEnvironment::new(role as u64).identity().clone();
        Self { identities: Role::ALL.map(identity) }
    }

    /// Returns the identity of an actor. Each actor is on a machine of its own.
    pub(super) fn identity(&self, role: Role) -> &Identity {
        &self.identities[role as usize]
    }

    /// Returns the head that a register represents.
    pub(super) fn expand(&self, register: Register) -> Head {
        let current = self.versions(register).pop();
        let lease = register.held.map(|held| self.lease(held));
        let (fence, nonce) = (register.fence.into(), "now".to_owned());
        Head { current, fence, lease, nonce, ..Head::new(workflow()) }
    }

    /// Returns the versions of a register's chain, the first one first.
    pub(super) fn versions(&self, register: Register) -> Vec<Current> {
        let mut versions: Vec<Current> = Vec::new();
        for (generation, attempt) in (1..).zip(register.chain()) {
            versions.push(next(versions.last(), self.record(generation, *attempt)));
        }
        versions
    }

    /// Returns the register for a head that was swapped in over that of `before`. It leaves out what no
    /// decision depends on: how often the head was written, how often a lease was renewed, and how a lease
    /// ended.
    pub(super) fn compress(&self, head: &Head, before: Register) -> Register {
        let held = head.lease.as_ref().map(|lease| Held {
            name: name_of(&lease.id),
            fence: lease.fence.try_into().unwrap(),
            refreshed: units(lease.refreshed()),
        });
        let generation = head.generation().try_into().unwrap();
        let mut register = Register { fence: head.fence.try_into().unwrap(), held, generation, ..before };
        if let Some(current) = &head.current {
            register.chain[usize::from(generation) - 1] = attempt_of(&current.record.version_id);
        }
        let again = self.expand(register);
        let place =
            |head: &Head| head.current.as_ref().map(|it| (it.record.parents.clone(), it.jumps.clone()));
        assert_eq!(place(&again), place(head));
        assert_eq!(again.lease.as_ref().map(Lease::holder), head.lease.as_ref().map(Lease::holder));
        register
    }

    pub(super) fn lease(&self, held: Held) -> Lease {
        let identity = self.identity(held.name.holder);
        claim(held.name).grant(identity, held.fence.into(), None, at(held.refreshed))
    }

    fn record(&self, generation: u64, attempt: Attempt) -> VersionRecord {
        let hash = match attempt {
            Attempt::Anybodys => ContentHash::of(b"anybody's"),
            Attempt::Of(role, _) => document(role).hash(),
        };
        VersionRecord {
            id: workflow(),
            generation,
            version_id: version_id(attempt),
            operation: Operation::SAVE,
            parents: Vec::new(),
            depth: generation,
            merges: 0,
            jump: None,
            hash: Some(hash),
            size: 0,
            media_type: MediaType::Json.into(),
            body: None,
            statistics: serde_json::Map::new(),
            name: Sourced::default(),
            description: Sourced::default(),
            tags: Sourced::default(),
            nodes: Vec::new(),
            version: None,
            created: at(0),
            modified: at(0),
            author: "author".to_owned(),
            message: None,
            deleted: false,
            extra: Map::new(),
        }
    }
}

pub(super) fn workflow() -> WorkflowId {
    WorkflowId::parse("a").unwrap()
}

/// Returns the document that an actor saves.
pub(super) fn document(role: Role) -> Document {
    Document::parse(format!(r#"{{ "by": "{role:?}" }}"#), &Limits::default()).unwrap()
}

pub(super) fn claim(name: Name) -> LeaseClaim {
    let request = LeaseRequest::new("work", LEASE).id(id_of(name));
    request.claim(&ManualEnvironment::new(0)).unwrap()
}

pub(super) fn id_of(name: Name) -> LeaseId {
    LeaseId::parse(format!("{}-{}", name.holder as u8, name.wish)).unwrap()
}

fn name_of(id: &LeaseId) -> Name {
    let (holder, wish) = id.as_str().split_once('-').unwrap();
    Name { holder: Role::ALL[holder.parse::<usize>().unwrap()], wish: wish.parse().unwrap() }
}

pub(super) fn version_id(attempt: Attempt) -> VersionId {
    let number = match attempt {
        Attempt::Anybodys => 0,
        Attempt::Of(role, number) => 1 + role as u64 + u64::from(number) * 10,
    };
    VersionId::parse(format!("{number:026}")).unwrap()
}

fn attempt_of(id: &VersionId) -> Attempt {
    match id.as_str().parse::<usize>().unwrap() {
        0 => Attempt::Anybodys,
        number => Attempt::Of(Role::ALL[number % 10 - 1], u8::try_from(number / 10).unwrap()),
    }
}

pub(super) fn at(units: i8) -> DateTime<Utc> {
    ManualEnvironment::new(0).now() + TimeDelta::from_std(UNIT).unwrap() * i32::from(units)
}

fn units(moment: DateTime<Utc>) -> i8 {
    let passed =
        moment.signed_duration_since(at(0)).num_seconds() / TimeDelta::from_std(UNIT).unwrap().num_seconds();
    passed.try_into().unwrap()
}
