//! Plays a script on a store, and keeps book of what it answered.
//!
//! The same script makes the same calls in the same order, every time: one thread polls, one other does what
//! blocks, the first waits until the second has nothing left, and the environment stands still. So the number
//! of a call names a moment.

use std::sync::{Arc, mpsc};

use futures::{FutureExt, future::join_all};
use pflow_backend::{Batch, Commit, Environment, Error, ManualEnvironment, Outcome, Result, StorageBackend};
use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};

use super::{
    disk::{BadBlock, Simulated, Trouble},
    model::{Model, Objects},
    observe::{Seen, observe},
};
use crate::{FsBackend, FsOptions};

pub(crate) const ROOT: &str = "/srv/store";

/// One thing that is done.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The folder is opened, anew if it was open.
    Open,
    /// These are committed side by side, in one group.
    Commit(Vec<Batch>),
    /// Everything is read.
    Look,
    /// The same, where somebody else may have left something that gets into place yet.
    Peek,
    /// A person writes a file, durably but for its name.
    Edit(&'static str, &'static str),
    /// A person writes a file, and syncs nothing.
    Scrawl(&'static str, &'static str),
    /// The next sync fails, and what it covers is lost.
    LoseSync,
    /// The system fails to write back every dirty file and folder except the journal, and no process is told
    /// yet.
    FailInBackground,
    /// From now on this process may not change the file with this path.
    Block(&'static str),
    /// It may change all files again.
    Unblock,
    /// A part of the medium refuses writes from now on.
    BreakBlock(BadBlock),
    /// No part does any more.
    MendBlocks,
    Close,
}

/// A runtime on which a script makes the same calls every time.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().max_blocking_threads(1).build().unwrap()
}

/// A process with a store.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) medium: Arc<Simulated>,
    environment: Arc<dyn Environment>,
    options: FsOptions,
    pub(crate) backend: Option<Arc<FsBackend>>,
    pub(crate) model: Model,
    /// Of what was answered, a letter for each.
    pub(crate) answers: String,
    /// Whether an error means the end, but for those that something was done for.
    pub(crate) mortal: bool,
    forgiven: usize,
    /// Whether opening makes the folder.
    pub(crate) creates: bool,
}

/// Why a script ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It died, or met this error.
    #[allow(dead_code, reason = "a failed test shows it")]
    Died(String),
    /// What it answered is wrong.
    Wrong(String),
}

fn died(error: Error) -> End {
    End::Died(format!("{error:?}"))
}

impl Player {
    pub(crate) fn new(medium: Arc<Simulated>, seed: u64, options: &FsOptions, model: Model) -> Self {
        let environment = Arc::new(ManualEnvironment::new(seed));
        let options = options.clone();
        Self {
            medium,
            environment,
            options,
            backend: None,
            model,
            answers: String::new(),
            mortal: false,
            forgiven: 0,
            creates: true,
        }
    }

    /// Does one thing after the other.
    pub(crate) async fn play(&mut self, steps: &[Step]) -> std::result::Result<(), End> {
        for step in steps {
            let done = self.step(step).await;
            self.settle().await;
            match done {
                Ok(()) => {}
                Err(End::Died(_)) if !self.mortal => {}
                Err(End::Died(_)) if self.forgiven > 0 && !self.medium.is_dead() => self.forgiven -= 1,
                Err(end) => return Err(end),
            }
            if self.model.is_contradiction() {
                return Err(End::Wrong(format!("{step:?} contradicts what was answered before")));
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> std::result::Result<(), End> {
        match step {
            Step::Open => self.open().await.map_err(died),
            Step::Commit(batches) => self.commit(batches).await,
            Step::Look => self.look().await,
            Step::Peek => self.peek().await,
            Step::Edit(key, text) | Step::Scrawl(key, text) => {
                let is_synced = matches!(step, Step::Edit(..));
                self.medium.disk().edit(&format!("{ROOT}/{key}"), text.as_bytes(), is_synced);
                self.model.edited(key, text);
                Ok(())
            }
            Step::LoseSync => {
                self.medium.lose_the_next_sync();
                self.forgiven += 1;
                Ok(())
            }
            Step::FailInBackground => {
                self.medium.disk().fail_in_background(|path| !path.ends_with(".journal/journal"));
                self.forgiven += 1;
                Ok(())
            }
            Step::Block(path) => {
                self.medium.afflict(Trouble::Of(path, Errno::ACCESS));
                Ok(())
            }
            Step::Unblock => {
                self.medium.unblock();
                Ok(())
            }
            Step::BreakBlock(block) => {
                self.medium.disk().break_block(block.clone());
                Ok(())
            }
            Step::MendBlocks => {
                self.medium.disk().mend_blocks();
                Ok(())
            }
            Step::Close => {
                let backend = self.opened().await?;
                backend.close().await.map_err(died)?;
                self.settle().await;
                let is_at_rest = backend.waiting().await.map_err(died)?.is_empty();
                // A person's edit too.
                self.model.is_durable();
                self.look().await?;
                // One that committed nothing leaves it to others if it must.
                // What cannot be written is in the journal.
                if backend.store().has_written() && is_at_rest { self.check_files() } else { Ok(()) }
            }
        }
    }

    /// Opens the folder.
    pub(crate) async fn open(&mut self) -> Result<()> {
        self.backend = None;
        self.settle().await;
        let (options, medium) = (self.options.clone(), self.medium.clone());
        let backend =
            FsBackend::start(ROOT.into(), options, self.environment.clone(), medium, self.creates).await?;
        self.backend = Some(Arc::new(backend));
        Ok(())
    }

    async fn opened(&mut self) -> std::result::Result<Arc<FsBackend>, End> {
        if self.backend.is_none() {
            self.open().await.map_err(died)?;
        }
        self.backend.clone().ok_or(End::Died(String::new()))
    }

    async fn commit(&mut self, batches: &[Batch]) -> std::result::Result<(), End> {
        let backend = self.opened().await?;
        // All wait before the first is taken.
        let (begin, gate) = mpsc::channel::<()>();
        let gate = tokio::task::spawn_blocking(move || gate.recv().is_err());
        let mut all = Box::pin(join_all(batches.iter().map(|batch| backend.commit(batch.clone()))));
        let early = all.as_mut().now_or_never();
        drop(begin);
        let answers = match early {
            Some(answers) => answers,
            None => all.await,
        };
        gate.await.unwrap();
        let is_dead = self.medium.is_dead();
        let mut end = Ok(());
        for (batch, answer) in batches.iter().zip(answers) {
            let letter = match answer {
                Ok(Commit::Committed(_)) => {
                    self.model.committed(batch);
                    'C'
                }
                Ok(_) => {
                    self.model.refused(batch);
                    'R'
                }
                // What a dead process says nobody hears.
                Err(error) if is_dead || error.outcome() == Outcome::Unknown => {
                    end = Err(died(error));
                    self.model.unknown(batch);
                    'U'
                }
                Err(error) => {
                    end = Err(died(error));
                    'N'
                }
            };
            self.answers.push(letter);
        }
        end
    }

    async fn look(&mut self) -> std::result::Result<(), End> {
        // What is unknown and not there may come yet, until something else is committed.
        if !self.mortal {
            return self.peek().await;
        }
        let seen = self.read_everything().await?;
        self.answers.push('L');
        self.model.saw(&seen).map_err(End::Wrong)
    }

    async fn peek(&mut self) -> std::result::Result<(), End> {
        let seen = self.read_everything().await?;
        self.answers.push('P');
        self.model.peeked(&seen).map_err(End::Wrong)
    }

    async fn read_everything(&mut self) -> std::result::Result<Objects, End> {
        let keys: Vec<String> = self.model.keys().cloned().collect();
        let backend = self.opened().await?;
        observe(&backend, keys.iter()).await.map_err(|error| match error {
            Seen::Failed(error) => died(error),
            Seen::Contradiction(words) => End::Wrong(words),
        })
    }

    /// Everything is in plain files, and the journal is empty.
    fn check_files(&self) -> std::result::Result<(), End> {
        let mut files = Objects::new();
        for (path, bytes) in self.medium.disk().files() {
            let Some(below) = path.strip_prefix(ROOT).and_then(|it| it.strip_prefix('/')) else { continue };
            match below.strip_prefix(".journal/") {
                Some("journal") if !bytes.is_empty() => {
                    return Err(End::Wrong(format!("the journal has {} bytes after close", bytes.len())));
                }
                Some(_) => {}
                None => drop(files.insert(below.to_owned(), bytes.to_vec().into())),
            }
        }
        let words = |error| format!("the files after close: {error}");
        self.model.allows(&files).map_err(|error| End::Wrong(words(error)))
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settle(&self) {
        loop {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            let Some(backend) = &self.backend else { return };
            let queue = &backend.store().queue;
            let follows = !queue.begin_following();
            if !follows {
                queue.end_following();
            }
            if !follows && !queue.activity().1 {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}
