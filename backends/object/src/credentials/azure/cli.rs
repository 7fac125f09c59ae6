use std::{fmt, sync::Arc};

use chrono::DateTime;
use object_store::{Result, azure::AzureCredential};
use pflow_backend::{Environment, ErrorKind, async_trait};
use serde_json::Value;

use crate::{
    credentials::{
        NoCredentials,
        held::{Fetch, Fetched},
        program::{Failed, Program},
    },
    options::ObjectOptions,
};

const WORDS: [&str; 7] = [
    "az",
    "account",
    "get-access-token",
    "--output",
    "json",
    "--scope",
    "https://storage.azure.com/.default",
];

/// The program `az`, for a person who has run `az login`.
///
/// object_store can run it too, but blocks a thread of the runtime meanwhile and repeats its output.
pub(crate) struct AzureCli {
    program: Program,
    environment: Arc<dyn Environment>,
}

impl AzureCli {
    pub(crate) fn new(options: &ObjectOptions, environment: &Arc<dyn Environment>) -> Self {
        // A request waits for the program, so the program must end before the request times out.
        let program = Program::of_words(&WORDS, &options.variables, options.request_timeout * 2 / 3);
        Self { program, environment: environment.clone() }
    }

    async fn token(&self) -> Result<Fetched<AzureCredential>, NoCredentials> {
        let command = WORDS.join(" ");
        let printed = self.program.run(&*self.environment).await.map_err(|failed| match &failed {
            Failed::NotFound => NoCredentials::denied(
                "The program az, which AZURE_USE_AZURE_CLI asks for, is not on the PATH",
                "Install the Azure CLI, or set AZURE_STORAGE_CONNECTION_STRING instead",
            ),
            Failed::Ended { said, .. } if said.contains("az login") => {
                NoCredentials::denied("The program az is not signed in", "Run `az login`")
            }
            Failed::TimedOut(_) => NoCredentials {
                kind: ErrorKind::Unavailable,
                ..NoCredentials::denied(
                    format!("`{command}` {failed}"),
                    format!("Run `{command}` and look at what it says"),
                )
            },
            _ => NoCredentials::denied(
                format!("`{command}` {failed}"),
                format!("Run `{command}` and look at what it says"),
            ),
        })?;
        read(&printed).ok_or_else(|| {
            let hint = format!("Run `{command}` and look at what it prints");
            NoCredentials::denied(format!("`{command}` printed no token"), hint)
        })
    }
}

/// Parses the token. The expiry is missing if an older program states it only in local time.
fn read(printed: &[u8]) -> Option<Fetched<AzureCredential>> {
    let document: Value = serde_json::from_slice(printed).ok()?;
    let token = document.get("accessToken")?.as_str()?;
    let is_plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let expires = document.get("expires_on").and_then(Value::as_i64);
    let expires = expires.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    is_plain
        .then(|| Fetched { credential: Arc::new(AzureCredential::BearerToken(token.to_owned())), expires })
}

#[async_trait]
impl Fetch for AzureCli {
    type Credential = AzureCredential;

    async fn fetch(&self, _: bool) -> Result<Fetched<AzureCredential>> {
        self.token().await.map_err(NoCredentials::carried)
    }
}

impl fmt::Debug for AzureCli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureCli").finish_non_exhaustive()
    }
}
