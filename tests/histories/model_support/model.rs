use std::collections::{BTreeMap, BTreeSet};

use pflow_store::backend::{Position, WriteKind};

use super::{
    bytes,
    judge::{judged_first, judged_on_the_way, lag, visible},
    world::{Body, Name, Reached, World, Write, positions},
};

/// The promises of a storage, by its capabilities and its documentation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) atomic_batch: bool,
    /// All conditions are checked before anything is written; else each operation by itself, stage by stage.
    pub(crate) judged_first: bool,
    /// Other handles may read old copies for some time.
    pub(crate) copies_follow: bool,
}

/// The reply to a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Committed,
    Refused {
        at: Position,
        current: Option<Body>,
        applied: usize,
    },
    /// A name would be an object and a folder at once.
    NoPlace {
        applied: usize,
    },
}

/// All states that a storage may be in, given the operations and the replies so far.
#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    worlds: BTreeSet<World>,
    /// The commits whose futures were dropped, each with its handle until that is closed or gone.
    flights: Vec<Flight>,
}

#[derive(Debug)]
struct Flight {
    stages: Vec<Vec<Write>>,
    owner: Option<usize>,
    over: bool,
}

/// The owner of a copy whose handle is gone.
const NO_HANDLE: usize = usize::MAX;

impl Model {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, worlds: BTreeSet::from([World::default()]), flights: Vec::new() }
    }

    /// Returns a body that the key may have, as a guess for a condition.
    pub(crate) fn likely(&self, key: Name) -> Option<Body> {
        self.worlds.iter().next().and_then(|world| world.objects.get(key).copied())
    }

    /// Counts the commits with an unknown outcome, and those of them whose handle is gone.
    pub(crate) fn open_flights(&self) -> (usize, usize) {
        let open = self.flights.iter().filter(|flight| !flight.over);
        (open.clone().count(), open.filter(|flight| flight.owner.is_none()).count())
    }

    /// Records a read through `handle` that found this body, or bytes that are no known body. Returns whether
    /// a state explains it.
    pub(crate) fn read(&mut self, handle: usize, key: Name, found: Result<Option<Body>, usize>) -> bool {
        self.drift();
        let Ok(found) = found else {
            return self.is_fresh(key);
        };
        self.replace(|world| {
            let seen = world.seen_by(handle, key).into_iter();
            seen.filter(|(seen, _)| *seen == found).map(|(_, world)| world).collect()
        })
    }

    /// Records a listing of the keys that `asked` accepts, with these results. Returns whether a state
    /// explains it.
    pub(crate) fn listed(
        &mut self,
        handle: usize,
        asked: impl Fn(Name) -> bool,
        found: &[(Name, u64)],
    ) -> bool {
        self.drift();
        let seen: Vec<Vec<(Name, Option<Body>)>> =
            self.worlds.iter().map(|world| visible(world, handle)).collect();
        // A key that exists in every state existed during the whole listing.
        let there = |name: Name| {
            let absent = |it: &(Name, Option<Body>)| *it == (name, None);
            let in_all =
                |seen: &Vec<_>| seen.iter().any(|it: &(Name, _)| it.0 == name) && !seen.iter().any(absent);
            seen.iter().all(in_all)
        };
        let listed = |name: Name| found.iter().any(|(key, _)| *key == name);
        let complete = seen[0].iter().all(|(key, _)| !asked(key) || !there(key) || listed(key));
        let may_be = |name: Name, size: u64| {
            let fits = |it: &(Name, Option<Body>)| {
                it.0 == name && it.1.is_some_and(|it| bytes(it).len() as u64 == size)
            };
            seen.iter().flatten().any(fits) || self.is_fresh(name)
        };
        let in_order = found.is_sorted_by(|(one, _), (next, _)| one < next);
        in_order && complete && found.iter().all(|(key, size)| asked(key) && may_be(key, *size))
    }

    /// Records the reply to a commit through `handle`. Returns whether a state explains it.
    pub(crate) fn committed(&mut self, handle: usize, stages: &[Vec<Write>], answer: &Answer) -> bool {
        self.drift();
        let rules = self.rules;
        self.replace(|world| {
            let mut worlds = match rules.judged_first {
                true => judged_first(world, stages, answer),
                false => judged_on_the_way(world, stages, answer),
            };
            if *answer == Answer::Committed && rules.copies_follow {
                for world_after in &mut worlds {
                    lag(world, world_after, handle, stages);
                }
            }
            worlds
        })
    }

    /// Records a commit that was begun through `handle` and whose future was dropped.
    pub(crate) fn dropped(&mut self, handle: usize, stages: &[Vec<Write>]) {
        let number = self.flights.len();
        self.flights.push(Flight { stages: stages.to_vec(), owner: Some(handle), over: false });
        self.replace(|world| {
            let mut world = world.clone();
            world.flying.insert(number, Reached::default());
            vec![world]
        });
    }

    /// Records that `handle` was closed: its dropped commits have been applied by now, or never will be.
    pub(crate) fn closed(&mut self, handle: usize) {
        self.drift();
        let mut over = BTreeSet::new();
        for (number, flight) in self.flights.iter_mut().enumerate() {
            if flight.owner == Some(handle) {
                flight.over = true;
                over.insert(number);
            }
        }
        self.replace(|world| {
            let mut world = world.clone();
            world.flying.retain(|number, _| !over.contains(number));
            world.lagging.retain(|_, (owner, _)| *owner != handle);
            vec![world]
        });
    }

    /// Records that `handle` is gone without having been closed.
    pub(crate) fn forgotten(&mut self, handle: usize) {
        for flight in self.flights.iter_mut().filter(|flight| flight.owner == Some(handle)) {
            flight.owner = None;
        }
        self.replace(|world| {
            let mut world = world.clone();
            for (owner, _) in world.lagging.values_mut().filter(|(owner, _)| *owner == handle) {
                *owner = NO_HANDLE;
            }
            vec![world]
        });
    }

    /// Adds all states that the running commits may have led to meanwhile.
    fn drift(&mut self) {
        let mut new: Vec<World> = self.worlds.iter().cloned().collect();
        while let Some(world) = new.pop() {
            for number in world.flying.keys() {
                for later in self.progress(&world, *number) {
                    if self.worlds.insert(later.clone()) {
                        new.push(later);
                    }
                }
            }
        }
    }

    /// Returns the states after the next step of a running commit.
    fn progress(&self, world: &World, number: usize) -> Vec<World> {
        let (stages, reached) = (&self.flights[number].stages, world.flying[&number]);
        let begins = reached == Reached::default();
        let hindered =
            world.refusal(stages).is_some() || positions(stages).any(|(_, write)| world.has_no_place(write));
        if begins && self.rules.judged_first && hindered {
            return Vec::new();
        }
        if self.rules.atomic_batch {
            let mut after = world.clone();
            positions(stages).for_each(|(_, write)| after.apply(write));
            after.flying.remove(&number);
            return vec![after];
        }
        let Some(stage) = stages.get(reached.stage) else { return Vec::new() };
        let mut worlds = Vec::new();
        for (operation, write) in stage.iter().enumerate() {
            let bit = 1 << operation;
            if reached.operations & bit == 0 && world.holds(write) && !world.has_no_place(write) {
                let mut after = world.clone();
                after.apply(write);
                after.flying.insert(number, Reached { operations: reached.operations | bit, ..reached });
                worlds.push(after);
            }
        }
        if reached.operations.count_ones() as usize == stage.len() {
            let mut after = world.clone();
            after.flying.remove(&number);
            if reached.stage + 1 < stages.len() {
                after.flying.insert(number, Reached { stage: reached.stage + 1, operations: 0 });
            }
            worlds.push(after);
        }
        worlds
    }

    /// Returns whether readers may see a part of the object: it is fresh and its batch is running.
    fn is_fresh(&self, key: Name) -> bool {
        let fresh =
            |write: &Write| write.key == key && write.kind == WriteKind::Fresh && write.body.is_some();
        let open = self.flights.iter().filter(|flight| !flight.over);
        open.flat_map(|flight| positions(&flight.stages)).any(|(_, write)| fresh(write))
    }

    /// Replaces each state by those that `explain` returns. If that leaves none, keeps the old ones and
    /// returns false.
    fn replace(&mut self, explain: impl Fn(&World) -> Vec<World>) -> bool {
        let worlds: BTreeSet<World> = self.worlds.iter().flat_map(explain).collect();
        let explained = !worlds.is_empty();
        if explained {
            self.worlds = worlds;
        }
        explained
    }
}

/// For the message of a failed test: all states that were possible.
impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let states: BTreeMap<usize, &World> = self.worlds.iter().take(8).enumerate().collect();
        writeln!(f, "{} possible states, the first of them: {states:#?}", self.worlds.len())
    }
}
