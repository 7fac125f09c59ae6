//! A medium that nobody can write to is read, whatever a crash left on it.

use super::{
    disk::{Budget, Traits, Trouble},
    explorer::{Effort, states_of},
    player::{Player, ROOT, Step, runtime},
    scripts,
};

#[test]
fn what_a_crash_left_on_a_medium_that_is_read_only_now_can_be_read() {
    let runtime = runtime();
    let mut states = 0;
    for script in [scripts::saves(), scripts::full(), scripts::idle()] {
        let effort = Effort {
            traits: Traits::LINUX,
            budget: Budget::new(32, 4),
            states: 150 * Budget::multiplier(),
            again: (0, 0),
        };
        for state in states_of(&script, effort) {
            let disk = state.disk();
            if !disk.has(ROOT) {
                continue;
            }
            states += 1;
            let mut player = Player::new(disk.process(), 8, &script.options, state.model.clone());
            player.mortal = true;
            player.creates = false;
            player.medium.afflict(Trouble::ReadOnly);
            if let Err(end) = runtime.block_on(player.play(&[Step::Open, Step::Look, Step::Look])) {
                panic!("{}, {state}\n{end:?}", script.name);
            }
            let changed = player.medium.made().into_iter().find(|it| it.changed && !it.call.is_sync());
            assert_eq!(changed, None);
        }
    }
    println!("crash states: {states}");
}
