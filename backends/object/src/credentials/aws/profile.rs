//! A profile in AWS's files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::aws::AwsCredential;

use super::files::{File, Section, nested};
use crate::{
    credentials::{NoCredentials, document},
    options::ObjectOptions,
};

/// A profile, merged from both files.
pub(super) struct Profile {
    pub(super) name: String,
    config: Section,
    credentials: Section,
    /// The S3 endpoint of its `services` section.
    service_endpoint: Option<String>,
    config_path: PathBuf,
    credentials_path: PathBuf,
}

/// The way in which a profile provides credentials.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// The keys themselves, from this file.
    Keys { credential: Arc<AwsCredential>, file: PathBuf },
    /// A command that prints them.
    Process { command: String },
    /// Only the program `aws` can get them, for example for an SSO session or another role. `because` is the
    /// setting that requires it.
    Export { because: &'static str },
}

/// The settings that require `aws`. AWS gives them precedence over keys.
const OF_THE_PROGRAM: [&str; 7] = [
    "role_arn",
    "sso_session",
    "sso_start_url",
    "login_session",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
];

impl Profile {
    /// The name that the variables request.
    pub(super) fn asked(options: &ObjectOptions) -> Option<&str> {
        options.variable("AWS_PROFILE").or_else(|| options.variable("AWS_DEFAULT_PROFILE"))
    }

    /// Finds the profile that the variables request, else `default`; none if neither file has `default`. If
    /// `are_needed`, a file that cannot be read is an error.
    pub(super) fn find(options: &ObjectOptions, are_needed: bool) -> Result<Option<Self>, NoCredentials> {
        let asked = Self::asked(options);
        let name = asked.unwrap_or("default");
        let (Some(config), Some(credentials)) =
            (File::config(options, are_needed)?, File::credentials(options, are_needed)?)
        else {
            return match asked {
                Some(name) => Err(NoCredentials::invalid(
                    format!(
                        "The AWS profile {name} is asked for, and neither HOME nor USERPROFILE says where its files are"
                    ),
                    "Set HOME, or AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
                )),
                None => Ok(None),
            };
        };
        let in_config = config.section(&format!("profile {name}"));
        let in_config = in_config.or_else(|| config.section(name).filter(|_| name == "default"));
        let in_credentials = credentials.section(name);
        if in_config.is_none() && in_credentials.is_none() {
            return if asked.is_some() { Err(not_there(name, &config, &credentials)) } else { Ok(None) };
        }
        let services = in_config.and_then(|it| it.get("services"));
        let service_endpoint = match services {
            None => None,
            Some(services) => match config.section(&format!("services {services}")) {
                Some(section) => section.get("s3").and_then(|it| nested(it).remove("endpoint_url")),
                None => {
                    let why = format!(
                        "The AWS profile {name} names the services {services}, and {} has no section [services {services}]",
                        config.path.display()
                    );
                    return Err(NoCredentials::invalid(
                        why,
                        "Add the section, or remove `services` from the profile",
                    ));
                }
            },
        };
        Ok(Some(Self {
            name: name.to_owned(),
            config: in_config.cloned().unwrap_or_default(),
            credentials: in_credentials.cloned().unwrap_or_default(),
            service_endpoint,
            config_path: config.path,
            credentials_path: credentials.path,
        }))
    }

    /// A setting of either file; the credentials file takes precedence, as for AWS.
    fn setting(&self, name: &str) -> Option<&str> {
        let found = self.credentials.get(name).or_else(|| self.config.get(name));
        found.map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.setting("region")
    }

    /// Its S3 endpoint, if it is not AWS's.
    pub(super) fn endpoint(&self) -> Option<&str> {
        self.service_endpoint.as_deref().or_else(|| self.setting("endpoint_url"))
    }

    /// The way in which it provides credentials, in AWS's order; none if it has only other settings.
    pub(super) fn way(&self) -> Result<Option<Way>, NoCredentials> {
        let of_the_program = OF_THE_PROGRAM.into_iter().find(|name| self.setting(name).is_some());
        if let Some(because) = of_the_program {
            return Ok(Some(Way::Export { because }));
        }
        if let Some(keys) = keys(&self.name, &self.credentials, &self.credentials_path)? {
            return Ok(Some(keys));
        }
        if let Some(command) = self.setting("credential_process") {
            return Ok(Some(Way::Process { command: command.to_owned() }));
        }
        keys(&self.name, &self.config, &self.config_path)
    }

    /// The error for a requested profile that has only other settings.
    pub(super) fn without_credentials(&self) -> NoCredentials {
        let Self { name, config_path, credentials_path, .. } = self;
        let why = format!(
            "The AWS profile {name} has no credentials, neither in {} nor in {}",
            config_path.display(),
            credentials_path.display()
        );
        NoCredentials::denied(
            why,
            format!(
                "Run `aws configure --profile {name}`, or unset AWS_PROFILE to use the role of the machine"
            ),
        )
    }

    /// The file to name in messages: the config file if the profile is in it, else the credentials file.
    pub(super) fn config_path(&self) -> &Path {
        if self.config.is_empty() { &self.credentials_path } else { &self.config_path }
    }
}

fn not_there(name: &str, config: &File, credentials: &File) -> NoCredentials {
    let has = |file: &File, section: &str| match file.exists() {
        true => format!("{} has no section [{section}]", file.path.display()),
        false => format!("{} does not exist", file.path.display()),
    };
    let in_config = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let why = format!(
        "The AWS profile {name} does not exist: {}, and {}",
        has(config, &in_config),
        has(credentials, name)
    );
    let hint =
        format!("Run `aws configure --profile {name}`, or set AWS_PROFILE to a profile of these files");
    NoCredentials::invalid(why, hint)
}

/// The keys of a section; none if it has none.
fn keys(name: &str, section: &Section, file: &Path) -> Result<Option<Way>, NoCredentials> {
    let value = |setting| section.get(setting).filter(|value| !value.is_empty()).cloned();
    let (id, secret) = (value("aws_access_key_id"), value("aws_secret_access_key"));
    match (id, secret) {
        (Some(key_id), Some(secret_key)) => {
            let credential = AwsCredential { key_id, secret_key, token: value("aws_session_token") };
            if !document::fits(&credential) {
                let why = format!(
                    "The keys of the AWS profile {name} of {} have signs that no header may have",
                    file.display()
                );
                return Err(NoCredentials::invalid(why, "Copy the keys into the file again"));
            }
            Ok(Some(Way::Keys { credential: credential.into(), file: file.to_owned() }))
        }
        (None, None) => Ok(None),
        (id, _) => {
            let missing = if id.is_some() { "aws_secret_access_key" } else { "aws_access_key_id" };
            let why = format!("The AWS profile {name} of {} has no {missing}", file.display());
            Err(NoCredentials::invalid(
                why,
                format!("Add {missing} to the profile, or remove the other half of the pair"),
            ))
        }
    }
}
