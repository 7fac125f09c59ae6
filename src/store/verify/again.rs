//! Repeats a check before its findings are reported.
//!
//! Writers go on while a verification runs, and a check reads several objects one after the other. So a
//! finding may come from two different states of an intact store. A second check that reads everything again
//! and has the same finding excludes such a mixture: what a healthy writer leaves between two of its stages
//! is gone by then, or has another name.

use std::collections::BTreeSet;

use super::{Finding, Report};
use crate::format::WorkflowId;

/// How often a check is repeated while its findings keep changing.
const ROUNDS: u32 = 8;

/// The checks of one subject, until two in a row agree.
#[derive(Debug, Default)]
pub(super) struct Again {
    before: Option<Report>,
    rounds: u32,
}

impl Again {
    /// Takes the report of the next check. Returns the final report, or none if the check must be repeated.
    ///
    /// Invariant: every reported finding was found by this check and by the one before it. Damage is
    /// permanent, so both find it. If every check finds something else, other writers are at work, and only
    /// findings that occurred twice are reported.
    pub(super) fn take(&mut self, mut report: Report) -> Option<Report> {
        let nothing = report.findings.is_empty() && report.hurt.is_empty() && report.outside.is_empty();
        let Some(before) = self.before.replace(report.clone()) else {
            return nothing.then_some(report);
        };
        self.rounds += 1;
        let found = report.findings.len() + report.hurt.len() + report.outside.len();
        let findings: BTreeSet<&Finding> = before.findings.iter().collect();
        report.findings.retain(|finding| findings.contains(finding));
        let hurt: BTreeSet<&WorkflowId> = before.hurt.iter().collect();
        report.hurt.retain(|id| hurt.contains(id));
        report.out_of_line.retain(|id| before.out_of_line.contains(id));
        report.outside.retain(|name, status| before.outside.get(name) == Some(status));
        let confirmed = report.findings.len() + report.hurt.len() + report.outside.len();
        (self.rounds >= ROUNDS || confirmed == found).then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reasons: &[&str]) -> Report {
        let mut report = Report::default();
        reasons.iter().for_each(|reason| report.damage("key", reason));
        report
    }

    fn reasons(report: &Report) -> Vec<&str> {
        report.findings.iter().map(|finding| finding.reason.as_str()).collect()
    }

    #[test]
    fn only_findings_of_two_checks_in_a_row_are_reported() {
        assert_eq!(Again::default().take(report(&[])), Some(report(&[])), "nothing need not be confirmed");

        let mut again = Again::default();
        assert_eq!(again.take(report(&["lasting", "passing"])), None);
        assert_eq!(reasons(&again.take(report(&["lasting"])).unwrap()), ["lasting"]);

        let mut again = Again::default();
        assert_eq!(again.take(report(&["lasting"])), None);
        assert_eq!(again.take(report(&["lasting", "new"])), None, "what is new is looked at again");
        assert_eq!(reasons(&again.take(report(&["lasting", "new"])).unwrap()), ["lasting", "new"]);
    }

    #[test]
    fn checks_that_never_agree_end() {
        let mut again = Again::default();
        let found = (0..).find_map(|n| again.take(report(&["lasting", &n.to_string()]))).unwrap();
        assert_eq!(reasons(&found), ["lasting"]);
    }
}
