use pflow_store::backend::WriteKind;

use super::{
    model::Answer,
    world::{Body, Name, World, Write, positions},
};

/// Returns what a handle may read of each key. A key whose copy lags has several entries.
pub(super) fn visible(world: &World, handle: usize) -> Vec<(Name, Option<Body>)> {
    let seen = |key: Name| world.seen_by(handle, key).into_iter().map(move |(seen, _)| (key, seen));
    world.objects.keys().flat_map(|key| seen(key)).collect()
}

/// Returns the states after a batch of which all conditions are checked before anything is written.
pub(super) fn judged_first(world: &World, stages: &[Vec<Write>], answer: &Answer) -> Vec<World> {
    let refusal = world.refusal(stages);
    let no_place = positions(stages).any(|(_, write)| world.has_no_place(write));
    match answer {
        Answer::Committed if refusal.is_none() && !no_place => {
            let mut after = world.clone();
            positions(stages).for_each(|(_, write)| after.apply(write));
            vec![after]
        }
        Answer::Refused { at, current, applied: 0 } if refusal == Some(*at) => {
            let there = world.objects.get(stages[at.stage][at.operation].key).copied();
            Vec::from_iter((there == *current).then(|| world.clone()))
        }
        Answer::NoPlace { applied: 0 } if no_place => vec![world.clone()],
        _ => Vec::new(),
    }
}

/// Returns the states after a batch that is written stage by stage, where each condition is checked when its
/// operation is written.
pub(super) fn judged_on_the_way(world: &World, stages: &[Vec<Write>], answer: &Answer) -> Vec<World> {
    let mut after = world.clone();
    for (number, stage) in stages.iter().enumerate() {
        let good = |world: &World, write: &Write| world.holds(write) && !world.has_no_place(write);
        // A refused write of the same bytes may be the writer's own earlier attempt, so it counts as written.
        let same =
            |write: &Write| write.body.is_some() && world.objects.get(write.key).copied() == write.body;
        if stage.iter().all(|write| good(&after, write) || same(write)) && !stops_at(answer, number) {
            stage.iter().for_each(|write| after.apply(write));
            continue;
        }
        let told = match answer {
            Answer::Committed => false,
            Answer::Refused { at, current, applied } => {
                let write = stage.get(at.operation);
                let there = write.and_then(|write| world.objects.get(write.key).copied());
                (at.stage, *applied) == (number, number)
                    && write.is_some_and(|write| !world.holds(write))
                    && there == *current
            }
            Answer::NoPlace { applied } => {
                *applied == number && stage.iter().any(|write| after.has_no_place(write))
            }
        };
        // Any subset of the operations of this stage may have been written.
        let mut worlds = vec![after];
        for write in stage {
            for mut world in worlds.clone() {
                if good(&world, write) {
                    world.apply(write);
                    worlds.push(world);
                }
            }
        }
        return if told { worlds } else { Vec::new() };
    }
    Vec::from_iter((*answer == Answer::Committed).then_some(after))
}

fn stops_at(answer: &Answer, stage: usize) -> bool {
    matches!(answer, Answer::Refused { applied, .. } | Answer::NoPlace { applied } if *applied == stage)
}

/// Records the copies that other handles may not see yet: those after which the batch has only copies.
pub(super) fn lag(before: &World, after: &mut World, handle: usize, stages: &[Vec<Write>]) {
    let is_copy = |write: &Write| write.kind == WriteKind::Copy && write.body.is_some();
    for (number, stage) in stages.iter().enumerate() {
        let last = stages[number + 1..].iter().flatten().all(is_copy);
        for write in stage.iter().filter(|write| last && is_copy(write)) {
            let older = before.lagging.get(write.key).map(|(_, seen)| seen.clone());
            let mut seen = older.unwrap_or_default();
            seen.insert(before.objects.get(write.key).copied());
            after.lagging.insert(write.key, (handle, seen));
        }
    }
}
