//! A sync that failed proves nothing any more: what it covered is written anew, and nothing that was answered
//! is lost.

use rustix::io::Errno;

use super::{
    disk::{Call, Called, Disk, Traits, Trouble},
    model::Model,
    player::{End, Player, Step, runtime},
    scripts::{self, Script, delete, put, save, text},
    truth::goes_wrong,
};
use crate::FsOptions;

fn every_sync_loses(script: &Script) {
    let runtime = runtime();
    let calls = goes_wrong(&runtime, script, &[]);
    let syncs = calls.iter().filter(|it| it.call.is_sync()).count();
    for nth in 0..syncs {
        goes_wrong(&runtime, script, &[Trouble::LosingSync(nth)]);
        // And the one after it, which is perhaps that of what was written anew.
        goes_wrong(&runtime, script, &[Trouble::LosingSync(nth), Trouble::LosingSync(nth + 1)]);
    }
    println!("{}: lost syncs: {}", script.name, 2 * syncs);
}

#[test]
fn what_a_failed_sync_of_the_journal_lost_is_written_anew() {
    every_sync_loses(&scripts::saves());
    every_sync_loses(&scripts::groups());
    every_sync_loses(&scripts::reopened());
    every_sync_loses(&scripts::written_once());
}

#[test]
fn what_a_failed_sync_of_the_files_lost_is_written_anew() {
    every_sync_loses(&scripts::idle());
    every_sync_loses(&scripts::full());
    every_sync_loses(&scripts::full_of_many());
    every_sync_loses(&scripts::renamed());
    every_sync_loses(&scripts::saved_over());
}

#[test]
fn what_one_handle_failed_to_sync_another_one_writes_anew() {
    let runtime = runtime();
    let save_and_close = [
        Step::Commit(vec![save("a", 2)]),
        Step::Commit(vec![delete("b", 2)]),
        Step::Commit(vec![save("c", 1)]),
        Step::Close,
    ];
    let start = || {
        let disk = Disk::new(Traits::LINUX);
        let options = FsOptions::new().follow(false);
        let [mut one, mut other] =
            [7, 8].map(|seed| Player::new(disk.process(), seed, &options, Model::empty()));
        let first =
            [Step::Open, Step::Commit(vec![save("a", 1)]), Step::Commit(vec![save("b", 1)]), Step::Close];
        runtime.block_on(one.play(&first)).unwrap();
        runtime.block_on(other.play(&[Step::Open])).unwrap();
        one.medium.take_made();
        (disk, one, other)
    };
    let (_, mut one, _) = start();
    runtime.block_on(one.play(&save_and_close)).unwrap();
    let syncs = one.medium.take_made().iter().filter(|it| it.call.is_sync()).count();
    assert!(syncs > 10, "{syncs}");
    for nth in 0..syncs {
        let (disk, mut one, mut other) = start();
        one.medium.lose_a_sync_after(nth);
        runtime.block_on(one.play(&save_and_close)).unwrap();
        other.model = one.model.clone();
        // It is told once of a failure of the whole file system.
        runtime
            .block_on(other.play(&[Step::Look, Step::Commit(vec![put("other", "x")]), Step::Close]))
            .unwrap();
        other.mortal = true;
        let wrong = |end: End| panic!("the sync {nth} was lost: {end:?}");
        runtime.block_on(other.play(&[Step::Look, Step::Close])).unwrap_or_else(wrong);
        let after = disk.after(&disk.worst());
        let mut again = Player::new(after.process(), 9, &FsOptions::new(), other.model.clone());
        again.mortal = true;
        runtime.block_on(again.play(&[Step::Open, Step::Look])).unwrap_or_else(wrong);
    }
}

#[test]
fn a_value_that_no_block_takes_is_not_lost() {
    goes_wrong(&runtime(), &scripts::bad_block_everywhere(), &[]);
}

#[test]
fn what_a_failed_sync_of_a_large_value_lost_is_not_promised() {
    every_sync_loses(&scripts::group_with_large());
}

#[test]
fn nothing_is_appended_to_what_could_not_be_synced() {
    let large = |name: &'static str| put(name, text(name, 40_000));
    let steps = [
        Step::Open,
        Step::Commit(vec![put("small", "small")]),
        // There is no room for them together, so they go one by one; the sync of the first fails.
        Step::Commit(vec![large("a"), large("b")]),
        Step::Look,
    ];
    let options = FsOptions::new().follow(false);
    let script = Script { name: "one by one", options, steps: steps.into() };
    let runtime = runtime();
    let calls = goes_wrong(&runtime, &script, &[]);
    let is_journal = |it: &&Called| it.path.ends_with("/journal");
    // The room that the second group needs: the first write behind the first record.
    let first = calls.iter().position(|it| it.call == Call::SyncData && is_journal(&it)).unwrap();
    let behind = calls.iter().skip(first).filter(is_journal).find(|it| it.call == Call::Write).unwrap();
    let at = calls.iter().position(|it| std::ptr::eq(it, behind)).unwrap();
    let grow = calls.iter().take(at).filter(|it| it.call == Call::Write).count();
    let sync = calls.iter().take(at).filter(|it| it.call.is_sync()).count();
    let full = [grow, grow + 1].map(|nth| Trouble::Nth(Call::Write, nth, Errno::NOSPC));
    let calls = goes_wrong(&runtime, &script, &[full[0], full[1], Trouble::LosingSync(sync)]);

    let of_journal: Vec<&Called> = calls.iter().filter(|it| it.path.contains("/journal")).collect();
    let failed = of_journal.iter().enumerate().filter(|(_, it)| it.call == Call::SyncData).nth(1).unwrap().0;
    let next = of_journal.iter().skip(failed).find(|it| it.call == Call::Write).unwrap();
    assert!(next.path.ends_with("/journal.new"), "{next:?}");
}
