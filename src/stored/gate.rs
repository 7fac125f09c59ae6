use std::sync::{Mutex, PoisonError};

use super::{
    Config, Objects, layout,
    trust::{self, Verdict},
    unreadable,
};
use crate::{Error, Result};

/// What stands between a program and a store: what a newer program changed here, by the features in `config.json`, and whether the place
/// is one that can be written to safely.
#[derive(Debug)]
pub(crate) struct Gate {
    objects: Objects,
    location: String,
    /// As last read. Never held across an await.
    config: Mutex<Config>,
    /// The name of a place that must be probed before it is written to.
    place: Option<String>,
    /// What is known of the place. Never held across an await.
    verdict: Mutex<Option<Verdict>>,
    /// Held by the one writer who probes while the others wait for what comes of it.
    probing: tokio::sync::Mutex<()>,
}

impl Gate {
    /// Lets a reader in who knows everything that a reader must know here.
    pub(crate) fn enter(objects: Objects, location: String, config: Config) -> Result<Self> {
        check(config.features.unknown_to_readers())?;
        let place = objects.backend.place();
        let verdict = place.as_ref().is_none_or(|place| config.is_probed(place)).then_some(Verdict::Safe);
        let (config, verdict) = (Mutex::new(config), Mutex::new(verdict));
        Ok(Self { objects, location, config, place, verdict, probing: Default::default() })
    }

    pub(crate) fn config(&self) -> Config {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn location(&self) -> &str {
        &self.location
    }

    /// Whether this program knows everything that a writer must know here.
    pub(crate) fn check_writer(&self) -> Result<()> {
        check(self.config().features.unknown_to_writers())
    }

    /// Whether a writer would be let in without another question. For those who write along the way and may as well not.
    pub(crate) fn is_open_to_writers(&self) -> bool {
        self.check_writer().is_ok() && self.verdict() == Some(Verdict::Safe)
    }

    /// Lets a writer in who knows everything that a writer must know here, if the place can be written to safely.
    ///
    /// Whether it can is found out by the first writer, unless `config.json` says that it was. Readers never ask: what is
    /// there is true whatever the place does to writers, and they may not be allowed to write a probe.
    pub(crate) async fn admit_writer(&self) -> Result<()> {
        self.check_writer()?;
        let Some(place) = &self.place else { return Ok(()) };
        if let Some(verdict) = self.verdict() {
            return verdict.into_result(place);
        }
        let _probing = self.probing.lock().await;
        // Whoever went first has found out meanwhile, or failed to, and then it is our turn.
        if let Some(verdict) = self.verdict() {
            return verdict.into_result(place);
        }
        tracing::info!(place, "probing the storage before the first write");
        let report = trust::probe(&self.objects).await?;
        let verdict = trust::verdict(place, &report)?;
        self.learn(place, verdict.clone()).await?;
        verdict.into_result(place)
    }

    /// The same by what `config.json` says now. A long-lived writer notices a changed gate, and a store that was taken away from under
    /// it, before it adds a workflow.
    pub(crate) async fn check_writer_again(&self) -> Result<()> {
        let config = read_config(&self.objects).await?;
        let config = config.ok_or_else(|| Error::StoreMissing { location: self.location.clone() })?;
        self.set_config(config);
        self.admit_writer().await
    }

    /// Probes the place, whatever is known of it, and remembers what it comes to where the place has a name.
    pub(crate) async fn probe_anew(&self) -> Result<pflow_backend::probe::Report> {
        self.check_writer()?;
        let _probing = self.probing.lock().await;
        let report = trust::probe(&self.objects).await?;
        if let Some(place) = &self.place
            && let Ok(verdict) = trust::verdict(place, &report)
        {
            self.learn(place, verdict).await?;
        }
        Ok(report)
    }

    /// Takes a verdict in, and writes it down for those who come later. That it could not be written down costs them a probe, no more.
    async fn learn(&self, place: &str, verdict: Verdict) -> Result<()> {
        match trust::remember(&self.objects, place, &verdict).await {
            Ok(Some(config)) => self.set_config(config),
            Ok(None) => tracing::debug!(place, "the verdict on the storage was not written down"),
            Err(newer @ Error::MissingFeatures { .. }) => return Err(newer),
            Err(error) => tracing::warn!(place, %error, "the verdict on the storage was not written down"),
        }
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        Ok(())
    }

    fn verdict(&self) -> Option<Verdict> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_config(&self, config: Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

pub(crate) async fn read_config(objects: &Objects) -> Result<Option<Config>> {
    let key = layout::config();
    let Some(object) = objects.get(&key).await? else { return Ok(None) };
    Config::decode(&object.bytes).map(Some).map_err(|source| unreadable(&key, source))
}

pub(super) fn check(unknown: Vec<String>) -> Result<()> {
    if unknown.is_empty() { Ok(()) } else { Err(Error::MissingFeatures { features: unknown }) }
}
