use std::{fmt, sync::Arc};

use object_store::{Result, aws::AwsCredential};
use pflow_backend::{Environment, ErrorKind, async_trait};

use super::{
    login,
    profile::{Profile, Way},
};
use crate::{
    credentials::{
        NoCredentials, document,
        held::{Fetch, Fetched},
        program::{self, Failed, Program},
    },
    options::ObjectOptions,
};

/// The profile that the variables request.
///
/// The files are read again at every fetch, so that keys that another program writes into them are found.
pub(crate) struct ProfileSource {
    options: ObjectOptions,
    environment: Arc<dyn Environment>,
}

impl ProfileSource {
    pub(super) fn new(options: &ObjectOptions, environment: &Arc<dyn Environment>) -> Self {
        Self { options: options.clone(), environment: environment.clone() }
    }

    async fn credentials(&self) -> Result<Fetched<AwsCredential>, NoCredentials> {
        let options = self.options.clone();
        let read = move || -> Result<_, NoCredentials> {
            let profile = Profile::find(&options, true)?;
            let way = profile.as_ref().map(Profile::way).transpose()?.flatten();
            Ok(profile.zip(way))
        };
        let found = tokio::task::spawn_blocking(read).await;
        let found =
            found.map_err(|_| NoCredentials::denied("The files of AWS were not read", "Try again"))??;
        let Some((profile, way)) = found else {
            let why = "The AWS profile that had credentials has none any more";
            return Err(NoCredentials::denied(why, "Run `aws configure`, or set AWS_PROFILE"));
        };
        match way {
            Way::Keys { credential, .. } => Ok(Fetched { credential, expires: None }),
            Way::Process { command } => self.of_process(&profile, &command).await,
            Way::Export { because } => self.exported(&profile, because).await,
        }
    }

    async fn of_process(
        &self,
        profile: &Profile,
        command: &str,
    ) -> Result<Fetched<AwsCredential>, NoCredentials> {
        let (name, file) = (&profile.name, profile.config_path().display());
        let what = format!(
            "The credential_process {} of the AWS profile {name} of {file}",
            program::name_of(command)
        );
        let program = Program::shell(command, &self.options.variables, self.limit());
        let printed = program.run(&*self.environment).await.map_err(|failed| {
            let hint = match failed {
                Failed::NotFound => format!("Install it, or correct credential_process in {file}"),
                _ => format!("Run it by hand and look at what it says; the command is in {file}"),
            };
            NoCredentials { kind: kind(&failed), why: format!("{what} {failed}"), hint }
        })?;
        document::credentials(&printed, true).map_err(|wrong| {
            let hint = format!("Correct the program, or credential_process in {file}");
            NoCredentials::denied(format!("{what} printed no credentials: {wrong}"), hint)
        })
    }

    /// Runs the program `aws` for profiles whose credentials need more than a file.
    async fn exported(
        &self,
        profile: &Profile,
        because: &str,
    ) -> Result<Fetched<AwsCredential>, NoCredentials> {
        let (name, file) = (profile.name.as_str(), profile.config_path().display());
        let words = ["aws", "configure", "export-credentials", "--profile", name, "--format", "process"];
        let program = Program::of_words(&words, &self.options.variables, self.limit());
        let command = words.join(" ");
        let printed = program.run(&*self.environment).await.map_err(|failed| {
            let (why, hint) = match &failed {
                Failed::NotFound => (
                    format!("The AWS profile {name} of {file} has {because}, for which the program aws is needed, and it is not on the PATH"),
                    "Install the AWS CLI, version 2, or use a profile with keys or with credential_process".to_owned(),
                ),
                Failed::Ended { said, .. } if is_of_a_session(said) => (
                    format!("The sign-in of the AWS profile {name} of {file} ({because}) has expired"),
                    login(name, because),
                ),
                Failed::Ended { said, .. } if said.contains("Invalid choice") => (
                    format!("The program aws is too old for the AWS profile {name} of {file} ({because}): it has no `configure export-credentials`"),
                    "Install the AWS CLI, version 2".to_owned(),
                ),
                _ => (
                    format!("`{command}`, for the AWS profile {name} of {file} ({because}), {failed}"),
                    format!("Run `{command}` and look at what it says"),
                ),
            };
            NoCredentials { kind: kind(&failed), why, hint }
        })?;
        document::credentials(&printed, true).map_err(|wrong| {
            let why = format!("`{command}` printed no credentials: {wrong}");
            NoCredentials::denied(why, format!("Run `{command}` and look at what it prints"))
        })
    }

    /// A request waits for the program, so the program must end before the request times out.
    fn limit(&self) -> std::time::Duration {
        self.options.request_timeout * 2 / 3
    }
}

fn kind(failed: &Failed) -> ErrorKind {
    if matches!(failed, Failed::TimedOut(_)) { ErrorKind::Unavailable } else { ErrorKind::Denied }
}

/// Whether `aws` says that a person must sign in. Its messages in versions 1 and 2: "Error loading SSO Token:
/// Token for … does not exist", "The SSO session associated with this profile has expired or is otherwise
/// invalid", "Token has expired and refresh failed", "Your session has expired. Please reauthenticate using
/// 'aws login'".
fn is_of_a_session(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["sso session", "sso token", "token has expired", "session has expired", "aws sso login", "aws login"]
        .iter()
        .any(|words| said.contains(words))
}

#[async_trait]
impl Fetch for ProfileSource {
    type Credential = AwsCredential;

    async fn fetch(&self, _: bool) -> Result<Fetched<AwsCredential>> {
        self.credentials().await.map_err(NoCredentials::carried)
    }
}

impl fmt::Debug for ProfileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileSource").finish_non_exhaustive()
    }
}
