//! Selects the credentials for S3: those of the variables, else of the profile, else of the container or of
//! the machine.

mod container;
mod files;
mod profile;
mod profile_source;

use std::sync::Arc;

use object_store::aws::AwsCredential;
use pflow_backend::Environment;

use self::profile::{Profile, Way};
pub(crate) use self::{container::Container, profile_source::ProfileSource};
use super::{NoCredentials, Source, held::Signs};
use crate::options::ObjectOptions;

/// The result of reading the variables and the files.
pub(crate) struct Aws {
    /// The region of the profile.
    pub(crate) region: Option<String>,
    /// The endpoint of the profile.
    pub(crate) endpoint: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) source: Source,
}

/// The origin of the credentials.
pub(crate) enum Origin {
    /// Requests are not signed.
    Unsigned,
    /// `AWS_ACCESS_KEY_ID` and its companion variables.
    Variables,
    Profile(ProfileSource),
    Container(Container),
    /// The sources of object_store: STS with a web identity token, else the metadata service of the machine.
    Service,
}

impl Aws {
    /// Reads the files. `is_signed`: whether requests are signed.
    pub(crate) fn find(
        options: &ObjectOptions,
        is_signed: bool,
        environment: &Arc<dyn Environment>,
    ) -> Result<Self, NoCredentials> {
        let profile = Profile::find(options, needs_files(options, is_signed))?;
        let (origin, source) = match &profile {
            _ if !is_signed => (Origin::Unsigned, Source::default()),
            _ if options.variable("AWS_ACCESS_KEY_ID").is_some() => {
                variables(options)?;
                let names = match has_token(options) {
                    true => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
                    false => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                };
                (Origin::Variables, Source::variables(names))
            }
            _ if has_web_identity(options) => {
                let hint =
                    "Check that the role of AWS_ROLE_ARN trusts the token of AWS_WEB_IDENTITY_TOKEN_FILE";
                (Origin::Service, Source::new("the role of AWS_ROLE_ARN", hint))
            }
            Some(profile) => match profile.way()? {
                Some(way) => {
                    let source = way.source(profile);
                    (Origin::Profile(ProfileSource::new(options, environment)), source)
                }
                // A caller that requests a profile does not want the role of the machine.
                None if Profile::asked(options).is_some() => return Err(profile.without_credentials()),
                None => of_the_machine(options)?,
            },
            None => of_the_machine(options)?,
        };
        let is_ignored = options.is_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
        let of_profile = |value: Option<&str>| value.map(str::to_owned);
        Ok(Self {
            region: profile.as_ref().and_then(|it| of_profile(it.region())),
            endpoint: profile.as_ref().filter(|_| !is_ignored).and_then(|it| of_profile(it.endpoint())),
            origin,
            source,
        })
    }
}

fn has_token(options: &ObjectOptions) -> bool {
    ["AWS_SESSION_TOKEN", "AWS_TOKEN"].iter().any(|name| options.variable(name).is_some())
}

fn has_web_identity(options: &ObjectOptions) -> bool {
    ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"].iter().all(|name| options.variable(name).is_some())
}

/// Whether the files matter: a variable requests them, or no other source has credentials.
fn needs_files(options: &ObjectOptions, is_signed: bool) -> bool {
    let are_asked_for = Profile::asked(options).is_some()
        || ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"].iter().any(|it| options.variable(it).is_some());
    let has_credentials =
        !is_signed || options.variable("AWS_ACCESS_KEY_ID").is_some() || has_web_identity(options);
    are_asked_for || !has_credentials
}

/// Checks for keys at which object_store would panic.
fn variables(options: &ObjectOptions) -> Result<(), NoCredentials> {
    let value = |name| options.variable(name).unwrap_or_default().to_owned();
    let credential = AwsCredential {
        key_id: value("AWS_ACCESS_KEY_ID"),
        secret_key: String::new(),
        token: options
            .variable("AWS_SESSION_TOKEN")
            .or_else(|| options.variable("AWS_TOKEN"))
            .map(str::to_owned),
    };
    if super::document::fits(&credential) {
        return Ok(());
    }
    let why = "AWS_ACCESS_KEY_ID or AWS_SESSION_TOKEN has signs that no header may have";
    Err(NoCredentials::invalid(why, "Set the variables again, without spaces and line ends"))
}

fn of_the_machine(options: &ObjectOptions) -> Result<(Origin, Source), NoCredentials> {
    if let Some(container) = Container::find(options)? {
        let source = Source::new(
            format!("the service at {}", container.host()),
            "Check the role of the task or pod, and that its credentials are not switched off",
        );
        return Ok((Origin::Container(container), source));
    }
    if options.is_on("AWS_EC2_METADATA_DISABLED") {
        return Err(NoCredentials::denied(
            "There are no AWS credentials: no variables and no profile have any, and AWS_EC2_METADATA_DISABLED is set",
            "Run `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    }
    let source = Source::new(
        "the instance metadata service",
        "Check the role of the instance, or run `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    );
    Ok((Origin::Service, source))
}

impl Way {
    fn source(&self, profile: &Profile) -> Source {
        let name = &profile.name;
        match self {
            Self::Keys { file, .. } => Source::new(
                format!("the AWS profile {name} of {}", file.display()),
                format!("Run `aws configure --profile {name}`, or the program that writes the file"),
            ),
            Self::Process { command } => {
                let program = super::program::name_of(command);
                Source::new(
                    format!(
                        "the credential_process {program} of the AWS profile {name} of {}",
                        profile.config_path().display()
                    ),
                    format!("Run {program} by hand and look at what it says"),
                )
            }
            Self::Export { because } => {
                let hint = if because.starts_with("sso") || *because == "login_session" {
                    login(name, because)
                } else {
                    format!("Run `aws sts get-caller-identity --profile {name}` and look at what it says")
                };
                Source::new(
                    format!("the AWS profile {name} of {} ({because})", profile.config_path().display()),
                    hint,
                )
            }
        }
    }
}

/// The hint for a person to sign in again.
fn login(name: &str, because: &str) -> String {
    if because == "login_session" {
        format!("Run `aws login --profile {name}`")
    } else {
        format!("Run `aws sso login --profile {name}`")
    }
}

impl Signs for AwsCredential {
    fn signed(&self, authorization: &str) -> bool {
        authorization.contains(&format!("Credential={}/", self.key_id))
    }
}
