use pflow_backend::{Error as StorageError, ErrorKind, Version};

use super::{Gate, check_features};
use crate::{
    Error, Result,
    format::{Config, keys},
    register::{Around, Derived, Swapped, Tries, back_off, swap},
    repo::{Objects, unreadable},
};

impl Gate {
    /// Applies `change` to the stored config with a compare-and-swap. Returns the new config, which this
    /// handle uses from then on. After a lost race the change is made on top of the newer config. The caller
    /// was admitted as a writer.
    ///
    /// `change` is applied once for every attempt, so it sets values and does not add to them. A swap in
    /// doubt is settled by a config that has the change already, or else by the next swap.
    ///
    /// # Errors
    /// [`Error::StoreMissing`] if `config.json` was removed, [`Error::MissingFeatures`] if only a newer
    /// program may write, [`Error::OutcomeUnknown`] if a reply was lost and the swap could not be settled;
    /// errors of the storage.
    pub(crate) async fn change_config(&self, change: impl Fn(&mut Config)) -> Result<Config> {
        // One at a time, so that what this handle keeps is what landed last.
        let _changing = self.changing.lock().await;
        let (mut tries, mut in_doubt) = (Tries::default(), false);
        let what = || format!("the change of {}", keys::CONFIG);
        let error = loop {
            let (config, swapped) = match self.swap_config(&change).await {
                Ok(swapped) => swapped,
                Err(error) => break error,
            };
            let goes_on = match swapped {
                Swapped::Landed(..) => {
                    self.has_changed(config.clone());
                    return Ok(config);
                }
                Swapped::Lost { .. } => tries.lose(),
                Swapped::InDoubt(error) => {
                    in_doubt = true;
                    tries.doubt(error) && tries.lose()
                }
                Swapped::Failed { error, .. } | Swapped::Unknown(error) => {
                    break Error::of_commit(what, error);
                }
            };
            if !goes_on {
                let reason = format!("{} changed {} times meanwhile", keys::CONFIG, tries.lost());
                break Error::Storage(StorageError::not_applied(ErrorKind::Busy, reason));
            }
            back_off(self.objects.environment.as_ref(), tries.lost()).await;
        };
        Err(if in_doubt { Error::in_doubt(what(), tries.take_doubt(), error) } else { error })
    }

    /// Makes one attempt. Returns the config to be stored, and the outcome of its swap.
    async fn swap_config(&self, change: impl Fn(&mut Config)) -> Result<(Config, Swapped)> {
        let Some((before, version)) = stored_config(&self.objects).await? else {
            return Err(Error::StoreMissing { location: self.location.clone() });
        };
        check_features(before.features.unknown_to_writers())?;
        let mut config = before.clone();
        change(&mut config);
        if config == before {
            return Ok((config, Swapped::Landed(Some(version), Derived::InPlace)));
        }
        config.nonce = Some(self.objects.environment.new_id());
        let encoded = config.encode().map_err(|source| unreadable(&keys::config(), source))?;
        // IMPORTANT: a config that cannot be read closes the store to everyone.
        check_readable(&encoded)?;
        let swapped = swap(&self.objects, keys::config(), encoded, Some(&version), Around::default()).await;
        Ok((config, swapped))
    }
}

/// The maximum size of `config.json`, in bytes. It is read whenever a store is opened.
const MAX_BYTES: usize = 256 << 10;

fn check_readable(encoded: &[u8]) -> Result<()> {
    let reason = match Config::decode(encoded) {
        Ok(_) if encoded.len() <= MAX_BYTES => return Ok(()),
        Ok(_) => format!("config.json would have {} bytes, at most {MAX_BYTES} are allowed", encoded.len()),
        Err(source) => format!("config.json could not be read with it: {source}"),
    };
    Err(Error::InvalidField { field: "setting", reason })
}

/// Reads `config.json`; none if there is none.
pub(crate) async fn read_config(objects: &Objects) -> Result<Option<Config>> {
    Ok(stored_config(objects).await?.map(|(config, _)| config))
}

async fn stored_config(objects: &Objects) -> Result<Option<(Config, Version)>> {
    let key = keys::config();
    let Some(object) = objects.get(&key).await? else { return Ok(None) };
    let config = Config::decode(&object.bytes).map_err(|source| unreadable(&key, source))?;
    Ok(Some((config, object.meta.version)))
}
