//! Who may read and write a store: the features that `config.json` names, and the verdict of a probe of the
//! storage.

mod admission;
mod config;
mod instance;
pub(crate) mod trust;

use std::{
    error::Error as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pflow_backend::{
    ErrorKind,
    probe::{Depth, Report},
};

pub(crate) use admission::Admission;
use admission::Admissions;
pub(crate) use config::read_config;
pub(crate) use instance::{ensure_instance, instance_at, read_instance};
use trust::Verdict;

use crate::{Error, Result, format::Config, repo::Objects};

/// For this long, every writer of this handle gets the failure of the last probe; after that, the next writer
/// probes again. So a batch costs one probe, and not one for each of its workflows.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The checks before a program may use a store: the features in `config.json` that a newer program may have
/// added, and whether the storage can be written to safely.
#[derive(Debug)]
pub(crate) struct Gate {
    objects: Objects,
    location: String,
    /// The config as last seen. The lock is never held across an await.
    seen: Mutex<Seen>,
    /// Held by the one change of the config that this handle makes.
    changing: tokio::sync::Mutex<()>,
    /// The name of a place that must be probed before it is written to.
    place: Option<String>,
    /// What is known of the place. The lock is never held across an await.
    known: Mutex<Known>,
    /// Held by the one writer that probes while the others wait for the result.
    probing: tokio::sync::Mutex<()>,
    admissions: Admissions,
}

/// What a handle knows of its place.
#[derive(Debug)]
enum Known {
    Nothing,
    Verdict(Verdict),
    /// A probe was inconclusive. No other probe is made until this moment of the monotonic clock.
    Failed(Failed, Duration),
}

/// Why a probe was inconclusive.
#[derive(Debug, Clone)]
enum Failed {
    Unclear(Vec<String>),
    Storage { kind: ErrorKind, message: String, hint: Option<String>, cause: Option<String> },
}

impl Failed {
    /// None if the failure is not about the storage.
    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Unproven { unclear, .. } => Some(Self::Unclear(unclear.clone())),
            Error::Storage(error) => Some(Self::Storage {
                kind: error.kind(),
                message: error.to_string(),
                hint: error.hint().map(str::to_owned),
                cause: error.source().map(ToString::to_string),
            }),
            _ => None,
        }
    }

    fn error(self, place: &str) -> Error {
        match self {
            Self::Unclear(unclear) => Error::Unproven { place: place.to_owned(), unclear },
            Self::Storage { kind, message, hint, cause } => {
                let mut error = pflow_backend::Error::not_applied(kind, message);
                if let Some(hint) = hint {
                    error = error.with_hint(hint);
                }
                if let Some(cause) = cause {
                    error = error.with_source(cause);
                }
                Error::Storage(error)
            }
        }
    }
}

/// The config as this handle last saw it.
#[derive(Debug)]
struct Seen {
    config: Config,
    /// How many changes of it this handle has made.
    changes: u64,
}

impl Gate {
    /// Admits a reader if this program knows every feature that a reader must know.
    pub(crate) fn enter(objects: Objects, location: String, config: Config) -> Result<Self> {
        check_features(config.features.unknown_to_readers())?;
        let place = objects.backend.endpoint();
        let is_safe = place.as_ref().is_none_or(|place| config.is_probed(place));
        let known = if is_safe { Known::Verdict(Verdict::Safe) } else { Known::Nothing };
        let (seen, known) = (Mutex::new(Seen { config, changes: 0 }), Mutex::new(known));
        let (probing, changing, admissions) = Default::default();
        Ok(Self { objects, location, seen, changing, place, known, probing, admissions })
    }

    pub(crate) fn config(&self) -> Config {
        self.lock_seen().config.clone()
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Checks that this program knows every feature that a writer must know.
    pub(crate) fn check_writer(&self) -> Result<()> {
        check_features(self.config().features.unknown_to_writers())
    }

    /// Admits a writer whose write is optional, if that needs no probe.
    pub(crate) fn admit_optional(&self) -> Option<Admission> {
        let is_open =
            self.check_writer().is_ok() && matches!(*self.lock_known(), Known::Verdict(Verdict::Safe));
        if is_open { self.admissions.admit().ok() } else { None }
    }

    /// Admits a change, unless the store is shut down, if [`check_storage`](Self::check_storage) allows it.
    pub(crate) async fn admit_writer(&self) -> Result<Admission> {
        let admission = self.admissions.admit()?;
        self.check_storage().await?;
        Ok(admission)
    }

    /// Lets a lease that is held be renewed or released, also after a shutdown: its holder relies on it. The
    /// storage is not probed then, because a probe writes.
    pub(crate) async fn admit_holder(&self) -> Result<()> {
        let is_known = matches!(*self.lock_known(), Known::Verdict(_));
        let _probing = if is_known { None } else { Some(self.admissions.admit()?) };
        self.check_storage().await
    }

    /// Whether the store is shut down.
    pub(crate) fn is_shut(&self) -> bool {
        self.admissions.is_shut()
    }

    /// Admits no more changes, and waits for those under way.
    pub(crate) async fn shut(&self) {
        self.admissions.shut().await;
    }

    /// Awaits `waiting`, or drops it when the store is shut down. Only for what changes nothing by being
    /// dropped.
    ///
    /// # Errors
    /// [`Error::ShutDown`].
    pub(crate) async fn unless_shut<T>(&self, waiting: impl Future<Output = T>) -> Result<T> {
        self.admissions.unless_shut(waiting).await
    }

    /// Checks that this program knows every feature that a writer must know and that the place can be
    /// written to safely.
    ///
    /// The first writer probes the place, unless `config.json` records that it is safe. Readers never probe:
    /// the stored data is valid whatever the place does to writers, and a reader may not be allowed to write
    /// a probe.
    pub(crate) async fn check_storage(&self) -> Result<()> {
        self.check_writer()?;
        let Some(place) = &self.place else { return Ok(()) };
        if let Some(answer) = self.answer(place) {
            return answer;
        }
        let _probing = self.probing.lock().await;
        // The previous holder of the lock may have probed meanwhile.
        if let Some(answer) = self.answer(place) {
            return answer;
        }
        tracing::info!(place, "probing the storage before the first write");
        let report = trust::probe(&self.objects, &Depth::default()).await;
        match report.and_then(|report| trust::verdict(place, &report)) {
            Ok(verdict) => {
                self.learn(place, verdict.clone()).await?;
                verdict.into_result(place)
            }
            Err(error) => {
                if let Some(failed) = Failed::of(&error) {
                    let until = self.objects.environment.monotonic().saturating_add(REMEMBERED);
                    *self.lock_known() = Known::Failed(failed, until);
                }
                Err(error)
            }
        }
    }

    /// What a writer is told without a probe; none if the place must be probed.
    fn answer(&self, place: &str) -> Option<Result<()>> {
        match &*self.lock_known() {
            Known::Nothing => None,
            Known::Verdict(verdict) => Some(verdict.clone().into_result(place)),
            Known::Failed(failed, until) => {
                (self.objects.environment.monotonic() < *until).then(|| Err(failed.clone().error(place)))
            }
        }
    }

    /// Reads `config.json` again, then checks the storage. So a long-lived writer notices changed features, or
    /// a store that was removed, before it adds a workflow.
    pub(crate) async fn check_writer_again(&self) -> Result<()> {
        let changes = self.lock_seen().changes;
        let config = read_config(&self.objects).await?;
        let config = config.ok_or_else(|| Error::StoreMissing { location: self.location.clone() })?;
        self.has_read(config, changes);
        self.check_storage().await
    }

    /// Probes the place, whatever is known of it, and remembers the verdict if the place has a name.
    pub(crate) async fn probe_again(&self, depth: &Depth) -> Result<Report> {
        self.check_writer()?;
        let _admission = self.admissions.admit()?;
        let _probing = self.probing.lock().await;
        let report = trust::probe(&self.objects, depth).await?;
        if let Some(place) = &self.place
            && let Ok(verdict) = trust::verdict(place, &report)
        {
            self.learn(place, verdict).await?;
        }
        Ok(report)
    }

    /// Keeps a verdict: a safe place gets an instance id and is recorded in `config.json` for other processes,
    /// and the record of an unsafe one is removed. If that fails, they only have to probe again.
    async fn learn(&self, place: &str, verdict: Verdict) -> Result<()> {
        let now = self.objects.now();
        let change = |config: &mut Config| match verdict {
            Verdict::Safe => config.remember_probe(place, now),
            Verdict::Unsafe(_) => config.forget_probe(place),
        };
        let changed = async {
            if verdict == Verdict::Safe {
                ensure_instance(&self.objects, place).await?;
            }
            self.change_config(change).await
        };
        match changed.await {
            Ok(_) => {}
            Err(newer @ Error::MissingFeatures { .. }) => return Err(newer),
            Err(error) => tracing::warn!(place, %error, "the verdict on the storage was not written down"),
        }
        *self.lock_known() = Known::Verdict(verdict);
        Ok(())
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a config that was read when this handle had made so many changes of it.
    fn has_read(&self, config: Config, changes: u64) {
        let mut seen = self.lock_seen();
        // IMPORTANT: what was read before a change of this handle must not replace what the change made.
        if seen.changes == changes {
            seen.config = config;
        }
    }

    /// Keeps the config that a change of this handle made.
    fn has_changed(&self, config: Config) {
        let mut seen = self.lock_seen();
        seen.config = config;
        seen.changes = seen.changes.wrapping_add(1);
    }
}

/// Refuses a store that needs features that this program does not know.
fn check_features(unknown: Vec<String>) -> Result<()> {
    if unknown.is_empty() { Ok(()) } else { Err(Error::MissingFeatures { features: unknown }) }
}
