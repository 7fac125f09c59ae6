//! Wherever a call fails, the answer tells the truth; and when the fault is over, everything works on.

use rustix::io::Errno;
use tokio::runtime::Runtime;

use super::{
    disk::{Budget, Call, Called, Disk, Traits, Trouble},
    model::Model,
    player::{End, Player, Step, runtime},
    scripts::{self, Script, put},
};

const ERRNOS: [Errno; 6] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ACCESS, Errno::MFILE, Errno::ROFS];

/// All that may happen to a call.
fn troubles(at: usize) -> impl Iterator<Item = Trouble> + Clone {
    ERRNOS.into_iter().flat_map(move |errno| [Trouble::At(at, errno), Trouble::From(at, errno)])
}

/// Plays a script in which something goes wrong, and looks whether what it answered was true.
fn goes_wrong(runtime: &Runtime, script: &Script, trouble: Trouble) -> Vec<Called> {
    let disk = Disk::new(Traits::LINUX);
    let mut player = Player::new(disk.process(), 7, &script.options, Model::empty());
    player.medium.afflict(trouble);
    let wrong = |player: &Player, when: &str, end: End| {
        let calls = player.medium.made();
        let at = match trouble {
            Trouble::At(at, _) | Trouble::From(at, _) => {
                calls.get(at).map(|it| format!("{:?} {}", it.call, it.path))
            }
            _ => None,
        };
        panic!("{}, {trouble:?} {at:?}, answers {:?}, {when}: {end:?}", script.name, player.answers);
    };
    if let Err(end) = runtime.block_on(player.play(&script.steps)) {
        wrong(&player, "while it went wrong", end);
    }
    let calls = player.medium.made();
    let crash = |player: &Player, when: &str| {
        for crash in [disk.worst(), disk.mildest()] {
            let after = disk.after(&crash);
            let mut again = Player::new(after.process(), 9, &script.options, player.model.clone());
            again.mortal = true;
            if let Err(end) = runtime.block_on(again.play(&[Step::Open, Step::Look])) {
                wrong(player, when, end);
            }
        }
    };
    crash(&player, "after a crash while it went wrong");
    player.medium.heal();
    player.mortal = true;
    let more = [Step::Peek, Step::Commit(vec![put("zz/more", "since it is over")]), Step::Look];
    if let Err(end) = runtime.block_on(player.play(&more)) {
        wrong(&player, "when it was over", end);
    }
    crash(&player, "after a crash when it was over");
    if let Err(end) = runtime.block_on(player.play(&[Step::Close])) {
        wrong(&player, "at rest", end);
    }
    crash(&player, "after a crash at rest");
    calls
}

/// Lets every call of a script fail in one way, and those that change something in several.
fn every_call_fails(script: &Script) {
    let runtime = runtime();
    let calls = goes_wrong(&runtime, script, Trouble::At(usize::MAX, Errno::IO));
    let mut tried = 0;
    for (at, call) in calls.iter().enumerate() {
        let ways = (if call.changed { 4 } else { 1 }) * Budget::multiplier();
        // Others at each call.
        for trouble in troubles(at).cycle().skip(at * 5 % 12).step_by(7).take(ways.min(12)) {
            goes_wrong(&runtime, script, trouble);
            tried += 1;
        }
    }
    println!("{}: faults: {tried} at {} calls", script.name, calls.len());
}

#[test]
fn wherever_a_call_of_a_commit_fails_the_answer_tells_the_truth() {
    every_call_fails(&scripts::saves());
    every_call_fails(&scripts::groups());
}

#[test]
fn wherever_a_call_fails_while_the_files_follow_nothing_is_lost() {
    every_call_fails(&scripts::idle());
    every_call_fails(&scripts::full());
}

#[test]
fn a_group_whose_values_cannot_be_kept_fails_alone() {
    every_call_fails(&scripts::group_with_large());
}

#[test]
fn a_write_that_is_cut_short_is_finished_or_told() {
    let runtime = runtime();
    let mut tried = 0;
    for script in [scripts::saves(), scripts::full(), scripts::idle()] {
        let calls = goes_wrong(&runtime, &script, Trouble::At(usize::MAX, Errno::IO));
        let writes = calls.iter().filter(|it| it.call == Call::Write).count();
        for nth in 0..writes {
            for errno in [None, Some(Errno::NOSPC), Some(Errno::IO)] {
                goes_wrong(&runtime, &script, Trouble::ShortWrite(nth, errno));
                tried += 1;
            }
        }
    }
    println!("short writes: {tried}");
}
