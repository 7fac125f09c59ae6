//! The scenarios that are measured.

use std::{fmt, str::FromStr};

/// A way of working with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// This many clients, each saving one workflow after the other.
    Save { clients: usize },
    /// One client that saves [`BATCH`] workflows at a time.
    Batch,
    /// One client that loads one workflow after the other, head and content, and verifies each.
    Load,
    /// Opening a store and loading one workflow.
    Cold,
    /// Opening a store and listing all of them.
    List,
    /// One client that saves until the store is large, to compare the last saves with the first.
    Flat,
    /// Not measured: fills the store that the reading scenarios use.
    Fill,
}

/// The number of workflows in a batch.
pub(crate) const BATCH: usize = 64;
/// The number of workflows in the store of the reading scenarios.
pub(crate) const FILLED: usize = 2000;

impl Scenario {
    /// All scenarios, in the order in which they are run and reported.
    pub(crate) const ALL: [Self; 8] = [
        Self::Save { clients: 1 },
        Self::Save { clients: 8 },
        Self::Save { clients: 64 },
        Self::Batch,
        Self::Load,
        Self::Cold,
        Self::List,
        Self::Flat,
    ];

    pub(crate) fn clients(self) -> usize {
        match self {
            Self::Save { clients } => clients,
            _ => 1,
        }
    }

    /// Whether it reads what was saved before, and changes nothing.
    pub(crate) fn reads(self) -> bool {
        matches!(self, Self::Load | Self::Cold | Self::List)
    }

    /// Returns its heading.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Save { clients: 1 } => "one client saving".to_owned(),
            Self::Save { clients } => format!("{clients} clients saving"),
            Self::Batch => format!("batches of {BATCH} saves"),
            Self::Load => format!("one client loading, of {FILLED} workflows"),
            Self::Cold => format!("opening a store of {FILLED} workflows and loading one"),
            Self::List => format!("opening a store of {FILLED} workflows and listing them"),
            Self::Flat => "one client saving until there is much".to_owned(),
            Self::Fill => "filling".to_owned(),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Save { clients } => write!(f, "save-{clients}"),
            Self::Batch => write!(f, "batch-{BATCH}"),
            Self::Load => f.write_str("load"),
            Self::Cold => f.write_str("cold"),
            Self::List => f.write_str("list"),
            Self::Flat => f.write_str("flat"),
            Self::Fill => f.write_str("fill"),
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().chain([Self::Fill]).find(|scenario| scenario.to_string() == name);
        found
            .ok_or_else(|| format!("there are {}", Self::ALL.map(|scenario| scenario.to_string()).join(", ")))
    }
}
