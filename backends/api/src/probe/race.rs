//! Conditions under contention: a server that checks and then writes keeps them one at a time and loses them here.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::task::yield_now;

use super::ground::{Answer, Ground, Stop, Tried, ensure};
use crate::{Key, Object, Operation, Version};

/// How often one key after the other is raced for.
const ROUNDS: usize = 4;

/// What one racer saw of its write.
enum Seen {
    Won(Bytes),
    Lost,
    /// It may have won: the reply was lost, or an error that happened to nobody came in between.
    Unknown(Bytes),
}

/// Many create one key at a time.
pub(super) async fn creates(ground: &Ground<'_>, name: String) -> Tried<String> {
    let racers = ground.depth.racers.max(2);
    for round in 0..ROUNDS {
        let key = ground.key(&format!("{name}.{round}"))?;
        let seen = try_join_all((0..racers).map(|racer| create(ground, &key, racer))).await?;
        let won: Vec<&Bytes> = seen.iter().filter_map(Seen::won).collect();
        ensure!(
            won.len() <= 1,
            "It told {} of {racers} racers that they created one and the same key",
            won.len()
        );
        let there = ground.backend.get(&key).await?.map(|object| object.bytes);
        if let Some(winner) = won.first() {
            ensure!(there.as_ref() == Some(*winner), "It lost an object that it had said was created");
            continue;
        }
        let maybe: Vec<&Bytes> = seen.iter().filter_map(Seen::maybe).collect();
        ensure!(!maybe.is_empty(), "It let none of {racers} racers create a key that was not there");
        match &there {
            Some(bytes) => ensure!(maybe.contains(&bytes), "It kept a create that it had refused"),
            None => return Err(Stop::Unclear("The replies to racing creates were lost".to_owned())),
        }
    }
    Ok(format!("{ROUNDS} times {racers} raced, and one of them won"))
}

async fn create(ground: &Ground<'_>, key: &Key, racer: usize) -> Tried<Seen> {
    let body = ground.body(racer);
    match ground.write(Operation::put(key.clone(), body.clone()).absent().fresh()).await {
        Ok(Answer::Stored(_)) => Ok(Seen::Won(body)),
        Ok(Answer::Refused) => Ok(Seen::Lost),
        Ok(Answer::Overtaken) | Err(Stop::Unclear(_)) => Ok(Seen::Unknown(body)),
        Err(Stop::Failed(error)) if error.is_transient() => Ok(Seen::Unknown(body)),
        Err(other) => Err(other),
    }
}

impl Seen {
    fn won(&self) -> Option<&Bytes> {
        match self {
            Self::Won(body) => Some(body),
            Self::Lost | Self::Unknown(_) => None,
        }
    }

    fn maybe(&self) -> Option<&Bytes> {
        match self {
            Self::Unknown(body) => Some(body),
            Self::Lost | Self::Won(_) => None,
        }
    }
}

/// A state of the counter: `<count> <id>` in its bytes.
#[derive(Debug)]
struct State {
    count: usize,
    id: String,
    version: Version,
}

/// What one racer did to the counter.
#[derive(Debug, Default)]
struct Counted {
    /// The ids of the states that its acknowledged updates replaced.
    replaced: Vec<String>,
    /// How many of its updates may have happened and were not acknowledged.
    unknown: usize,
}

/// Many count in one key at a time, each by reading it and swapping in the next number.
///
/// Every update that was acknowledged must be in the last number, and no two may have replaced the same state. Updates that may have
/// happened widen what the last number may be; they never excuse one that is missing.
pub(super) async fn updates(ground: &Ground<'_>, name: String) -> Tried<String> {
    let key = ground.key(&name)?;
    let (racers, updates) = (ground.depth.racers.max(2), ground.depth.updates.max(1));
    let start = Operation::put(key.clone(), ground.body(0)).absent().fresh();
    ground.store(start, "to create a key that is not there").await?;
    let counted = try_join_all((0..racers).map(|_| count(ground, &key, updates))).await?;

    let mut replaced: BTreeMap<&str, usize> = BTreeMap::new();
    for id in counted.iter().flat_map(|it| &it.replaced) {
        *replaced.entry(id).or_default() += 1;
    }
    let most = replaced.values().copied().max().unwrap_or_default();
    ensure!(most <= 1, "It accepted {most} racing updates of one and the same version");
    let acknowledged: usize = counted.iter().map(|it| it.replaced.len()).sum();
    let unknown: usize = counted.iter().map(|it| it.unknown).sum();
    let last = State::of(&ground.read(&key).await?)?.count;
    ensure!(last >= acknowledged, "It lost {} of {acknowledged} racing updates", acknowledged - last);
    ensure!(
        last <= acknowledged + unknown,
        "It made {} racing updates that it had refused",
        last - acknowledged - unknown
    );
    Ok(format!("{racers} racers made {updates} updates each, and all of them count"))
}

async fn count(ground: &Ground<'_>, key: &Key, updates: usize) -> Tried<Counted> {
    let mut counted = Counted::default();
    for _ in 0..updates {
        let mut lost = 0;
        while !count_once(ground, key, &mut counted).await? {
            lost = patience(ground, lost).await?;
        }
    }
    Ok(counted)
}

/// Reads the counter and swaps in the next number; whether that was acknowledged.
///
/// It reads every time, even behind an update of its own: racers who have just read the same are those who race.
async fn count_once(ground: &Ground<'_>, key: &Key, counted: &mut Counted) -> Tried<bool> {
    let State { count, id, version } = match ground.read(key).await {
        Ok(object) => State::of(&object)?,
        Err(Stop::Failed(error)) if error.is_transient() => return Ok(false),
        Err(other) => return Err(other),
    };
    // Lets others in between what was read and the swap, wherever all of this runs on one thread.
    yield_now().await;
    let update = Operation::put(key.clone(), ground.body(count + 1)).is(version);
    match ground.write(update).await {
        Ok(Answer::Stored(_)) => {
            counted.replaced.push(id);
            return Ok(true);
        }
        Ok(Answer::Refused) => {}
        Ok(Answer::Overtaken) | Err(Stop::Unclear(_)) => counted.unknown += 1,
        Err(Stop::Failed(error)) if error.is_transient() => {}
        Err(other) => return Err(other),
    }
    Ok(false)
}

/// Counts a race that was lost and waits. Where refusals are honest, nobody loses as often as there are updates to win.
async fn patience(ground: &Ground<'_>, lost: u32) -> Tried<u32> {
    let races = ground.depth.racers.max(2).saturating_mul(ground.depth.updates.max(1));
    if usize::try_from(lost).is_ok_and(|lost| lost >= races) {
        return Err(Stop::Unclear(format!("One racer lost {races} times in a row")));
    }
    ground.give_way(lost).await;
    Ok(lost + 1)
}

impl State {
    fn of(object: &Object) -> Tried<Self> {
        let text = std::str::from_utf8(&object.bytes).ok();
        let (count, id) = text.and_then(|text| text.split_once(' ')).unwrap_or_default();
        match (count.parse(), id.len()) {
            (Ok(count), 26) => Ok(Self { count, id: id.to_owned(), version: object.meta.version.clone() }),
            _ => Err(Stop::Broken("It gave back bytes that nobody wrote".to_owned())),
        }
    }
}
