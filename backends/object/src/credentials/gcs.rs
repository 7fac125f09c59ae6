//! Application default credentials:
//! <https://cloud.google.com/docs/authentication/application-default-credentials>.

use std::path::PathBuf;

use serde_json::Value;

use super::{NoCredentials, Source};
use crate::options::ObjectOptions;

/// The kinds of files that object_store supports, and the fields that they need.
const KINDS: [(&str, &[&str]); 2] = [
    ("service_account", &["client_email", "private_key", "private_key_id"]),
    ("authorized_user", &["client_id", "client_secret", "refresh_token"]),
];

/// The kinds that only Google's programs support.
const OTHERS: [(&str, &str); 3] = [
    ("external_account", " (workload identity federation)"),
    ("external_account_authorized_user", " (workforce identity federation)"),
    ("impersonated_service_account", " (impersonation)"),
];

/// The origin of GCS's credentials.
pub(crate) struct Gcs {
    /// The default file of application default credentials, if it exists and no variable names another one.
    pub(crate) well_known: Option<String>,
    pub(crate) source: Source,
}

impl Gcs {
    /// Finds the file and checks it, so that an error names its path.
    pub(crate) fn find(options: &ObjectOptions) -> Result<Self, NoCredentials> {
        let of_variable = |name: &str| Self { well_known: None, source: Source::variables(name) };
        for name in [
            "GOOGLE_BEARER_TOKEN",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
        ] {
            if options.variable(name).is_some() {
                return Ok(of_variable(name));
            }
        }
        let source = |file: &str| {
            let hint = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to another file";
            Source::new(format!("the file {file}"), hint)
        };
        if let Some(file) = options.variable("GOOGLE_APPLICATION_CREDENTIALS") {
            check(file)?;
            return Ok(Self { well_known: None, source: source(file) });
        }
        if let Some(file) = well_known(options).filter(|file| file.exists()) {
            let file = file.to_string_lossy().into_owned();
            check(&file)?;
            return Ok(Self { source: source(&file), well_known: Some(file) });
        }
        let hint = "Give the machine a service account, run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS";
        Ok(Self { well_known: None, source: Source::new("the service account of this machine", hint) })
    }
}

/// The file that `gcloud auth application-default login` writes.
fn well_known(options: &ObjectOptions) -> Option<PathBuf> {
    let folder = match options.variable("APPDATA") {
        Some(folder) if cfg!(windows) => PathBuf::from(folder),
        _ => PathBuf::from(options.variable("HOME")?).join(".config"),
    };
    Some(folder.join("gcloud").join("application_default_credentials.json"))
}

fn check(file: &str) -> Result<(), NoCredentials> {
    let hint = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account";
    let invalid = |why: String| Err(NoCredentials::invalid(why, hint));
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) => return invalid(format!("The credentials file {file} cannot be read: {error}")),
    };
    let document: Value = match serde_json::from_slice(&text) {
        Ok(document) => document,
        Err(_) => return invalid(format!("The credentials file {file} is no JSON")),
    };
    let kind = document.get("type").and_then(Value::as_str).unwrap_or_default();
    if let Some((_, fields)) = KINDS.iter().find(|(name, _)| *name == kind) {
        let missing = fields.iter().find(|name| document.get(**name).and_then(Value::as_str).is_none());
        return missing.map_or(Ok(()), |name| invalid(format!("The credentials file {file} has no {name}")));
    }
    match OTHERS.iter().find(|(name, _)| *name == kind) {
        Some((name, what)) => invalid(format!(
            "The credentials file {file} is of the kind {name}{what}, which is not supported"
        )),
        None => invalid(format!(
            "The credentials file {file} is neither of the kind service_account nor authorized_user"
        )),
    }
}
