//! Whether a storage does what it says: asked of the storage itself, not of its manual.
//!
//! Servers that speak a protocol do not all keep its promises. Some take a condition and ignore it, some check it and then
//! let another write in between, some list later than they answer. Nothing that is built on compare-and-swap is safe there, and no error
//! ever says so. So whoever is about to trust a place with data runs [`run`] first and goes on only if [`Report::is_safe`].
//!
//! The probe works below a [`Prefix`] of its own and deletes what it made. It can show that a promise is broken; that one
//! is kept it can only make likely. An error on the way is no verdict: the place could not be probed.

mod conditions;
mod ground;
mod measures;
mod race;
mod report;
mod visibility;

use std::{error::Error as _, time::Duration};

use futures::{FutureExt, future::BoxFuture};

use crate::{Environment, Error, ErrorKind, Prefix, Result, StorageBackend};

pub use report::{Check, Report, Verdict};

use ground::{Ground, Stop, Tried};

/// Which probe this is. It rises whenever one finds something that those before it did not, so that an old verdict is known to be old.
pub const VERSION: u32 = 1;

/// How often a check is run that ends in doubt, each time on keys of its own.
const ATTEMPTS: u32 = 3;
/// How long to wait after a fault that may pass; longer each time.
const PAUSE: Duration = Duration::from_millis(100);

/// How much is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Depth {
    /// How many race for one key at a time; at least 2.
    pub racers: usize,
    /// How often each of them counts up in the race of updates; at least 1.
    pub updates: usize,
    /// The bytes of the large object, or as many as the storage takes if that is less.
    pub large: usize,
    /// How many reads and writes the latency is taken from; at least 1.
    pub samples: usize,
}

impl Default for Depth {
    /// 8 that race, 20 updates each, an object of 1 MiB, 8 samples: a second or two at a server nearby.
    fn default() -> Self {
        Self { racers: 8, updates: 20, large: 1 << 20, samples: 8 }
    }
}

/// Probes a storage below `ground`, where there must be nothing and nobody else may work: name it by a fresh id.
///
/// What [`StorageBackend::examine`] finds comes last. Everything that was made is deleted in the end, as far as that can be done
/// ([`Report::left_behind`]). Dropping the future leaves what was made so far.
///
/// # Errors
/// The storage could not be probed: it is not there, refuses the caller, or fails. Nothing is said about its promises then. What was made is
/// deleted as far as it can be.
pub async fn run(
    backend: &dyn StorageBackend,
    environment: &dyn Environment,
    ground: &Prefix,
    depth: &Depth,
) -> Result<Report> {
    let ground = Ground::new(backend, environment, ground.clone(), depth.clone());
    let mut report = Report::default();
    let checked = check_all(&ground, &mut report).await;
    report.left_behind = ground.clear().await.err().map(|error| with_causes(&error));
    match checked {
        Err(error) if report.broken().is_empty() => return Err(error),
        // A promise that was broken is the answer, whatever failed behind it.
        Err(error) => {
            let (name, promise) = ("end", "The probe comes to its end");
            let verdict = Verdict::Unclear(with_causes(&error));
            report.checks.push(Check { name, promise, required: false, verdict });
            return Ok(report);
        }
        Ok(()) => {}
    }
    let examined = backend.examine(ground.prefix()).await;
    report.checks.extend(examined.map_err(|error| could_not("what lies below it", error))?);
    Ok(report)
}

/// One check: what it is about, and how it is made on keys that begin with the given name.
struct Trial {
    name: &'static str,
    promise: &'static str,
    required: bool,
    run: for<'a> fn(&'a Ground<'a>, String) -> BoxFuture<'a, Tried<String>>,
}

const TRIALS: &[Trial] = &[
    Trial {
        name: "create-twice",
        promise: "A key that exists is not created again",
        required: true,
        run: |ground, name| conditions::create_twice(ground, name).boxed(),
    },
    Trial {
        name: "stale-update",
        promise: "An update goes through if, and only if, it names the present version",
        required: true,
        run: |ground, name| conditions::stale_update(ground, name).boxed(),
    },
    Trial {
        name: "racing-creates",
        promise: "Of those who create one key at the same time, one does",
        required: true,
        run: |ground, name| race::creates(ground, name).boxed(),
    },
    Trial {
        name: "racing-updates",
        promise: "Of those who update one key at the same time, none is lost",
        required: true,
        run: |ground, name| race::updates(ground, name).boxed(),
    },
    Trial {
        name: "versions",
        promise: "Versions differ wherever bytes differ, and are called the same by whoever is asked",
        required: true,
        run: |ground, name| visibility::versions(ground, name).boxed(),
    },
    Trial {
        name: "read-after-write",
        promise: "What was written, replaced or deleted is read so at once",
        required: true,
        run: |ground, name| visibility::read_after_write(ground, name).boxed(),
    },
    Trial {
        name: "list-after-write",
        promise: "What was written or deleted is listed so at once, in order",
        required: true,
        run: |ground, name| visibility::list_after_write(ground, name).boxed(),
    },
    Trial {
        name: "large-object",
        promise: "A large object comes back byte for byte",
        required: true,
        run: |ground, name| visibility::large_object(ground, name).boxed(),
    },
    Trial {
        name: "clock",
        promise: "The storage's clock agrees with ours",
        required: false,
        run: |ground, name| measures::clock(ground, name).boxed(),
    },
    Trial {
        name: "latency",
        promise: "How long one read and one write take",
        required: false,
        run: |ground, name| measures::latency(ground, name).boxed(),
    },
];

async fn check_all(ground: &Ground<'_>, report: &mut Report) -> Result<()> {
    for trial in TRIALS {
        let Trial { name, promise, required, .. } = *trial;
        let verdict = verdict(ground, trial).await.map_err(|error| could_not(name, error))?;
        report.checks.push(Check { name, promise, required, verdict });
    }
    Ok(())
}

/// Makes one check, and again with what ended in doubt or in an error that may pass.
async fn verdict(ground: &Ground<'_>, trial: &Trial) -> Result<Verdict> {
    let mut last = Verdict::Unclear("It was not tried".to_owned());
    for attempt in 1..=ATTEMPTS {
        match (trial.run)(ground, format!("{}.{attempt}", trial.name)).await {
            Ok(seen) => return Ok(Verdict::Kept(seen)),
            Err(Stop::Broken(sentence)) => return Ok(Verdict::Broken(sentence)),
            Err(Stop::Unclear(reason)) => last = Verdict::Unclear(reason),
            // Whoever is held up by somebody else has waited already.
            Err(Stop::Failed(error))
                if error.is_transient() && error.kind() != ErrorKind::Busy && attempt < ATTEMPTS =>
            {
                ground.environment.sleep(PAUSE * attempt).await;
            }
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Ok(last)
}

/// The error of a probe that came to no verdict. The kind stays, and nothing that the caller asked for happened.
fn could_not(what: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("Failed to probe the storage ({what})")).with_source(error)
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_promises_are_sentences_without_an_end() {
        let names: BTreeSet<&str> = TRIALS.iter().map(|trial| trial.name).collect();
        assert_eq!(names.len(), TRIALS.len());
        for trial in TRIALS {
            assert!(trial.promise.starts_with(char::is_uppercase) && !trial.promise.ends_with('.'));
        }
    }

    #[test]
    fn what_nobody_can_tell_is_not_safe_and_advice_is_no_danger() {
        let check = |required, verdict| Check { name: "x", promise: "It holds", required, verdict };
        let report = |checks| Report { checks, left_behind: None };
        let unclear = report(vec![check(true, Verdict::Unclear("Replies were lost".to_owned()))]);
        assert!(!unclear.is_safe() && unclear.broken().is_empty());
        assert_eq!(unclear.unclear(), ["Replies were lost (x)"]);
        assert!(report(vec![check(false, Verdict::Broken("It is late".to_owned()))]).is_safe());
        let broken = report(vec![check(true, Verdict::Broken("It forgot".to_owned()))]);
        assert!(!broken.is_safe());
        assert_eq!(broken.broken(), ["It forgot (x)"]);
    }
}
