use std::{collections::BTreeMap, fmt::Write};

use super::search::{Effect, Step, search};

/// The value of a register. Writers give each write a value of its own: the check cannot tell equal values
/// apart.
pub(crate) type Value = u64;

/// An operation on a register. None means that the register does not exist, so a swap also creates and
/// deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Read,
    Swap { expected: Option<Value>, new: Option<Value> },
}

/// The reply to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Read(Option<Value>),
    Done,
    /// The swap was not applied, because the register held this.
    Refused(Found),
    /// The swap was not applied, or it was applied and replaced. It will not be applied later. Afterwards the
    /// register held this.
    Overtaken(Found),
    /// The swap may be applied at any later time, once, or never.
    Unknown,
}

/// The state that a refused swap found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    This(Option<Value>),
    /// An unknown value: the client saw only a version that it cannot map to a value.
    Other,
}

/// One operation on one register. All clients share one clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) key: String,
    pub(crate) asked: Asked,
    pub(crate) told: Told,
    /// Not later than the time when the operation was sent.
    pub(crate) began: u64,
    /// Not earlier than the time of the reply. An operation with an unknown outcome never ends.
    pub(crate) ended: u64,
}

impl Event {
    /// Returns the steps in which the operation takes effect. An overtaken swap may have two.
    fn steps(&self) -> Result<Vec<Step>, String> {
        let Self { began, ended, .. } = *self;
        let step = |effect, must, ended| Step { effect, must, began, ended };
        let (expected, new) = match (self.asked, self.told) {
            (Asked::Read, Told::Read(value)) => return Ok(vec![step(Effect::See(value), true, ended)]),
            (Asked::Swap { expected, new }, _) => (expected, new),
            _ => return Err(format!("that is no answer: {self:?}")),
        };
        let swap = Effect::Swap { from: expected, to: new };
        let other = |found| match found {
            Found::This(current) if current == expected => Err(format!("that is no reason: {self:?}")),
            Found::This(current) => Ok(step(Effect::See(current), true, ended)),
            Found::Other => Ok(step(Effect::Miss(expected), true, ended)),
        };
        match self.told {
            Told::Done => Ok(vec![step(swap, true, ended)]),
            Told::Refused(found) => Ok(vec![other(found)?]),
            Told::Overtaken(found) => Ok(vec![step(swap, false, ended), other(found)?]),
            Told::Unknown => Ok(vec![step(swap, false, u64::MAX)]),
            Told::Read(_) => Err(format!("that is no answer: {self:?}")),
        }
    }
}

/// Checks that the history is linearizable (Herlihy and Wing, 1990): for each register there is one order of
/// the operations that explains every answer and contradicts no order in time. The registers must not exist
/// before the history. Returns how many positions were searched.
///
/// # Errors
/// There is no such order. The message names the register and the place where the longest order ends.
pub(crate) fn check(events: &[Event]) -> Result<usize, String> {
    let mut registers: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        registers.entry(&event.key).or_default().push(event);
    }
    let mut looked = 0;
    for (key, events) in registers {
        let mut steps: Vec<(Step, &Event)> = Vec::new();
        for event in events {
            steps.extend(event.steps()?.into_iter().map(|step| (step, event)));
        }
        // IMPORTANT: `search` requires this order.
        steps.sort_by_key(|(step, _)| (!step.must, step.began));
        let (steps, events): (Vec<Step>, Vec<&Event>) = steps.into_iter().unzip();
        looked += search(&steps).map_err(|stuck| {
            let (placed, of) = (stuck.placed, steps.iter().filter(|step| step.must).count());
            let mut words = format!("{key}: no order explains what was told.\n");
            writeln!(words, "The longest one has {placed} of {of} and ends at {:?}. Next:", stuck.state)
                .unwrap();
            for at in stuck.left.iter().take(20) {
                writeln!(words, "  {:?}", events[*at]).unwrap();
            }
            words
        })?;
    }
    Ok(looked)
}
