use std::{
    error::Error as StdError,
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::{Either, select};
use object_store::{CredentialProvider, Error, Result};
use pflow_backend::{Environment, async_trait};

use super::Refused;
use crate::getting::Begun;

/// Credentials are renewed when they are valid for less than this.
const MARGIN: Duration = Duration::from_secs(300);
/// While the held credentials are valid, the minimum time between two fetches.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a request waits for new credentials while the held ones are valid.
const RENEWAL: Duration = Duration::from_secs(5);

/// The credentials that a source returned.
pub(crate) struct Fetched<C> {
    pub(crate) credential: Arc<C>,
    /// None if the source does not say: they are used until the server refuses them.
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// A source that can provide new credentials.
#[async_trait]
pub(crate) trait Fetch: fmt::Debug + Send + Sync + 'static {
    type Credential;

    /// Fetches credentials. `is_refused`: the server has refused the previous ones.
    async fn fetch(&self, is_refused: bool) -> Result<Fetched<Self::Credential>>;

    /// Whether the source caches its credentials itself, so that it can be asked at every request.
    fn keeps(&self) -> bool {
        false
    }
}

/// Credentials that requests are signed with.
pub(crate) trait Signs: fmt::Debug + Send + Sync + 'static {
    /// Whether a request with this `authorization` header was signed with them.
    fn signed(&self, authorization: &str) -> bool;
}

/// Holds the credentials of a source.
///
/// - A request waits for a fetch only if the held credentials were refused, have expired, or are about to
///   expire. In the last case one request waits, for at most [`RENEWAL`], and the others use the held ones.
/// - A fetch that fails while they are still valid does no harm: they are used until they expire by the
///   machine's clock. If that clock is wrong, the server refuses them, and the next rule applies.
/// - Credentials that the server refused are not used again, unless the source returns the same ones again.
/// - A failed fetch fails every request that waited for it.
pub(crate) struct Held<F: Fetch> {
    source: F,
    refused: Arc<Refused>,
    environment: Arc<dyn Environment>,
    state: Mutex<State<F::Credential>>,
    /// Locked during a fetch, so that one fetch serves all requests.
    fetching: tokio::sync::Mutex<()>,
}

struct State<C> {
    held: Option<Fetched<C>>,
    /// The header of the refused request, if the server refused the held credentials.
    refused: Option<String>,
    /// The source is not asked before this moment of the monotonic clock while the held credentials are
    /// valid. It is set before each fetch, because a fetch that hangs is dropped and sets nothing afterwards.
    next: Duration,
    /// The number of completed fetches.
    ended: u64,
    /// The failure of the last completed fetch.
    failed: Option<Failed>,
}

/// What a request must do.
enum Now<C> {
    /// Use these.
    Good(Arc<C>),
    /// Fetch, or use these if that fails.
    Due(Arc<C>),
    /// Fetch. `ended` is the number of fetches completed so far.
    Without { ended: u64 },
}

/// A failure that is returned to several requests.
#[derive(Debug, Clone)]
struct Failed(Arc<Error>);

impl<F> Held<F>
where
    F: Fetch,
    F::Credential: Signs,
{
    pub(crate) fn new(source: F, refused: Arc<Refused>, environment: Arc<dyn Environment>) -> Self {
        let state = State { held: None, refused: None, next: Duration::ZERO, ended: 0, failed: None };
        let (state, fetching) = (Mutex::new(state), tokio::sync::Mutex::default());
        Self { source, refused, environment, state, fetching }
    }

    fn state(&self) -> MutexGuard<'_, State<F::Credential>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now<F::Credential> {
        let mut state = self.state();
        let mut refused = self.refused.take().into_iter();
        let of_held = |it: &String| state.held.as_ref().is_some_and(|held| held.credential.signed(it));
        if let Some(authorization) = refused.find(of_held) {
            state.refused = Some(authorization);
        }
        match &state.held {
            Some(held) if state.refused.is_none() && self.holds(held) => {
                let credential = held.credential.clone();
                if self.is_due(held, state.next) { Now::Due(credential) } else { Now::Good(credential) }
            }
            _ => Now::Without { ended: state.ended },
        }
    }

    /// Whether to ask the source although the held credentials are valid.
    fn is_due(&self, held: &Fetched<F::Credential>, next: Duration) -> bool {
        let is_near_its_end = match held.expires {
            Some(expires) => left(expires, self.environment.now()) < MARGIN,
            None => self.source.keeps(),
        };
        is_near_its_end && self.environment.monotonic() >= next
    }

    fn holds(&self, held: &Fetched<F::Credential>) -> bool {
        held.expires.is_none_or(|expires| self.environment.now() < expires)
    }

    /// Fetches credentials. The caller holds the lock `fetching`.
    async fn fetch(&self) -> Result<Arc<F::Credential>, Failed> {
        let is_refused = {
            let mut state = self.state();
            state.next = self.environment.monotonic().saturating_add(PAUSE);
            state.refused.is_some()
        };
        let fetched = self.source.fetch(is_refused).await;
        let mut state = self.state();
        state.ended += 1;
        match fetched {
            Ok(fetched) => {
                let pause = if self.source.keeps() { Duration::ZERO } else { PAUSE };
                state.next = self.environment.monotonic().saturating_add(pause);
                // A refusal that came during the fetch was not known to the source.
                let refused = state.refused.take();
                state.refused = refused.filter(|it| !is_refused && fetched.credential.signed(it));
                state.failed = None;
                let credential = fetched.credential.clone();
                state.held = Some(fetched);
                Ok(credential)
            }
            Err(error) => {
                let failed = Failed(Arc::new(error));
                state.failed = Some(failed.clone());
                Err(failed)
            }
        }
    }

    /// Renews credentials that are about to expire. One request fetches; the others use the held ones, and so
    /// does this one if the fetch fails or takes long.
    async fn renewed(&self, held: Arc<F::Credential>) -> Arc<F::Credential> {
        let Ok(_alone) = self.fetching.try_lock() else { return held };
        match select(pin!(self.fetch()), pin!(self.environment.sleep(RENEWAL))).await {
            Either::Left((Ok(credential), _)) => credential,
            Either::Left((Err(_), _)) | Either::Right(_) => {
                tracing::debug!("credentials could not be renewed; those that are held are used");
                held
            }
        }
    }

    /// Waits for the running fetch, or fetches.
    async fn awaited(&self, ended: u64) -> Result<Arc<F::Credential>, Failed> {
        let _alone = self.fetching.lock().await;
        if let Now::Good(credential) | Now::Due(credential) = self.now() {
            return Ok(credential);
        }
        let failed = {
            let state = self.state();
            state.failed.clone().filter(|_| state.ended != ended)
        };
        match failed {
            Some(failed) => Err(failed),
            None => self.fetch().await,
        }
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
        let _getting = Begun::new();
        match self.now() {
            Now::Good(credential) => Ok(credential),
            Now::Due(held) => Ok(self.renewed(held).await),
            Now::Without { ended } => self
                .awaited(ended)
                .await
                .map_err(|failed| Error::Generic { store: "credentials", source: Box::new(failed) }),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no credentials")
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
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

/// The time left until `until`; zero if it has passed.
fn left(until: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    until.signed_duration_since(now).to_std().unwrap_or_default()
}

#[cfg(all(test, feature = "s3"))]
#[allow(clippy::unwrap_used, reason = "this is how a test fails")]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::FutureExt;
    use object_store::aws::AwsCredential;
    use pflow_backend::ManualEnvironment;
    use tokio::sync::Semaphore;

    use super::*;

    /// Returns credentials that are valid for an hour, or fails, once for each permit. Without a permit it
    /// hangs.
    #[derive(Debug)]
    struct Source {
        environment: Arc<ManualEnvironment>,
        asked: Arc<AtomicU64>,
        permits: Arc<Semaphore>,
        fails: Arc<std::sync::atomic::AtomicBool>,
    }

    #[async_trait]
    impl Fetch for Source {
        type Credential = AwsCredential;

        async fn fetch(&self, _: bool) -> Result<Fetched<AwsCredential>> {
            let key_id = self.asked.fetch_add(1, Ordering::Relaxed).to_string();
            self.permits.acquire().await.unwrap().forget();
            if self.fails.load(Ordering::Relaxed) {
                return Err(super::super::NoCredentials::denied("none", "").carried());
            }
            let credential = AwsCredential { key_id, secret_key: "s".to_owned(), token: None };
            let expires = Some(self.environment.now() + Duration::from_secs(3_600));
            Ok(Fetched { credential: credential.into(), expires })
        }
    }

    fn held() -> (Held<Source>, Arc<ManualEnvironment>) {
        let environment = Arc::new(ManualEnvironment::new(7));
        let source = Source {
            environment: environment.clone(),
            asked: Arc::default(),
            permits: Semaphore::new(1).into(),
            fails: Arc::default(),
        };
        (Held::new(source, Arc::default(), environment.clone()), environment)
    }

    async fn id(held: &Held<Source>) -> String {
        held.get_credential().await.unwrap().key_id.clone()
    }

    #[tokio::test]
    async fn hanging_source_delays_one_request_by_a_few_seconds() {
        let (held, environment) = held();
        assert_eq!(id(&held).await, "0");
        environment.advance(Duration::from_secs(3_400));
        let begun = environment.monotonic();
        for _ in 0..3 {
            assert_eq!(id(&held).await, "0");
            assert_eq!(environment.monotonic(), begun + RENEWAL);
        }
        // A request that gives up leaves no state behind.
        environment.advance(PAUSE);
        assert!(held.get_credential().now_or_never().is_none_or(|it| it.is_ok()));
        assert_eq!(id(&held).await, "0");
        assert_eq!(held.source.asked.load(Ordering::Relaxed), 3);
        held.source.permits.add_permits(1);
        environment.advance(PAUSE);
        assert_eq!(id(&held).await, "3");
    }

    #[tokio::test]
    async fn failed_fetch_fails_all_requests_that_waited_for_it() {
        let (held, _) = held();
        held.source.permits.forget_permits(1);
        held.source.fails.store(true, Ordering::Relaxed);
        let requests = (0..5).map(|_| held.get_credential());
        let freed = async { held.source.permits.add_permits(5) };
        let (told, ()) = futures::future::join(futures::future::join_all(requests), freed).await;
        for refused in told {
            let fault = crate::failure::fault(&refused.unwrap_err());
            assert!(matches!(fault, crate::fault::Fault::NoCredentials(_)), "{fault:?}");
        }
        assert_eq!(held.source.asked.load(Ordering::Relaxed), 1);
        held.source.fails.store(false, Ordering::Relaxed);
        assert_eq!(id(&held).await, "1");
    }
}
