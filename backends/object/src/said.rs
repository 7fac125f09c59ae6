//! The error messages of faults: they name the cause (bucket, key, region, endpoint or credentials) and the
//! remedy.

use pflow_backend::{Error, ErrorKind};

use crate::{
    credentials::Later,
    doing::{Doing, Right},
    fault::{Answer, Fault},
    place::Place,
    url::Scheme,
};

/// The kind of an answer that does not come from an object server.
///
/// IMPORTANT: not [`ErrorKind::Missing`]. A gateway may show its page for a minute, and a script that is told
/// that there is no store would create one.
const NO_SERVER: ErrorKind = ErrorKind::Unavailable;

impl Fault {
    /// The error: one sentence that says whether bucket, key, region, endpoint or credentials are the cause.
    pub(crate) fn error(&self, place: &Place, doing: Doing<'_>) -> Error {
        let endpoint = &place.endpoint;
        let Said { kind, sentence, hint } = match self {
            Self::Unreachable(cause) => Said::new(
                ErrorKind::Unavailable,
                format!("The endpoint {endpoint} cannot be reached: {cause}"),
            )
            // The host name contains the name of the account.
            .hint(match place.url.scheme() {
                Scheme::Azure => "Check the name of the account and the network",
                Scheme::S3 | Scheme::Gcs => "",
            }),
            Self::Proxy(proxy, cause) => Said::new(
                ErrorKind::Unavailable,
                format!("The proxy {proxy} does not lead to the endpoint {endpoint}: {cause}"),
            ),
            Self::ProxyCredentials(proxy) => {
                Said::new(ErrorKind::Denied, format!("The proxy {proxy} asks for credentials (407)"))
                    .hint("Put a user and a password into the URL of the proxy")
            }
            Self::SpeaksPlainHttp => {
                Said::new(ErrorKind::InvalidInput, format!("The endpoint {endpoint} speaks plain HTTP"))
                    .hint(&format!("Use http:// in its URL and set {}=true", place.allow_http()))
            }
            Self::SpeaksTls => {
                Said::new(ErrorKind::InvalidInput, format!("The endpoint {endpoint} speaks TLS"))
                    .hint("Use https:// in its URL")
            }
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
            Self::CredentialsTimedOut => {
                let whose = of(&place.credentials.origin);
                let sentence = format!("The credentials for {endpoint} did not come in time{whose}");
                Said::new(ErrorKind::Unavailable, sentence).hint(&place.credentials.renew)
            }
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
                NO_SERVER,
                format!(
                    "The endpoint {endpoint} is no {} server: it answers with a web page",
                    place.protocol()
                ),
            ),
            Self::Answer(answer) | Self::Stale(answer) => answer.sentence(place, doing),
        };
        let error = Error::not_applied(kind, format!("{sentence} (to {doing} in {})", place.url));
        if hint.is_empty() { error } else { error.with_hint(hint) }
    }
}

/// The message for a person.
struct Said {
    kind: ErrorKind,
    sentence: String,
    /// Empty if the kind says enough.
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
    fn sentence(&self, place: &Place, doing: Doing<'_>) -> Said {
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
            let sentence = format!("The bucket {bucket} is not in the region {asked}{is_in}");
            return Said::new(ErrorKind::Missing, sentence).hint("Set AWS_REGION to its region");
        }
        if let Some(denied) = self.denied(place, doing, &code) {
            return denied;
        }
        if self.is_redirect() {
            let (status, protocol) = (self.status, place.protocol());
            return match self.leads_to.as_deref() {
                Some(server) if !is_same_server(server, endpoint) => Said::new(
                    NO_SERVER,
                    format!(
                        "The endpoint {endpoint} answers with a redirect to another place, {server} ({status}{code})"
                    ),
                )
                .hint(&format!("Use {server} as the endpoint, if that is the {protocol} server")),
                _ => Said::new(
                    NO_SERVER,
                    format!(
                        "The endpoint {endpoint} is no {protocol} server: it answers with a redirect to another page ({status}{code})"
                    ),
                ),
            };
        }
        match self.status {
            404 | 405 | 501 => Said::new(
                NO_SERVER,
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

    /// The message about wrong credentials, with their origin.
    fn denied(&self, place: &Place, doing: Doing<'_>, code: &str) -> Option<Said> {
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
        // Azure has one error code for a wrong key, an expired signature and a wrong clock.
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
                let permission = permission(url.scheme(), doing);
                let sentence = format!("The credentials do not allow this at {endpoint} (403{code})");
                let sentence = match (url.scheme(), doing.is_a_read()) {
                    // A caller that may not list gets 403 for a missing key as well.
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

/// The origin of the credentials, as the end of a sentence.
fn of(origin: &str) -> String {
    if origin.is_empty() { String::new() } else { format!("; they are those of {origin}") }
}

fn is_same_server(one: &str, other: &str) -> bool {
    let origin = |text: &str| url::Url::parse(text).map(|url| url.origin()).ok();
    origin(one).is_some_and(|it| Some(it) == origin(other))
}

/// The permission to grant for an operation: one imperative sentence.
fn permission(scheme: Scheme, doing: Doing<'_>) -> String {
    let actions = match (scheme, doing.right()) {
        (Scheme::S3, Right::Read) => "s3:GetObject, and s3:ListBucket on the bucket,",
        // A write whose reply is lost is settled by a read.
        (Scheme::S3, Right::Write) => "s3:PutObject and s3:GetObject",
        (Scheme::S3, Right::Delete) => "s3:DeleteObject",
        (Scheme::S3, Right::List) => "s3:ListBucket on the bucket",
        (Scheme::Gcs, Right::Read) => "storage.objects.get and storage.objects.list",
        // Replacing an object requires the permission to delete it.
        (Scheme::Gcs, Right::Write) => "storage.objects.create and storage.objects.delete",
        (Scheme::Gcs, Right::Delete) => "storage.objects.delete",
        (Scheme::Gcs, Right::List) => "storage.objects.list",
        (Scheme::Azure, Right::Read) => "the role Storage Blob Data Reader, or the permissions r and l,",
        (Scheme::Azure, Right::Write) => {
            "the role Storage Blob Data Contributor, or the permissions c and w,"
        }
        (Scheme::Azure, Right::Delete) => "the role Storage Blob Data Contributor, or the permission d,",
        (Scheme::Azure, Right::List) => "the role Storage Blob Data Reader, or the permission l,",
    };
    format!("Allow {actions} for these credentials")
}
