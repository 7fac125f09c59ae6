//! Wherever a call fails, the answer tells the truth; and when the fault is over, everything works on.

use rustix::io::Errno;

use super::{
    disk::{Budget, Call, Trouble},
    player::runtime,
    scripts::{self, Script},
    truth::goes_wrong,
};

const ERRNOS: [Errno; 6] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ACCESS, Errno::MFILE, Errno::ROFS];

/// All that may happen to a call.
fn troubles(at: usize) -> impl Iterator<Item = Trouble> + Clone {
    ERRNOS.into_iter().flat_map(move |errno| [Trouble::At(at, errno), Trouble::From(at, errno)])
}

/// Lets every call of a script fail in one way, and those that change something in several.
fn every_call_fails(script: &Script) {
    let runtime = runtime();
    let calls = goes_wrong(&runtime, script, &[]);
    let mut tried = 0;
    for (at, call) in calls.iter().enumerate() {
        // A call that only looks: one in three.
        let ways = if call.changed { 2 } else { usize::from(at.is_multiple_of(3)) };
        let ways = ways * Budget::multiplier();
        // Others at each call.
        for trouble in troubles(at).cycle().skip(at * 5 % 12).step_by(7).take(ways.min(12)) {
            goes_wrong(&runtime, script, &[trouble]);
            tried += 1;
        }
    }
    println!("{}: faults: {tried} at {} calls", script.name, calls.len());
}

#[test]
fn wherever_a_call_of_a_commit_fails_the_answer_tells_the_truth() {
    every_call_fails(&scripts::groups());
    if Budget::multiplier() > 1 {
        every_call_fails(&scripts::saves());
    }
}

#[test]
fn wherever_a_call_fails_while_the_files_follow_nothing_is_lost() {
    every_call_fails(&scripts::idle());
    every_call_fails(&scripts::full());
    every_call_fails(&scripts::blocked());
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
        let calls = goes_wrong(&runtime, &script, &[]);
        let writes = calls.iter().filter(|it| it.call == Call::Write).count();
        for nth in 0..writes {
            for errno in [None, Some(Errno::NOSPC), Some(Errno::IO)] {
                goes_wrong(&runtime, &script, &[Trouble::ShortWrite(nth, errno)]);
                tried += 1;
            }
        }
    }
    println!("short writes: {tried}");
}
