use pflow_store::{Store, health::Repaired};
use serde::Serialize;

/// The store that `init` created, found or repaired.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Made {
    location: String,
    store_id: String,
    created: bool,
    /// Under `--repair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Rebuilt>,
}

/// What was rebuilt. Workflows are not changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Rebuilt {
    /// A line for each field of `config.json`, if it was rebuilt.
    config: Vec<String>,
    /// The object that keeps the damaged one.
    kept: Option<String>,
    /// Files that were missing.
    added: Vec<String>,
}

/// How many workflows the rebuilt index has.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Reindexed {
    pub(crate) workflows: usize,
}

impl Made {
    pub(crate) fn of(store: &Store, created: bool, repaired: Option<Repaired>) -> Self {
        let rebuilt = |Repaired { config, kept, added, .. }| Rebuilt { config, kept, added };
        Self {
            location: store.location().to_owned(),
            store_id: store.config().store_id,
            created,
            repaired: repaired.map(rebuilt),
        }
    }
}
