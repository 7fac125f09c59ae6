/// The results of a probe, in order. It ends with the first required guarantee that is broken or unclear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a probe refuses nothing; its caller does"]
#[non_exhaustive]
pub struct Report {
    /// One check for each guarantee that was tested.
    pub checks: Vec<Check>,
    /// Why objects of the probe still exist, if some do. They are harmless and may be deleted.
    pub left_behind: Option<String>,
}

/// One guarantee, and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Its name for programs, in kebab case.
    pub name: &'static str,
    /// The guarantee, as a sentence.
    pub promise: &'static str,
    /// Whether data is unsafe on a storage without this guarantee. Otherwise a person should know of it, and
    /// may continue.
    pub required: bool,
    /// Whether it was kept.
    pub verdict: Verdict,
}

impl Check {
    /// A check that was made. See the fields for the parameters.
    pub fn new(name: &'static str, promise: &'static str, required: bool, verdict: Verdict) -> Self {
        Self { name, promise, required, verdict }
    }
}

/// Whether a guarantee was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was kept: what was seen, without a full stop.
    Kept(String),
    /// It was broken: what the storage did instead, as a sentence without a full stop.
    Broken(String),
    /// It is unknown, because replies were lost or requests landed late: why, as a sentence without a full
    /// stop.
    Unclear(String),
}

impl Report {
    /// Whether every required guarantee was tested and kept.
    pub fn is_safe(&self) -> bool {
        self.required().next().is_some()
            && self.required().all(|check| matches!(check.verdict, Verdict::Kept(_)))
    }

    /// The required guarantees that are broken, each as `what it did instead (name)`.
    pub fn broken(&self) -> Vec<String> {
        self.sentences(|verdict| match verdict {
            Verdict::Broken(sentence) => Some(sentence),
            Verdict::Kept(_) | Verdict::Unclear(_) => None,
        })
    }

    /// The required guarantees that are unclear, each as `why (name)`.
    pub fn unclear(&self) -> Vec<String> {
        self.sentences(|verdict| match verdict {
            Verdict::Unclear(reason) => Some(reason),
            Verdict::Kept(_) | Verdict::Broken(_) => None,
        })
    }

    fn required(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.required)
    }

    fn sentences(&self, said: impl Fn(&Verdict) -> Option<&String>) -> Vec<String> {
        let sentence = |check: &Check| said(&check.verdict).map(|text| format!("{text} ({})", check.name));
        self.required().filter_map(sentence).collect()
    }
}
