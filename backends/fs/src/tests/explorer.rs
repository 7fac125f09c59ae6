//! Looks at what a crash leaves of a script, at every moment of it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use tokio::runtime::Runtime;

use super::{
    disk::{Budget, Crash, Disk, Traits, Trouble},
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
struct Seen {
    moments: usize,
    possible: usize,
    states: usize,
}

/// A state that a crash may leave.
pub(crate) struct Candidate {
    at: usize,
    /// The call that did not happen any more.
    call: String,
    crash: Crash,
    before: Arc<Disk>,
    /// What may be there.
    pub(crate) model: Model,
    answers: String,
    /// One of the two that are looked at in any case.
    is_extreme: bool,
}

impl Candidate {
    /// The machine as it starts again.
    pub(crate) fn disk(&self) -> Arc<Disk> {
        self.before.after(&self.crash)
    }
}

/// Where it is, for whoever has to find out why it is wrong.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effects = self.before.describe(&self.crash);
        write!(f, "before call {} ({}), answers {:?}:{effects}", self.at, self.call, self.answers)
    }
}

/// Tries scripts out.
struct Explorer {
    runtime: Runtime,
    seen: Seen,
}

/// Lets the power fail at every moment of a script on an empty disk.
pub(crate) fn power_fails(script: &Script, effort: Effort) {
    power_fails_from(&Disk::new(effort.traits), &Model::empty(), script, effort);
}

/// The same on a disk that holds what the model says.
pub(crate) fn power_fails_from(start: &Disk, model: &Model, script: &Script, effort: Effort) {
    let mut explorer = Explorer { runtime: runtime(), seen: Seen::default() };
    explorer.explore(start, model, script, effort);
    let Seen { moments, possible, states } = explorer.seen;
    println!("{}: crash states: {states} of {possible} at {moments} moments", script.name);
}

/// States that a loss of power may leave of a script on an empty disk.
pub(crate) fn states_of(script: &Script, effort: Effort) -> Vec<Candidate> {
    let mut explorer = Explorer { runtime: runtime(), seen: Seen::default() };
    explorer.candidates(&Disk::new(effort.traits), &Model::empty(), script, effort)
}

impl Explorer {
    fn explore(&mut self, start: &Disk, model: &Model, script: &Script, effort: Effort) {
        let candidates = self.candidates(start, model, script, effort);
        let every = candidates.len() / effort.again.0.max(1) + 1;
        for (number, it) in candidates.iter().enumerate() {
            self.seen.states += 1;
            self.check(it, script);
            if effort.again.0 > 0 && number.is_multiple_of(every) {
                let less = Effort { again: (0, 0), states: effort.again.1, ..effort };
                self.explore(&it.disk(), &it.model, &scripts::recovery(&script.options), less);
            }
        }
    }

    fn candidates(&mut self, start: &Disk, model: &Model, script: &Script, effort: Effort) -> Vec<Candidate> {
        let (whole, ..) = self.play(start, model, script, None);
        let calls = whole.medium.made();
        let mut candidates = Vec::new();
        let mut known = BTreeSet::new();
        let changes = calls.iter().enumerate().filter(|(_, it)| it.changed).map(|(at, _)| at);
        for at in changes.chain([calls.len()]) {
            let (player, disk) = self.play(start, model, script, Some(at));
            let made = player.medium.made();
            assert!(made.iter().zip(&calls).take(at).all(|(one, other)| one == other), "not deterministic");
            self.seen.moments += 1;
            let extremes = [disk.worst(), disk.mildest()];
            for crash in disk.crashes(&effort.budget) {
                if known.insert((crash.sum, player.answers.clone())) {
                    let mut model = player.model.clone();
                    model.is_durable();
                    candidates.push(Candidate {
                        at,
                        call: calls
                            .get(at)
                            .map_or("the end".to_owned(), |it| format!("{:?} {}", it.call, it.path)),
                        is_extreme: extremes.contains(&crash),
                        crash,
                        before: disk.clone(),
                        model,
                        answers: player.answers.clone(),
                    });
                }
            }
        }
        self.seen.possible += candidates.len();
        candidates.sort_by_key(|it| (!it.is_extreme, it.crash.sum));
        candidates.truncate(effort.states);
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

    /// Whoever comes next finds what may be there, works on, and brings it to rest; and another crash changes
    /// nothing of it.
    fn check(&self, candidate: &Candidate, script: &Script) {
        let disk = candidate.disk();
        let mut player = Player::new(disk.process(), 8, &script.options, candidate.model.clone());
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
                panic!("{}, {candidate}\n{what}: {end:?}", script.name);
            }
        }
    }
}
