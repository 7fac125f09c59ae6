//! Tests whether a storage keeps the guarantees of the contract, by requests to the storage itself.
//!
//! Servers that implement a protocol do not all keep its guarantees. Some accept a condition and ignore it,
//! some check it and then let another write in between, and some show a write in listings only some time
//! after its answer. Protocols that are built on compare-and-swap are not safe there, and no error ever
//! reports it. So before a caller stores data in a place, it calls [`run`] and continues only if
//! [`Report::is_safe`].
//!
//! The probe works below a [`Prefix`] of its own and deletes what it wrote. It can prove that a guarantee is
//! broken; it can only make it likely that one is kept. An error during the probe is not a verdict: the place
//! could not be probed.
//!
//! # Stages
//! The requests of one line are sent concurrently, so that a line costs one round trip. The first required
//! check that is broken or unclear ends the probe.
//!
//! | stage | requests | checks |
//! | --- | --- | --- |
//! | `conditions` | create a key | `create-twice` |
//! | | update it under its version | `stale-update`, `versions` |
//! | | create it again; update it under its first version; update a missing key | `create-twice`, `stale-update` |
//! | | read it with and without its bytes | `read-after-write`, `versions` |
//! | `races` | 3 racers create each of 12 keys | `racing-creates` |
//! | | 3 racers update each of the 12 under its version | `racing-updates` |
//! | `listing`, `large` | list all; list the second half of the 12; store a large object, then read it | `list-after-write`, `large-object` |
//! | `listing` | delete all | `deletes` |
//! | | list all; read the key of the first stage | `deletes` |
//! | [`StorageBackend::examine`] | checks that only the backend can make | its own |
//!
//! That is about 103 requests in 13 round trips on an object store: 7 + 36 + 36 + 4 + 15 + 2, and 3 of its
//! own.
//!
//! # Why a request that lands late breaks no check
//! A request whose connection was cut may land seconds later. Before the deletes every write is conditional:
//! a create, which is refused while the key exists, or an update of a version that never occurs again because
//! every body is unique. So after an acknowledged write no other request of the probe can land on that key,
//! and reads and listings are conclusive. After a delete a late copy of a create may land. Bodies that were
//! only created and reappear are deleted again, and if they keep reappearing the check is unclear, not
//! broken. A body that was written by an update cannot reappear.
//!
//! # How many races
//! A server that lets a loser win with probability `p` is detected by `n` losers with probability `1 - (1 -
//! p)^n`. 12 keys with 2 losers each have 24: for `p` = 20 % that is 99.5 %, for creates and for updates
//! separately. 11 of the 12 races must have an acknowledged winner: 22 losers, 99.3 %. Many keys have one
//! race each, instead of one key many races, because some servers accept one write of an object a second.
//! [`Depth::thorough`] has 896 losers, which detects 0.52 % with 99 %.

mod conditions;
mod ground;
mod large;
mod listing;
mod measures;
mod races;
mod report;

use std::error::Error as _;

use futures::future::join;

use crate::{Environment, Error, Prefix, Result, StorageBackend};

pub use report::{Check, Report, Verdict};

use ground::{Ground, Stop, Tried};

/// The version of the probe. It rises whenever a new probe can detect more than the earlier ones, so that an
/// old verdict is recognized as old.
pub const VERSION: u32 = 1;

/// How often a check that ends unclear is made, each time on keys of its own.
const ATTEMPTS: u32 = 2;

/// The size of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    keys: usize,
    racers: usize,
    rounds: usize,
    large: usize,
}

impl Default for Depth {
    fn default() -> Self {
        Self::new()
    }
}

impl Depth {
    /// One round of 12 keys with 3 racers, and an object of 1 MiB: short enough for the first write to wait
    /// for it.
    #[must_use]
    pub fn new() -> Self {
        Self { keys: 12, racers: 3, rounds: 1, large: 1 << 20 }
    }

    /// 8 rounds of 16 keys with 8 racers, and an object of 16 MiB: about 2,200 requests, for a person who
    /// asks for it.
    #[must_use]
    pub fn thorough() -> Self {
        Self { keys: 16, racers: 8, rounds: 8, large: 16 << 20 }
    }

    /// Sets the number of keys that are raced for in a round; at least 1.
    #[must_use]
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys.max(1);
        self
    }

    /// Sets the number of racers for each key; at least 2.
    #[must_use]
    pub fn racers(mut self, racers: usize) -> Self {
        self.racers = racers.max(2);
        self
    }

    /// Sets the number of rounds, each on keys of its own; at least 1.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// Sets the size of the large object in bytes. It is limited to the storage's maximum object size.
    #[must_use]
    pub fn large(mut self, bytes: usize) -> Self {
        self.large = bytes;
        self
    }

    /// How many keys are raced for in total.
    #[must_use]
    pub fn races(&self) -> usize {
        self.keys.saturating_mul(self.rounds)
    }
}

/// A guarantee that the probe tests.
#[derive(Debug)]
struct Promise {
    name: &'static str,
    text: &'static str,
    required: bool,
}

const CREATE_TWICE: &Promise =
    &Promise { name: "create-twice", text: "A key that exists is not created again", required: true };
const STALE_UPDATE: &Promise = &Promise {
    name: "stale-update",
    text: "An update goes through if, and only if, it names the present version",
    required: true,
};
const VERSIONS: &Promise = &Promise {
    name: "versions",
    text: "Different bytes have different versions, and a write, a read and a look name the same one",
    required: true,
};
const READ_AFTER_WRITE: &Promise =
    &Promise { name: "read-after-write", text: "What was written last is read at once", required: true };
const RACING_CREATES: &Promise = &Promise {
    name: "racing-creates",
    text: "Of several creates of one key at the same time one succeeds",
    required: true,
};
const RACING_UPDATES: &Promise = &Promise {
    name: "racing-updates",
    text: "Of several updates of one version at the same time one succeeds",
    required: true,
};
const LIST_AFTER_WRITE: &Promise = &Promise {
    name: "list-after-write",
    text: "What was written is listed at once, in the order of the keys",
    required: true,
};
const LARGE_OBJECT: &Promise =
    &Promise { name: "large-object", text: "A large object comes back byte for byte", required: true };
const DELETES: &Promise = &Promise {
    name: "deletes",
    text: "What was deleted is neither read nor listed afterwards",
    required: true,
};
const CLOCK: &Promise =
    &Promise { name: "clock", text: "The clock of the storage agrees with ours", required: false };
const LATENCY: &Promise =
    &Promise { name: "latency", text: "How long one read and one write take", required: false };

/// A check that ended the probe.
#[derive(Debug)]
struct Ended {
    promise: &'static Promise,
    stop: Stop,
}

impl Promise {
    /// Attributes a step to this guarantee.
    fn step<T>(&'static self, tried: Tried<T>) -> std::result::Result<T, Ended> {
        tried.map_err(|stop| Ended { promise: self, stop })
    }

    /// Reports the guarantee as broken unless the condition holds.
    fn ensure(&'static self, holds: bool, sentence: &str) -> std::result::Result<(), Ended> {
        if holds { Ok(()) } else { self.step(Err(Stop::Broken(sentence.to_owned()))) }
    }

    fn check(&self, verdict: Verdict) -> Check {
        Check::new(self.name, self.text, self.required, verdict)
    }

    fn kept(&self, seen: impl Into<String>) -> Check {
        self.check(Verdict::Kept(seen.into()))
    }
}

/// Probes a storage below `ground`, which must be empty and which no other client may use: name it with a new
/// id.
///
/// The checks of [`StorageBackend::examine`] come last. The report ends with the first required guarantee
/// that is broken or unclear. Everything that was written is deleted at the end, as far as possible
/// ([`Report::left_behind`]). Dropping the future leaves what was written so far. A storage that keeps old
/// versions of objects keeps those of the probe.
///
/// # Errors
/// The storage could not be probed: it does not exist, refuses the caller, or fails. Its guarantees remain
/// unknown. What was written is deleted as far as possible.
pub async fn run(
    backend: &dyn StorageBackend,
    environment: &dyn Environment,
    ground: &Prefix,
    depth: &Depth,
) -> Result<Report> {
    let ground = Ground::new(backend, environment, ground.clone(), depth.clone());
    let mut report = Report::default();
    let Err(Ended { promise, stop }) = check_all(&ground, &mut report.checks).await else {
        let examined = backend.examine(ground.prefix()).await;
        report
            .checks
            .extend(examined.map_err(|error| could_not("what only the backend can look at", error))?);
        return Ok(report);
    };
    report.left_behind = ground.clear().await.err().map(|error| with_causes(&error));
    let verdict = match stop {
        Stop::Broken(sentence) => Verdict::Broken(sentence),
        Stop::Unclear(reason) => Verdict::Unclear(reason),
        Stop::Failed(error) => return Err(could_not(promise.name, error)),
    };
    report.checks.push(promise.check(verdict));
    Ok(report)
}

/// Runs all stages; at the end nothing is left below the prefix.
async fn check_all(ground: &Ground<'_>, checks: &mut Vec<Check>) -> std::result::Result<(), Ended> {
    let seen = conditions::run(ground).await?;
    checks.push(CREATE_TWICE.kept("the second create was refused, and the first object stayed"));
    checks.push(STALE_UPDATE.kept("updates of an old version and of a missing key were refused"));
    checks.push(
        VERSIONS.kept("two bodies of one length had two versions, named alike by a write, a read and a look"),
    );
    checks.push(READ_AFTER_WRITE.kept("the second body was read behind its write"));

    let raced = races::run(ground, checks).await?;
    let (listed, large) = join(listing::after_write(ground, &seen, &raced), large::run(ground)).await;
    checks.push(LIST_AFTER_WRITE.kept(listed?));
    checks.push(LARGE_OBJECT.kept(LARGE_OBJECT.step(large)?));
    checks.push(DELETES.kept(DELETES.step(listing::after_delete(ground, &seen, &raced).await)?));

    checks.push(CLOCK.check(measures::clock(&seen.measured)));
    checks.push(LATENCY.kept(measures::latency(&seen.measured)));
    Ok(())
}

/// The error of an inconclusive probe. It keeps the kind. No operation that the caller requested has
/// happened.
fn could_not(what: &str, error: Error) -> Error {
    let failed = Error::not_applied(error.kind(), format!("Failed to probe the storage ({what})"));
    let failed = match error.hint() {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    };
    failed.with_source(error)
}

fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclear_is_not_safe_and_optional_checks_do_not_count() {
        let check = |required, verdict| Check::new("x", "It holds", required, verdict);
        let report = |checks| Report { checks, left_behind: None };
        let unclear = report(vec![check(true, Verdict::Unclear("Replies were lost".to_owned()))]);
        assert!(!unclear.is_safe() && unclear.broken().is_empty());
        assert_eq!(unclear.unclear(), ["Replies were lost (x)"]);
        let late = || check(false, Verdict::Broken("It is late".to_owned()));
        assert!(report(vec![check(true, Verdict::Kept(String::new())), late()]).is_safe());
        assert!(!report(vec![late()]).is_safe(), "nothing that is required was looked at");
        let broken = report(vec![check(true, Verdict::Broken("It forgot".to_owned()))]);
        assert!(!broken.is_safe());
        assert_eq!(broken.broken(), ["It forgot (x)"]);
        assert!(!Report::default().is_safe(), "a probe that looked at nothing proves nothing");
    }

    #[test]
    fn default_probe_detects_one_lost_race_in_five_with_99_percent() {
        let missed = |depth: &Depth, share: f64| {
            let races = races::needed(depth);
            (1.0 - share).powi(i32::try_from(races * (depth.racers - 1)).unwrap())
        };
        assert!(missed(&Depth::default(), 0.2) < 0.01);
        assert!(missed(&Depth::thorough(), 0.006) < 0.01);
    }
}
