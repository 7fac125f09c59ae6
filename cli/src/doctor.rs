use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use clap::Args;
use pflow_store::fs::{FsBackend, FsOptions, HeldLock};
use pflow_store::{
    Error, Location,
    backend::probe::{Check, Depth, Verdict},
    health::Diagnosis,
};

use super::{
    documents::{self, Checked},
    failure::{Failure, Result, with_causes},
    output::printable,
    session::Session,
    table::table,
};

pub(super) const MORE: &str = "\
Tests on the storage itself what a store needs. It writes below a name of its own and deletes what it wrote. It works
before there is a store. If a check is BROKEN, the storage cannot hold a store (exit 15). A warning is for you to judge.
The first check that is BROKEN or UNCLEAR is the last one. For a server the verdict is recorded in the store, and every
program that writes relies on it. A bucket with versions keeps 28 versions and 16 delete markers of each run below
ops/probe, with --thorough 260 and 132.";

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look longer: about 2,200 requests instead of 100
    #[arg(long)]
    thorough: bool,
}

/// The two answers of the second process: whether the lock is held.
const HELD: &str = "held";
const FREE: &str = "free";
/// How often this process tries to take the lock, and the pause in between. Another process may hold it for a
/// moment.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// The second process of `doctor`. It tries to take a lock that the first one holds.
#[derive(Debug, Args)]
pub(super) struct DoctorLock {
    /// The folder
    folder: PathBuf,
}

impl Doctor {
    /// Probes the storage and prints what was found.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        run(session, &if self.thorough { Depth::thorough() } else { Depth::default() }).await
    }
}

async fn run(session: &Session<'_>, depth: &Depth) -> Result<()> {
    let location = session.location()?;
    let what = format!("the probe of {location}");
    let left_behind = Some("objects below ops/probe, which are harmless".to_owned());
    let probing = async {
        let mut diagnosis = session.at(&location).any_file_system(true).doctor(depth).await?;
        if let Location::Folder(folder) = &location {
            let checks = &mut diagnosis.report.checks;
            let behind =
                checks.iter().position(|check| check.name == "lock").map_or(checks.len(), |at| at + 1);
            checks.insert(behind, between_processes(session, folder).await?);
        }
        Ok(diagnosis)
    };
    let diagnosis = session.changing(what, left_behind, probing).await?;
    session.answer(&describe(&diagnosis), &documents::Diagnosis::of(&diagnosis))?;
    Ok(diagnosis.check()?)
}

/// Returns options that accept any file system: `doctor` reports what is wrong with it.
fn any() -> FsOptions {
    FsOptions::new().any_file_system(true)
}

/// Checks that a lock that this process holds is refused to another process. This check is in the program,
/// because the library cannot start a second process of itself.
async fn between_processes(session: &Session<'_>, folder: &Path) -> std::result::Result<Check, Error> {
    let backend = any().open(folder, session.environment.clone()).await.map_err(Error::Storage)?;
    let verdict = match held(session, &backend).await? {
        None => Verdict::Unclear("Another process held the lock all the time".to_owned()),
        Some(held) => {
            let root = backend.root().to_owned();
            let said = tokio::task::spawn_blocking(move || ask_a_second_process(&root)).await;
            drop(held);
            said.unwrap_or_else(|error| Verdict::Unclear(format!("The second process was lost: {error}")))
        }
    };
    Ok(Check::new(
        "lock-between-processes",
        "A lock that one process holds is given to no other one",
        true,
        verdict,
    ))
}

async fn held(session: &Session<'_>, backend: &FsBackend) -> std::result::Result<Option<HeldLock>, Error> {
    for _ in 0..TRIES {
        if let Some(held) = backend.try_hold().await.map_err(Error::Storage)? {
            return Ok(Some(held));
        }
        session.environment.sleep(PAUSE).await;
    }
    Ok(None)
}

fn ask_a_second_process(folder: &Path) -> Verdict {
    let answered = std::env::current_exe().and_then(|program| {
        let mut second = Command::new(program);
        second.arg("__doctor-lock").arg("--").arg(folder).stdin(Stdio::null()).output()
    });
    let said = match &answered {
        Ok(output) => String::from_utf8_lossy(&output.stdout),
        Err(error) => return Verdict::Unclear(format!("No second process could be started: {error}")),
    };
    match said.trim() {
        HELD => Verdict::Kept("a second process was refused while it was held".to_owned()),
        FREE => Verdict::Broken("It gave one lock to two processes at the same time".to_owned()),
        _ => Verdict::Unclear("The second process could not ask for the lock".to_owned()),
    }
}

impl DoctorLock {
    /// Prints whether the lock of the folder is held.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let asked = async {
            let backend = any().open(&self.folder, session.environment.clone()).await?;
            Ok(if backend.try_hold().await?.is_some() { FREE } else { HELD })
        };
        let said = asked.await.map_err(|error| Failure::failed(with_causes(&Error::Storage(error))))?;
        session.bytes(said.as_bytes())
    }
}

fn describe(diagnosis: &Diagnosis) -> String {
    let report = &diagnosis.report;
    let rows = report.checks.iter().map(|check| {
        let Checked { name, verdict, detail, required, .. } = Checked::of(check);
        let word = match (verdict, required) {
            ("kept", _) => "ok",
            ("broken", true) => "BROKEN",
            ("unclear", true) => "UNCLEAR",
            _ => "warning",
        };
        [name.to_owned(), word.to_owned(), printable(detail).into_owned()]
    });
    let rows = table(["CHECK", "VERDICT", "WHAT WAS SEEN"], rows);
    let place = diagnosis.place.as_ref().unwrap_or(&diagnosis.location);
    let state = if report.is_safe() {
        "keeps what a store needs"
    } else if report.broken().is_empty() {
        "may or may not keep what a store needs"
    } else {
        "does not keep what a store needs"
    };
    let mut text = format!("{rows}\n{} {state}", printable(place));
    if let Some(reason) = &report.left_behind {
        text.push_str(&format!("\nobjects of the probe are left below ops/probe: {}", printable(reason)));
    }
    text
}
