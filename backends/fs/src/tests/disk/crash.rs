//! What a loss of power may leave.

use std::{collections::BTreeMap, sync::Arc};

use super::{Disk, State, image::Effect, mix};

/// How many of the possible states are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Where there are no more than so many states, all of them.
    pub(crate) all_of: usize,
    /// Elsewhere, beside the telling ones, so many at random.
    pub(crate) at_random: usize,
    pub(crate) seed: u64,
}

impl Budget {
    /// `PFLOW_TEST_CRASH_STATES` multiplies the number of states.
    pub(crate) fn new(all_of: usize, at_random: usize) -> Self {
        let times = Self::multiplier();
        Self { all_of: all_of * times, at_random: at_random * times, seed: 1 }
    }

    /// For whoever counts something else.
    pub(crate) fn multiplier() -> usize {
        std::env::var("PFLOW_TEST_CRASH_STATES").ok().and_then(|it| it.parse().ok()).unwrap_or(1).max(1)
    }
}

/// One state that a crash may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crash {
    /// For each effect that is pending, in order, whether it is there.
    kept: Vec<bool>,
    /// The same for the same effects, whenever the crash comes.
    pub(crate) sum: u64,
}

impl Disk {
    /// States that a crash at this moment may leave, each once.
    pub(crate) fn crashes(&self, budget: &Budget) -> Vec<Crash> {
        let state = self.state();
        let slots = slots(&state);
        let mut choices = choices(&slots, budget);
        choices.sort_unstable();
        choices.dedup();
        let crash = |choice: &Vec<usize>| {
            let mut kept = vec![false; state.pending.len()];
            for (slot, versions) in slots.iter().zip(choice) {
                slot.iter().take(*versions).for_each(|at| kept[*at] = true);
            }
            state.crash(kept)
        };
        choices.iter().map(crash).collect()
    }

    /// The crash that leaves nothing but what is durable.
    pub(crate) fn worst(&self) -> Crash {
        let state = self.state();
        state.crash(vec![false; state.pending.len()])
    }

    /// The crash that loses nothing.
    pub(crate) fn mildest(&self) -> Crash {
        let state = self.state();
        state.crash(vec![true; state.pending.len()])
    }

    /// The machine as it starts again.
    pub(crate) fn after(&self, crash: &Crash) -> Arc<Disk> {
        let state = self.state();
        let mut image = state.durable.clone();
        for ((_, effect), kept) in state.pending.iter().zip(&crash.kept) {
            if *kept {
                image.apply(effect);
            }
        }
        image.forget_the_nameless();
        let disk = Disk::of(image, state.modes.clone(), state.traits);
        disk.state().next = state.next;
        disk
    }

    /// In words: which of the pending effects are there, or which are not, whichever are fewer.
    pub(crate) fn describe(&self, crash: &Crash) -> String {
        let state = self.state();
        let paths: BTreeMap<u64, &std::path::PathBuf> =
            state.nodes.values().map(|opened| (opened.ino, &opened.path)).collect();
        let path = |ino: &u64| paths.get(ino).map_or(format!("#{ino}"), |path| path.display().to_string());
        let told = crash.kept.iter().filter(|kept| **kept).count() * 2 <= crash.kept.len();
        let mut words =
            format!(" {} of {} pending effects", if told { "kept" } else { "lost" }, crash.kept.len());
        for ((_, effect), _) in state.pending.iter().zip(&crash.kept).filter(|(_, kept)| **kept == told) {
            let what = match effect {
                Effect::Bytes { file, at, bytes } => {
                    format!("{} bytes at {at} of {}", bytes.len(), path(file))
                }
                Effect::Length { file, length } => format!("length {length} of {}", path(file)),
                Effect::Names(changes) => changes
                    .iter()
                    .map(|(folder, name, ino)| format!("{}/{} -> {ino:?}", path(folder), name.display()))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            words += &format!("\n  {what}");
        }
        words
    }
}

impl State {
    fn crash(&self, kept: Vec<bool>) -> Crash {
        let kept_numbers = self.pending.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(it, _)| it.0);
        let sum = kept_numbers.fold(self.durable_sum, |sum, number| sum ^ mix(number));
        Crash { kept, sum }
    }
}

/// The pending effects, those of one place together: of these the first few are there, the last of which is
/// seen.
fn slots(state: &State) -> Vec<Vec<usize>> {
    let mut slots: Vec<Vec<usize>> = Vec::new();
    let mut known = BTreeMap::new();
    for (at, (_, effect)) in state.pending.iter().enumerate() {
        match effect.slot() {
            Some(place) => {
                let slot = *known.entry(place).or_insert_with(|| {
                    slots.push(Vec::new());
                    slots.len() - 1
                });
                slots[slot].push(at);
            }
            None => slots.push(vec![at]),
        }
    }
    slots
}

/// How many versions of each slot are there, in each state.
fn choices(slots: &[Vec<usize>], budget: &Budget) -> Vec<Vec<usize>> {
    let (none, all): (Vec<usize>, Vec<usize>) = slots.iter().map(|slot| (0, slot.len())).unzip();
    let possible = slots.iter().try_fold(1_usize, |product, slot| {
        product.checked_mul(slot.len() + 1).filter(|it| *it <= budget.all_of)
    });
    if let Some(possible) = possible {
        return (0..possible)
            .map(|mut number| {
                let digit = |slot: &Vec<usize>| {
                    let digit = number % (slot.len() + 1);
                    number /= slot.len() + 1;
                    digit
                };
                slots.iter().map(digit).collect()
            })
            .collect();
    }
    let mut choices = vec![none.clone(), all.clone()];
    for (at, slot) in slots.iter().enumerate() {
        for versions in 0..=slot.len() {
            for around in [&none, &all] {
                let mut choice = around.clone();
                choice[at] = versions;
                choices.push(choice);
            }
        }
    }
    // What was done until a moment, and what was done since.
    let last = slots.iter().flatten().max().map_or(0, |it| it + 1);
    for moment in 0..last {
        choices.push(slots.iter().map(|slot| slot.iter().filter(|at| **at < moment).count()).collect());
        let since = |slot: &Vec<usize>| if slot.iter().any(|at| *at >= moment) { slot.len() } else { 0 };
        choices.push(slots.iter().map(since).collect());
    }
    let mut random = budget.seed;
    for _ in 0..budget.at_random {
        let draw = |slot: &Vec<usize>| {
            random = random.wrapping_add(1);
            usize::try_from(mix(random) >> 33).unwrap_or(0) % (slot.len() + 1)
        };
        choices.push(slots.iter().map(draw).collect());
    }
    choices
}
