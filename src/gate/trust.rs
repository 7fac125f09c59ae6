//! Tests whether the storage keeps the guarantees that the store relies on. The result of the probe is
//! recorded in `config.json`.

use std::{pin::pin, time::Duration};

use futures::future::{Either, select};
use pflow_backend::probe::{self, Depth, Report};

use crate::{Error, Result, format::keys, repo::Objects};

/// A probe that takes longer than this is announced.
const SILENT: Duration = Duration::from_secs(1);

/// The result of a conclusive probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Safe,
    /// The guarantees that are broken.
    Unsafe(Vec<String>),
}

/// Probes the storage below a prefix of its own, and prints a notice if that takes a while.
pub(crate) async fn probe(objects: &Objects, depth: &Depth) -> Result<Report> {
    let ground = keys::probe_ground(&objects.environment.new_id());
    let (backend, environment) = (&*objects.backend, &*objects.environment);
    let probing = pin!(probe::run(backend, environment, &ground, depth));
    let report = match select(probing, environment.idle(SILENT)).await {
        Either::Left((report, _)) => report,
        Either::Right(((), probing)) => {
            let place = backend.name().unwrap_or_else(|| "the storage".to_owned());
            let objects = depth.races().saturating_add(3);
            tracing::info!(target: pflow_backend::NOTICES, "testing the guarantees of {place} with {objects} objects below ops/probe");
            probing.await
        }
    };
    let report = report.map_err(Error::Storage)?;
    if let Some(reason) = &report.left_behind {
        tracing::warn!(%ground, reason, "objects of the probe are left behind; they are harmless");
    }
    Ok(report)
}

/// Derives the verdict from the report of a probe.
///
/// # Errors
/// [`Error::Unproven`]: replies were lost, or requests landed late. Nothing may be written then; another probe may be conclusive.
pub(crate) fn verdict(place: &str, report: &Report) -> Result<Verdict> {
    let (broken, unclear) = (report.broken(), report.unclear());
    if !broken.is_empty() {
        Ok(Verdict::Unsafe(broken))
    } else if unclear.is_empty() {
        Ok(Verdict::Safe)
    } else {
        Err(Error::Unproven { place: place.to_owned(), unclear })
    }
}

impl Verdict {
    /// Refuses writes if a guarantee is broken.
    pub(crate) fn into_result(self, place: &str) -> Result<()> {
        match self {
            Self::Safe => Ok(()),
            Self::Unsafe(broken) => Err(Error::UnsafeStorage { place: place.to_owned(), broken }),
        }
    }
}
