use std::fmt;

/// The results of all cases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    cases: Vec<(&'static str, Verdict)>,
}

/// The result of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The guarantee is kept.
    Passed,
    /// The backend does not give the guarantee, or the harness cannot check it. The reason says which.
    Skipped(String),
    /// The guarantee is broken. The reason says what was found and what was expected.
    Failed(String),
}

impl Report {
    pub(super) fn push(&mut self, case: &'static str, verdict: Verdict) {
        self.cases.push((case, verdict));
    }

    /// Every case, named `group::promise`, in the order of execution.
    pub fn cases(&self) -> impl Iterator<Item = (&'static str, &Verdict)> {
        self.cases.iter().map(|(name, verdict)| (*name, verdict))
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        self.cases().filter(|(_, verdict)| matches!(verdict, Verdict::Failed(_))).map(|(name, _)| name)
    }

    /// The names of the skipped cases, so that a backend's own test can assert which these may be.
    pub fn skipped(&self) -> impl Iterator<Item = &'static str> {
        self.cases().filter(|(_, verdict)| matches!(verdict, Verdict::Skipped(_))).map(|(name, _)| name)
    }

    /// Whether no case failed.
    pub fn is_conformant(&self) -> bool {
        self.failed().next().is_none()
    }

    /// For tests: panics if a case failed.
    ///
    /// # Panics
    /// With the whole table if a case failed.
    #[track_caller]
    pub fn assert_conformant(&self) {
        #[allow(clippy::panic, reason = "this is how a test fails")]
        if !self.is_conformant() {
            panic!("the backend breaks the contract:\n{self}");
        }
    }
}

/// A table with a line for each case, and the totals below it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in self.cases() {
            match verdict {
                Verdict::Passed => writeln!(f, "passed   {name}")?,
                Verdict::Skipped(reason) => writeln!(f, "skipped  {name}: {reason}")?,
                Verdict::Failed(reason) => writeln!(f, "FAILED   {name}: {reason}")?,
            }
        }
        let (skipped, failed) = (self.skipped().count(), self.failed().count());
        let passed = self.cases.len() - skipped - failed;
        write!(f, "{passed} passed, {skipped} skipped, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_report_and_a_skipped_case_does_not() {
        let mut report = Report::default();
        report.push("a::b", Verdict::Passed);
        report.push("a::c", Verdict::Skipped("no second handle".to_owned()));
        report.assert_conformant();
        report.push("a::d", Verdict::Failed("seen 1, not 2".to_owned()));
        assert!(!report.is_conformant());
        let table = "passed   a::b\nskipped  a::c: no second handle\nFAILED   a::d: seen 1, not 2\n\
                     1 passed, 1 skipped, 1 failed";
        assert_eq!(report.to_string(), table);
    }
}
