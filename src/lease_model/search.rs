//! A breadth-first search through all reachable worlds.

use std::{collections::HashSet, fmt, hash::BuildHasherDefault, rc::Rc};

use super::{
    laws,
    quick::Quick,
    rules::Rules,
    steps::{Event, after, events},
    world::World,
};

/// The limit of worlds; a scene with more asks for too much.
const TOO_MANY: usize = 4_000_000;

/// A world, the index of its predecessor, and the event in between.
type Found = (Rc<World>, usize, Option<Event>);

/// Statistics of a search.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// The number of different worlds.
    pub(super) states: usize,
    /// The number of transitions.
    pub(super) steps: usize,
    /// The number of steps to the furthest world.
    pub(super) depth: usize,
    /// The number of decisions with different inputs.
    pub(super) decisions: usize,
}

/// A violated law, with a shortest path to the violation.
#[derive(Debug)]
pub(super) struct Counterexample {
    pub(super) law: String,
    pub(super) way: Vec<(Event, World)>,
}

/// Visits every world that is reachable from `first`.
pub(super) fn search(first: World, rules: &mut Rules) -> Result<Searched, Counterexample> {
    let mut found: Vec<Found> = vec![(Rc::new(first), 0, None)];
    let mut known = HashSet::<Rc<World>, BuildHasherDefault<Quick>>::default();
    known.insert(Rc::new(first));
    let mut registers = HashSet::new();
    let mut searched = Searched::default();
    let (mut at, mut end_of_depth) = (0, 1);
    while let Some(world) = found.get(at).map(|(world, ..)| *Rc::as_ref(world)) {
        let here = |law| Counterexample { law, way: way(&found, at, None) };
        if registers.insert(world.register) {
            laws::of_availability(world.register, rules).map_err(here)?;
        }
        for event in events(&world) {
            let next = after(&world, event, rules)
                .map_err(|law| Counterexample { law, way: way(&found, at, Some((event, world))) })?;
            searched.steps += 1;
            if !known.contains(&next) {
                let next = Rc::new(next);
                known.insert(next.clone());
                found.push((next, at, Some(event)));
                assert!(found.len() < TOO_MANY, "more than {TOO_MANY} states: let them do less");
            }
        }
        at += 1;
        if at == end_of_depth && at < found.len() {
            (searched.depth, end_of_depth) = (searched.depth + 1, found.len());
        }
    }
    (searched.states, searched.decisions) = (found.len(), rules.decisions());
    Ok(searched)
}

fn way(found: &[Found], mut at: usize, last: Option<(Event, World)>) -> Vec<(Event, World)> {
    let mut way: Vec<(Event, World)> = last.into_iter().collect();
    while let Some((world, before, Some(event))) = found.get(at) {
        way.push((*event, **world));
        at = *before;
    }
    way.reverse();
    way
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (event, world)) in (1_usize..).zip(&self.way) {
            let here =
                if number < self.way.len() { format!("{:?}", world.register) } else { self.law.clone() };
            writeln!(f, "  {number:2} {event:?} => {here}")?;
        }
        Ok(())
    }
}
