use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use object_store::{CredentialProvider, Result};
use pflow_backend::{Environment, async_trait};
use tokio::sync::Mutex;

use super::Refused;

/// Credentials are renewed when they hold for less than this.
const MARGIN: Duration = Duration::from_secs(300);
/// While the held ones are still good, a source is asked again after this long at the earliest.
const PAUSE: Duration = Duration::from_secs(30);

/// What a source gave.
pub(crate) struct Fetched<C> {
    pub(crate) credential: Arc<C>,
    /// None where the source does not tell: they are good until the server refuses them.
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// A source of credentials that may give new ones.
#[async_trait]
pub(crate) trait Fetch: fmt::Debug + Send + Sync + 'static {
    type Credential;

    /// Asks for credentials. `is_refused`: the server has refused those that it gave before.
    async fn fetch(&self, is_refused: bool) -> Result<Fetched<Self::Credential>>;

    /// Whether the source keeps its credentials itself, so that it can be asked at every request.
    fn keeps(&self) -> bool {
        false
    }
}

/// Credentials that a request may have been signed with.
pub(crate) trait Signs: fmt::Debug + Send + Sync + 'static {
    /// Whether a request with this header `authorization` was signed with them.
    fn signed(&self, authorization: &str) -> bool;
}

/// Keeps the credentials of a source.
///
/// - A request waits for a fetch only where the held credentials are about to expire, or were refused.
/// - A fetch that fails while they still hold costs nothing: they are used until they expire, by the clock
///   of the machine. Where that clock errs the server refuses them, which is the next rule.
/// - Credentials that the server refused are never used again unless the source gives the same ones once
///   more.
pub(crate) struct Held<F: Fetch> {
    source: F,
    refused: Arc<Refused>,
    environment: Arc<dyn Environment>,
    /// Locked while a fetch is under way, so that one fetch serves all requests.
    state: Mutex<State<F::Credential>>,
}

struct State<C> {
    held: Option<Fetched<C>>,
    /// The server has refused what is held.
    is_refused: bool,
    /// Before this moment of the monotonic clock the source is not asked while the held ones are good.
    next: Duration,
}

impl<F: Fetch> Held<F> {
    pub(crate) fn new(source: F, refused: Arc<Refused>, environment: Arc<dyn Environment>) -> Self {
        let state = State { held: None, is_refused: false, next: Duration::ZERO };
        Self { source, refused, environment, state: Mutex::new(state) }
    }

    /// Whether the source is asked although these are held.
    fn is_due(&self, held: &Fetched<F::Credential>, next: Duration) -> bool {
        let is_near_its_end = match held.expires {
            Some(expires) => left(expires, self.environment.now()) < MARGIN,
            None => self.source.keeps(),
        };
        is_near_its_end && (!self.holds(held) || self.environment.monotonic() >= next)
    }

    fn holds(&self, held: &Fetched<F::Credential>) -> bool {
        held.expires.is_none_or(|expires| self.environment.now() < expires)
    }
}

#[async_trait]
impl<F> CredentialProvider for Held<F>
where
    F: Fetch,
    F::Credential: Signs,
{
    type Credential = F::Credential;

    async fn get_credential(&self) -> Result<Arc<F::Credential>> {
        let mut state = self.state.lock().await;
        for authorization in self.refused.take() {
            state.is_refused |=
                state.held.as_ref().is_some_and(|held| held.credential.signed(&authorization));
        }
        if let Some(held) = state.held.as_ref().filter(|_| !state.is_refused)
            && !self.is_due(held, state.next)
        {
            return Ok(held.credential.clone());
        }
        let fetched = self.source.fetch(state.is_refused).await;
        let pause = if fetched.is_ok() && self.source.keeps() { Duration::ZERO } else { PAUSE };
        state.next = self.environment.monotonic().saturating_add(pause);
        match (fetched, &state.held) {
            (Ok(fetched), _) => {
                let credential = fetched.credential.clone();
                (state.held, state.is_refused) = (Some(fetched), false);
                Ok(credential)
            }
            (Err(_), Some(held)) if !state.is_refused && self.holds(held) => {
                tracing::debug!("credentials could not be renewed; those that are held are used");
                Ok(held.credential.clone())
            }
            (Err(failed), _) => Err(failed),
        }
    }
}

impl<F: Fetch> fmt::Debug for Held<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(feature = "gcs")]
impl Signs for object_store::gcp::GcpCredential {
    fn signed(&self, authorization: &str) -> bool {
        authorization.strip_prefix("Bearer ") == Some(&self.bearer)
    }
}

#[cfg(feature = "azure")]
impl Signs for object_store::azure::AzureCredential {
    fn signed(&self, authorization: &str) -> bool {
        matches!(self, Self::BearerToken(token) if authorization.strip_prefix("Bearer ") == Some(token))
    }
}

/// How long something is left until a time; nothing where it is over.
fn left(until: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    until.signed_duration_since(now).to_std().unwrap_or_default()
}
