//! The search of Wing and Gong (1993) for an order, with Lowe's cache (2017) of positions without a solution.

use std::collections::HashSet;

use super::history::Value;

/// A step that reads or changes a register at one point in time between `began` and `ended`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) effect: Effect,
    /// Whether it certainly happened.
    pub(crate) must: bool,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// The effect of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect {
    /// A read finds this state.
    See(Option<Value>),
    /// A refused swap finds any state but this.
    Miss(Option<Value>),
    Swap {
        from: Option<Value>,
        to: Option<Value>,
    },
}

impl Effect {
    /// Returns the state after the effect, or none if the effect is impossible in `state`.
    fn after(self, state: Option<Value>) -> Option<Option<Value>> {
        match self {
            Self::See(seen) => (seen == state).then_some(state),
            Self::Miss(missed) => (missed != state).then_some(state),
            Self::Swap { from, to } => (from == state).then_some(to),
        }
    }
}

/// Where the longest order ends.
#[derive(Debug)]
pub(crate) struct Stuck {
    /// How many of the certain steps are in it.
    pub(crate) placed: usize,
    /// The state of the register at that point.
    pub(crate) state: Option<Value>,
    /// The steps that have begun by then and are not in it.
    pub(crate) left: Vec<usize>,
}

/// One step of the order under construction.
struct Taken {
    step: Option<usize>,
    state: Option<Value>,
    /// The latest beginning of the steps in the order. A step that ended before it is too late.
    latest: u64,
    /// The steps that may come next, the most promising last.
    next: Vec<usize>,
}

/// The steps that are in the order.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed(Vec<u64>);

impl Placed {
    fn has(&self, step: usize) -> bool {
        self.0[step / 64] & (1 << (step % 64)) != 0
    }

    fn flip(&mut self, step: usize) {
        self.0[step / 64] ^= 1 << (step % 64);
    }

    /// All steps before this one are in the order.
    fn first(&self) -> usize {
        self.0.iter().take_while(|word| **word == u64::MAX).count() * 64
    }
}

/// Searches for an order of all certain steps and any of the others that is possible for a register that does
/// not exist at first. `steps` has first the certain steps and then the others, both sorted by their
/// beginning. Returns how many positions were searched.
pub(crate) fn search(steps: &[Step]) -> Result<usize, Stuck> {
    let sure = steps.iter().take_while(|step| step.must).count();
    let mut placed = Placed(vec![0; steps.len().div_ceil(64)]);
    let mut dead = HashSet::new();
    let mut stuck = Stuck { placed: 0, state: None, left: open(steps, sure, &placed).collect() };
    let (mut count, mut looked) = (0, 0);
    let mut order = vec![Taken { step: None, state: None, latest: 0, next: Vec::new() }];
    order[0].next = next(steps, sure, &placed, &order[0]);
    while let Some(here) = order.last_mut() {
        if count == sure {
            return Ok(looked);
        }
        let Some(step) = here.next.pop() else {
            // Backtrack: this position has no solution.
            let left = order.pop().and_then(|it| it.step);
            if let Some(step) = left {
                placed.flip(step);
                count -= usize::from(step < sure);
            }
            continue;
        };
        let Some(state) = steps[step].effect.after(here.state) else { continue };
        placed.flip(step);
        // The result depends only on the set of placed steps and the state, not on their order.
        if !dead.insert((placed.clone(), state)) {
            placed.flip(step);
            continue;
        }
        looked += 1;
        count += usize::from(step < sure);
        let latest = here.latest.max(steps[step].began);
        let mut taken = Taken { step: Some(step), state, latest, next: Vec::new() };
        taken.next = next(steps, sure, &placed, &taken);
        if count > stuck.placed {
            let left = open(steps, sure, &placed).collect();
            stuck = Stuck { placed: count, state, left };
        }
        order.push(taken);
    }
    Err(stuck)
}

/// Returns the steps that may come next. A step that began after the end of another step must come after it.
fn next(steps: &[Step], sure: usize, placed: &Placed, here: &Taken) -> Vec<usize> {
    let fits = |step: &usize| steps[*step].effect.after(here.state).is_some();
    let in_time = |step: &usize| steps[*step].ended >= here.latest;
    let open: Vec<usize> = open(steps, sure, placed).filter(in_time).collect();
    let mut next: Vec<usize> = open.iter().copied().filter(fits).collect();
    // A read changes nothing. If a read can be placed here, only that branch is searched: an order that
    // places the read later is also valid with the read here, unless that makes another operation too late.
    let harmless = |step: &usize| {
        let looks = !matches!(steps[*step].effect, Effect::Swap { .. });
        looks && open.iter().all(|other| *other < sure || steps[*other].ended >= steps[*step].began)
    };
    if let Some(look) = next.iter().copied().find(harmless) {
        return vec![look];
    }
    // Certain steps are tried first, in the order of their ends. Uncertain steps are tried only if no certain
    // one fits.
    next.sort_by_key(|step| (*step < sure, std::cmp::Reverse(steps[*step].ended)));
    next
}

/// Returns the steps outside of the order that began before the end of each certain step outside of it.
fn open<'a>(steps: &'a [Step], sure: usize, placed: &'a Placed) -> impl Iterator<Item = usize> + 'a {
    let mut horizon = u64::MAX;
    let first = placed.first().min(sure);
    for step in (first..sure).filter(|step| !placed.has(*step)) {
        if steps[step].began > horizon {
            break;
        }
        horizon = horizon.min(steps[step].ended);
    }
    let begun = move |step: &usize| steps[*step].began <= horizon;
    let left = move |step: &usize| !placed.has(*step);
    let certain = (first..sure).filter(left).take_while(begun);
    certain.chain((sure..steps.len()).take_while(begun).filter(left))
}
