//! `save-all`: saves a batch of files, with one result for each.

mod files;
mod report;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use clap::Args;
use futures::StreamExt;
use pflow_store::{Expect, SaveRequest, Saved, WorkflowId, document::DocumentFormat};

use super::{
    conflict::{Decider, OnConflict},
    expectation::{HeldLease, expect},
    failure::{Failure, Result},
    input,
    session::Session,
    signals::Signals,
};
use files::{Expanded, File, IdFrom, Naming, Unusable, expand};
use report::Report;

const MORE: &str = "\
The name of a file without `.pflow.md` or `.json` is the id: 1 to 100 of a-z,
0-9, `-`, `_` and `.`, beginning with a letter or digit. For any other name a
similar id is offered, which `--rename` accepts. From a folder every `*.pflow.md`
and `*.json` is saved, except hidden files. Sub folders are searched only with `--id-from path`. Links to
files are followed, and what is not a regular file is skipped.

Each save is independent: if one fails, the others continue and the exit code
is 3. PFLOW_LEASE is used for the workflow that PFLOW_WORKFLOW names, as in
`lock run`.

Examples:
  pflow-store save-all plans/
  pflow-store save-all plans/ --id-from path --rename
  pflow-store save-all *.pflow.md --tag etl --if-generation 0";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct SaveAll {
    /// Folders and files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,

    /// The source of the ids
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    id_from: IdFrom,

    /// If a name is no valid id, save under the similar id that is offered
    #[arg(long)]
    rename: bool,

    /// A tag for all workflows, instead of those in the documents; repeat it for more
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Only workflows at generation N; 0: only those that do not exist
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,

    /// Why, for the history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,

    #[command(flatten)]
    on_conflict: OnConflict,

    /// What the documents are; by default it is detected for each. `save --help` lists the formats
    #[arg(long, value_name = "FORMAT", value_parser = input::formats())]
    format: Option<DocumentFormat>,
}

/// The files that were read, in their order, each with the reason why it cannot be used, if there is one. The
/// reader of the files adds entries, and the loop over the results removes them.
type Begun = Arc<Mutex<VecDeque<(PathBuf, Option<Unusable>)>>>;

/// Reads the files one after the other when the saves ask for them, so that only the documents that are being
/// saved are in memory. It blocks the calling thread: running saves continue on the threads that write.
struct Requests {
    files: std::vec::IntoIter<File>,
    begun: Begun,
    signals: Signals,
    tags: Vec<String>,
    format: Option<DocumentFormat>,
    expect: Expect,
    message: Option<String>,
    lease: HeldLease,
    decider: Decider,
}

impl SaveAll {
    /// Saves every file.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let store = session.open().await?;
        let paths = self.paths;
        let naming = Naming { id_from: self.id_from, rename: self.rename };
        let expanding = tokio::task::spawn_blocking(move || expand(&paths, naming));
        let expanded = session.signals.unless(expanding).await?;
        let Expanded { files, skipped } =
            expanded.unwrap_or_else(|_| Err(Failure::failed("Failed to look into the folders")))?;
        if files.is_empty() {
            session.output.note("no `*.pflow.md` and no `*.json` there; nothing to do");
        }
        let mut report = Report::new(session, files.len(), skipped);
        let begun = Begun::default();
        let requests = Requests {
            files: files.into_iter(),
            begun: Arc::clone(&begun),
            signals: session.signals.clone(),
            tags: self.tags,
            format: self.format,
            expect: self.if_generation.map_or(Expect::Any, expect),
            message: self.message,
            lease: HeldLease::from_environment(),
            decider: self.on_conflict.decider_of_many(session, &store)?,
        };
        session.signals.begin("the batch".to_owned(), None)?;
        let mut saves = std::pin::pin!(store.save_all(requests));
        while let Some((_, saved)) = saves.next().await {
            settle(&begun, Some(saved), &mut report);
        }
        settle(&begun, None, &mut report);
        session.signals.end();
        report.finish()
    }
}

/// Reports the unusable files before the one that `saved` belongs to, and then that one.
fn settle(begun: &Begun, saved: Option<pflow_store::Result<Saved>>, report: &mut Report<'_>) {
    while let Some((path, unusable)) = first(begun) {
        match unusable {
            Some(Unusable::Name { name, offered }) => {
                report.misnamed(&path, &name, offered.as_ref());
                continue;
            }
            Some(Unusable::Other(failure)) => {
                report.failed(&path, failure);
                continue;
            }
            None => {}
        }
        match saved {
            Some(Ok(saved)) => report.saved(&path, &saved),
            Some(Err(error)) => report.failed(&path, error.into()),
            None => {}
        }
        return;
    }
}

fn first(begun: &Begun) -> Option<(PathBuf, Option<Unusable>)> {
    begun.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

impl Iterator for Requests {
    type Item = SaveRequest;

    fn next(&mut self) -> Option<SaveRequest> {
        loop {
            if self.signals.caught().is_some() {
                return None;
            }
            let File { path, id } = self.files.next()?;
            let request = id.and_then(|id| self.request(id, &path).map_err(Unusable::Other));
            let (request, unusable) = match request {
                Ok(request) => (Some(request), None),
                Err(unusable) => (None, Some(unusable)),
            };
            self.begun.lock().unwrap_or_else(PoisonError::into_inner).push_back((path, unusable));
            if request.is_some() {
                return request;
            }
        }
    }
}

impl Requests {
    fn request(&self, id: WorkflowId, path: &Path) -> Result<SaveRequest> {
        let content = input::read_regular_file(&id, path)?;
        let lease = self.lease.named(&id)?;
        let mut request = SaveRequest::new(id, content, self.expect)
            .format(self.format.or_else(|| input::format_of(path)))
            .resolver(self.decider.resolver.clone())
            .lock_timeout(self.decider.lock_timeout)
            .cancelled_by(self.signals.stop());
        if !self.tags.is_empty() {
            request = request.tags(self.tags.iter().cloned());
        }
        if let Some(message) = &self.message {
            request = request.message(message.clone());
        }
        if let Some(lease) = lease {
            request = request.lease(lease);
        }
        Ok(request)
    }
}
