//! One run of the program: its store, its streams, its signals.

use std::{
    ffi::OsString,
    future::Future,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, OnceLock},
};

use pflow_store::{
    Error, LeaseId, Location, Store, StoreBuilder, WorkflowId,
    backend::{Environment, SystemEnvironment},
    fs::LostTail,
    health::Repaired,
};
use serde::Serialize;

use super::{
    failure::{Failure, Result, with_causes},
    hint, nearest,
    output::Output,
    patience::Patience,
    signals::Signals,
    waiting,
};

/// The result of an attempt to open a store whose journal may be damaged.
pub(super) enum Opened {
    Whole(Store),
    /// The journal lost committed records, so the store was not opened.
    Damaged {
        lost: LostTail,
        refusal: Failure,
    },
}

/// The context of a command.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) output: &'a Output,
    pub(super) signals: &'a Signals,
    pub(super) environment: Arc<dyn Environment>,
    wanted: Option<OsString>,
    patience: Patience,
    any_file_system: bool,
    opened: OnceLock<Store>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        wanted: Option<OsString>,
        patience: Patience,
        any_file_system: bool,
        output: &'a Output,
        signals: &'a Signals,
    ) -> Result<Self> {
        let environment = SystemEnvironment::new().map_err(|error| Failure::failed(with_causes(&error)))?;
        let environment: Arc<dyn Environment> = Arc::new(environment);
        Ok(Self { output, signals, environment, wanted, patience, any_file_system, opened: OnceLock::new() })
    }

    /// Returns a builder for the store at a location, with the settings of the command line.
    pub(super) fn at(&self, location: &Location) -> StoreBuilder {
        let builder = Store::builder(location).environment(Arc::clone(&self.environment));
        self.patience.apply(builder.any_file_system(self.any_file_system))
    }

    /// Opens the store with the settings of the command line.
    pub(super) async fn open(&self) -> Result<Store> {
        self.open_with(|builder| builder).await
    }

    /// Opens the store, which must exist, after `set` has changed the builder.
    pub(super) async fn open_with(&self, set: impl FnOnce(StoreBuilder) -> StoreBuilder) -> Result<Store> {
        let location = self.location()?;
        let store = self.reading(set(self.at(&location)).open()).await?;
        tracing::info!(store = %location, "opened");
        Ok(self.remember(store))
    }

    /// Opens the store. If its journal lost records and the store can be opened without them, returns those
    /// records. Changes nothing.
    pub(super) async fn open_or_tail(&self) -> Result<Opened> {
        let location = self.location()?;
        match self.signals.unless(self.at(&location).open()).await? {
            Ok(store) => Ok(Opened::Whole(self.remember(store))),
            Err(error) => match lost_tail(&error) {
                Some(lost) => Ok(Opened::Damaged { lost, refusal: error.into() }),
                None => Err(error.into()),
            },
        }
    }

    /// Opens the store without the records that its journal lost, and returns them. This is a change, which a
    /// signal does not stop.
    pub(super) async fn open_without_tail(&self) -> Result<(Store, Option<LostTail>)> {
        let location = self.location()?;
        let what = format!("the repair of {location}");
        let opening = self.at(&location).open_without_tail();
        let (store, lost) = self.changing(what, None, opening).await?;
        Ok((self.remember(store), lost))
    }

    /// Opens the store or creates it. Returns whether it was created.
    pub(super) async fn create(&self) -> Result<(Store, bool)> {
        let location = self.location()?;
        let (store, created) = match self.signals.unless(self.at(&location).open()).await? {
            Err(Error::StoreMissing { .. }) => {
                let what = format!("the creation of {location}");
                let making = self.at(&location).init();
                (self.changing(what, None, making).await?, true)
            }
            opened => (opened?, false),
        };
        Ok((self.remember(store), created))
    }

    /// Opens the store, which must exist, and rebuilds those of its own files that are damaged, such as
    /// `config.json`.
    pub(super) async fn repair(&self) -> Result<(Store, Repaired)> {
        let location = self.location()?;
        let what = format!("the repair of {location}");
        let (store, repaired) = self.changing(what, None, self.at(&location).repair()).await?;
        Ok((self.remember(store), repaired))
    }

    /// Returns whether no flag or variable named the store and it was found above the current folder.
    pub(super) fn is_further_up(&self) -> Result<bool> {
        if self.wanted.is_some() {
            return Ok(false);
        }
        let folder =
            std::env::current_dir().map_err(|error| Failure::file("find", "the current folder", &error))?;
        Ok(self.location()? != Location::within(&folder))
    }

    /// Returns the location of `--store`, else of the nearest store, else `.pflow` in the current folder.
    pub(super) fn location(&self) -> Result<Location> {
        let location = match &self.wanted {
            Some(url) => match url.to_str() {
                Some(url) => url.parse::<Location>()?,
                // An argument that is not UTF-8 is no URL, so it is a path.
                None => Location::Folder(PathBuf::from(url)),
            },
            None => {
                let folder = std::env::current_dir()
                    .map_err(|error| Failure::file("find", "the current folder", &error))?;
                Location::nearest(&folder).unwrap_or_else(|| Location::within(&folder))
            }
        };
        if location == Location::Memory {
            return Err(Failure::usage("a store in memory: would end with this command")
                .with_hint("name a folder with `--store`"));
        }
        Ok(location)
    }

    /// Runs an operation that changes nothing. The first signal ends it.
    pub(super) async fn reading<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        match self.signals.unless(work).await? {
            Ok(done) => Ok(done),
            Err(error) => Err(self.explained(error).await),
        }
    }

    /// Converts the error. If a workflow does not exist, the failure suggests similar ids.
    async fn explained(&self, error: Error) -> Failure {
        match self.opened.get() {
            Some(store) => nearest::explained(store, error).await,
            None => error.into(),
        }
    }

    /// Runs a change. A signal does not stop it.
    pub(super) async fn changing<T>(
        &self,
        what: String,
        left_behind: Option<String>,
        work: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<T> {
        Ok(self.trying(what, left_behind, work).await??)
    }

    /// Releases a lease that was granted after a signal had come, because the program ends and cannot use it.
    /// Returns whether a signal had come.
    pub(super) async fn give_back_if_interrupted(
        &self,
        store: &Store,
        id: &WorkflowId,
        lease: &LeaseId,
    ) -> bool {
        if self.signals.caught().is_none() {
            return false;
        }
        match store.release(id, lease.clone()).await {
            Ok(_) => self.output.note(&format!("released the lease {lease} on {id}")),
            Err(error) => self.output.warn(&format!(
                "the lease {lease} on {id} is left behind: {}; end it with `lock release {id} {lease}`",
                with_causes(&error)
            )),
        }
        true
    }

    /// Runs a change like [`changing`](Self::changing), but returns the error of the library unchanged.
    pub(super) async fn trying<T>(
        &self,
        what: String,
        left_behind: Option<String>,
        work: impl Future<Output = std::result::Result<T, Error>>,
    ) -> Result<std::result::Result<T, Error>> {
        self.signals.begin(what, left_behind)?;
        let done = work.await;
        self.signals.end();
        Ok(done)
    }

    /// Prints the result of the command: the text (given without the end of its last line), or the document
    /// if `--json` is set.
    pub(super) fn answer(&self, text: &str, document: &impl Serialize) -> Result<()> {
        let written = if self.output.is_json() {
            self.output.document(document)
        } else if text.is_empty() {
            Ok(())
        } else {
            self.output.data(format!("{text}\n").as_bytes())
        };
        written.map_err(|error| Failure::unwritten(&error, self.signals.has_begun()))
    }

    /// Prints bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        self.output.data(bytes).map_err(|error| Failure::unwritten(&error, self.signals.has_begun()))
    }

    /// Closes the store, which waits for background work, including that of abandoned operations. After a
    /// change it warns of values that are only in the journal.
    pub(super) async fn close(&self) {
        let Some(store) = self.opened.get() else { return };
        if let Err(error) = store.close().await {
            let hint = hint::of_error(&error).map_or_else(String::new, |hint| format!("; {hint}"));
            self.output.insist(&format!("the store was not left at rest: {}{hint}", with_causes(&error)));
        } else if self.signals.has_begun() {
            match store.waiting().await {
                Ok(waiting) => waiting::warn(self.output, &waiting),
                Err(error) => {
                    self.output
                        .warn(&format!("what is not in its file is not known: {}", with_causes(&error)));
                }
            }
        }
    }

    fn remember(&self, store: Store) -> Store {
        self.opened.get_or_init(|| store).clone()
    }
}

/// Returns a path as text for messages.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Reads a setting of `config.json`.
pub(super) fn setting<T: FromStr<Err = String>>(store: &Store, name: &str) -> Result<Option<T>> {
    let config = store.config();
    let Some(value) = config.settings.get(name) else { return Ok(None) };
    let read = value.as_str().ok_or_else(|| "it is no text".to_owned()).and_then(str::parse);
    read.map(Some).map_err(|reason| {
        Failure::failed(format!("config.json: {name}: {reason}")).with_hint(format!(
            "change it with `config set {name}`, or say what you want on the command line"
        ))
    })
}

/// Returns the records that a journal lost, if that is a cause of the error.
fn lost_tail(error: &Error) -> Option<LostTail> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(lost) = error.downcast_ref::<LostTail>() {
            return Some(lost.clone());
        }
        cause = error.source();
    }
    None
}
