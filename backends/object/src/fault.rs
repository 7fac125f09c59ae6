//! Why a request did not succeed, and what that implies for a write.

use std::time::Duration;

use crate::credentials::{Later, NoCredentials};

/// Why a request did not succeed. It contains no secret: see `wire.rs`.
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "without a cloud no request is ever sent")
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, so nothing was sent. The cause in a few words.
    Unreachable(String),
    /// This proxy (host and port) does not reach the server, so nothing was sent. The cause in a few words.
    Proxy(String, String),
    /// This proxy requires credentials, so nothing was sent.
    ProxyCredentials(String),
    /// The endpoint should use TLS but uses plain HTTP, so nothing was sent.
    SpeaksPlainHttp,
    /// The endpoint should use plain HTTP but uses TLS.
    SpeaksTls,
    /// There is no credential service at this host, so nothing was sent.
    Credentials(String),
    /// The credential service at this host answered with this status and without credentials, so nothing was
    /// sent.
    CredentialsRefused(String, u16),
    /// A credential service provides no credentials at the moment, so nothing was sent.
    CredentialsLater(Later),
    /// No credentials arrived during the attempt, so nothing was sent.
    CredentialsTimedOut,
    /// There are no credentials for another reason, so nothing was sent.
    NoCredentials(NoCredentials),
    /// The settings do not allow the request, so nothing was sent.
    Settings(String),
    /// The server answered.
    Answer(Answer),
    /// The server refused the credentials, and new ones may be available for the next request.
    Stale(Answer),
    /// No answer in time.
    TimedOut,
    /// The connection ended before the answer was complete.
    Cut,
    /// An answer that cannot be parsed.
    Garbled,
    /// A web page instead of an answer.
    WebPage,
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The server's error code, such as `NoSuchBucket`. The answer to a HEAD has none.
    pub(crate) code: Option<String>,
    /// The region of the bucket according to S3, if the request went to another one.
    pub(crate) region: Option<String>,
    /// The pause that the server asked for.
    pub(crate) retry_after: Option<Duration>,
    /// The target of a redirect: scheme, host and port. Redirects are not followed.
    pub(crate) leads_to: Option<String>,
}

/// What a fault implies for a write whose request had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfAWrite {
    /// Certainly not applied by this request, and the next request would fail too.
    Hopeless,
    /// Certainly not applied by this request: it was not sent, or its credentials were refused. The next
    /// request may succeed.
    NotSent,
    /// Everything else, including every refusal of a condition, because it may be the answer to a repeated
    /// request whose first copy was applied.
    Doubtful,
}

impl Fault {
    /// The fault for an error of object_store, by its kind alone.
    pub(crate) fn by_kind(error: &object_store::Error) -> Self {
        let answer = |status| Self::Answer(Answer::of_status(status));
        match error {
            object_store::Error::NotFound { .. } => answer(404),
            object_store::Error::AlreadyExists { .. } => answer(409),
            object_store::Error::Precondition { .. } => answer(412),
            object_store::Error::NotModified { .. } => answer(304),
            object_store::Error::PermissionDenied { .. } => answer(403),
            object_store::Error::Unauthenticated { .. } => answer(401),
            object_store::Error::NotImplemented { operation, .. } => Self::Settings(operation.clone()),
            object_store::Error::UnknownConfigurationKey { key, .. } => Self::Settings(key.clone()),
            _ => Self::Garbled,
        }
    }

    /// Whether the same request may succeed soon. [`Fault::Unreachable`], [`Fault::Garbled`] and
    /// [`Fault::WebPage`] are retried less than the others.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut | Self::Cut | Self::Garbled | Self::WebPage => true,
            Self::CredentialsLater(..) | Self::CredentialsTimedOut => true,
            Self::Stale(_) | Self::Proxy(..) => true,
            Self::Credentials(_) | Self::CredentialsRefused(..) | Self::NoCredentials(_) => false,
            Self::ProxyCredentials(_) => false,
            Self::Settings(_) | Self::SpeaksPlainHttp | Self::SpeaksTls => false,
            Self::Answer(answer) => answer.is_passing(),
        }
    }

    /// What it implies for the write whose request had it.
    pub(crate) fn of_a_write(&self) -> OfAWrite {
        match self {
            Self::Unreachable(_) | Self::Proxy(..) => OfAWrite::NotSent,
            Self::CredentialsLater(..) | Self::CredentialsTimedOut => OfAWrite::NotSent,
            Self::Stale(_) => OfAWrite::NotSent,
            Self::Credentials(_) | Self::CredentialsRefused(..) => OfAWrite::Hopeless,
            Self::NoCredentials(_) | Self::Settings(_) => OfAWrite::Hopeless,
            Self::ProxyCredentials(_) | Self::SpeaksPlainHttp => OfAWrite::Hopeless,
            // Bytes were sent. A server that expected TLS did not apply them, but another server behind the
            // same port may have.
            Self::SpeaksTls => OfAWrite::Doubtful,
            // The page may hide an error of the server behind a proxy: `error_page 504 =200 /sorry`.
            Self::TimedOut | Self::Cut | Self::Garbled | Self::WebPage => OfAWrite::Doubtful,
            Self::Answer(answer) if answer.is_a_final_refusal() => OfAWrite::Hopeless,
            Self::Answer(_) => OfAWrite::Doubtful,
        }
    }

    /// The fault in a few words, for a person who waits.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::Unreachable(cause) => cause.clone(),
            Self::Proxy(proxy, cause) => format!("the proxy {proxy}: {cause}"),
            Self::ProxyCredentials(proxy) => format!("407 of the proxy {proxy}"),
            Self::SpeaksPlainHttp => "plain HTTP".to_owned(),
            Self::SpeaksTls => "TLS".to_owned(),
            Self::Credentials(host) => format!("{host} hands out no credentials"),
            Self::CredentialsRefused(host, status) => format!("{host} gives no credentials ({status})"),
            Self::CredentialsLater(Later { host, cause, .. }) => {
                format!("{cause} of {host}, which hands out credentials")
            }
            Self::CredentialsTimedOut => "no credentials in time".to_owned(),
            Self::NoCredentials(none) => none.why.clone(),
            Self::Settings(what) => what.clone(),
            Self::Answer(Answer { status, code: Some(code), .. })
            | Self::Stale(Answer { status, code: Some(code), .. }) => format!("{status} {code}"),
            Self::Answer(Answer { status, .. }) | Self::Stale(Answer { status, .. }) => status.to_string(),
            Self::TimedOut => "no answer in time".to_owned(),
            Self::Cut => "the connection broke off".to_owned(),
            Self::Garbled => "an answer that cannot be read".to_owned(),
            Self::WebPage => "a web page".to_owned(),
        }
    }

    /// Whether the server answered that it is busy or failing.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.status != 409 && answer.is_passing())
    }

    /// The pause that the server asked for, if any.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer(answer) => answer.retry_after,
            Self::CredentialsLater(later) => later.retry_after,
            _ => None,
        }
    }

    /// The status of the answer, if there was one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer) | Self::Stale(answer) => Some(answer.status),
            _ => None,
        }
    }
}

impl Answer {
    /// An answer with only a status.
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, code: None, region: None, retry_after: None, leads_to: None }
    }

    pub(crate) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the bucket or container does not exist.
    pub(crate) fn lacks_bucket(&self) -> bool {
        self.has_code(&["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"])
    }

    /// Whether the bucket exists and the key does not.
    pub(crate) fn lacks_key(&self) -> bool {
        self.status == 404 && self.has_code(&["NoSuchKey", "BlobNotFound"])
    }

    /// Whether the server refused the credentials, as it does if they have expired or were replaced. S3
    /// answers a HEAD without an error code.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    pub(crate) fn is_of_old_credentials(&self, is_a_look: bool) -> bool {
        let codes =
            ["ExpiredToken", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId", "InvalidTokenId"];
        self.status == 401 || self.has_code(&codes) || is_a_look && self.status == 400 && self.code.is_none()
    }

    /// Whether the request was signed for, or sent to, another region than the bucket's. S3 answers 301 and
    /// 307 with the region in a header, and 400 with the region in the document.
    pub(crate) fn is_of_another_region(&self) -> bool {
        let codes = [
            "PermanentRedirect",
            "TemporaryRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ];
        self.has_code(&codes) || (self.status == 400 || self.is_redirect()) && self.region.is_some()
    }

    pub(crate) fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status)
    }

    fn is_passing(&self) -> bool {
        match self.status {
            501 | 505 | 507 => false,
            408 | 409 | 425 | 429 | 500.. => true,
            400 => self.has_code(&["RequestTimeout"]),
            _ => false,
        }
    }

    /// Whether no server that gives this answer applies the request, because it checks the caller, the bucket
    /// and the form of the request before the object. A 404 without a code is not included, because it may be
    /// S3's answer to a swap of a removed key. A redirect is included if it comes from S3, which checks the
    /// bucket first. Any other redirect may be a proxy's answer in place of a server's error (`error_page 504
    /// =302 /sorry`), and that server may have applied the request.
    fn is_a_final_refusal(&self) -> bool {
        let missing = self.status == 404 && self.lacks_bucket();
        let malformed = self.status == 400 && !self.is_passing();
        missing
            || malformed
            || self.is_of_another_region()
            || matches!(self.status, 401 | 403 | 405 | 411 | 413 | 501 | 505 | 507)
    }
}
