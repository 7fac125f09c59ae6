//! The peers. One file per peer; [`Peer`] names them, and scenarios use only [`Open`] and [`Client`].
//!
//! Each peer is configured so that every save survives a power failure, and otherwise for its best
//! performance. For peers that store files or tables, a save is a new version, the current content, the head
//! and an index record, as [`crate::work`] makes them.

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

/// A storage to measure.
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
    /// `object_store` again, loading only the content: the least work that a load can be.
    ObjectStoreGet,
    /// A loop of write, fsync, rename, fsync of the folder.
    Plain,
}

/// How the clients of a peer run concurrently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As tasks on a runtime with two workers: calls are asynchronous.
    Tasks,
    /// Each on a thread of its own: calls block.
    Threads,
}

/// A peer's storage, opened.
#[async_trait]
pub(crate) trait Open: Send + Sync {
    /// Returns a client for one thread or task.
    fn client(&self) -> Box<dyn Client>;

    /// Closes the storage.
    async fn close(self: Box<Self>) {}
}

/// A client of a storage that is used concurrently.
///
/// Calls of a peer of [`Style::Threads`] block and never yield. All calls panic on an error, because there is
/// nothing to measure then.
#[async_trait]
pub(crate) trait Client: Send {
    /// Saves a workflow. Once this returns, the save survives a power failure.
    async fn save(&mut self, save: Save);

    /// Saves many workflows at once, in the peer's own way. No two saves are of the same workflow.
    async fn save_batch(&mut self, saves: Vec<Save>);

    /// Loads the head and content of a workflow, and verifies that they belong together.
    async fn load(&mut self, id: &str);

    /// Reads the index records of all workflows. Returns their number.
    async fn list(&mut self) -> usize;
}

impl Peer {
    /// All peers, in the order of a round.
    pub(crate) const ALL: [Self; 7] = [
        Self::Ours,
        Self::ObjectStore,
        Self::ObjectStoreGet,
        Self::Sqlite,
        Self::Redb,
        Self::Fjall,
        Self::Plain,
    ];

    /// Returns another way to use the same peer. A trial decides which is better on a machine.
    pub(crate) fn other_way(self) -> Option<Self> {
        (self == Self::Sqlite).then_some(Self::SqliteEach)
    }

    /// Returns all peers in all their ways.
    pub(crate) fn every_way() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().flat_map(|peer| [Some(peer), peer.other_way()]).flatten()
    }

    pub(crate) fn takes_part(self, scenario: Scenario) -> bool {
        self != Self::ObjectStoreGet || scenario == Scenario::Load
    }

    /// Returns the peer whose store it reads.
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

    /// Opens the store in the folder, or creates one in an empty folder.
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

    /// Returns the name in a report, which is the same for all ways of using the peer.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SqliteEach => Self::Sqlite.order(),
            other => other.order(),
        }
    }

    /// Returns the name that distinguishes the ways of using the peer.
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

    /// Returns how this peer is used, if there are several ways.
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
