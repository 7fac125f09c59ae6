use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use object_store::{
    CredentialProvider, Result,
    client::{HttpError, HttpErrorKind},
};
use pflow_backend::async_trait;

use super::{
    NoCredentials, Source,
    held::{Fetch, Fetched, Signs},
};

/// A provider of object_store, which asks a service or a token endpoint and caches the result.
pub(crate) type Provider<C> = Arc<dyn CredentialProvider<Credential = C>>;

/// Makes a provider that has no credentials yet.
type Make<C> = Box<dyn Fn() -> Result<Provider<C>> + Send + Sync>;

/// A source that object_store implements.
///
/// object_store fails a request if its credentials are valid for less than five minutes and cannot be
/// renewed, and it keeps credentials that the server has refused. [`Held`](super::Held) fixes the first
/// problem; replacing the provider by a new one fixes the second.
pub(crate) struct Service<C> {
    make: Make<C>,
    provider: Mutex<Provider<C>>,
    origin: String,
}

impl<C> Service<C> {
    pub(crate) fn new(
        make: impl Fn() -> Result<Provider<C>> + Send + Sync + 'static,
        source: &Source,
    ) -> Result<Self> {
        let provider = Mutex::new(make()?);
        Ok(Self { make: Box::new(make), provider, origin: source.origin.clone() })
    }
}

#[async_trait]
impl<C: Signs> Fetch for Service<C> {
    type Credential = C;

    async fn fetch(&self, is_refused: bool) -> Result<Fetched<C>> {
        let renewed = if is_refused { Some((self.make)()?) } else { None };
        let provider = {
            let mut provider = self.provider.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(renewed) = renewed {
                *provider = renewed;
            }
            provider.clone()
        };
        match provider.get_credential().await {
            Ok(credential) => Ok(Fetched { credential, expires: None }),
            Err(error) if is_told(&error) => Err(error),
            // object_store's message may repeat the answer of the service.
            Err(_) => Err(NoCredentials::denied(
                format!("{} gives no credentials that can be read", self.origin),
                "Check its settings, or set other credentials".to_owned(),
            )
            .carried()),
        }
    }

    fn keeps(&self) -> bool {
        true
    }
}

/// Whether the error is about a request for credentials, and not about an answer that cannot be parsed.
fn is_told(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(source) = cause {
        if source.downcast_ref::<HttpError>().is_some_and(|it| it.kind() == HttpErrorKind::Decode) {
            return false;
        }
        if crate::failure::of_link(source).is_some() {
            return true;
        }
        cause = source.source();
    }
    false
}

impl<C> fmt::Debug for Service<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("origin", &self.origin).finish_non_exhaustive()
    }
}
