use pflow_store::store::{Finding, Report, Severity};
use serde::Serialize;

use super::{
    failure::{Failure, Result},
    output::printable,
    session::Session,
};

pub(super) const MORE: &str = "\
DAMAGE is what is lost or contradicts itself (exit 14). A NOTICE is what a crash or a person left behind: nothing is lost.";

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Mend what loses nothing; with --accept-tail also what does
    #[arg(long, requires = "accept_tail")]
    repair: bool,

    /// Go on without the end of a damaged journal, and name what is lost
    #[arg(long, requires = "repair")]
    accept_tail: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    workflows: usize,
    versions: usize,
    sound: bool,
    findings: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    key: &'a str,
    severity: &'static str,
    reason: &'a str,
    hint: Option<&'a str>,
}

/// Verifies the store and prints what was found.
pub(super) async fn run(session: &Session<'_>, wanted: &Verify) -> Result<()> {
    let (store, lost) = match wanted.accept_tail {
        true => session.open_without_tail().await?,
        false => (session.open().await?, None),
    };
    let mut report = session.reading(store.verify()).await?;
    let given_up = lost.map(|lost| Finding {
        key: ".journal/journal".to_owned(),
        severity: Severity::Notice,
        reason: format!("given up: {lost}; a copy of the damaged journal is in .journal/quarantine"),
        hint: None,
    });
    report.findings.splice(0..0, given_up);
    let findings = report.findings.iter().map(|finding| Found {
        key: &finding.key,
        severity: severity(finding),
        reason: &finding.reason,
        hint: finding.hint.as_deref(),
    });
    let document = Document {
        workflows: report.workflows,
        versions: report.versions,
        sound: report.is_sound(),
        findings: findings.collect(),
    };
    session.answer(&describe(&report), &document)?;
    match report.findings.iter().filter(|finding| severity(finding) == "damage").count() {
        0 => Ok(()),
        damaged => {
            let failure = Failure::corrupt(format!("damage was found in {damaged} of the places above"));
            let mendable =
                report.findings.iter().all(|finding| severity(finding) != "damage" || finding.hint.is_some());
            Err(if mendable {
                failure.with_hint("the workflows are whole; mend what is damaged as it says there")
            } else {
                failure.with_hint("do not write here; keep a copy as it is, and restore from a good one")
            })
        }
    }
}

fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Notice => "notice",
        // What is not known to be harmless is not.
        _ => "damage",
    }
}

fn describe(report: &Report) -> String {
    let mut lines: Vec<String> = report
        .findings
        .iter()
        .map(|finding| {
            let severity = severity(finding).to_ascii_uppercase();
            let hint =
                finding.hint.as_ref().map_or_else(String::new, |hint| format!(" (mend it with `{hint}`)"));
            printable(&format!("{severity:<6}  {}: {}{hint}", finding.key, finding.reason)).into_owned()
        })
        .collect();
    let state = if report.is_sound() { "sound" } else { "damaged" };
    lines.push(format!("{state}: {} workflows, {} versions", report.workflows, report.versions));
    lines.join("\n")
}
