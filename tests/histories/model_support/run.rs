use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt;
use pflow_store::backend::{
    Commit, Error, ErrorKind, Outcome, Position, Result, StorageBackend, Version, WriteKind,
};

use super::{
    FLAT, NESTED, VERSIONS,
    looks::key,
    model::{Answer, Model, Rules},
    steps::{Change, Step},
    world::{Body, Name, Write},
};
use pflow_testkit::{
    Kind, Site,
    child::{files, unfinished},
};

/// A storage with two handles, and the model of it.
pub(crate) struct Run {
    pub(super) site: Site,
    pub(super) handles: [Arc<dyn StorageBackend>; 2],
    pub(super) names: [Name; 8],
    pub(super) model: Model,
    /// The body of each version that a reply named.
    pub(super) versions: BTreeMap<Version, Body>,
}

impl Run {
    pub(crate) async fn new(kind: Kind) -> Self {
        let site = Site::new(kind).await;
        let handles = [site.raw.clone(), site.other_handle().await];
        let capabilities = handles[0].capabilities();
        let rules = Rules {
            atomic_batch: capabilities.atomic_batch,
            judged_first: capabilities.exact_conflicts,
            copies_follow: matches!(kind, Kind::Disk | Kind::Bucket),
        };
        // A bucket may accept a name together with names below it, but need not, so it is not tested.
        let names = if kind == Kind::Bucket { FLAT } else { NESTED };
        Self { site, handles, names, model: Model::new(rules), versions: BTreeMap::new() }
    }

    pub(crate) async fn take(&mut self, handle: usize, step: &Step) {
        match step {
            Step::Commit(changes) => self.commit(handle, changes, false).await,
            Step::Drop(changes) => {
                let (open, without_handle) = self.model.open_flights();
                // A request to a server may be applied even after a close, which the model does not cover.
                let waits = self.site.kind == Kind::Bucket || open > 1 || without_handle > 0;
                self.commit(handle, changes, !waits).await;
            }
            Step::Get(at) => self.get(handle, self.names[*at]).await,
            Step::Stat(at) => self.stat(handle, self.names[*at]).await,
            Step::List(below, after) => {
                let below = below.and_then(|at| self.names[at].rsplit_once('/')).map(|(folder, _)| folder);
                self.list(handle, below, after.map(|at| self.names[at])).await;
            }
            Step::Close => self.close(handle).await,
            Step::Reopen => {
                self.close(handle).await;
                self.handles[handle] = self.site.other_handle().await;
            }
            Step::Forget => {
                if self.model.open_flights().0 > 1 {
                    self.close(handle).await;
                }
                self.handles[handle] = self.site.other_handle().await;
                self.model.forgotten(handle);
            }
        }
    }

    async fn close(&mut self, handle: usize) {
        self.handles[handle].close().await.unwrap();
        self.model.closed(handle);
    }

    async fn commit(&mut self, handle: usize, changes: &[Vec<Change>], dropped: bool) {
        if self.site.kind == Kind::Bucket {
            // A late copy of one handle could replace what the other handle writes.
            self.close(1 - handle).await;
        }
        let (stages, batch) = self.batch(handle, changes).await;
        let backend = self.handles[handle].clone();
        let mut committing = backend.commit(batch.clone());
        let answer = match dropped {
            true => match (&mut committing).now_or_never() {
                Some(answer) => answer,
                None => return self.model.dropped(handle, &stages),
            },
            false => committing.await,
        };
        if let Err(refused) = batch.check(&backend.capabilities()) {
            let error = answer.unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (refused.kind(), refused.outcome()));
            return;
        }
        let told = self.told(handle, &stages, &answer).await;
        let explained = self.model.committed(handle, &stages, &told);
        assert!(explained, "{stages:#?} was answered by {answer:?}\n{}", self.model);
    }

    /// Checks the versions of a reply and converts the reply for the model.
    async fn told(&mut self, handle: usize, stages: &[Vec<Write>], answer: &Result<Commit>) -> Answer {
        match answer {
            Ok(Commit::Committed(versions)) => {
                for (stage, writes) in stages.iter().enumerate() {
                    for (operation, write) in writes.iter().enumerate() {
                        let version = versions.get(Position { stage, operation });
                        match (write.body, version) {
                            (Some(body), Some(version)) => self.is_named(version, body),
                            (Some(_), None) => {
                                assert_eq!(write.kind, WriteKind::Copy, "no version of {write:?}")
                            }
                            (None, version) => assert_eq!(version, None, "{write:?}"),
                        }
                    }
                }
                Answer::Committed
            }
            Ok(Commit::Conflict(conflict) | Commit::Overtaken(conflict)) => {
                let exact = self.handles[handle].capabilities().exact_conflicts;
                assert!(!exact || matches!(answer, Ok(Commit::Conflict(_))), "{answer:?}");
                let name = stages[conflict.at.stage][conflict.at.operation].key;
                if !self.names_by_content() && conflict.current.is_some() {
                    self.get(handle, name).await;
                }
                let current = conflict.current.as_ref().map(|version| {
                    let body = VERSIONS.iter().position(|it| it == version).map(|at| at as Body);
                    let body = body.filter(|_| self.names_by_content());
                    body.unwrap_or_else(|| *self.versions.get(version).unwrap())
                });
                Answer::Refused { at: conflict.at, current, applied: conflict.applied }
            }
            Err(error) => Answer::NoPlace { applied: applied(error) },
        }
    }

    /// Closes the handles and checks that a new handle reads everything, and that a disk holds plain files.
    pub(crate) async fn end(mut self) {
        for handle in [0, 1] {
            self.close(handle).await;
        }
        let under_way = self.model.open_flights().0 > 0;
        self.handles[0] = self.site.other_handle().await;
        self.list(0, None, None).await;
        let mut objects = BTreeMap::new();
        for name in self.names {
            self.get(0, name).await;
            let object = self.handles[0].get(&key(name)).await.unwrap();
            objects.extend(object.map(|object| (name.to_owned(), object.bytes.to_vec())));
        }
        self.close(0).await;
        if let (Some(folder), false) = (self.site.folder(), under_way) {
            assert_eq!(files(folder), objects);
            assert_eq!(unfinished(folder), [""; 0]);
        }
    }
}

/// Returns how many stages were applied. Panics unless the error is the only one that may happen: a name
/// would be an object and a folder at once.
fn applied(error: &Error) -> usize {
    match (error.kind(), error.outcome()) {
        (ErrorKind::InvalidInput, Outcome::NotApplied { applied }) => applied,
        _ => panic!("{error:?}"),
    }
}
