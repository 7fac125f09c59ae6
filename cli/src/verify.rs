use clap::Args;
use pflow_store::{
    Store,
    fs::LostTail,
    health::{Finding, Report, Severity},
};

use super::{
    confirm,
    documents::{FailedRepair, PlannedLoss, Verified, severity},
    failure::{Failure, Result},
    hint,
    output::printable,
    repair_heads::{Repaired, repair},
    session::{Opened, Session},
};

const MORE: &str = "\
DAMAGE: something is lost or contradictory (exit 14). NOTICE: a crash or a person left something behind, and nothing is lost.

`--repair` moves the head of a workflow that was removed, replaced by an older state, emptied or damaged to the newest version that
descends from it, if that version was certainly current. If there are several, or if it is not certain, choose one with `--take`.
Versions and edits of working copies are not changed. A lease on the workflow is taken away.
`--repair` also corrects each working copy and workflow.lock that a crash or a late request left different from the head.

`--repair --accept-tail` opens a store whose journal is damaged without the saves that cannot be read, and lists them. They are then
lost, so it asks first. With `-n` it only lists them.

Examples:
  pflow-store verify
  pflow-store verify --repair -n                     what would be moved
  pflow-store verify --repair -y
  pflow-store verify --repair --take 01hm6aqh20fqaswn6q70mqyxxe
  pflow-store verify --repair --accept-tail -n       what would be given up";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Verify {
    /// Move the heads of workflows that were lost, and bring copies in line
    #[arg(long)]
    repair: bool,

    /// If a workflow has several newest versions, take this one; may be repeated
    #[arg(long, value_name = "VERSION-ID", requires = "repair")]
    take: Vec<String>,

    /// Go on without the end of a damaged journal, and name what is lost
    #[arg(long, requires = "repair")]
    accept_tail: bool,

    /// Print what would be moved or given up, and change nothing
    #[arg(short = 'n', long, requires = "repair")]
    dry_run: bool,

    /// Do not ask
    #[arg(short, long, requires = "repair")]
    yes: bool,
}

impl Verify {
    /// Repairs what the flags ask for, verifies the store, and prints what was repaired and found.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let (store, lost) = match self.accept_tail {
            true => self.open_without_tail(session).await?,
            false => (session.open().await?, None),
        };
        let repaired = if self.repair {
            let mut done = repair(session, &store, &self.take, self.dry_run, self.yes).await?;
            if let Some(failure) = done.take_failure() {
                session.answer(&done.describe().join("\n"), &FailedRepair { repair: done.document() })?;
                return Err(failure);
            }
            Some(done)
        } else {
            None
        };
        let mut report = session.reading(store.verify()).await?;
        let given_up = lost.map(|lost| {
            let reason = format!("given up: {lost}; a copy of the damaged journal is in .journal/quarantine");
            Finding::new(Severity::Notice, ".journal/journal", reason)
        });
        report.findings.splice(0..0, given_up);
        let mut lines = repaired.as_ref().map(Repaired::describe).unwrap_or_default();
        lines.push(describe(&report));
        let document = Verified::of(&report, repaired.as_ref().map(Repaired::document));
        session.answer(&lines.join("\n"), &document)?;
        judge(&report, repaired.as_ref())
    }
}

impl Verify {
    /// Opens the store. If its journal lost records, this asks whether to go on without them. If the person
    /// says no, nothing is changed and the error is the one that the store is refused with.
    async fn open_without_tail(&self, session: &Session<'_>) -> Result<(Store, Option<LostTail>)> {
        if self.yes && !self.dry_run {
            return session.open_without_tail().await;
        }
        let (lost, refusal) = match session.open_or_tail().await? {
            Opened::Whole(store) => return Ok((store, None)),
            Opened::Damaged { lost, refusal } => (lost.to_string(), refusal),
        };
        let planned = printable(&format!("TAIL    would be given up: {lost}")).into_owned();
        if self.dry_run {
            session.answer(&planned, &PlannedLoss { dry_run: true, would_give_up: &lost })?;
            return Err(refusal);
        }
        if !session.output.is_json() {
            session.output.note(&planned);
        }
        let question = "Permanently give up what cannot be read? [y/N] ";
        if confirm::ask(session, "give up what the journal lost", "give it up", question).await? {
            return session.open_without_tail().await;
        }
        session.output.note("left as it is");
        Err(refusal)
    }
}

fn judge(report: &Report, repaired: Option<&Repaired>) -> Result<()> {
    let damaged = report.findings.iter().filter(|finding| severity(finding) == "damage").count();
    if damaged == 0 {
        return if report.findings.iter().any(|finding| finding.severity == Severity::Newer) {
            Err(Failure::incompatible("some of it can only be verified by a newer pflow-store"))
        } else {
            Ok(())
        };
    }
    let failure = Failure::corrupt(format!("damage was found in {damaged} of the places above"));
    let mendable =
        report.findings.iter().all(|finding| severity(finding) != "damage" || finding.remedy.is_some());
    Err(if repaired.is_some_and(Repaired::is_undecided) {
        failure.with_hint("choose a version for each workflow with `verify --repair --take VERSION-ID`")
    } else if mendable {
        failure.with_hint("mend what is damaged with the command beside it")
    } else {
        failure.with_hint("do not write here; keep a copy as it is, and restore from a good one")
    })
}

fn describe(report: &Report) -> String {
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .map(|finding| {
            let severity = severity(finding).to_ascii_uppercase();
            let mend = |remedy| format!(" (mend it with `{}`)", hint::command(remedy));
            let hint = finding.remedy.as_ref().map(mend).unwrap_or_default();
            printable(&format!("{severity:<6}  {}: {}{hint}", finding.key, finding.reason)).into_owned()
        })
        .collect();
    let state = if report.is_sound() { "sound" } else { "damaged" };
    lines.push(format!("{state}: {} workflows, {} versions", report.workflows, report.versions));
    lines.join("\n")
}
