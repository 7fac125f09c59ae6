use crate::Remedy;

/// One problem that a verification found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
