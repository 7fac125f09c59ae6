//! Who is measured. One file per peer; [`Peer`] names them, [`Open`] and [`Client`] are all that a scenario
//! knows of them.
//!
//! Each is set up as a user would who wants every save to survive a power cut, and at its best otherwise.
//! What a save means to those who keep files or tables: a new version, the current content, the head and an
//! index record, as [`crate::work`] makes them.

mod files;
mod fjall;
mod object_store;
mod ours;
mod plain;
mod redb;
mod sqlite;

use std::{fmt, path::Path, str::FromStr};

use async_trait::async_trait;

use crate::{scenario::Scenario, work::Save};

/// Somebody to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// `pflow_store::Store` on a folder.
    Ours,
    /// `object_store::local::LocalFileSystem`, with fsync.
    ObjectStore,
    /// SQLite in one connection that the clients take in turn.
    Sqlite,
    /// SQLite in a connection for each client.
    SqliteEach,
    /// redb, every transaction durable at once.
    Redb,
    /// fjall, every batch synced.
    Fjall,
    /// `object_store` again, where the content alone is asked for: the least that a load can be.
    ObjectStoreGet,
    /// A loop of write, fsync, rename, fsync of the folder.
    Plain,
}

/// How clients of a peer run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As tasks on a runtime with two workers: its calls are futures that wait.
    Tasks,
    /// Each on a thread of its own: its calls block.
    Threads,
}

/// A peer's storage, opened.
#[async_trait]
pub(crate) trait Open: Send + Sync {
    /// What one thread or task of a user would hold.
    fn client(&self) -> Box<dyn Client>;

    /// Brings it to rest.
    async fn close(self: Box<Self>) {}
}

/// One of those who use a storage at the same time.
///
/// Calls of a peer of [`Style::Threads`] block and never wait. All of them panic where something fails: there
/// is nothing to measure then.
#[async_trait]
pub(crate) trait Client: Send {
    /// Once it returns, the save survives a power cut.
    async fn save(&mut self, save: Save);

    /// As many saves as one, in the way that the peer has for it. No two are of one workflow.
    async fn save_batch(&mut self, saves: Vec<Save>);

    /// Head and content of a workflow, verified to belong together.
    async fn load(&mut self, id: &str);

    /// The index records of all workflows; how many there are.
    async fn list(&mut self) -> usize;
}

impl Peer {
    /// All of them, in the order of a round.
    pub(crate) const ALL: [Self; 7] = [
        Self::Ours,
        Self::ObjectStore,
        Self::ObjectStoreGet,
        Self::Sqlite,
        Self::Redb,
        Self::Fjall,
        Self::Plain,
    ];

    /// Another way to use the same peer. Which is better on a machine is for a trial to tell.
    pub(crate) fn other_way(self) -> Option<Self> {
        (self == Self::Sqlite).then_some(Self::SqliteEach)
    }

    /// All of them, in each of their ways.
    pub(crate) fn every_way() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().flat_map(|peer| [Some(peer), peer.other_way()]).flatten()
    }

    pub(crate) fn takes_part(self, scenario: Scenario) -> bool {
        self != Self::ObjectStoreGet || scenario == Scenario::Load
    }

    /// Whose store it reads.
    pub(crate) fn filled_by(self) -> Self {
        match self {
            Self::ObjectStoreGet => Self::ObjectStore,
            Self::SqliteEach => Self::Sqlite,
            other => other,
        }
    }

    pub(crate) fn style(self) -> Style {
        match self {
            Self::Ours | Self::ObjectStore | Self::ObjectStoreGet => Style::Tasks,
            Self::Sqlite | Self::SqliteEach | Self::Redb | Self::Fjall | Self::Plain => Style::Threads,
        }
    }

    /// Opens what is in the folder, or begins anew in an empty one.
    pub(crate) async fn open(self, folder: &Path) -> Box<dyn Open> {
        match self {
            Self::Ours => Box::new(ours::Ours::open(folder).await),
            Self::ObjectStore => Box::new(object_store::ObjectStore::open(folder)),
            Self::ObjectStoreGet => Box::new(object_store::ObjectStore::open(folder).contents_alone()),
            Self::Sqlite => Box::new(sqlite::Shared::open(folder)),
            Self::SqliteEach => Box::new(sqlite::Each::open(folder)),
            Self::Redb => Box::new(redb::Redb::open(folder)),
            Self::Fjall => Box::new(fjall::Fjall::open(folder)),
            Self::Plain => Box::new(plain::Plain::open(folder)),
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        self == Self::Ours
    }

    /// What it is called in a report, in whatever way it is used.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SqliteEach => Self::Sqlite.order(),
            other => other.order(),
        }
    }

    /// What it is called where its ways are told apart.
    const fn order(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::ObjectStore => "object_store",
            Self::ObjectStoreGet => "one-get",
            Self::Sqlite => "sqlite",
            Self::SqliteEach => "sqlite-each",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Plain => "plain",
        }
    }

    /// How this peer is used, where there are several ways.
    pub(crate) fn way(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => Some("one connection behind a mutex"),
            Self::SqliteEach => Some("a connection for each client"),
            Self::ObjectStoreGet => Some("the content alone, from object_store"),
            _ => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.order())
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::every_way().find(|peer| peer.order() == name);
        found.ok_or_else(|| format!("there are {}", Self::ALL.map(Self::order).join(", ")))
    }
}
