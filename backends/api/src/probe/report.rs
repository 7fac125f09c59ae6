/// What a probe found, in the order in which it looked. It ends with the first required promise that is
/// broken or unclear.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a probe refuses nothing; its caller does"]
pub struct Report {
    /// One for each promise that was looked at.
    pub checks: Vec<Check>,
    /// Why objects of the probe are still there, if some are. They are harmless and may be deleted.
    pub left_behind: Option<String>,
}

/// One promise, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name for programs, in kebab case.
    pub name: &'static str,
    /// What the storage promises, in a sentence.
    pub promise: &'static str,
    /// Whether nothing can be kept safely where it does not hold. Otherwise a person should know, and may go
    /// on.
    pub required: bool,
    /// Whether it held.
    pub verdict: Verdict,
}

/// Whether a promise held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did; what was seen, without a full stop.
    Kept(String),
    /// It did not: what the storage did instead, as a sentence without a full stop.
    Broken(String),
    /// It cannot be known: replies were lost, or requests landed late. Why, as a sentence without a full
    /// stop.
    Unclear(String),
}

impl Report {
    /// Whether everything that is required was looked at and seen to hold.
    pub fn is_safe(&self) -> bool {
        self.required().next().is_some()
            && self.required().all(|check| matches!(check.verdict, Verdict::Kept(_)))
    }

    /// The required promises that are broken, each as `what it did instead (name)`.
    pub fn broken(&self) -> Vec<String> {
        self.sentences(|verdict| match verdict {
            Verdict::Broken(sentence) => Some(sentence),
            Verdict::Kept(_) | Verdict::Unclear(_) => None,
        })
    }

    /// The required promises that are unclear, each as `why (name)`.
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
