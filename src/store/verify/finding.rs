use crate::Remedy;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The object.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub reason: String,
    /// What mends it, where something does.
    pub remedy: Option<Remedy>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Something is lost or contradicts itself.
    Damage,
    /// A newer program wrote it, so this one cannot verify it.
    Newer,
    /// Nothing is lost: what a crash or a person left behind, which the store deals with by itself or leaves
    /// to them.
    Notice,
}
