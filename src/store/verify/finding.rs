use crate::Remedy;

/// One problem that a verification found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Finding {
    /// The object.
    pub key: String,
    /// How severe it is.
    pub severity: Severity,
    /// What is wrong.
    pub reason: String,
    /// What repairs it, if there is a way.
    pub remedy: Option<Remedy>,
}

impl Finding {
    /// A finding without a repair. See the fields for the parameters.
    pub fn new(severity: Severity, key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), severity, reason: reason.into(), remedy: None }
    }
}

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Data is lost or contradicts itself.
    Damage,
    /// A newer program wrote it, so this one cannot verify it.
    Newer,
    /// Nothing is lost: a leftover of a crash or of a person, which the store handles itself or leaves to the
    /// person.
    Notice,
}
