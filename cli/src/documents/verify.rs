use pflow_store::health::{Finding, HeadMove, Report, Severity, UndecidedHead, VersionTip};
use serde::Serialize;

use crate::hint;

/// What `verify` found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Verified<'a> {
    workflows: usize,
    versions: usize,
    /// Whether nothing is damaged.
    sound: bool,
    findings: Vec<Found<'a>>,
    /// Under `--repair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<&'a Repair>,
}

/// A repair that failed, so that nothing was verified.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct FailedRepair<'a> {
    pub(crate) repair: &'a Repair,
}

/// What `verify --repair --accept-tail --dry-run` would do.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct PlannedLoss<'a> {
    pub(crate) dry_run: bool,
    /// The records of the journal that cannot be read.
    pub(crate) would_give_up: &'a str,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Found<'a> {
    key: &'a str,
    /// `damage`, `newer` or `notice`.
    severity: &'static str,
    reason: &'a str,
    /// A command that helps.
    hint: Option<String>,
}

/// What a repair did, or would do.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Repair {
    pub(crate) dry_run: bool,
    pub(crate) moved: Vec<Moved>,
    pub(crate) undecided: Vec<Undecided>,
    /// Files that were brought in line with their heads.
    pub(crate) in_line: Vec<String>,
    /// The ids of the workflows whose files would be, in a dry run.
    pub(crate) would_be_in_line: Vec<String>,
    /// Workflows that changed meanwhile and were left as they are.
    pub(crate) changed: Vec<String>,
    /// The workflow at which the repair ended.
    pub(crate) failed: Option<String>,
}

/// A head that was or would be moved.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Moved {
    pub(crate) id: String,
    pub(crate) reason: String,
    /// The generation before.
    pub(crate) from: Option<u64>,
    pub(crate) to: u64,
    pub(crate) version_id: String,
    pub(crate) fence: u64,
    /// Objects that are missing and were not restored.
    pub(crate) missing: Vec<String>,
    /// Whether the working copy holds an edit, which stays.
    pub(crate) keeps_edit: bool,
}

/// A head that a person has to choose a version for.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Undecided {
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) why: String,
    /// The versions to choose from.
    pub(crate) tips: Vec<Tip>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Tip {
    pub(crate) generation: u64,
    pub(crate) version_id: String,
    pub(crate) modified: String,
    pub(crate) author: String,
}

impl<'a> Verified<'a> {
    pub(crate) fn of(report: &'a Report, repair: Option<&'a Repair>) -> Self {
        Self {
            workflows: report.workflows,
            versions: report.versions,
            sound: report.is_sound(),
            findings: report.findings.iter().map(Found::of).collect(),
            repair,
        }
    }
}

impl<'a> Found<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            key: &finding.key,
            severity: severity(finding),
            reason: &finding.reason,
            hint: finding.remedy.as_ref().map(hint::command),
        }
    }
}

/// The word for how bad a finding is.
pub(crate) fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Notice => "notice",
        Severity::Newer => "newer",
        // What is not known to be harmless is not.
        _ => "damage",
    }
}

impl Repair {
    pub(crate) fn of(dry_run: bool, moves: &[HeadMove], undecided: &[UndecidedHead]) -> Self {
        Self {
            dry_run,
            moved: moves.iter().map(Moved::of).collect(),
            undecided: undecided.iter().map(Undecided::of).collect(),
            in_line: Vec::new(),
            would_be_in_line: Vec::new(),
            changed: Vec::new(),
            failed: None,
        }
    }
}

impl Moved {
    fn of(head: &HeadMove) -> Self {
        Self {
            id: head.id.to_string(),
            reason: head.reason.clone(),
            from: head.from,
            to: head.to.generation,
            version_id: head.to.version_id.to_string(),
            fence: head.fence,
            missing: head.missing.clone(),
            keeps_edit: head.keeps_edit,
        }
    }
}

impl Undecided {
    fn of(head: &UndecidedHead) -> Self {
        Self {
            id: head.id.to_string(),
            reason: head.reason.clone(),
            why: head.why.clone(),
            tips: head.tips.iter().map(Tip::of).collect(),
        }
    }
}

impl Tip {
    fn of(tip: &VersionTip) -> Self {
        Self {
            generation: tip.generation,
            version_id: tip.version_id.to_string(),
            modified: tip.modified.to_rfc3339(),
            author: tip.author.clone(),
        }
    }
}
