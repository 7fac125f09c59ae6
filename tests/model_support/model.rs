use std::collections::{BTreeMap, BTreeSet};

use pflow_store::backend::{Position, WriteKind};

use super::{
    bytes,
    judge::{judged_first, judged_on_the_way, lag, visible},
    world::{Body, Name, Reached, World, Write, positions},
};

/// What the capabilities of a storage, and what it says of itself, promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) atomic_batch: bool,
    /// All conditions are judged before anything happens; else each operation on its own, stage by stage.
    pub(crate) judged_first: bool,
    /// Other handles may see old copies for a while.
    pub(crate) copies_follow: bool,
}

/// What was told of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Committed,
    Refused {
        at: Position,
        current: Option<Body>,
        applied: usize,
    },
    /// A name is an object and a folder at once.
    NoPlace {
        applied: usize,
    },
}

/// Every state that a storage may be in after what it has been asked and has answered.
#[derive(Debug)]
pub(crate) struct Model {
    rules: Rules,
    worlds: BTreeSet<World>,
    /// The commits whose futures were dropped, and through which handle, as long as that is there and not
    /// closed.
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

    /// `handle` has read the key and found this, or bytes that are none of ours.
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

    /// `handle` has listed what `asked` holds for: these keys and sizes.
    pub(crate) fn listed(
        &mut self,
        handle: usize,
        asked: impl Fn(Name) -> bool,
        found: &[(Name, u64)],
    ) -> bool {
        self.drift();
        let seen: Vec<Vec<(Name, Option<Body>)>> =
            self.worlds.iter().map(|world| visible(world, handle)).collect();
        // What is there in every state has been there all the time.
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

    /// A commit through `handle` was answered.
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

    /// `handle` is at rest: what it had under way happened by now, or never will.
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

    /// `handle` is gone without that.
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

    /// Adds every state into which what is under way may take the storage meanwhile.
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

    /// What one more moment of a commit may do.
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

    /// Whether readers may see a part of it, as they may of a fresh object as long as its batch is under way.
    fn is_fresh(&self, key: Name) -> bool {
        let fresh =
            |write: &Write| write.key == key && write.kind == WriteKind::Fresh && write.body.is_some();
        let open = self.flights.iter().filter(|flight| !flight.over);
        open.flat_map(|flight| positions(&flight.stages)).any(|(_, write)| fresh(write))
    }

    /// Whether any state is left that explains it.
    fn replace(&mut self, explain: impl Fn(&World) -> Vec<World>) -> bool {
        let worlds: BTreeSet<World> = self.worlds.iter().flat_map(explain).collect();
        let explained = !worlds.is_empty();
        if explained {
            self.worlds = worlds;
        }
        explained
    }
}

/// For a failure: what was thought possible.
impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let states: BTreeMap<usize, &World> = self.worlds.iter().take(8).enumerate().collect();
        writeln!(f, "{} possible states, the first of them: {states:#?}", self.worlds.len())
    }
}
