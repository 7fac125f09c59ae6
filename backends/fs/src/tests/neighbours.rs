//! Handles that work on one folder by turns know nothing of each other but what is there.

use std::sync::Arc;

use tokio::runtime::Runtime;

use super::{
    disk::{Disk, Traits},
    model::Model,
    player::{Player, Step, runtime},
    scripts::{put, save, text},
};
use crate::FsOptions;

/// Two handles of two processes on one folder, and what they have answered together.
struct Neighbours {
    runtime: Runtime,
    disk: Arc<Disk>,
    options: FsOptions,
    players: [Player; 2],
    model: Model,
}

impl Neighbours {
    fn new(traits: Traits, options: FsOptions) -> Self {
        let disk = Disk::new(traits);
        let players = [7, 8].map(|seed| {
            let mut player = Player::new(disk.process(), seed, &options, Model::empty());
            player.mortal = true;
            player
        });
        Self { runtime: runtime(), disk, options, players, model: Model::empty() }
    }

    /// Does something with one of them.
    fn turn(&mut self, who: usize, steps: &[Step]) {
        let player = &mut self.players[who];
        player.model = self.model.clone();
        if let Err(end) = self.runtime.block_on(player.play(steps)) {
            panic!("{end:?}");
        }
        self.model = player.model.clone();
    }

    /// The power fails, on a copy of the disk.
    fn crash(&self) {
        let after = self.disk.after(&self.disk.worst());
        let mut again = Player::new(after.process(), 9, &self.options, self.model.clone());
        again.mortal = true;
        if let Err(end) = self.runtime.block_on(again.play(&[Step::Open, Step::Look])) {
            panic!("after a crash: {end:?}");
        }
    }
}

fn commit(number: usize, bytes: usize) -> Step {
    Step::Commit(vec![put(&format!("objects/{number}"), text(&format!("object {number}"), bytes))])
}

#[test]
fn a_journal_that_another_handle_let_grow_keeps_its_records() {
    let mut both = Neighbours::new(Traits::LINUX, FsOptions::new().follow(false));
    both.turn(0, &[Step::Open, commit(0, 10_000)]);
    both.turn(1, &[Step::Open, Step::Look]);
    (1..4).for_each(|number| both.turn(1, &[commit(number, 50_000)]));
    both.turn(0, &[commit(4, 40_000), Step::Look]);
    both.crash();
    both.turn(1, &[commit(5, 40_000), Step::Look]);
    both.crash();
}

#[test]
fn a_journal_that_another_handle_emptied_or_began_anew_goes_on() {
    let mut both = Neighbours::new(Traits::LINUX, FsOptions::new().follow(false).journal_limit(60_000));
    both.turn(0, &[Step::Open, commit(0, 10_000)]);
    both.turn(1, &[Step::Open]);
    for number in 1..24 {
        both.turn(usize::from(number % 3 == 0), &[commit(number % 10, 8_000 + number)]);
        if number.is_multiple_of(5) {
            both.turn(number % 2, &[Step::Close]);
        }
        both.turn(usize::from(number % 2 == 0), &[Step::Look]);
        both.crash();
    }
}

#[test]
fn a_journal_that_somebody_took_away_at_rest_is_durable_again() {
    let mut both = Neighbours::new(Traits::LINUX, FsOptions::new().follow(false));
    both.turn(0, &[Step::Open, commit(0, 100), Step::Close]);
    both.disk.remove("/srv/store/.journal/journal");
    both.turn(0, &[commit(1, 100)]);
    both.crash();
}

#[test]
fn what_a_person_wrote_without_syncing_it_is_durable_at_rest() {
    let copy = "workflows/a/workflow.json";
    for traits in [Traits::LINUX, Traits::MACOS, Traits::POOR] {
        let mut both = Neighbours::new(traits, FsOptions::new());
        both.turn(0, &[Step::Open, Step::Commit(vec![save("a", 1)])]);
        both.turn(0, &[Step::Scrawl(copy, "what a person thinks"), Step::Close]);
        both.crash();
    }
}
