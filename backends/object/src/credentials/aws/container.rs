//! Credentials of an ECS task, an EKS pod, or a compatible service.
//!
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use std::fmt;

use object_store::{Result, aws::AwsCredential};
use pflow_backend::async_trait;
use url::{Host, Url};

use crate::{
    credentials::{
        NoCredentials, document,
        held::{Fetch, Fetched},
        trouble::{of_answer, of_no_answer},
    },
    failure::Failure,
    options::ObjectOptions,
};

/// The service of `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
const ECS: &str = "http://169.254.170.2";
/// Other addresses that are allowed without TLS: those of EKS.
const EKS: [&str; 2] = ["169.254.170.23", "fd00:ec2::23"];

/// The service that the variables of a container name.
///
/// object_store accepts the full URI only with a token in a file; otherwise it would silently use the
/// metadata service.
pub(crate) struct Container {
    url: Url,
    token: Token,
    client: reqwest::Client,
}

enum Token {
    None,
    Value(String),
    /// Read at every fetch, because the file is renewed in place.
    File(String),
}

impl Container {
    /// None if the variables name no such service.
    pub(super) fn find(options: &ObjectOptions) -> Result<Option<Self>, NoCredentials> {
        let relative = options.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let (variable, uri) = match (relative, options.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
            (Some(path), _) => ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", format!("{ECS}{path}")),
            (None, Some(uri)) => ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.to_owned()),
            (None, None) => return Ok(None),
        };
        let invalid = |why: &str| {
            NoCredentials::invalid(format!("{variable} {why}"), format!("Correct {variable}, or remove it"))
        };
        let url = Url::parse(&uri).map_err(|_| invalid("is no URL"))?;
        if url.scheme() != "https" && !is_near(&url) {
            return Err(invalid("names another machine without TLS, to which no token is sent"));
        }
        let token = match options.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Token::File(file.to_owned()),
            None => options
                .variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
                .map_or(Token::None, |token| Token::Value(token.to_owned())),
        };
        // A token for this service must not reach a proxy or another address.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .timeout(options.request_timeout * 2 / 3)
            .build()
            .map_err(|_| invalid("cannot be asked: no HTTP client can be made"))?;
        Ok(Some(Self { url, token, client }))
    }

    /// The service, without the path, which may be a secret.
    pub(super) fn host(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.url.host_str().unwrap_or_default())
    }

    async fn credentials(&self) -> Result<Fetched<AwsCredential>, object_store::Error> {
        let token = match &self.token {
            Token::None => None,
            Token::Value(token) => Some(token.clone()),
            Token::File(file) => {
                let read = tokio::task::spawn_blocking({
                    let file = file.clone();
                    move || std::fs::read_to_string(file)
                });
                let unread = |cause: String| {
                    let why = format!("The token for {} cannot be read from {file}: {cause}", self.host());
                    NoCredentials::denied(why, "Correct AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").carried()
                };
                let read = read.await.map_err(|error| unread(error.to_string()))?;
                Some(read.map_err(|error| unread(error.to_string()))?.trim().to_owned())
            }
        };
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        let failed = |failure: Failure| object_store::Error::Generic {
            store: "credentials",
            source: Box::new(failure),
        };
        let lost = |error: reqwest::Error| failed(of_no_answer(self.host(), error.is_connect()));
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(failed(of_answer(self.host(), status.as_u16(), answer.headers())));
        }
        let body = answer.bytes().await.map_err(lost)?;
        document::credentials(&body, false).map_err(|wrong| {
            let why = format!("The service at {} gives no credentials: {wrong}", self.host());
            NoCredentials::denied(why, "Check the role of the task or pod").carried()
        })
    }
}

/// Whether the service is on this machine, or is one of AWS's that are used without TLS.
fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => {
            address.is_loopback()
                || format!("http://{address}") == ECS
                || EKS.contains(&address.to_string().as_str())
        }
        Some(Host::Ipv6(address)) => address.is_loopback() || EKS.contains(&address.to_string().as_str()),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[async_trait]
impl Fetch for Container {
    type Credential = AwsCredential;

    async fn fetch(&self, _: bool) -> Result<Fetched<AwsCredential>> {
        self.credentials().await
    }
}

/// Hides the token.
impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("host", &self.host()).finish_non_exhaustive()
    }
}
