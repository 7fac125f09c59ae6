//! What is measured.

use std::{fmt, str::FromStr};

/// A way of working with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// So many clients, each saving one workflow after the other.
    Save { clients: usize },
    /// One client that saves [`BATCH`] workflows at a time.
    Batch,
}

/// How many workflows a batch has.
pub(crate) const BATCH: usize = 64;

impl Scenario {
    /// All of them, in the order in which they are run and told.
    pub(crate) const ALL: [Self; 4] =
        [Self::Save { clients: 1 }, Self::Save { clients: 8 }, Self::Save { clients: 64 }, Self::Batch];

    pub(crate) fn clients(self) -> usize {
        match self {
            Self::Save { clients } => clients,
            Self::Batch => 1,
        }
    }

    /// What it says in a heading.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Save { clients: 1 } => "one client saving".to_owned(),
            Self::Save { clients } => format!("{clients} clients saving"),
            Self::Batch => format!("batches of {BATCH} saves"),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save { clients } => write!(f, "save-{clients}"),
            Self::Batch => write!(f, "batch-{BATCH}"),
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.to_string() == name);
        found
            .ok_or_else(|| format!("there are {}", Self::ALL.map(|scenario| scenario.to_string()).join(", ")))
    }
}
