//! When something went wrong, what was answered is true; and when it is over, everything works on.

use tokio::runtime::Runtime;

use super::{
    disk::{Called, Crash, Disk, Traits, Trouble},
    model::Model,
    player::{End, Player, Step},
    scripts::{Script, put},
};

/// Plays a script in which something goes wrong, and looks whether what it answered was true.
pub(crate) fn goes_wrong(runtime: &Runtime, script: &Script, troubles: &[Trouble]) -> Vec<Called> {
    let disk = Disk::new(Traits::LINUX);
    let mut player = Player::new(disk.process(), 7, &script.options, Model::empty());
    troubles.iter().for_each(|trouble| player.medium.afflict(*trouble));
    let wrong = |player: &Player, when: &str, end: End| {
        let calls = player.medium.made();
        let at = match *troubles {
            [Trouble::At(at, _) | Trouble::From(at, _)] => {
                calls.get(at).map(|it| format!("{:?} {}", it.call, it.path))
            }
            _ => None,
        };
        panic!("{}, {troubles:?} {at:?}, answers {:?}, {when}: {end:?}", script.name, player.answers);
    };
    if let Err(end) = runtime.block_on(player.play(&script.steps)) {
        wrong(&player, "while it went wrong", end);
    }
    let calls = player.medium.made();
    let crash = |player: &Player, when: &str, crashes: &[Crash]| {
        for crash in crashes {
            let after = disk.after(crash);
            let mut again = Player::new(after.process(), 9, &script.options, player.model.clone());
            again.mortal = true;
            if let Err(end) = runtime.block_on(again.play(&[Step::Open, Step::Look])) {
                wrong(player, when, end);
            }
        }
    };
    crash(&player, "after a crash while it went wrong", &[disk.worst(), disk.mildest()]);
    player.medium.heal();
    player.mortal = true;
    let more = [Step::Peek, Step::Commit(vec![put("zz/more", "since it is over")]), Step::Look];
    if let Err(end) = runtime.block_on(player.play(&more)) {
        wrong(&player, "when it was over", end);
    }
    crash(&player, "after a crash when it was over", &[disk.worst()]);
    // The first sync of everything is told of what failed before, whatever it was.
    if runtime.block_on(player.play(&[Step::Close])).is_err()
        && let Err(end) = runtime.block_on(player.play(&[Step::Close]))
    {
        wrong(&player, "at rest", end);
    }
    crash(&player, "after a crash at rest", &[disk.worst()]);
    calls
}
