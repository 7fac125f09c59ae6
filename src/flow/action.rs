//! Actions: the names that `post` returns and that edges are labelled with.

use std::borrow::Cow;
use std::fmt;

/// The result of a node: it selects the edge to follow.
///
/// There is no empty action. An empty name means [`Action::DEFAULT`], as in PocketFlow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Action(Cow<'static, str>);

impl Action {
    /// The action of a node without a choice: `default`.
    pub const DEFAULT: Self = Self(Cow::Borrowed("default"));

    /// The actions that a node declares by default.
    pub(super) const DEFAULT_ONLY: &'static [Self] = &[Self::DEFAULT];

    /// The action with this name, for constants: `const DONE: Action = Action::named("done");`
    pub const fn named(name: &'static str) -> Self {
        if name.is_empty() { Self::DEFAULT } else { Self(Cow::Borrowed(name)) }
    }

    /// The name; never empty.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Action {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// No action is `default`, as in PocketFlow.
impl From<()> for Action {
    fn from((): ()) -> Self {
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

/// What a function in place of a node may return: nothing, which is `default`, an action, or a result with
/// one of them.
pub trait IntoAction<E> {
    /// The action, or the error.
    ///
    /// # Errors
    /// The error of the function.
    fn into_action(self) -> Result<Action, E>;
}

impl<E> IntoAction<E> for () {
    fn into_action(self) -> Result<Action, E> {
        Ok(Action::DEFAULT)
    }
}

impl<E> IntoAction<E> for Action {
    fn into_action(self) -> Result<Action, E> {
        Ok(self)
    }
}

impl<E> IntoAction<E> for &'static str {
    fn into_action(self) -> Result<Action, E> {
        Ok(self.into())
    }
}

impl<E, A: Into<Action>> IntoAction<E> for Result<A, E> {
    fn into_action(self) -> Result<Action, E> {
        self.map(Into::into)
    }
}

/// The actions that a node, or a function in its place, may return: one, a list, or `()` for `default` alone.
pub trait IntoActions {
    /// The actions as a list.
    fn into_actions(self) -> Vec<Action>;
}

impl IntoActions for () {
    fn into_actions(self) -> Vec<Action> {
        Action::DEFAULT_ONLY.to_vec()
    }
}

impl IntoActions for Action {
    fn into_actions(self) -> Vec<Action> {
        vec![self]
    }
}

impl IntoActions for &'static str {
    fn into_actions(self) -> Vec<Action> {
        vec![self.into()]
    }
}

impl<A: Into<Action>, const N: usize> IntoActions for [A; N] {
    fn into_actions(self) -> Vec<Action> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<A: Into<Action>> IntoActions for Vec<A> {
    fn into_actions(self) -> Vec<Action> {
        self.into_iter().map(Into::into).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_name_means_default() {
        assert_eq!(Action::named(""), Action::DEFAULT);
        assert_eq!(Action::from(String::new()), Action::DEFAULT);
        assert_eq!(Action::default(), "default");
        assert_eq!(Action::from(()), Action::DEFAULT);
    }

    #[test]
    fn actions_are_equal_if_their_names_are() {
        assert_eq!(Action::named("retry"), Action::from("retry".to_owned()));
        assert_ne!(Action::named("retry"), Action::DEFAULT);
    }
}
