//! The result of a merge, before it is written.

use std::borrow::Cow;

use super::align::{Aligned, RowId};
use super::value::{Parts, Value};
use crate::merge::three::{Side, Three};

/// The merged value of a place.
#[derive(Debug)]
pub(in crate::merge) struct Merged<'d> {
    pub(in crate::merge) what: What<'d>,
    /// Whether a side has exactly this value and spelling.
    pub(in crate::merge) spelled: Three<bool>,
}

#[derive(Debug)]
pub(in crate::merge) enum What<'d> {
    /// The value of one version.
    Taken(Value<'d>),
    /// Parts from several versions.
    Built(Box<Built<'d>>),
}

#[derive(Debug)]
pub(in crate::merge) struct Built<'d> {
    pub(in crate::merge) is_list: bool,
    pub(in crate::merge) from: Aligned<'d, 3>,
    pub(in crate::merge) parts: Vec<MergedPart<'d>>,
}

#[derive(Debug)]
pub(in crate::merge) struct MergedPart<'d> {
    /// The parts that it was merged from.
    pub(in crate::merge) row: RowId,
    /// The side whose spelling the key has.
    pub(in crate::merge) key: Side,
    pub(in crate::merge) value: Merged<'d>,
}

/// A value of the result or of one version.
#[derive(Debug, Clone, Copy)]
pub(in crate::merge) enum View<'m, 'd> {
    Merged(&'m Merged<'d>),
    /// The version of this number of what was merged part by part: it has been split already.
    Version(&'m Built<'d>, usize),
    Value(Value<'d>),
}

impl<'d> Merged<'d> {
    /// The text of a side that has exactly this value and spelling.
    pub(in crate::merge) fn text_of(&self, side: Side) -> Option<&'d str> {
        if !self.spelled.side(side) {
            return None;
        }
        match &self.what {
            What::Taken(value) => Some(value.text()),
            What::Built(built) => built.version(side).map(Parts::text),
        }
    }

    /// The object that was built from parts.
    pub(in crate::merge) fn built(&self) -> Option<&Built<'d>> {
        match &self.what {
            What::Built(built) => Some(built),
            What::Taken(_) => None,
        }
    }
}

impl<'d> Built<'d> {
    pub(in crate::merge) fn version(&self, side: Side) -> Option<&Parts<'d>> {
        self.from.versions.get(side.version()).and_then(Option::as_ref)
    }

    /// The member `key` of an object.
    pub(in crate::merge) fn part(&self, key: &str) -> Option<&MergedPart<'d>> {
        let is_it = |part: &&MergedPart<'d>| {
            let parts = Three::new(self.from.parts(part.row));
            parts.side(part.key).is_some_and(|(version, nth)| version.is_member(nth, key))
        };
        self.parts.iter().find(is_it)
    }

    /// The key of a part as it is written; empty in a list.
    pub(in crate::merge) fn written_key(&self, part: &MergedPart<'d>) -> &'d str {
        let parts = Three::new(self.from.parts(part.row));
        parts.side(part.key).map(|(version, nth)| version.key(nth)).unwrap_or_default()
    }

    /// The values that a part was merged from.
    pub(in crate::merge) fn values(&self, part: &MergedPart<'d>) -> Three<Option<Value<'d>>> {
        Three::new(self.from.values(part.row))
    }
}

impl<'m, 'd> View<'m, 'd> {
    /// The member `key` of an object.
    pub(in crate::merge) fn get(self, key: &str) -> Option<Self> {
        match self {
            Self::Value(value) | Self::Merged(&Merged { what: What::Taken(value), .. }) => {
                value.get(key).map(Self::Value)
            }
            Self::Merged(Merged { what: What::Built(built), .. }) => {
                built.part(key).map(|part| Self::Merged(&part.value))
            }
            Self::Version(built, version) => {
                let value = built.from.versions.get(version)?.as_ref()?.get(key)?;
                let inner = built.part(key).and_then(|part| part.value.built());
                let is_split =
                    |inner: &&Built<'d>| inner.from.versions.get(version).is_some_and(Option::is_some);
                let view = inner.filter(is_split).map(|inner| Self::Version(inner, version));
                Some(view.unwrap_or(Self::Value(value)))
            }
        }
    }

    pub(in crate::merge) fn string(self) -> Option<Cow<'d, str>> {
        match self {
            Self::Value(value) | Self::Merged(&Merged { what: What::Taken(value), .. }) => value.string(),
            Self::Merged(_) | Self::Version(..) => None,
        }
    }

    /// The elements of a list.
    pub(in crate::merge) fn elements(self) -> Vec<Self> {
        let values = |parts: &Parts<'d>| parts.values().filter(|_| parts.is_list).map(Self::Value).collect();
        match self {
            Self::Value(value) | Self::Merged(&Merged { what: What::Taken(value), .. }) => {
                value.parts().as_ref().map(values).unwrap_or_default()
            }
            Self::Merged(Merged { what: What::Built(built), .. }) => {
                built.parts.iter().filter(|_| built.is_list).map(|part| Self::Merged(&part.value)).collect()
            }
            Self::Version(built, version) => {
                built.from.versions.get(version).and_then(Option::as_ref).map(values).unwrap_or_default()
            }
        }
    }
}
