use pflow_store::{
    conflict::{Conflict, Obstacle},
    merge::{Change, Fragment, Overlap},
};
use serde::Serialize;

/// Where a conflict is, in an error of `--json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Places {
    /// What both sides of a merge changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overlaps: Vec<Overlapping>,
    /// What others changed since the version that the caller built on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Changed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Overlapping {
    path: String,
    base: Option<Fragment>,
    ours: Option<Fragment>,
    theirs: Option<Fragment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Changed {
    path: String,
    before: Option<Fragment>,
    after: Option<Fragment>,
}

/// The places that both sides changed, if that is why it failed.
pub(crate) fn overlaps(conflict: &Conflict) -> &[Overlap] {
    match conflict.obstacle() {
        Some(Obstacle::Overlaps(overlaps)) => overlaps,
        _ => &[],
    }
}

/// A line each, the first `most` of them.
pub(super) fn lines(places: &[impl ToString], most: usize) -> Vec<String> {
    let mut lines: Vec<String> = places.iter().take(most).map(ToString::to_string).collect();
    if let Some(more) = places.len().checked_sub(most).filter(|more| *more > 0) {
        lines.push(format!("… and {more} more"));
    }
    lines
}

impl Places {
    /// These, if there are any.
    pub(crate) fn of(overlaps: &[Overlap], changes: &[Change]) -> Option<Box<Self>> {
        let (overlaps, changes): (Vec<Overlapping>, Vec<Changed>) =
            (overlaps.iter().map(Into::into).collect(), changes.iter().map(Into::into).collect());
        (!overlaps.is_empty() || !changes.is_empty()).then(|| Box::new(Self { overlaps, changes }))
    }
}

impl From<&Change> for Changed {
    fn from(change: &Change) -> Self {
        let Change { path, before, after, .. } = change;
        Self { path: path.to_string(), before: before.clone(), after: after.clone() }
    }
}

impl From<&Overlap> for Overlapping {
    fn from(overlap: &Overlap) -> Self {
        let Overlap { path, base, ours, theirs, .. } = overlap;
        Self { path: path.to_string(), base: base.clone(), ours: ours.clone(), theirs: theirs.clone() }
    }
}
