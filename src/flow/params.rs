//! Params: named values that a run, or a batch flow, passes to every node.

use std::collections::BTreeMap;

use serde_json::Value;

/// Named JSON values that every node of a flow can read through its [`Visit`](super::Visit).
///
/// They identify the work of a pass of a flow; results belong in the shared state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// No params.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// These params and one more; a value of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value with this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Merges both params: a name that both have gets the value of `over`.
    #[must_use]
    pub fn merged(&self, over: &Self) -> Self {
        let both = self.0.iter().chain(&over.0);
        Self(both.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_both_and_prefers_the_second() {
        let flow = Params::new().with("dir", "a").with("depth", 1);
        let item = Params::new().with("dir", "b").with("file", "x");
        let merged = flow.merged(&item);
        let seen: Vec<_> = merged.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(seen, ["depth=1", "dir=\"b\"", "file=\"x\""]);
    }
}
