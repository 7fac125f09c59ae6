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

/// Credentials are renewed when they hold for less than this.
const MARGIN: Duration = Duration::from_secs(300);
/// While the held ones are still good, a source is asked again after this long at the earliest.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a request waits for new credentials while the held ones are still good.
const RENEWAL: Duration = Duration::from_secs(5);

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
/// - A request waits for a fetch only where the held credentials were refused, have expired, or are about to
///   expire. In the last case one request waits, for [`RENEWAL`] at most, and the others use those that are
///   held.
/// - A fetch that fails while they still hold costs nothing: they are used until they expire, by the clock
///   of the machine. Where that clock errs the server refuses them, which is the next rule.
/// - Credentials that the server refused are never used again unless the source gives the same ones once
///   more.
/// - A fetch that fails fails for every request that waited for it.
pub(crate) struct Held<F: Fetch> {
    source: F,
    refused: Arc<Refused>,
    environment: Arc<dyn Environment>,
    state: Mutex<State<F::Credential>>,
    /// Locked while a fetch is under way, so that one fetch serves all requests.
    fetching: tokio::sync::Mutex<()>,
}

struct State<C> {
    held: Option<Fetched<C>>,
    /// How the server saw what is held when it refused it.
    refused: Option<String>,
    /// Before this moment of the monotonic clock the source is not asked while the held ones are good. Set
    /// before each fetch, for a fetch that hangs is dropped and sets nothing.
    next: Duration,
    /// How many fetches have ended.
    ended: u64,
    /// What the last one that ended met.
    failed: Option<Failed>,
}

/// What a request is to do.
enum Now<C> {
    /// Use these.
    Good(Arc<C>),
    /// Fetch, or use these where that fails.
    Due(Arc<C>),
    /// Fetch. So many fetches have ended up to now.
    Without { ended: u64 },
}

/// A failure that several requests are told.
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

    /// Whether the source is asked although these are held and hold.
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

    /// The caller has locked `fetching`.
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
                // Where the refusal came during the fetch the source did not know of it.
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

    /// One request fetches; the others, and this one where the fetch fails or takes long, use those that are
    /// held.
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

    /// Waits for the fetch that is under way, or fetches.
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

/// How long something is left until a time; nothing where it is over.
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

    /// Gives credentials that hold for an hour, or fails, once for each permit. Without one it hangs.
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
    async fn a_source_that_hangs_costs_one_request_a_few_seconds() {
        let (held, environment) = held();
        assert_eq!(id(&held).await, "0");
        environment.advance(Duration::from_secs(3_400));
        let begun = environment.monotonic();
        for _ in 0..3 {
            assert_eq!(id(&held).await, "0");
            assert_eq!(environment.monotonic(), begun + RENEWAL);
        }
        // A request that gives up leaves nothing behind.
        environment.advance(PAUSE);
        assert!(held.get_credential().now_or_never().is_none_or(|it| it.is_ok()));
        assert_eq!(id(&held).await, "0");
        assert_eq!(held.source.asked.load(Ordering::Relaxed), 3);
        held.source.permits.add_permits(1);
        environment.advance(PAUSE);
        assert_eq!(id(&held).await, "3");
    }

    #[tokio::test]
    async fn a_failed_fetch_is_told_to_all_that_waited_for_it() {
        let (held, _) = held();
        held.source.permits.forget_permits(1);
        held.source.fails.store(true, Ordering::Relaxed);
        let requests = (0..5).map(|_| held.get_credential());
        let freed = async { held.source.permits.add_permits(5) };
        let (told, ()) = futures::join!(futures::future::join_all(requests), freed);
        for refused in told {
            let fault = crate::wire::fault(&refused.unwrap_err());
            assert!(matches!(fault, crate::fault::Fault::NoCredentials(_)), "{fault:?}");
        }
        assert_eq!(held.source.asked.load(Ordering::Relaxed), 1);
        held.source.fails.store(false, Ordering::Relaxed);
        assert_eq!(id(&held).await, "1");
    }
}
