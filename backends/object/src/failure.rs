//! What the HTTP client reports through object_store's errors, which hide it.

use std::{error::Error as StdError, fmt};

use object_store::client::{HttpError, HttpErrorKind};

use crate::{
    credentials::{Later, NoCredentials},
    fault::{Answer, Fault},
    unreached::Unreached,
};

/// Why a request did not succeed. It passes through object_store's errors to [`fault`].
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The server answered without success.
    Answered(Answer),
    /// A web server answered, with a success that no object server gives.
    WebPage,
    /// The server refused the credentials, and new ones may be available.
    Stale(Answer),
    /// The request was not sent.
    Unreached(Unreached),
    /// The server of a plain HTTP endpoint uses TLS.
    SpeaksTls,
    /// There is no credential service at this host.
    Credentials(String),
    /// The credential service at this host answers with this status and without credentials.
    CredentialsRefused(String, u16),
    /// A credential service provides no credentials at the moment.
    CredentialsLater(Later),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) | Self::Stale(answer) => write!(f, "status {}", answer.status),
            Self::WebPage => f.write_str("a web page"),
            Self::Unreached(Unreached::Server(cause) | Unreached::Proxy(_, cause)) => f.write_str(cause),
            Self::Unreached(Unreached::ProxyCredentials(_)) => f.write_str("status 407"),
            Self::Unreached(Unreached::PlainHttp) => f.write_str("plain HTTP"),
            Self::SpeaksTls => f.write_str("TLS"),
            Self::Credentials(host) => write!(f, "no credentials from {host}"),
            Self::CredentialsRefused(host, status) => write!(f, "status {status} from {host}"),
            Self::CredentialsLater(Later { host, cause, .. }) => write!(f, "{host}: {cause}"),
        }
    }
}

impl StdError for Failure {}

/// The fault for an error of object_store. The error's own texts, which may contain URLs and bodies, are
/// dropped.
pub(crate) fn fault(error: &object_store::Error) -> Fault {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(source) = cause {
        if let Some(fault) = of_link(source) {
            return fault;
        }
        cause = source.source();
    }
    Fault::by_kind(error)
}

/// The fault in this link of an error chain, if it has one.
pub(crate) fn of_link(source: &(dyn StdError + 'static)) -> Option<Fault> {
    if let Some(failure) = source.downcast_ref::<Failure>() {
        return Some(match failure.clone() {
            Failure::Answered(answer) => Fault::Answer(answer),
            Failure::WebPage => Fault::WebPage,
            Failure::Stale(answer) => Fault::Stale(answer),
            Failure::Unreached(Unreached::Server(cause)) => Fault::Unreachable(cause),
            Failure::Unreached(Unreached::Proxy(proxy, cause)) => Fault::Proxy(proxy, cause),
            Failure::Unreached(Unreached::ProxyCredentials(proxy)) => Fault::ProxyCredentials(proxy),
            Failure::Unreached(Unreached::PlainHttp) => Fault::SpeaksPlainHttp,
            Failure::SpeaksTls => Fault::SpeaksTls,
            Failure::Credentials(host) => Fault::Credentials(host),
            Failure::CredentialsRefused(host, status) => Fault::CredentialsRefused(host, status),
            Failure::CredentialsLater(later) => Fault::CredentialsLater(later),
        });
    }
    if let Some(none) = source.downcast_ref::<NoCredentials>() {
        return Some(Fault::NoCredentials(none.clone()));
    }
    let error = source.downcast_ref::<HttpError>()?;
    // The next link has this client's own failures.
    if error.source().is_some_and(|cause| cause.is::<Failure>()) {
        return None;
    }
    Some(match error.kind() {
        HttpErrorKind::Connect => Fault::Unreachable("no connection".to_owned()),
        HttpErrorKind::Timeout => Fault::TimedOut,
        // One of these is "the connection closed before the message was complete". A server may do that at
        // any moment, before or after it applied the request.
        _ => Fault::Cut,
    })
}
