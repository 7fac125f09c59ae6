use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures::future::try_join;
use pflow_backend::{Key, Object};

use super::{settings::Settings, upkeep::Upkeep};
use crate::{
    Error, Result,
    document::MediaType,
    format::{Config, Head, WorkflowId, keys},
    gate::Gate,
    index::{Index, Policy},
    lock::{Locks, Observer},
    repo::{Objects, StoredHead},
};

/// The state that all operations of one store share.
pub(crate) struct Shared {
    pub(crate) objects: Objects,
    pub(crate) gate: Arc<Gate>,
    pub(crate) index: Arc<Index>,
    pub(crate) upkeep: Upkeep,
    pub(crate) locks: Locks,
    pub(crate) settings: Settings,
    /// The store's folder on the local disk, if it was opened as a folder.
    pub(crate) folder: Option<PathBuf>,
    /// Whether the last save of a batch that read a head found none. The next one most likely finds none
    /// either; it then reads `config.json` in the same round trip as the head. A wrong guess costs a read of
    /// `config.json`, or a round trip.
    pub(crate) batch_creates: AtomicBool,
    /// The media type of the last content that was loaded, by its place in [`MediaType::ALL`]. The next one is
    /// most likely of the same type, so its working copy is read in the same round trip as the head. A wrong
    /// guess costs a read.
    last_media_type: AtomicUsize,
}

impl Shared {
    pub(super) fn new(
        objects: Objects,
        settings: Settings,
        location: String,
        folder: Option<PathBuf>,
        config: Config,
    ) -> Result<Self> {
        let gate = Arc::new(Gate::enter(objects.clone(), location, config)?);
        let policy = Policy::of(objects.traits).with(settings.fold_after, settings.fold_behind);
        let index = Arc::new(Index::new(objects.clone(), gate.clone(), policy));
        let observer = Observer::new(objects.environment.clone(), settings.clock_skew);
        let upkeep = Upkeep::default();
        let locks = Locks::new(objects.clone(), gate.clone(), index.clone(), observer, upkeep.tasks())?;
        let batch_creates = AtomicBool::new(false);
        let last_media_type = AtomicUsize::new(0);
        Ok(Self { objects, gate, index, upkeep, locks, settings, folder, batch_creates, last_media_type })
    }

    /// Reads the head and the working copy together. The head alone tells the name of the copy, and nearly always
    /// it is the one that this process has seen before. Nothing is said about which of the two was read first.
    pub(crate) async fn head_and_copy(&self, id: &WorkflowId) -> Result<(StoredHead, Option<Object>)> {
        let known = self.objects.known_head(id).map(|stored| keys::copy_of(&stored.head));
        let likely = known.unwrap_or_else(|| self.likely_copy(id));
        let (stored, mut copy) = try_join(self.objects.head(id), self.objects.get(&likely)).await?;
        let name = keys::copy_of(&stored.head);
        if name != likely {
            copy = self.objects.get(&name).await?;
        }
        self.copies_are_like(&stored.head);
        Ok((stored, copy))
    }

    /// The most likely name of the working copy of a workflow whose head this process has not read yet.
    fn likely_copy(&self, id: &WorkflowId) -> Key {
        let last = MediaType::ALL.get(self.last_media_type.load(Ordering::Relaxed)).copied();
        keys::copy(id, last.unwrap_or(MediaType::Json))
    }

    /// Remembers the name of the working copy of this workflow as the most likely one.
    fn copies_are_like(&self, head: &Head) {
        let media_type = keys::media_type_of_copy(head, &keys::copy_of(head));
        if let Some(place) = MediaType::ALL.iter().position(|other| Some(*other) == media_type) {
            self.last_media_type.store(place, Ordering::Relaxed);
        }
    }

    /// Refines `error` about a workflow whose head has no version. The workflow is missing, unless versions
    /// or the index show that the head was lost: a head is never removed, and the index only lists workflows
    /// that have a version.
    pub(crate) async fn explain(&self, error: Error) -> Error {
        let Error::WorkflowMissing { id, deleted: false } = &error else { return error };
        if let Err(hurt) = self.index.refuse_hurt(id, &[]).await {
            return hurt;
        }
        let listed = match self.index.view().await {
            Ok(view) => view.iter().find(|entry| entry.id == *id).map(|entry| entry.generation),
            Err(unread) => return unread,
        };
        let Some(generation) = listed else { return error };
        match self.objects.head(id).await {
            // It was created after the caller read the head.
            Ok(stored) if stored.head.current.is_some() => error,
            Ok(_) => {
                let reason =
                    format!("it has no version, and the index has the workflow at generation {generation}");
                Error::HeadHurt { id: id.clone(), reason }
            }
            Err(unread) => unread,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("location", &self.gate.location())
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}
