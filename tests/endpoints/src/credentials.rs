//! A service that hands out credentials and injects faults by a seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Response, StatusCode};

use crate::faults::SplitMix64;
use crate::server::{Answer, Server};
use crate::{ACCESS_KEY, SECRET_KEY, s3_variables};

/// The path of credentials, followed by the name of the role.
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// The lifetime of credentials: a little longer than the five minutes before expiry at which clients renew
/// them.
const HOLD: Duration = Duration::from_secs(302);
/// The lifetime of short-lived credentials.
const HOLD_SHORT: Duration = Duration::from_secs(2);
/// The longest delay of a slow reply.
const SLOW: Duration = Duration::from_millis(100);
/// A connection without a reply is cut after this time. Test clients have shorter timeouts.
const HANG: Duration = Duration::from_secs(60);

/// A fault of a credential service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialFault {
    /// 500.
    Error500,
    /// 503.
    Error503,
    /// 429.
    Error429,
    /// 200 and a web page.
    Garbage,
    /// The reply is delayed.
    Slow,
    /// The credentials expire within seconds.
    Short,
    /// The connection is cut without a reply.
    Cut,
    /// There is no reply, and the connection stays open.
    Hang,
}

impl CredentialFault {
    /// All faults.
    pub const ALL: [Self; 8] = [
        Self::Error500,
        Self::Error503,
        Self::Error429,
        Self::Garbage,
        Self::Slow,
        Self::Short,
        Self::Cut,
        Self::Hang,
    ];
}

/// The metadata service of an instance (IMDSv2), which hands out the keys that every server here accepts. Its
/// credentials have to be renewed every two seconds.
#[derive(Debug)]
pub struct CredentialService {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: SplitMix64,
    probability: f64,
    injected: BTreeMap<CredentialFault, u64>,
    handed_out: u64,
}

impl CredentialService {
    /// Starts a service without faults. The seed selects the faults once [`fail`](Self::fail) enables them.
    ///
    /// # Panics
    /// If no socket or thread is available.
    #[must_use]
    pub fn start(seed: u64) -> Self {
        let random = SplitMix64::new(seed);
        let state = State { random, probability: 0.0, injected: BTreeMap::new(), handed_out: 0 };
        let state = Arc::new(Mutex::new(state));
        let handler = Arc::clone(&state);
        let server = Server::start("credentials", move |request| answer(Arc::clone(&handler), request));
        Self { server, state }
    }

    /// Gives each kind of fault this probability from the next request on. Initially there are no faults.
    ///
    /// # Panics
    /// If the probabilities add up to more than 1.
    pub fn fail(&self, probability: f64) {
        assert!(probability * 8.0 <= 1.0, "all faults together would be more than certain");
        self.state.lock().unwrap_or_else(PoisonError::into_inner).probability = probability;
    }

    /// Returns how often each fault happened.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<CredentialFault, u64> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).injected.clone()
    }

    /// Returns how often credentials were handed out.
    #[must_use]
    pub fn handed_out(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).handed_out
    }

    /// Returns the variables for an S3 server at `url`, with this service instead of keys.
    #[must_use]
    pub fn variables(&self, url: &str, bucket: &str) -> BTreeMap<String, String> {
        let mut variables = s3_variables(url, bucket);
        variables.retain(|name, _| !matches!(name.as_str(), "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY"));
        variables.insert("AWS_METADATA_ENDPOINT".to_owned(), self.server.url());
        variables
    }
}

async fn answer(state: Arc<Mutex<State>>, request: hyper::Request<Incoming>) -> Answer<Full<Bytes>> {
    let is_for_credentials = request.uri().path().strip_prefix(ROLES).is_some_and(|role| !role.is_empty());
    let (fault, wait) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut drawn, wait) = (state.random.fraction(), SLOW.mul_f64(state.random.fraction()));
        let probability = state.probability;
        let fault = CredentialFault::ALL.into_iter().find(|_| {
            drawn -= probability;
            drawn < 0.0
        });
        let is_about_what_is_handed_out =
            matches!(fault, Some(CredentialFault::Short | CredentialFault::Garbage));
        let fault = fault.filter(|_| is_for_credentials || !is_about_what_is_handed_out);
        if let Some(fault) = fault {
            *state.injected.entry(fault).or_default() += 1;
        }
        let is_given = matches!(fault, None | Some(CredentialFault::Slow | CredentialFault::Short));
        state.handed_out += u64::from(is_for_credentials && is_given);
        (fault, wait)
    };
    let reply = |status, body: String| {
        let mut reply = Response::new(Full::new(Bytes::from(body)));
        *reply.status_mut() = status;
        Answer::Reply(reply)
    };
    match fault {
        Some(CredentialFault::Error500) => reply(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        Some(CredentialFault::Error503) => reply(StatusCode::SERVICE_UNAVAILABLE, String::new()),
        Some(CredentialFault::Error429) => reply(StatusCode::TOO_MANY_REQUESTS, String::new()),
        Some(CredentialFault::Garbage) => reply(StatusCode::OK, "<html>sign in</html>".to_owned()),
        Some(CredentialFault::Cut) => Answer::Hangup,
        Some(CredentialFault::Hang) => {
            tokio::time::sleep(HANG).await;
            Answer::Hangup
        }
        Some(CredentialFault::Slow | CredentialFault::Short) | None => {
            if fault == Some(CredentialFault::Slow) {
                tokio::time::sleep(wait).await;
            }
            let hold = if fault == Some(CredentialFault::Short) { HOLD_SHORT } else { HOLD };
            let body = match request.uri().path() {
                "/latest/api/token" => "token".to_owned(),
                ROLES => "role".to_owned(),
                _ => document(hold),
            };
            reply(StatusCode::OK, body)
        }
    }
}

/// The session token is empty: the test servers know only keys, and some look up a token if there is one.
fn document(hold: Duration) -> String {
    let expires = (Utc::now() + hold).to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{ACCESS_KEY}","SecretAccessKey":"{SECRET_KEY}","Token":"","Expiration":"{expires}"}}"#
    )
}
