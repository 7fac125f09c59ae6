//! Verifies a whole store by comparing its objects with each other.

mod again;
mod finding;
mod index;
mod lineage;
mod strangers;
mod workflow;

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use pflow_backend::ErrorKind as StorageErrorKind;

use again::Again;

pub use finding::{Finding, Severity};
pub(super) use strangers::Depth;

use super::Store;
use crate::{
    Error, ErrorKind, Remedy, Result,
    flow::with_causes,
    format::{WorkflowId, keys},
    gate::read_instance,
};

/// How many workflows are verified side by side.
const LOOK_AHEAD: usize = 16;

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// The number of verified workflows, including deleted ones.
    pub workflows: usize,
    /// The number of verified versions in their chains.
    pub versions: usize,
    /// The findings, sorted by key.
    pub findings: Vec<Finding>,
    /// Workflows whose head was removed, replaced by an older state, or cannot be read: [`Store::repair`]
    /// moves it.
    pub hurt: Vec<WorkflowId>,
    /// Workflows whose working copy or `workflow.lock` differs from the head, not counting a person's
    /// edits: [`Store::repair`] brings these files in line.
    pub out_of_line: BTreeSet<WorkflowId>,
    /// Versions outside of the chains. Their status is decided by the operation history, which is read once
    /// for all of them.
    outside: lineage::Outside,
}

impl Report {
    /// Whether no data is lost and none contradicts itself.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        key: impl ToString,
        reason: impl ToString,
        remedy: Option<Remedy>,
    ) {
        let (key, reason) = (key.to_string(), reason.to_string());
        self.findings.push(Finding { key, severity, reason, remedy });
    }

    fn take_in(&mut self, one: Self) {
        self.workflows += one.workflows;
        self.versions += one.versions;
        self.findings.extend(one.findings);
        self.hurt.extend(one.hurt);
        self.out_of_line.extend(one.out_of_line);
        self.outside.extend(one.outside);
    }

    fn damage(&mut self, key: impl ToString, reason: impl ToString) {
        self.add(Severity::Damage, key, reason, None);
    }

    /// Adds an object that cannot be read or parsed. An error that is not about one object ends the
    /// verification.
    fn unreadable(&mut self, key: impl ToString, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Incompatible {
            self.add(Severity::Newer, key, reason(error), None);
        } else {
            let is_denied =
                matches!(&error, Error::Storage(source) if source.kind() == StorageErrorKind::Denied);
            let remedy = is_denied.then(|| Remedy::PermitReading { key: key.to_string() });
            self.add(Severity::Damage, key, found(error)?, remedy);
        }
        Ok(())
    }
}

impl Store {
    /// Reads and compares everything: heads, every version of every chain with its hashes, working copies,
    /// lease mirrors, the index with the heads, and the history of the index. Changes no object. On a disk,
    /// values that only the journal has are written into their files if that is possible by now.
    ///
    /// Other clients may go on writing: suspicious objects are read and compared again, and only confirmed
    /// findings are reported. A workflow that is created during the verification may be left out.
    ///
    /// # Errors
    /// Errors of the storage. Damage is reported as findings.
    pub async fn verify(&self) -> Result<Report> {
        let shared = &self.shared;
        let keys = shared.objects.keys(&keys::workflows()).await?;
        let ids: BTreeSet<WorkflowId> = keys.iter().filter_map(keys::parse_head).collect();
        let mut checks =
            stream::iter(ids.clone()).map(|id| self.verify_workflow_again(id)).buffered(LOOK_AHEAD);
        let mut report = Report::default();
        while let Some(one) = checks.next().await {
            report.take_in(one?);
        }
        drop(checks);
        report.take_in(self.verify_versions_without_head_again(&ids).await?);
        self.verify_outside(&mut report).await?;
        self.verify_index(&ids, &mut report).await?;
        let pending = self.verify_pending_again(&report.hurt).await?;
        report.take_in(pending);
        for finding in self.strangers(Depth::Everything).await? {
            let is_left_over = finding.remedy == Some(Remedy::RemoveLeftovers);
            let folder = keys::folder_of_copy(&finding.key).filter(|_| is_left_over);
            report.out_of_line.extend(folder.and_then(|folder| WorkflowId::parse(folder).ok()));
            report.findings.push(finding);
        }
        self.verify_instances(&mut report).await?;
        self.verify_waiting(&mut report).await?;
        report.findings.sort();
        Ok(report)
    }

    /// Reads the ids of the store at its endpoints. A storage without an endpoint has none of them.
    async fn verify_instances(&self, report: &mut Report) -> Result<()> {
        let objects = &self.shared.objects;
        if objects.backend.endpoint().is_none() {
            return Ok(());
        }
        for key in objects.keys(&keys::instances()).await? {
            match read_instance(objects, &key).await {
                Ok(Some(record)) if keys::instance(&record.endpoint) != key => {
                    report.damage(&key, format!("it is the id of {}", record.endpoint));
                }
                Ok(_) => {}
                Err(unreadable) => report.unreadable(&key, unreadable)?,
            }
        }
        Ok(())
    }

    async fn verify_workflow_again(&self, id: WorkflowId) -> Result<Report> {
        let mut again = Again::default();
        loop {
            if let Some(report) = again.take(self.verify_workflow(&id).await?) {
                return Ok(report);
            }
        }
    }

    async fn verify_versions_without_head_again(&self, ids: &BTreeSet<WorkflowId>) -> Result<Report> {
        let mut again = Again::default();
        loop {
            let mut report = Report::default();
            self.verify_versions_without_head(ids, &mut report).await?;
            if let Some(report) = again.take(report) {
                return Ok(report);
            }
        }
    }

    async fn verify_pending_again(&self, hurt: &[WorkflowId]) -> Result<Report> {
        let mut again = Again::default();
        loop {
            if let Some(report) = again.take(self.verify_pending(hurt).await?) {
                return Ok(report);
            }
        }
    }
}

/// The reason of an error about one object; any other error ends the verification.
fn found(error: Error) -> Result<String> {
    if error.is_of_one_object() { Ok(reason(error)) } else { Err(error) }
}

fn reason(error: Error) -> String {
    match error {
        Error::Corrupt { reason, .. } => reason,
        Error::Format { source, .. } => source.to_string(),
        other => with_causes(&other),
    }
}
