use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use clap::Args;
use pflow_store::{Error, Expect, Loaded, SaveRequest, Saved, WorkflowId, conflict::How};
use tokio::process::Command;

use super::{
    conflict::OnConflict,
    documents::Change,
    expectation::Expectation,
    failure::{Failure, Result},
    input,
    save::{describe, warn},
    session::{Session, shown},
};

/// The variables that may name the editor. The first one that is set counts.
const EDITORS: [&str; 2] = ["VISUAL", "EDITOR"];

const MORE: &str = "\
The editor is $VISUAL, else $EDITOR. What you write is saved on top of the
generation that you were given: if the workflow changed meanwhile, that is a
conflict, as with `save --if-generation`. If you change nothing, or if the editor
fails, nothing is saved. If your text could not be saved, it stays in the file
that the message names.

Examples:
  pflow-store edit greet
  EDITOR='code --wait' pflow-store edit greet --on-conflict merge";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Edit {
    /// The workflow
    id: OsString,

    #[command(flatten)]
    expectation: Expectation,

    #[command(flatten)]
    on_conflict: OnConflict,
}

/// The file that the editor opens. It is removed only after its text was saved or if it was not changed.
struct Draft(PathBuf);

impl Edit {
    /// Edits the content, and saves it if it changed.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let editor = editor()?;
        let store = session.open().await?;
        let lease = self.expectation.lease(&id)?;
        if let Some(expect) = self.expectation.given() {
            let head = session.reading(store.show(&id)).await?;
            expect.check(&head).map_err(Error::from)?;
        }
        let loaded = session.reading(store.load(&id)).await?;
        let draft = Draft::new(&id, &loaded, &session.environment.new_id())?;
        let edited = match draft.edit(session, &id, &editor).await {
            Ok(edited) => edited,
            Err(failure) => return Err(draft.refused(failure, &loaded)),
        };
        if edited == *loaded.content {
            draft.remove(session);
            let generation = loaded.record.generation;
            let text = format!("{id}: unchanged at generation {generation}");
            return session.answer(&text, &Change::unchanged(&id, &loaded));
        }
        let expect = Expect::Generation(loaded.record.generation);
        let mut request = SaveRequest::new(id, edited, expect).format(loaded.format());
        if let Some(message) = &self.expectation.message {
            request = request.message(message.as_str());
        }
        if let Some(lease) = lease {
            request = request.lease(lease);
        }
        let saved = match self.save(session, request).await {
            Ok(saved) => saved,
            Err(failure) => return Err(draft.refused(failure, &loaded)),
        };
        warn(session.output, &saved);
        match saved.resolved.as_ref().and_then(|resolved| resolved.how.as_ref()) {
            Some(How::Theirs) => {
                session.output.insist(&format!("your text was not saved; it is in {}", shown(&draft.0)));
            }
            _ => draft.remove(session),
        }
        session.answer(&describe(&saved), &Change::of(&saved, None))
    }

    async fn save(&self, session: &Session<'_>, request: SaveRequest) -> Result<Saved> {
        let store = session.open().await?;
        let decider = self.on_conflict.decider(session, &store)?;
        let request = request
            .resolver(decider.resolver.clone())
            .lock_timeout(decider.lock_timeout)
            .cancelled_by(session.signals.stop());
        let what = "the save of your text".to_owned();
        let saved = session.trying(what, None, store.save(request)).await?;
        decider.judge(&store, saved).await
    }
}

impl Draft {
    /// Creates a file with the content that only this user may read.
    fn new(id: &WorkflowId, loaded: &Loaded, nonce: &str) -> Result<Self> {
        let generation = loaded.record.generation;
        let name = loaded.format().map_or("bin", |format| format.media_type().file_name());
        let (_, extension) = name.split_once('.').unwrap_or_default();
        let path = env::temp_dir().join(format!("{id}.generation-{generation}.{nonce}.{extension}"));
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        created
            .and_then(|mut file| file.write_all(&loaded.content))
            .map_err(|error| Failure::file("write", shown(&path), &error))?;
        Ok(Self(path))
    }

    /// Runs the editor and returns the text that it leaves. A signal does not end the wait: the editor shares
    /// the terminal, and its text would be lost.
    async fn edit(&self, session: &Session<'_>, id: &WorkflowId, editor: &OsString) -> Result<Vec<u8>> {
        let left_behind = format!("your text in {}", shown(&self.0));
        session.signals.begin(format!("the edit of {id}"), Some(left_behind))?;
        let asking = session.signals.asking();
        let ended = run(editor, &self.0).await;
        drop(asking);
        session.signals.reset();
        let status = ended.map_err(|error| Failure::file("start", editor.display(), &error))?;
        session.signals.check()?;
        if !status.success() {
            let message = format!("the editor {} failed: {status}; nothing was changed", editor.display());
            return Err(Failure::failed(message));
        }
        input::read_regular_file(id, &self.0)
    }

    /// Adds the place of the text to the failure. If the text was not changed, its file is removed instead.
    fn refused(self, failure: Failure, loaded: &Loaded) -> Failure {
        let is_untouched = fs::read(&self.0).is_ok_and(|text| text == *loaded.content);
        if is_untouched && fs::remove_file(&self.0).is_ok() {
            return failure;
        }
        let message = format!("{}; your text is kept in {}", failure.message, shown(&self.0));
        Failure { message, ..failure }
    }

    fn remove(self, session: &Session<'_>) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            session.output.warn(&format!("Failed to remove {}: {error}", shown(&self.0)));
        }
    }
}

/// Returns the editor that the person chose. There is no default: the person might not know that editor.
fn editor() -> Result<OsString> {
    let named = EDITORS.into_iter().filter_map(env::var_os).find(|editor| !editor.is_empty());
    named.ok_or_else(|| {
        Failure::usage("no editor is named").with_hint("set VISUAL or EDITOR, for example `EDITOR=nano`")
    })
}

/// Runs the editor through a shell, because the variable may contain arguments. If stdout is not a terminal,
/// it is only for the result of this program, so the editor writes to stderr.
async fn run(editor: &OsString, file: &Path) -> io::Result<ExitStatus> {
    let mut script = editor.clone();
    script.push(" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(editor).arg(file);
    if !io::stdout().is_terminal() {
        command.stdout(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?));
    }
    command.status().await
}
