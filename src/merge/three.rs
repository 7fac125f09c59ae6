//! Three versions of one thing.

/// A side of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Ours.
    Ours,
    /// Theirs.
    Theirs,
}

impl Side {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Ours => Self::Theirs,
            Self::Theirs => Self::Ours,
        }
    }

    /// The position of its version, the base being the first.
    pub(super) fn version(self) -> usize {
        match self {
            Self::Ours => 1,
            Self::Theirs => 2,
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        })
    }
}

/// The common ancestor and the two sides that were made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Three<T> {
    pub(super) base: T,
    pub(super) ours: T,
    pub(super) theirs: T,
}

/// The side whose version is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// Both sides have the same version.
    Same,
    /// Only that side changed it.
    Only(Side),
    /// Both changed it, in different ways.
    Neither,
}

impl<T> Three<T> {
    pub(super) fn new([base, ours, theirs]: [T; 3]) -> Self {
        Self { base, ours, theirs }
    }

    pub(super) fn map<U>(self, f: impl FnMut(T) -> U) -> Three<U> {
        Three::new([self.base, self.ours, self.theirs].map(f))
    }

    pub(super) fn as_ref(&self) -> Three<&T> {
        Three { base: &self.base, ours: &self.ours, theirs: &self.theirs }
    }

    pub(super) fn side(&self, side: Side) -> &T {
        match side {
            Side::Ours => &self.ours,
            Side::Theirs => &self.theirs,
        }
    }

    /// Picks the side whose version counts. Without a known base only equal versions can be decided.
    pub(super) fn pick(&self, base_is_known: bool, same: impl Fn(&T, &T) -> bool) -> Pick {
        if same(&self.ours, &self.theirs) {
            Pick::Same
        } else if base_is_known && same(&self.base, &self.ours) {
            Pick::Only(Side::Theirs)
        } else if base_is_known && same(&self.base, &self.theirs) {
            Pick::Only(Side::Ours)
        } else {
            Pick::Neither
        }
    }
}
