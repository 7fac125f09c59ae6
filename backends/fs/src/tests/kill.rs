//! A process that dies at any call takes nothing with it, and is in nobody's way: whoever worked beside it
//! works on.

use tokio::runtime::Runtime;

use super::{
    disk::{Budget, Call, Crash, Disk, Traits, Trouble},
    model::Model,
    player::{End, Player, Step, runtime},
    scripts::{self, Script, put},
};
use crate::FsOptions;

/// Lets a process die at every call of a script that changes something, and within every write.
fn process_dies(script: &Script, traits: Traits) {
    let runtime = runtime();
    let (calls, ..) = play(&runtime, script, traits, None);
    let changes = calls.iter().enumerate().filter(|(_, it)| it.changed);
    let mut deaths: Vec<Trouble> = changes.clone().map(|(at, _)| Trouble::DeadFrom(at)).collect();
    let writes = changes.filter(|(_, it)| it.call == Call::Write);
    deaths.extend(writes.map(|(at, _)| Trouble::DeadWithin(at + 1)));
    // Somebody new comes first, or it is up to the neighbour.
    let both = deaths.iter().flat_map(|death| [(death, true), (death, false)]);
    for (death, late_first) in both {
        let (_, mut neighbour, model) = play(&runtime, script, traits, Some(*death));
        let context = |end: End| {
            let (Trouble::DeadFrom(at) | Trouble::DeadWithin(at)) = death else { panic!("{death:?}") };
            let call = calls.get(*at).map(|it| format!("{:?} {}", it.call, it.path));
            panic!("{}, {death:?}, {call:?}, {late_first}: {end:?}", script.name)
        };
        neighbour.model = model;
        runtime.block_on(live_on(&mut neighbour, script, late_first)).unwrap_or_else(context);
    }
    println!("{}: deaths: {}", script.name, deaths.len());
}

/// Plays a script beside a process that has committed before and looks from time to time.
fn play(
    runtime: &Runtime,
    script: &Script,
    traits: Traits,
    death: Option<Trouble>,
) -> (Vec<super::disk::Called>, Player, Model) {
    let disk = Disk::new(traits);
    let options = script.options.clone().follow(false);
    let mut neighbour = Player::new(disk.process(), 8, &options, Model::empty());
    neighbour.mortal = true;
    let first = [Step::Open, Step::Commit(vec![put("neighbour", "first")]), Step::Look];
    runtime.block_on(neighbour.play(&first)).unwrap();
    let mut player = Player::new(disk.process(), 7, &script.options, neighbour.model.clone());
    player.mortal = true;
    death.into_iter().for_each(|death| player.medium.afflict(death));
    for step in &script.steps {
        match runtime.block_on(player.play(std::slice::from_ref(step))) {
            Ok(()) => {}
            Err(End::Died(_)) => break,
            Err(End::Wrong(words)) => panic!("{}: {words}", script.name),
        }
        neighbour.model = player.model.clone();
        if let Err(end) = runtime.block_on(neighbour.play(&[Step::Peek])) {
            panic!("{}: the neighbour: {end:?}", script.name);
        }
    }
    let calls = player.medium.made();
    player.medium.kill();
    player.backend = None;
    (calls, neighbour, player.model)
}

/// What the neighbour does, and one who comes later; and after a loss of power everything is there.
async fn live_on(neighbour: &mut Player, script: &Script, late_first: bool) -> Result<(), End> {
    let disk = neighbour.medium.disk().clone();
    let commit = |name: &'static str, bytes: &'static str| Step::Commit(vec![put(name, bytes)]);
    // It may be told of a sync that failed for the dead one, once.
    neighbour.mortal = false;
    neighbour.play(&[Step::Peek]).await?;
    neighbour.mortal = true;
    // What anybody has seen is durable, before anybody has done anything about it.
    neighbour.play(&[Step::Peek]).await?;
    look_after_a_crash(&disk, neighbour, script).await?;
    let mut late = Player::new(disk.process(), 9, &script.options, neighbour.model.clone());
    late.mortal = true;
    if late_first {
        late.play(&[Step::Open, Step::Look]).await?;
        look_after_a_crash(&disk, &late, script).await?;
        neighbour.model = late.model.clone();
    }
    neighbour.mortal = false;
    neighbour.play(&[commit("neighbour", "second")]).await?;
    neighbour.mortal = true;
    neighbour.play(&[commit("neighbour", "third"), Step::Look]).await?;
    late.model = neighbour.model.clone();
    late.play(&[Step::Open, Step::Look, commit("late", "one"), Step::Look]).await?;
    neighbour.model = late.model.clone();
    neighbour.play(&[Step::Look, commit("neighbour", "fourth")]).await?;
    late.model = neighbour.model.clone();
    late.play(&[Step::Look]).await?;
    look_after_a_crash(&disk, neighbour, script).await?;
    neighbour.play(&[Step::Close]).await?;
    late.play(&[Step::Look]).await?;
    look_after_a_crash(&disk, neighbour, script).await
}

async fn look_after_a_crash(disk: &Disk, player: &Player, script: &Script) -> Result<(), End> {
    look_after(disk, &disk.worst(), player, script).await
}

async fn look_after(disk: &Disk, crash: &Crash, player: &Player, script: &Script) -> Result<(), End> {
    let after = disk.after(crash);
    let mut again = Player::new(after.process(), 10, &script.options, player.model.clone());
    again.mortal = true;
    again.play(&[Step::Open, Step::Look]).await
}

#[test]
fn whoever_works_beside_a_process_that_dies_works_on() {
    for script in [scripts::saves(), scripts::idle(), scripts::renewed()] {
        process_dies(&script, Traits::LINUX);
    }
}

#[test]
fn a_journal_that_a_dying_process_began_anew_is_that_of_everybody() {
    process_dies(&scripts::full(), Traits::LINUX);
    if Budget::multiplier() > 1 {
        process_dies(&scripts::full(), Traits::POOR);
        process_dies(&scripts::full_of_many(), Traits::LINUX);
        process_dies(&scripts::edited(), Traits::LINUX);
        process_dies(&scripts::taken_over_with_edits(), Traits::LINUX);
        process_dies(&scripts::renamed(), Traits::MACOS);
    }
}

/// Wherever a process dies, the next one opens the store, and whatever a loss of power leaves then everything
/// is there.
#[test]
fn what_the_next_process_finishes_survives_any_crash() {
    let runtime = runtime();
    let steps = vec![Step::Open, Step::Commit(vec![put("a", "1")]), Step::Close];
    let script = Script { name: "one save", options: FsOptions::new().follow(false), steps };
    let (calls, ..) = play(&runtime, &script, Traits::LINUX, None);
    let mut looked = 0;
    for (at, called) in calls.iter().enumerate().filter(|(_, it)| it.changed) {
        let (_, neighbour, model) = play(&runtime, &script, Traits::LINUX, Some(Trouble::DeadFrom(at)));
        let disk = neighbour.medium.disk().clone();
        let mut late = Player::new(disk.process(), 9, &script.options, model);
        late.mortal = true;
        runtime.block_on(late.play(&[Step::Open, Step::Look])).unwrap();
        for crash in disk.crashes(&Budget::new(64, 4)) {
            let seen = runtime.block_on(look_after(&disk, &crash, &late, &script));
            let context = |end: End| {
                panic!("dead from {at} {:?} {}, {end:?}:{}", called.call, called.path, disk.describe(&crash))
            };
            seen.unwrap_or_else(context);
            looked += 1;
        }
    }
    println!("{}: crash states: {looked}", script.name);
}
