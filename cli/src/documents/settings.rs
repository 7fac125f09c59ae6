use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Settings of a store by their names: of `config get` all or the one that was asked for, of `config set` the
/// one that was changed. What is not set is left out.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Settings {
    pub(crate) settings: BTreeMap<String, Value>,
}
