use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use pflow_store::backend::{
    Batch, Commit, Conflict, Environment, Key, ManualEnvironment, Operation, Outcome, Position,
    StorageBackend, Version,
};

use super::history::{Asked, Event, Found, Told, Value};

/// The reply of a storage, which names values by its own versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Read(Option<Value>),
    Done,
    Refused(Option<Version>),
    Overtaken(Option<Version>),
    /// A failure that certainly changed nothing.
    Failed,
    Unknown,
}

/// Uses some keys of a storage as registers. It runs one operation after the other, chosen by a seed.
pub(crate) struct Client {
    backend: Arc<dyn StorageBackend>,
    random: ManualEnvironment,
    keys: Vec<String>,
    /// The last state of each key that the client read.
    seen: BTreeMap<String, Option<(Value, Version)>>,
    /// The value of each version that the client has seen.
    names: HashMap<Version, Value>,
    last: Value,
}

impl Client {
    /// `number` makes the values of this client different from those of all others.
    pub(crate) fn new(backend: Arc<dyn StorageBackend>, keys: &[&str], number: u64, seed: u64) -> Self {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let random = ManualEnvironment::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let last = (number + 1) * 1_000_000;
        Self { backend, random, keys, seen: BTreeMap::new(), names: HashMap::new(), last }
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.random.random() % limit
    }

    /// Chooses the next operation and its register: mostly a swap of the state that was read last, which may
    /// be old.
    pub(crate) fn choose(&mut self) -> (String, Asked) {
        let key = self.keys[self.below(self.keys.len() as u64) as usize].clone();
        let dice = self.below(20);
        let asked = match self.seen.get(&key) {
            None => Asked::Read,
            Some(_) if dice < 7 => Asked::Read,
            Some(Some((value, _))) if dice < 9 && self.backend.capabilities().conditional_delete => {
                Asked::Swap { expected: Some(*value), new: None }
            }
            Some(seen) => {
                self.last += 1;
                Asked::Swap { expected: seen.as_ref().map(|it| it.0), new: Some(self.last) }
            }
        };
        (key, asked)
    }

    /// Sends the operation. If the future is dropped, the operation may still happen: its outcome is unknown.
    pub(crate) async fn ask(&mut self, key: &str, asked: Asked) -> Answer {
        let Asked::Swap { expected, new } = asked else { return self.read(key).await };
        let seen = self.seen.remove(key).unwrap();
        assert_eq!(expected, seen.as_ref().map(|it| it.0));
        let name = Key::parse(key).unwrap();
        if let Some(new) = new {
            // The version that a disk and memory give it: it identifies the value if the reply is lost.
            self.names.insert(Version::of_content(new.to_string().as_bytes()), new);
        }
        let operation = match new {
            Some(new) => Operation::put(name, new.to_string()),
            None => Operation::delete(name),
        };
        let operation = match seen {
            Some((_, version)) => operation.is(version),
            None => operation.absent(),
        };
        // Every third swap is like a save: its batch also has a new object before it and a derived one after.
        let (batch, at) = match new {
            Some(new) if new % 3 == 0 => {
                (surrounded(operation, key, new), Position { stage: 1, operation: 0 })
            }
            _ => (Batch::new().stage([operation]), Position { stage: 0, operation: 0 }),
        };
        let surrounded = at.stage == 1;
        match self.backend.commit(batch).await {
            Ok(Commit::Committed(versions)) => {
                let version = versions.get(at).cloned();
                if let (true, Some(new)) = (surrounded, new) {
                    let there = self.backend.stat(&data(key, new)).await.unwrap();
                    assert!(there.is_some(), "{key} is {new} without the object of an earlier stage");
                }
                self.notice(key, new.map(|new| (new, version.unwrap())));
                Answer::Done
            }
            Ok(Commit::Conflict(conflict)) => Answer::Refused(current(conflict, at)),
            Ok(Commit::Overtaken(conflict)) => Answer::Overtaken(current(conflict, at)),
            Err(error) if error.outcome() == Outcome::Unknown => Answer::Unknown,
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                Answer::Failed
            }
        }
    }

    async fn read(&mut self, key: &str) -> Answer {
        let object = self.backend.get(&Key::parse(key).unwrap()).await.unwrap();
        let found = object.map(|it| {
            let value: Value = std::str::from_utf8(&it.bytes).unwrap().parse().unwrap();
            (value, it.meta.version)
        });
        let value = found.as_ref().map(|it| it.0);
        self.notice(key, found);
        Answer::Read(value)
    }

    fn notice(&mut self, key: &str, found: Option<(Value, Version)>) {
        if let Some((value, version)) = &found {
            self.names.insert(version.clone(), *value);
        }
        self.seen.insert(key.to_owned(), found);
    }

    /// Returns the values of the versions that the client has seen.
    pub(crate) fn names(&self) -> &HashMap<Version, Value> {
        &self.names
    }
}

impl Answer {
    /// Returns the event for the history, if the reply says anything.
    pub(crate) fn event(
        self,
        key: &str,
        asked: Asked,
        (began, ended): (u64, u64),
        names: &HashMap<Version, Value>,
    ) -> Option<Event> {
        let found = |version: Option<Version>| match version {
            None => Found::This(None),
            Some(version) => names.get(&version).map_or(Found::Other, |value| Found::This(Some(*value))),
        };
        let told = match self {
            Self::Read(value) => Told::Read(value),
            Self::Done => Told::Done,
            Self::Refused(version) => Told::Refused(found(version)),
            Self::Overtaken(version) => Told::Overtaken(found(version)),
            Self::Failed => return None,
            // A read without a reply changed nothing, so it is left out.
            Self::Unknown if asked == Asked::Read => return None,
            Self::Unknown => Told::Unknown,
        };
        Some(Event { key: key.to_owned(), asked, told, began, ended })
    }
}

fn data(key: &str, value: Value) -> Key {
    Key::parse(format!("data/{key}/{value}")).unwrap()
}

fn surrounded(operation: Operation, key: &str, value: Value) -> Batch {
    let copy = Key::parse(format!("copies/{key}")).unwrap();
    Batch::new()
        .stage([Operation::put(data(key, value), value.to_string()).absent().fresh()])
        .stage([operation])
        .stage([Operation::put(copy, value.to_string()).copy()])
}

fn current(conflict: Conflict, at: Position) -> Option<Version> {
    assert_eq!(conflict.at, at, "nothing else can be in the way");
    conflict.current
}
