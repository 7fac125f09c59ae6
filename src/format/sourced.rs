use serde::{Deserialize, Serialize};

/// A metadata field of a version, and where its value comes from.
///
/// In JSON: `{"given": VALUE}` or `{"derived": VALUE}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sourced<T> {
    /// A person or program gave it beside a document, with this version or an earlier one. It counts, whatever
    /// the document says, until it is cleared. No text and an empty list were given as well: there is none.
    Given(T),
    /// The document of this version says it.
    Derived(T),
}

impl<T> Sourced<T> {
    /// The value.
    pub fn value(&self) -> &T {
        match self {
            Self::Given(value) | Self::Derived(value) => value,
        }
    }

    /// The same if it is given, else `own` of the document.
    pub(crate) fn or_derived(self, own: T) -> Self {
        match self {
            given @ Self::Given(_) => given,
            Self::Derived(_) => Self::Derived(own),
        }
    }

    /// The value, if it was given beside a document.
    pub fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Derived(_) => None,
        }
    }
}

impl Sourced<Option<String>> {
    /// The text; none if there is none.
    pub fn text(&self) -> Option<&str> {
        self.value().as_deref()
    }
}

impl<T: Default> Default for Sourced<T> {
    fn default() -> Self {
        Self::Derived(T::default())
    }
}

/// What a change does to a metadata field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum FieldChange<T> {
    /// A given value stays, a derived one follows the document.
    #[default]
    Keep,
    /// Gives this value.
    Set(T),
    /// Clears a given value: the field follows the document again.
    Clear,
}

impl<T: Clone> FieldChange<T> {
    /// The value that is given, if any.
    pub(crate) fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    fn carrying(&self, before: &Sourced<T>) -> Self {
        match (self, before.given()) {
            (Self::Keep, Some(given)) => Self::Set(given.clone()),
            _ => self.clone(),
        }
    }

    /// Returns the field of the next version, whose document says `own`, over a version with `before`.
    pub(crate) fn over(&self, own: T, before: Option<&Sourced<T>>) -> Sourced<T> {
        match (self, before) {
            (Self::Set(value), _) => Sourced::Given(value.clone()),
            (Self::Keep, Some(given @ Sourced::Given(_))) => given.clone(),
            (Self::Keep | Self::Clear, _) => Sourced::Derived(own),
        }
    }
}

/// What a change does to the metadata of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldChanges {
    pub(crate) name: FieldChange<Option<String>>,
    pub(crate) description: FieldChange<Option<String>>,
    pub(crate) tags: FieldChange<Vec<String>>,
}

impl FieldChanges {
    /// Returns the changes that create a workflow with the fields that these changes make of `before`.
    pub(crate) fn carrying(&self, before: &SourcedFields) -> Self {
        Self {
            name: self.name.carrying(&before.name),
            description: self.description.carrying(&before.description),
            tags: self.tags.carrying(&before.tags),
        }
    }
}

/// The metadata fields of a version that a person may give beside its document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourcedFields {
    /// The title.
    pub name: Sourced<Option<String>>,
    /// The description.
    pub description: Sourced<Option<String>>,
    /// The tags: a set, in an order that people chose.
    pub tags: Sourced<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_value_counts_until_it_is_cleared() {
        let text = |text: &str| Some(text.to_owned());
        let own = || text("own");
        let set = FieldChange::Set(text("set")).over(own(), None);
        assert_eq!(set, Sourced::Given(text("set")));
        assert_eq!(FieldChange::Keep.over(own(), Some(&set)), set);
        assert_eq!(FieldChange::Set(None).over(own(), Some(&set)), Sourced::Given(None));
        assert_eq!(FieldChange::Keep.over(own(), Some(&Sourced::Given(None))), Sourced::Given(None));
        assert_eq!(FieldChange::Clear.over(own(), Some(&set)), Sourced::Derived(own()));
        assert_eq!(
            FieldChange::Keep.over(own(), Some(&Sourced::Derived(text("old")))),
            Sourced::Derived(own())
        );
    }

    #[test]
    fn says_in_json_where_a_value_comes_from() {
        let json = |field: &Sourced<Option<String>>| serde_json::to_string(field).unwrap();
        assert_eq!(json(&Sourced::Given(None)), r#"{"given":null}"#);
        assert_eq!(json(&Sourced::Derived(Some("a".to_owned()))), r#"{"derived":"a"}"#);
        for text in ["null", r#""a""#, "{}", r#"{"given":1}"#, r#"{"given":"a","derived":"b"}"#] {
            assert!(serde_json::from_str::<Sourced<Option<String>>>(text).is_err(), "{text}");
        }
    }
}
