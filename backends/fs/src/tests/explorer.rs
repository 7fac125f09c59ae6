//! Looks at what a crash leaves of a script, at every moment of it.

use std::{collections::BTreeSet, sync::Arc};

use tokio::runtime::Runtime;

use super::{
    disk::{Budget, Called, Crash, Disk, Traits, Trouble},
    model::Model,
    player::{End, Player, Step, runtime},
    scripts::{self, Script},
};

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) traits: Traits,
    /// At each moment.
    pub(crate) budget: Budget,
    /// Of a script at most so many states, chosen at random.
    pub(crate) states: usize,
    /// For so many states the recovery is interrupted as well, and so many of what that leaves are looked at.
    pub(crate) again: (usize, usize),
}

/// What was looked at.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) moments: usize,
    pub(crate) possible: usize,
    pub(crate) states: usize,
}

/// A state that a crash may leave.
struct Candidate {
    at: usize,
    crash: Crash,
    disk: Arc<Disk>,
    model: Model,
    answers: String,
    /// One of the two that are looked at in any case.
    is_extreme: bool,
}

/// Tries a script out on one kind of machine.
pub(crate) struct Explorer {
    runtime: Runtime,
    seen: Seen,
}

/// Lets the power fail at every moment of a script on an empty disk.
pub(crate) fn power_fails(script: &Script, effort: Effort) -> Seen {
    let mut explorer = Explorer { runtime: runtime(), seen: Seen::default() };
    explorer.explore(&Disk::new(effort.traits), &Model::empty(), script, effort);
    let Seen { moments, possible, states } = explorer.seen;
    println!("{}: crash states: {states} of {possible} at {moments} moments", script.name);
    explorer.seen
}

impl Explorer {
    fn explore(&mut self, start: &Disk, model: &Model, script: &Script, effort: Effort) {
        let (whole, ..) = self.play(start, model, script, None);
        let calls = whole.medium.made();
        let mut candidates = self.candidates(start, model, script, effort, &calls);
        self.seen.possible += candidates.len();
        candidates.sort_by_key(|it| (!it.is_extreme, it.crash.sum));
        candidates.truncate(effort.states);
        let every = candidates.len() / effort.again.0.max(1) + 1;
        for (number, it) in candidates.iter().enumerate() {
            self.seen.states += 1;
            let context = || {
                let call =
                    calls.get(it.at).map_or("the end".to_owned(), |it| format!("{:?} {}", it.call, it.path));
                let effects = it.disk.describe(&it.crash);
                format!("{}, before call {} ({call}), answers {:?}:{effects}", script.name, it.at, it.answers)
            };
            self.check(&it.disk.after(&it.crash), &it.model, script, &context);
            if effort.again.0 > 0 && number.is_multiple_of(every) {
                let less = Effort { again: (0, 0), states: effort.again.1, ..effort };
                self.explore(&it.disk.after(&it.crash), &it.model, &scripts::recovery(&script.options), less);
            }
        }
    }

    fn candidates(
        &mut self,
        start: &Disk,
        model: &Model,
        script: &Script,
        effort: Effort,
        calls: &[Called],
    ) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut known = BTreeSet::new();
        let changes = calls.iter().enumerate().filter(|(_, it)| it.changed).map(|(at, _)| at);
        for at in changes.chain([calls.len()]) {
            let (player, disk) = self.play(start, model, script, Some(at));
            let made = player.medium.made();
            assert!(made.iter().zip(calls).take(at).all(|(one, other)| one == other), "not deterministic");
            self.seen.moments += 1;
            let extremes = [disk.worst(), disk.mildest()];
            for crash in disk.crashes(&effort.budget) {
                if known.insert((crash.sum, player.answers.clone())) {
                    let (mut model, answers) = (player.model.clone(), player.answers.clone());
                    model.crashed();
                    let is_extreme = extremes.contains(&crash);
                    candidates.push(Candidate { at, crash, disk: disk.clone(), model, answers, is_extreme });
                }
            }
        }
        candidates
    }

    /// Plays a script up to its end or that of the process.
    fn play(
        &self,
        start: &Disk,
        model: &Model,
        script: &Script,
        dead_from: Option<usize>,
    ) -> (Player, Arc<Disk>) {
        let disk = start.after(&start.mildest());
        let mut player = Player::new(disk.process(), 7, &script.options, model.clone());
        player.mortal = true;
        if let Some(at) = dead_from {
            player.medium.afflict(Trouble::DeadFrom(at));
        }
        match self.runtime.block_on(player.play(&script.steps)) {
            Ok(()) | Err(End::Died(_)) => {}
            Err(End::Wrong(words)) => panic!("{}: {words}", script.name),
        }
        player.backend = None;
        (player, disk)
    }

    /// Whoever comes next finds what may be there, works on, and brings it to rest; and another crash changes nothing of it.
    fn check(&self, disk: &Arc<Disk>, model: &Model, script: &Script, context: &dyn Fn() -> String) {
        let mut player = Player::new(disk.process(), 8, &script.options, model.clone());
        player.mortal = true;
        let steps = scripts::recovery(&script.options).steps;
        let (before, close) = steps.split_at(steps.len() - 1);
        let look = |player: &Player| {
            let after = disk.after(&disk.worst());
            let mut again = Player::new(after.process(), 9, &script.options, player.model.clone());
            again.mortal = true;
            self.runtime.block_on(again.play(&[Step::Open, Step::Look]))
        };
        let outcomes = [
            ("the recovery", self.runtime.block_on(player.play(before))),
            ("the crash behind the recovery", look(&player)),
            ("the rest", self.runtime.block_on(player.play(close))),
            ("the crash at rest", look(&player)),
        ];
        for (what, outcome) in outcomes {
            if let Err(end) = outcome {
                panic!("{}\n{what}: {end:?}", context());
            }
        }
    }
}
