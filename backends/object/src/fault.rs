//! What a request came to when it did not succeed, and what that says about a write.

use std::{error::Error as StdError, time::Duration};

use pflow_backend::{Error, ErrorKind};

use crate::{
    credentials::{Later, NoCredentials},
    place::Place,
    url::Scheme,
    wire,
};

/// Why a request did not succeed. Holds no secret: see [`crate::wire`].
#[cfg_attr(
    not(any(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "without a cloud no request is ever sent")
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, so nothing was sent. The cause in a few words.
    Unreachable(String),
    /// This proxy (host and port) does not lead to the server, so nothing was sent. The cause in a few words.
    Proxy(String, String),
    /// This proxy asks for credentials, so nothing was sent.
    ProxyCredentials(String),
    /// The endpoint is to speak TLS and speaks plain HTTP, so nothing was sent.
    SpeaksPlainHttp,
    /// The endpoint is to speak plain HTTP and speaks TLS.
    SpeaksTls,
    /// No service that hands out credentials is at this host, so nothing was sent.
    Credentials(String),
    /// The service at this host answered with this status and no credentials, so nothing was sent.
    CredentialsRefused(String, u16),
    /// A service hands out no credentials at the moment, so nothing was sent.
    CredentialsLater(Later),
    /// No credentials came in the time of the attempt, so nothing was sent.
    CredentialsTimedOut,
    /// No credentials could be had for another reason, so nothing was sent.
    NoCredentials(NoCredentials),
    /// The settings do not allow the request, so nothing was sent.
    Settings(String),
    /// The server answered.
    Answer(Answer),
    /// The server refused the credentials, and new ones may be had for the next request.
    Stale(Answer),
    /// No answer in time.
    TimedOut,
    /// The connection ended before the whole answer was there.
    Cut,
    /// An answer that cannot be read.
    Garbled,
    /// A web page in place of an answer.
    WebPage,
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The server's own word for it, such as `NoSuchBucket`. A HEAD has none.
    pub(crate) code: Option<String>,
    /// Where S3 says the bucket is, when the request went to another region.
    pub(crate) region: Option<String>,
    /// How long the server wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// Where a redirect leads: scheme, host and port. No redirect is followed.
    pub(crate) leads_to: Option<String>,
}

/// What a fault says about a write that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfAWrite {
    /// Surely not applied by this request, and not by the next one either.
    Hopeless,
    /// Surely not applied by this request: it never left, or its credentials were refused. The next one may do better.
    NotSent,
    /// Everything else, and every refusal of a condition, for it may be the answer to a repeated request
    /// whose first copy was applied.
    Doubtful,
}

impl Fault {
    /// What object_store's error comes to. Its own texts, which may hold URLs and bodies, go no further.
    pub(crate) fn of(error: &object_store::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(source) = cause {
            if let Some(fault) = wire::fault(source) {
                return fault;
            }
            cause = source.source();
        }
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

    /// Whether the same request may well succeed a moment later. [`Fault::Unreachable`],
    /// [`Fault::Garbled`] and [`Fault::WebPage`] get less patience than the others.
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

    /// What it says about the write whose request met it.
    pub(crate) fn of_a_write(&self) -> OfAWrite {
        match self {
            Self::Unreachable(_) | Self::Proxy(..) => OfAWrite::NotSent,
            Self::CredentialsLater(..) | Self::CredentialsTimedOut => OfAWrite::NotSent,
            Self::Stale(_) => OfAWrite::NotSent,
            Self::Credentials(_) | Self::CredentialsRefused(..) => OfAWrite::Hopeless,
            Self::NoCredentials(_) | Self::Settings(_) => OfAWrite::Hopeless,
            Self::ProxyCredentials(_) | Self::SpeaksPlainHttp => OfAWrite::Hopeless,
            // Bytes have left. What a server that understood them as TLS did not do, another behind the same port may have done.
            Self::SpeaksTls => OfAWrite::Doubtful,
            // The page may stand for an error of the server that a proxy asked: `error_page 504 =200 /sorry`.
            Self::TimedOut | Self::Cut | Self::Garbled | Self::WebPage => OfAWrite::Doubtful,
            Self::Answer(answer) if answer.is_a_final_refusal() => OfAWrite::Hopeless,
            Self::Answer(_) => OfAWrite::Doubtful,
        }
    }

    /// In a few words, for a person who waits.
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

    /// Whether the server answered that it is busy or broken.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.status != 409 && answer.is_passing())
    }

    /// How long the server wants to be left alone, if it said so.
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

    /// One sentence that says which of bucket, key, region, endpoint and credentials is to blame. `what`: "read a/b".
    pub(crate) fn error(&self, place: &Place, what: &str) -> Error {
        let endpoint = &place.endpoint;
        let Said { kind, sentence, hint } = match self {
            Self::Unreachable(cause) => Said::new(
                ErrorKind::Unavailable,
                format!("The endpoint {endpoint} cannot be reached: {cause}"),
            )
            // The name of the account is a part of the host's.
            .hint(match place.url.scheme() {
                Scheme::Azure => "Check the name of the account and the network",
                Scheme::S3 | Scheme::Gcs => "",
            }),
            Self::Proxy(proxy, cause) => Said::new(
                ErrorKind::Unavailable,
                format!("The proxy {proxy} does not lead to the endpoint {endpoint}: {cause}"),
            ),
            Self::ProxyCredentials(proxy) => Said::new(
                ErrorKind::Denied,
                format!(
                    "The proxy {proxy} asks for credentials (407): put a user and a password into the URL of the proxy"
                ),
            ),
            Self::SpeaksPlainHttp => Said::new(
                ErrorKind::InvalidInput,
                format!(
                    "The endpoint {endpoint} speaks plain HTTP: use http:// in its URL and {}=true",
                    place.allow_http()
                ),
            ),
            Self::SpeaksTls => Said::new(
                ErrorKind::InvalidInput,
                format!("The endpoint {endpoint} speaks TLS: use https:// in its URL"),
            ),
            Self::Credentials(host) => Said::new(
                ErrorKind::Denied,
                format!("There are no credentials: none are set, and {host} hands out none"),
            )
            .hint(&place.credentials.renew),
            Self::CredentialsRefused(host, status) => {
                let whose = match place.credentials.origin.as_str() {
                    "" => String::new(),
                    origin if origin.contains(host) => String::new(),
                    origin => format!(" for {origin}"),
                };
                Said::new(ErrorKind::Denied, format!("{host} gives no credentials{whose} ({status})"))
                    .hint(&place.credentials.renew)
            }
            Self::CredentialsLater(Later { host, cause, .. }) => Said::new(
                ErrorKind::Unavailable,
                format!("{host}, which hands out credentials, gives none at the moment ({cause})"),
            ),
            Self::CredentialsTimedOut => Said::new(
                ErrorKind::Unavailable,
                format!(
                    "The credentials for {endpoint} did not come in time{}",
                    of(&place.credentials.origin)
                ),
            )
            .hint(&place.credentials.renew),
            Self::NoCredentials(none) => Said::new(none.kind, none.why.clone()).hint(&none.hint),
            Self::Settings(what) => {
                Said::new(ErrorKind::InvalidInput, format!("The settings do not allow this: {what}"))
            }
            Self::TimedOut => {
                Said::new(ErrorKind::Unavailable, format!("The endpoint {endpoint} did not answer in time"))
            }
            Self::Cut => Said::new(
                ErrorKind::Unavailable,
                format!("The endpoint {endpoint} broke off in the middle of an answer"),
            ),
            Self::Garbled => Said::new(
                ErrorKind::Unavailable,
                format!("The endpoint {endpoint} gives answers that no {} server gives", place.protocol()),
            ),
            Self::WebPage => Said::new(
                ErrorKind::Missing,
                format!(
                    "The endpoint {endpoint} is no {} server: it answers with a web page",
                    place.protocol()
                ),
            ),
            Self::Answer(answer) | Self::Stale(answer) => answer.sentence(place, what),
        };
        let error = Error::new(kind, format!("{sentence} (to {what} in {})", place.url));
        if hint.is_empty() { error } else { error.with_hint(hint) }
    }
}

/// What is said to a person.
struct Said {
    kind: ErrorKind,
    sentence: String,
    /// Empty where the kind says enough.
    hint: String,
}

impl Said {
    fn new(kind: ErrorKind, sentence: String) -> Self {
        Self { kind, sentence, hint: String::new() }
    }

    fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.to_owned();
        self
    }
}

impl Answer {
    /// An answer of which nothing else is known.
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, code: None, region: None, retry_after: None, leads_to: None }
    }

    pub(crate) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// The bucket or container itself is not there.
    pub(crate) fn lacks_bucket(&self) -> bool {
        self.has_code(&["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"])
    }

    /// The bucket is there and the key is not.
    pub(crate) fn lacks_key(&self) -> bool {
        self.status == 404 && self.has_code(&["NoSuchKey", "BlobNotFound"])
    }

    /// Whether the server refused who asks, as it does where credentials have expired or were replaced. S3 answers a HEAD without a word for it.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    pub(crate) fn is_of_old_credentials(&self, is_a_look: bool) -> bool {
        let codes =
            ["ExpiredToken", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId", "InvalidTokenId"];
        self.status == 401 || self.has_code(&codes) || is_a_look && self.status == 400 && self.code.is_none()
    }

    /// The request was signed for, or went to, another region than the bucket's. S3 answers 301 and 307 with
    /// the region in a header, and 400 with it in the document.
    fn is_of_another_region(&self) -> bool {
        let codes = [
            "PermanentRedirect",
            "TemporaryRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException",
        ];
        self.has_code(&codes) || (self.status == 400 || self.is_redirect()) && self.region.is_some()
    }

    fn is_redirect(&self) -> bool {
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

    /// Whether no server that gives this answer applies the request: it looked at who asks, for which bucket,
    /// and in which form, before it looked at the object. A 404 without a code may be S3's answer to a swap
    /// of a key that is gone, so it is not one of these. A redirect is one where S3 says it, which looks at the bucket
    /// first. Any other may be what a proxy answers in place of a server's error (`error_page 504 =302 /sorry`), and
    /// that server may have applied the request.
    fn is_a_final_refusal(&self) -> bool {
        let missing = self.status == 404 && self.lacks_bucket();
        let malformed = self.status == 400 && !self.is_passing();
        missing
            || malformed
            || self.is_of_another_region()
            || matches!(self.status, 401 | 403 | 405 | 411 | 413 | 501 | 505 | 507)
    }

    fn sentence(&self, place: &Place, what: &str) -> Said {
        let Place { url, endpoint, region, .. } = place;
        let bucket = url.bucket();
        let code = self.code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        if self.lacks_bucket() {
            let sentence = format!("The bucket {bucket} does not exist at {endpoint}");
            return Said::new(ErrorKind::Missing, sentence);
        }
        if self.is_of_another_region() {
            let asked = region.as_deref().unwrap_or("asked");
            let is_in = match (self.region.as_deref(), self.leads_to.as_deref()) {
                (Some(region), _) => format!(", but in {region}"),
                (None, Some(server)) => format!(", but at {server}"),
                (None, None) => String::new(),
            };
            let sentence = format!(
                "The bucket {bucket} is not in the region {asked}{is_in}: set AWS_REGION to its region"
            );
            return Said::new(ErrorKind::Missing, sentence);
        }
        if let Some(denied) = self.denied(place, what, &code) {
            return denied;
        }
        if self.is_redirect() {
            let (status, protocol) = (self.status, place.protocol());
            let sentence = match self.leads_to.as_deref() {
                Some(server) if !is_same_server(server, endpoint) => format!(
                    "The endpoint {endpoint} answers with a redirect to another place, {server} ({status}{code}): use that as the endpoint, or {endpoint} is no {protocol} server"
                ),
                _ => format!(
                    "The endpoint {endpoint} is no {protocol} server: it answers with a redirect to another page ({status}{code})"
                ),
            };
            return Said::new(ErrorKind::Missing, sentence);
        }
        match self.status {
            404 | 405 | 501 => Said::new(
                ErrorKind::Missing,
                format!(
                    "The endpoint {endpoint} is no {} server: it answers {}{code}",
                    place.protocol(),
                    self.status
                ),
            ),
            507 => Said::new(ErrorKind::Exhausted, format!("The endpoint {endpoint} has no room left")),
            408 | 409 | 425 | 429 | 500.. => Said::new(
                ErrorKind::Unavailable,
                format!("The endpoint {endpoint} keeps answering {}{code}", self.status),
            ),
            status => Said::new(
                ErrorKind::Io,
                format!("The endpoint {endpoint} refuses the request ({status}{code})"),
            ),
        }
    }

    /// What is wrong with the credentials, and where they come from.
    fn denied(&self, place: &Place, what: &str, code: &str) -> Option<Said> {
        let Place { url, endpoint, credentials, .. } = place;
        let renew = credentials.renew.as_str();
        let said = |sentence: String, hint: &str| {
            let origin = of(&credentials.origin);
            Some(Said::new(ErrorKind::Denied, format!("{sentence}{origin}")).hint(hint))
        };
        if self.has_code(&["RequestTimeTooSkewed", "RequestExpired"]) {
            let sentence = format!("The clock of this machine is too far from that of {endpoint}");
            return Some(Said::new(ErrorKind::Denied, sentence).hint("Set the clock of this machine"));
        }
        if self.has_code(&["InvalidAccessKeyId", "InvalidTokenId", "InvalidToken"]) {
            return said(
                format!("The credentials are unknown: {endpoint} does not know the access key"),
                renew,
            );
        }
        if self.has_code(&["ExpiredToken", "TokenRefreshRequired"]) {
            return said(format!("The credentials for {endpoint} have expired"), renew);
        }
        if self.has_code(&["SignatureDoesNotMatch"]) {
            return said(
                format!(
                    "The credentials are wrong: the secret key does not fit, {endpoint} refuses the signature"
                ),
                renew,
            );
        }
        // Azure has one word for a wrong key, a signature that has expired and a wrong clock.
        if self.has_code(&["AuthenticationFailed", "InvalidAuthenticationInfo"]) {
            let sentence = format!("The credentials are wrong or have expired: {endpoint} refuses them");
            let hint = if renew.is_empty() {
                String::new()
            } else {
                format!("{renew}, and check the clock of this machine")
            };
            return said(sentence, &hint);
        }
        if self.has_code(&["KeyBasedAuthenticationNotPermitted"]) {
            return said(
                format!("The credentials are account keys, which {endpoint} does not take"),
                "Set AZURE_USE_AZURE_CLI=true, or use a service principal or a managed identity",
            );
        }
        match self.status {
            401 => said(format!("The credentials are refused by {endpoint} (401{code})"), renew),
            403 => {
                let permission = permission(url.scheme(), what);
                let sentence = format!("The credentials do not allow this at {endpoint} (403{code})");
                let sentence = match (url.scheme(), is_a_read(what)) {
                    // Who may not list is not told that a key is missing.
                    (Scheme::S3, true) => {
                        format!("{sentence}, or the key is missing and s3:ListBucket is not allowed")
                    }
                    (Scheme::Gcs, true) => {
                        format!("{sentence}, or the key is missing and storage.objects.list is not allowed")
                    }
                    _ => sentence,
                };
                said(sentence, &permission)
            }
            _ => None,
        }
    }
}

/// Where credentials come from, as the end of a sentence.
fn of(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!("; they are those of {origin}") }
}

fn is_same_server(one: &str, other: &str) -> bool {
    let origin = |text: &str| url::Url::parse(text).map(|url| url.origin()).ok();
    origin(one).is_some_and(|it| Some(it) == origin(other))
}

/// Whether an operation, in a person's words, reads one key.
fn is_a_read(what: &str) -> bool {
    what.starts_with("read ") || what.starts_with("look at ")
}

/// What to allow for an operation: one imperative sentence.
fn permission(scheme: Scheme, what: &str) -> String {
    let which = [("write", 1), ("delete", 2), ("list", 3)].iter().find(|(verb, _)| what.starts_with(verb));
    let which = which.map_or(0, |(_, which)| *which);
    let of = |actions: [&str; 4]| actions.get(which).copied().unwrap_or_default().to_owned();
    let actions = match scheme {
        Scheme::S3 => of([
            "s3:GetObject, and s3:ListBucket on the bucket,",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:ListBucket on the bucket",
        ]),
        Scheme::Gcs => of([
            "storage.objects.get and storage.objects.list",
            // Replacing an object takes the right to delete it.
            "storage.objects.create and storage.objects.delete",
            "storage.objects.delete",
            "storage.objects.list",
        ]),
        Scheme::Azure => of([
            "the role Storage Blob Data Reader, or the permissions r and l,",
            "the role Storage Blob Data Contributor, or the permissions c and w,",
            "the role Storage Blob Data Contributor, or the permission d,",
            "the role Storage Blob Data Reader, or the permission l,",
        ]),
    };
    format!("Allow {actions} for these credentials")
}
