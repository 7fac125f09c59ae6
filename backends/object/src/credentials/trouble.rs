//! Interprets the failures of a credential service.

use std::net::IpAddr;

use reqwest::header::HeaderMap;

use super::Later;
use crate::{failure::Failure, retry_after::after};

/// Interprets an answer that is not a success.
pub(crate) fn of_answer(host: String, status: u16, headers: &HeaderMap) -> Failure {
    let header = |name| headers.get(name).and_then(|it| it.to_str().ok());
    match status {
        408 | 425 | 429 | 500 | 502..=504 => {
            let retry_after = header("retry-after").and_then(|it| after(it, header("date")));
            Failure::CredentialsLater(Later {
                host,
                cause: format!("status {status}"),
                retry_after,
                is_unreached: false,
            })
        }
        _ => Failure::CredentialsRefused(host, status),
    }
}

/// Interprets a missing or incomplete answer. `is_unreached`: there was no connection either.
///
/// A machine outside of the cloud has no metadata service, and that does not change. Any other service exists
/// and will be available again.
pub(crate) fn of_no_answer(host: String, is_unreached: bool) -> Failure {
    if is_unreached && is_of_the_machine(&host) {
        return Failure::Credentials(host);
    }
    let cause = if is_unreached { "no connection" } else { "no whole answer" }.to_owned();
    Failure::CredentialsLater(Later { host, cause, retry_after: None, is_unreached })
}

/// Whether the host is that of a metadata service, which exists on each machine of a cloud and nowhere else.
fn is_of_the_machine(host: &str) -> bool {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    match name.parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        // This includes fd00:ec2::254 of AWS.
        Ok(IpAddr::V6(address)) => address.is_unique_local() || address.is_unicast_link_local(),
        Err(_) => name == "metadata" || name == "metadata.google.internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_metadata_service_is_a_permanent_failure() {
        for host in ["169.254.169.254", "[fd00:ec2::254]", "metadata.google.internal"] {
            let is_final = |failure| matches!(failure, Failure::Credentials(_));
            assert!(is_final(of_no_answer(host.to_owned(), true)), "{host}");
            assert!(!is_final(of_no_answer(host.to_owned(), false)), "{host}");
        }
        for host in ["127.0.0.1", "oauth2.googleapis.com", "[::1]"] {
            let failure = of_no_answer(host.to_owned(), true);
            assert!(matches!(failure, Failure::CredentialsLater(_)), "{failure}");
        }
    }

    #[test]
    fn retry_after_of_a_credential_service_is_kept() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let Failure::CredentialsLater(later) = of_answer("h".to_owned(), 429, &headers) else { panic!() };
        assert_eq!(later.retry_after, Some(std::time::Duration::from_secs(7)));
        assert!(matches!(of_answer("h".to_owned(), 403, &headers), Failure::CredentialsRefused(_, 403)));
    }
}
