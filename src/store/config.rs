use serde_json::Value;

use super::Store;
use crate::{
    Result,
    format::{Config, check_text},
};

/// The maximum length of a setting's name, in bytes.
const MAX_NAME_BYTES: usize = 64;

impl Store {
    /// Returns the config of the store as this handle last saw it.
    pub fn config(&self) -> Config {
        self.shared.gate.config()
    }

    /// Sets a setting of the store, or removes it if there is no value. Returns the new config. The store
    /// itself uses no setting; programs that use the store agree on names and values.
    ///
    /// It is a compare-and-swap of `config.json`, so a setting that another client changes at the same time is
    /// not lost.
    ///
    /// # Errors
    /// [`Error::InvalidField`](crate::Error::InvalidField) if the name is empty, longer than 64 bytes or
    /// has a NUL byte; [`Error::OutcomeUnknown`](crate::Error::OutcomeUnknown) if a reply was lost; otherwise
    /// nothing was changed: errors of the storage.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), pflow_store::Error> {
    /// # let store = pflow_store::Store::builder("memory:").init().await?;
    /// store.set_setting("team", Some("data".into())).await?;
    /// assert_eq!(store.config().settings["team"], "data");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_setting(&self, name: &str, value: Option<Value>) -> Result<Config> {
        check_text("setting", Some(name), MAX_NAME_BYTES)?;
        let _admission = self.shared.gate.admit_writer().await?;
        let change = |config: &mut Config| match &value {
            Some(value) => drop(config.settings.insert(name.to_owned(), value.clone())),
            None => drop(config.settings.remove(name)),
        };
        self.shared.gate.change_config(change).await
    }
}
