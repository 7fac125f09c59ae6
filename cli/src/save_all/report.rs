//! Reports the results of a batch: one line for each file when it is done, or one document at the end.

use std::{
    io,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pflow_store::{Saved, WorkflowId};
use serde_json::Value;

use crate::{
    documents::{Batch, Counts, FileResult, Skipped},
    failure::{Failure, Result},
    hint::ID_RULE,
    save::{describe, warn},
    session::{Session, shown},
};

pub(super) struct Report<'a> {
    session: &'a Session<'a>,
    bar: ProgressBar,
    files: usize,
    counts: Counts,
    /// The results so far, if `--json` is set.
    results: Vec<Value>,
    /// The paths that were skipped in folders, and what they are.
    skipped: Vec<(PathBuf, &'static str)>,
    /// How many names are no valid ids, and for how many of them an id was offered.
    misnamed: usize,
    offered: usize,
    /// The error of writing to stdout. The saves go on, because the outcome of an abandoned save is unknown.
    unwritten: Option<io::Error>,
}

impl<'a> Report<'a> {
    pub(super) fn new(session: &'a Session<'a>, files: usize, skipped: Vec<(PathBuf, &'static str)>) -> Self {
        for (path, what) in &skipped {
            session.output.warn(&format!("skipped {}: it is {what}, not a regular file", shown(path)));
        }
        let bar = if session.output.shows_progress() && files > 1 {
            let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr());
            bar.set_style(style());
            bar
        } else {
            ProgressBar::hidden()
        };
        let (counts, results) = (Counts::default(), Vec::new());
        Self { session, bar, files, counts, results, skipped, misnamed: 0, offered: 0, unwritten: None }
    }

    pub(super) fn saved(&mut self, path: &Path, saved: &Saved) {
        if saved.unchanged {
            self.counts.unchanged += 1;
        } else {
            self.counts.saved += 1;
        }
        let output = self.session.output;
        if output.is_json() {
            self.keep(&FileResult::saved(shown(path), saved));
        } else {
            let line = format!("{}\n", describe(saved));
            let written = self.bar.suspend(|| output.data(line.as_bytes()));
            self.unwritten = self.unwritten.take().or(written.err());
        }
        self.bar.suspend(|| warn(output, saved));
        self.bar.inc(1);
    }

    pub(super) fn failed(&mut self, path: &Path, failure: Failure) {
        self.refused(path, failure, None);
    }

    /// Reports a file whose name is no valid id.
    pub(super) fn misnamed(&mut self, path: &Path, name: &str, offered: Option<&WorkflowId>) {
        self.misnamed += 1;
        self.offered += usize::from(offered.is_some());
        let offer = offered.map_or_else(String::new, |id| format!("; `{id}` would be one"));
        let failure = Failure::refused(format!("{name:?} is no workflow id{offer}"));
        let failure = failure.with_hint(if offered.is_some() {
            "accept it with `--rename`"
        } else {
            "rename the file"
        });
        self.refused(path, failure, offered);
    }

    fn refused(&mut self, path: &Path, failure: Failure, offered_id: Option<&WorkflowId>) {
        self.counts.failed += 1;
        let output = self.session.output;
        if output.is_json() {
            self.keep(&FileResult::refused(shown(path), &failure, offered_id));
        } else {
            // A hint for each of a thousand files would hide the reasons.
            let message = format!("{}: {}", shown(path), failure.message);
            let failure = Failure { message, hint: None, ..failure };
            self.bar.suspend(|| output.failure(&failure));
        }
        self.bar.inc(1);
    }

    /// Prints the totals.
    pub(super) fn finish(self) -> Result<()> {
        self.bar.finish_and_clear();
        let Counts { saved, unchanged, failed } = self.counts;
        let done = saved + unchanged + failed;
        let left_out = self.files - done;
        let sum = format!("{saved} saved, {unchanged} unchanged, {failed} failed");
        let output = self.session.output;
        let written = match self.unwritten {
            Some(error) => Err(error),
            None if output.is_json() => {
                let skipped = self.skipped.iter().map(|(path, what)| Skipped {
                    file: shown(path),
                    reason: format!("it is {what}, not a regular file"),
                });
                let (counts, skipped) = (self.counts, skipped.collect());
                output.document(&Batch { counts, left_out, skipped, results: &self.results })
            }
            None => Ok(()),
        };
        written.map_err(|error| Failure::unwritten(&error, true))?;
        match self.session.signals.caught() {
            Some(signal) if left_out > 0 => {
                let message = format!("interrupted after {done} of {}: {sum}", self.files);
                Err(Failure::interrupted(signal, message))
            }
            _ if failed > 0 => {
                let message = format!("{failed} of {} failed ({sum})", self.files);
                Err(Failure::batch(message).with_hint(hint(self.misnamed, self.offered)))
            }
            _ => {
                output.note(&sum);
                Ok(())
            }
        }
    }

    fn keep(&mut self, result: &FileResult<'_>) {
        self.results.extend(serde_json::to_value(result).ok());
    }
}

fn hint(misnamed: usize, offered: usize) -> String {
    let mut hint = "the others are saved; mend these and save them again".to_owned();
    if misnamed > 0 {
        hint = format!("{hint}; {ID_RULE}");
    }
    if offered > 0 {
        hint = format!("{hint}; `--rename` accepts the ids that are offered");
    }
    hint
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {pos}/{len} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
