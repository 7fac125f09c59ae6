//! The result of a merge, before it is written.

use std::borrow::Cow;

use super::align::Key;
use super::three::Three;
use super::value::{Part, Value};

/// The merged value of a place.
#[derive(Debug)]
pub(super) struct Merged<'v, 'd> {
    pub(super) what: What<'v, 'd>,
    /// The text of each side that has exactly this value and spelling; none for a side that has not.
    pub(super) spelled: Three<Option<&'d str>>,
}

#[derive(Debug)]
pub(super) enum What<'v, 'd> {
    /// The value of one version.
    Taken(&'v Value<'d>),
    /// Parts from several versions.
    Built { is_list: bool, parts: Vec<MergedPart<'v, 'd>> },
}

#[derive(Debug)]
pub(super) struct MergedPart<'v, 'd> {
    pub(super) key: Key<'d>,
    /// The key as it is written; empty in a list.
    pub(super) written_key: &'d str,
    /// The parts that it was merged from.
    pub(super) from: Three<Option<&'v Part<'d>>>,
    pub(super) value: Merged<'v, 'd>,
}

/// A value of the result, taken or built.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'m, 'v, 'd> {
    Merged(&'m Merged<'v, 'd>),
    Value(&'m Value<'d>),
}

impl<'v, 'd> Merged<'v, 'd> {
    /// The member `key` of an object that was built from parts.
    pub(super) fn part(&self, key: &str) -> Option<&MergedPart<'v, 'd>> {
        let What::Built { parts, .. } = &self.what else { return None };
        parts.iter().find(|part| matches!(&part.key, Key::Member(name) if name == key))
    }
}

impl<'m, 'd> View<'m, '_, 'd> {
    /// The member `key` of an object.
    pub(super) fn get(self, key: &str) -> Option<Self> {
        match self {
            Self::Value(value) => value.get(key).map(Self::Value),
            Self::Merged(Merged { what: What::Taken(value), .. }) => value.get(key).map(Self::Value),
            Self::Merged(merged) => merged.part(key).map(|part| Self::Merged(&part.value)),
        }
    }

    pub(super) fn string(self) -> Option<Cow<'d, str>> {
        match self {
            Self::Value(value) => value.string(),
            Self::Merged(Merged { what: What::Taken(value), .. }) => value.string(),
            Self::Merged(_) => None,
        }
    }

    /// The elements of a list.
    pub(super) fn elements(self) -> Vec<Self> {
        let value = match self {
            Self::Value(value) => value,
            Self::Merged(Merged { what: What::Taken(value), .. }) => value,
            Self::Merged(Merged { what: What::Built { is_list, parts }, .. }) => {
                return parts.iter().filter(|_| *is_list).map(|part| Self::Merged(&part.value)).collect();
            }
        };
        let list = value.parts().filter(|parts| parts.is_list);
        list.into_iter().flat_map(|list| &list.parts).map(|part| Self::Value(&part.value)).collect()
    }
}
