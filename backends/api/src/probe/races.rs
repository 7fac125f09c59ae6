//! Conditions under contention: a server that checks and then writes keeps single conditions and breaks
//! concurrent ones.
//!
//! Several racers send the same create of a key at the same moment, each with its own body, and then the same
//! update of the version that the winner got. Each racer sends one request. A race is conclusive if one racer
//! was told that it won. Then no other racer may have been told so, and the winner's body must be stored,
//! which the update, a read or the listing shows. Bodies differ in length, so that a listing tells which one
//! is stored.

use bytes::Bytes;
use futures::future::{join_all, try_join_all};

use super::{
    Check, Depth, Ended, RACING_CREATES, RACING_UPDATES,
    ground::{Answer, Ground, Stop, Tried, ensure},
};
use crate::{Key, Object, Operation, Precondition, Version};

/// The base lengths of bodies. The length of a racer's create or update is this plus the racer's number.
const CREATED: usize = 100;
const UPDATED: usize = 500;
/// The maximum number of extra rounds, if races were not conclusive.
const MORE_ROUNDS: usize = 2;

/// A key of a race.
pub(super) struct Raced {
    pub(super) key: Key,
    /// The lengths of the bodies that may be stored; empty if nothing is known, not even whether there is an
    /// object.
    pub(super) lengths: Vec<u64>,
}

impl Raced {
    /// Whether a body of this length was written by an update.
    pub(super) fn is_update(length: u64) -> bool {
        length >= UPDATED as u64
    }
}

/// The racers of one key.
struct Race {
    key: Key,
    bodies: Vec<Bytes>,
    /// Their answers, in order.
    answers: Vec<Answer>,
}

/// The known winner of a race.
struct Winner {
    body: Bytes,
    version: Version,
}

/// The number of races of each kind that must be conclusive: all but one in twelve.
pub(super) fn needed(depth: &Depth) -> usize {
    let races = depth.races();
    races - races / 12
}

pub(super) async fn run(ground: &Ground<'_>, checks: &mut Vec<Check>) -> Result<Vec<Raced>, Ended> {
    let (keys, racers) = (ground.depth.keys, ground.depth.racers);
    let (rounds, needed) = (ground.depth.rounds, needed(&ground.depth));
    let (mut all, mut created, mut updated, mut round) = (Vec::new(), 0, 0, 0);
    while round < rounds || created.min(updated) < needed {
        if round == rounds + MORE_ROUNDS {
            let promise = if created < needed { RACING_CREATES } else { RACING_UPDATES };
            let (told, raced) = (created.min(updated), round * keys);
            let reason = format!("In {told} of {raced} races alone a winner was told; {needed} are needed");
            return promise.step(Err(Stop::Unclear(reason)));
        }
        let creates = (0..keys).map(|number| create(ground, round, number, racers));
        let creates = RACING_CREATES.step(try_join_all(creates).await)?;
        created += creates.iter().filter(|(_, winner)| winner.is_some()).count();
        ground.rest().await;
        let updates = join_all(creates.into_iter().map(|(race, winner)| update(ground, race, winner))).await;
        for ended in updates {
            let (raced, is_conclusive) = ended?;
            updated += usize::from(is_conclusive);
            all.push(raced);
        }
        round += 1;
    }
    let seen = |count| format!("{count} races of {racers} had one winner each");
    checks.push(RACING_CREATES.kept(seen(created)));
    checks.push(RACING_UPDATES.kept(seen(updated)));
    Ok(all)
}

/// Runs the race to create one key.
async fn create(
    ground: &Ground<'_>,
    round: usize,
    number: usize,
    racers: usize,
) -> Tried<(Race, Option<Winner>)> {
    let key = ground.key(&format!("races/{round:02}-{number:02}"))?;
    let race = race(ground, key, racers, CREATED, &Precondition::Absent).await?;
    let winner = race.winner("that they created one and the same key")?;
    Ok((race, winner))
}

/// Runs the race to update the created key. Also returns whether it was conclusive.
async fn update(ground: &Ground<'_>, creates: Race, winner: Option<Winner>) -> Result<(Raced, bool), Ended> {
    let base = match winner {
        Some(winner) => Some(winner),
        // The winner's reply was lost: its object may exist, or may be created later.
        None => RACING_CREATES.step(found(ground, &creates).await)?,
    };
    let Some(base) = base else {
        return Ok((Raced { key: creates.key, lengths: Vec::new() }, false));
    };
    let racers = creates.bodies.len();
    let when = Precondition::Is(base.version.clone());
    let race = race(ground, creates.key, racers, UPDATED, &when).await;
    let race = RACING_UPDATES.step(race)?;
    let winner = RACING_UPDATES.step(race.winner("that they updated one and the same version"))?;
    let length = |body: &Bytes| body.len() as u64;
    if let Some(winner) = winner {
        return Ok((Raced { key: race.key, lengths: vec![length(&winner.body)] }, true));
    }
    // No racer was told that it won. If all were refused, the version that was returned for the create may be
    // wrong.
    let there = RACING_UPDATES.step(ground.get(&race.key).await)?.map(|object| object.bytes);
    let is_ours = there.as_ref().is_some_and(|there| race.bodies.contains(there) || *there == base.body);
    RACING_CREATES.ensure(is_ours, "It lost an object that it had said was created")?;
    let lengths = race.bodies.iter().chain([&base.body]).map(length).collect();
    Ok((Raced { key: race.key, lengths }, false))
}

/// Sends one request for each racer, at the same time.
async fn race(
    ground: &Ground<'_>,
    key: Key,
    racers: usize,
    length: usize,
    when: &Precondition,
) -> Tried<Race> {
    let bodies: Vec<Bytes> = (0..racers).map(|racer| ground.body(length + racer)).collect();
    let put = |body: &Bytes| match when {
        Precondition::Absent => Operation::put(key.clone(), body.clone()).absent().fresh(),
        when => Operation::put(key.clone(), body.clone()).when(when.clone()),
    };
    let answers = try_join_all(bodies.iter().map(|body| ground.attempt(put(body)))).await?;
    Ok(Race { key, bodies, answers })
}

/// Reads the object of a race without a known winner.
async fn found(ground: &Ground<'_>, race: &Race) -> Tried<Option<Winner>> {
    let Some(Object { meta, bytes }) = ground.get(&race.key).await? else { return Ok(None) };
    ensure!(race.bodies.contains(&bytes), "It gave back bytes that were never written");
    Ok(Some(Winner { body: bytes, version: meta.version }))
}

impl Race {
    /// The racer that was told that it won, if there is one. It is an error if there are several.
    fn winner(&self, what: &str) -> Tried<Option<Winner>> {
        let mut won = self.bodies.iter().zip(&self.answers).filter_map(|(body, answer)| match answer {
            Answer::Stored(version) => Some(Winner { body: body.clone(), version: version.clone() }),
            Answer::Refused | Answer::Unknown => None,
        });
        let winner = won.next();
        let others = won.count();
        ensure!(others == 0, "It told {} of {} racers {what}", others + 1, self.bodies.len());
        Ok(winner)
    }
}
