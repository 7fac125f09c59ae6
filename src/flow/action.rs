//! Actions: the names that `post` returns and that edges carry.

use std::borrow::Cow;
use std::fmt;

/// What a node answers when it is done: the edge to follow out of it.
///
/// There is no empty action. An empty name means [`Action::DEFAULT`], here as in PocketFlow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Action(Cow<'static, str>);

impl Action {
    /// The action of a node that has nothing to choose: `default`.
    pub const DEFAULT: Self = Self(Cow::Borrowed("default"));

    /// What a node declares when it does not say otherwise.
    pub(super) const DEFAULT_ONLY: &'static [Self] = &[Self::DEFAULT];

    /// The action of that name, for constants: `const DONE: Action = Action::named("done");`
    pub const fn named(name: &'static str) -> Self {
        if name.is_empty() { Self::DEFAULT } else { Self(Cow::Borrowed(name)) }
    }

    /// The name, never empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Action {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<&'static str> for Action {
    fn from(name: &'static str) -> Self {
        Self::named(name)
    }
}

impl From<String> for Action {
    fn from(name: String) -> Self {
        if name.is_empty() { Self::DEFAULT } else { Self(Cow::Owned(name)) }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for Action {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Action {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_default() {
        assert_eq!(Action::named(""), Action::DEFAULT);
        assert_eq!(Action::from(String::new()), Action::DEFAULT);
        assert_eq!(Action::default(), "default");
    }

    #[test]
    fn an_action_is_its_name_however_it_was_made() {
        assert_eq!(Action::named("retry"), Action::from("retry".to_owned()));
        assert_ne!(Action::named("retry"), Action::DEFAULT);
    }
}
