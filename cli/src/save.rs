use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueEnum};
use pflow_store::{
    Error, LeaseId, LeaseRequest, SaveRequest, Saved,
    document::{DocumentFormat, MediaType, markdown},
};

use super::{
    conflict::{OnConflict, describe_outcome, tell},
    documents::Change,
    expectation::Expectation,
    failure::{Result, with_causes},
    input,
    output::Output,
    session::Session,
    time::Ttl,
};
use crate::leases::granted;

const MORE: &str = "\
Examples:
  pflow-store save greet greet.pflow.md                   create it, or save over what is there
  pflow-store save greet greet.pflow.md --if-generation 3 only on top of generation 3 (else exit 13)
  pflow-store save greet greet.pflow.md --if-generation 0 only if there is none yet
  generate | pflow-store save greet -m 'nightly run'      from a pipe
  pflow-store save greet greet.pflow.md --hold --ttl 30m  and keep it locked for half an hour
  pflow-store save greet greet.pflow.md --if-generation 3 --on-conflict merge
                                                          with what others changed since 3
  pflow-store save chat n8n-export.json --format other-json
                                                          another tool's JSON, as it is

The format is detected, unless --format names it:
  markdown    pflow's markdown, checked as pflow checks it
  ir          complete IR of pflow: `ir_version` and a node are required
  json        a workflow in JSON; what it has is checked
  other-json  a JSON object of another tool; no rule of pflow applies
  opaque      any bytes; nothing is checked

A name, description or tag that you give is kept for later versions, whatever
their documents say, until you give another one or --clear it. A value from a
document is dropped when the next document does not have it.

On a terminal you are asked about a conflict. Elsewhere the save fails, unless
--on-conflict decides:
  fail      report it
  wait      wait for a lock, report anything else
  ours      save on top of what is there, which stays in the history
  theirs    leave what is there
  merge     save the changes of both sides; overlaps are reported
  override  as ours, and take locks away";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Save {
    /// The workflow
    id: OsString,

    /// The file of the document; `-` or none for stdin
    file: Option<PathBuf>,

    #[command(flatten)]
    about: About,

    #[command(flatten)]
    expectation: Expectation,

    #[command(flatten)]
    on_conflict: OnConflict,

    #[command(flatten)]
    lock: HoldLock,

    /// What the document is; by default it is detected
    #[arg(long, value_name = "FORMAT", value_parser = input::formats())]
    format: Option<DocumentFormat>,
}

/// The metadata that is given beside the document.
#[derive(Debug, Args)]
struct About {
    /// The title, instead of the one in the document; '' for none
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// What the workflow is for, instead of the text in the document; '' for none
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// A tag, instead of those in the document; repeat it for more, '' for none
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Take this field from the document again; repeat it for more
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    clear: Vec<Field>,
}

/// A field that can be given beside the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Field {
    Name,
    Description,
    Tags,
}

/// The lock that is taken along with the save.
#[derive(Debug, Args)]
struct HoldLock {
    /// Take the lock along with the save
    #[arg(long)]
    hold: bool,

    /// How long the lock lasts unless it is released
    #[arg(long, value_name = "DURATION", default_value = "1h", requires = "hold")]
    ttl: Ttl,

    /// What the lock is for, as `lock show` prints it
    #[arg(long, value_name = "TEXT", default_value = "save", requires = "hold")]
    operation: String,
}

impl Save {
    /// Saves the document.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let content = input::document(session, &id, self.file.as_deref()).await?;
        let doubtful = doubtful(&content);
        let decider = self.on_conflict.decider(session, &store)?;
        let mut request = SaveRequest::new(id.clone(), content, self.expectation.expect())
            .format(self.format.or_else(|| self.file.as_deref().and_then(input::format_of)))
            .resolver(decider.resolver.clone())
            .lock_timeout(decider.lock_timeout)
            .cancelled_by(session.signals.stop());
        request = self.about.apply(request);
        let lease = self.expectation.lease(&id)?;
        if let Some(message) = self.expectation.message {
            request = request.message(message);
        }
        if let Some(lease) = lease {
            request = request.lease(lease);
        }
        let mut left_behind = None;
        if self.lock.hold {
            // Chosen here, so that a message can name the lease even if the reply is lost.
            let lease = LeaseId::parse(session.environment.new_id()).map_err(Error::from)?;
            left_behind = Some(format!("the lease {lease}; see `lock show {id}`"));
            request =
                request.hold(LeaseRequest::new(self.lock.operation, self.lock.ttl.0).id(lease).detached());
        }
        let saved = session.trying(format!("the save of {id}"), left_behind, store.save(request)).await?;
        let saved = decider.judge(&store, saved).await?;
        warn(session.output, &saved);
        let is_markdown =
            saved.record.media_type.known().is_ok_and(|known| known == MediaType::PflowMarkdown);
        for text in doubtful.iter().filter(|_| is_markdown) {
            session.output.warn(&format!("{id}: {text}"));
        }
        let mut held = saved.lease.as_ref().filter(|_| self.lock.hold);
        if let Some(lease) = held
            && session.give_back_if_interrupted(&store, &saved.id, &lease.id).await
        {
            held = None;
        }
        if self.lock.hold && saved.lease.is_none() {
            session.output.warn(&format!(
                "{} is not locked: what you saved is not what is there, so nothing was taken",
                saved.id
            ));
        }
        let mut text = describe(&saved);
        if let Some(lease) = held {
            text = format!("{text}\n{}", granted(&saved.id, lease));
        }
        session.answer(&text, &Change::of(&saved, held))
    }
}

/// What is probably a mistake in a workflow in pflow's markdown; nothing for other documents.
fn doubtful(content: &[u8]) -> Vec<String> {
    let workflow = std::str::from_utf8(content).ok().and_then(|text| markdown::parse(text).ok());
    let warnings = workflow.map(|workflow| workflow.warnings).unwrap_or_default();
    warnings.iter().map(ToString::to_string).collect()
}

impl About {
    fn apply(self, mut request: SaveRequest) -> SaveRequest {
        for field in self.clear {
            request = match field {
                Field::Name => request.clear_name(),
                Field::Description => request.clear_description(),
                Field::Tags => request.clear_tags(),
            };
        }
        if let Some(name) = self.name {
            request = request.name(name);
        }
        if let Some(description) = self.description {
            request = request.description(description);
        }
        if !self.tags.is_empty() {
            // An empty tag adds no tag, so a single empty tag removes all tags.
            request = request.tags(self.tags.into_iter().filter(|tag| !tag.is_empty()));
        }
        request
    }
}

/// Describes the result: `greet: generation 3 (sha256:…)`.
pub(super) fn describe(saved: &Saved) -> String {
    let (id, generation) = (&saved.id, saved.generation);
    let outcome = describe_outcome(saved);
    match saved.hash {
        _ if saved.unchanged => format!("{id}: unchanged at generation {generation}{outcome}"),
        Some(hash) => format!("{id}: generation {generation} ({hash}){outcome}"),
        None => format!("{id}: generation {generation} (deleted){outcome}"),
    }
}

/// Warns of what failed after the change was saved.
pub(super) fn warn(output: &Output, saved: &Saved) {
    tell(output, saved);
    if let Some(error) = &saved.copy_error {
        let text = "is changed, but its copy for people could not be refreshed";
        output.warn(&format!("{} {text}: {}", saved.id, with_causes(error)));
    }
    if let Some(error) = &saved.index_error {
        let text = "is changed and listed, but the index was not folded";
        output.warn(&format!("{} {text}: {}", saved.id, with_causes(error)));
    }
}
