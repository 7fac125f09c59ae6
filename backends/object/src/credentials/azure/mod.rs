//! Selects the credentials for Azure.

mod cli;
mod connection_string;

use object_store::azure::AzureConfigKey;

pub(crate) use self::cli::AzureCli;
use super::{NoCredentials, Source};
use crate::options::ObjectOptions;

/// A setting and its value.
type Setting = (AzureConfigKey, String);

/// The settings of the variables, including those of the program `az`, and of the connection string.
pub(crate) struct Azure {
    pub(crate) settings: Vec<Setting>,
    /// Whether the program `az` is used, which this crate runs and not object_store.
    pub(crate) is_of_cli: bool,
    /// Whether new credentials are possible when the server refuses the present ones.
    pub(crate) can_renew: bool,
    pub(crate) source: Source,
}

impl Azure {
    /// `settings`: those that object_store knows by name.
    pub(crate) fn find(
        options: &ObjectOptions,
        settings: Vec<(AzureConfigKey, &str)>,
    ) -> Result<Self, NoCredentials> {
        let mut all: Vec<Setting> =
            settings.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        let others = [
            (AzureConfigKey::AccountName, "AZURE_STORAGE_ACCOUNT"),
            (AzureConfigKey::AccessKey, "AZURE_STORAGE_KEY"),
        ];
        for (key, name) in others {
            if let Some(value) = options.variable(name) {
                add(&mut all, key, value.to_owned());
            }
        }
        let is_signed_by_variable = has_credentials(&all);
        if let Some(text) = options.variable("AZURE_STORAGE_CONNECTION_STRING") {
            for (key, value) in connection_string::settings(text)? {
                let is_of_another = key == AzureConfigKey::AccountName
                    && all.iter().any(|(it, name)| *it == key && *name != value);
                if is_of_another {
                    let why =
                        "AZURE_STORAGE_CONNECTION_STRING is of another account than the other variables";
                    return Err(NoCredentials::invalid(why, "Remove one of the two"));
                }
                let is_a_secret = matches!(key, AzureConfigKey::AccessKey | AzureConfigKey::SasKey);
                if !(is_a_secret && is_signed_by_variable) {
                    add(&mut all, key, value);
                }
            }
        }
        let has = |key| all.iter().any(|(it, _)| *it == key);
        let kind =
            all.iter().find(|(key, _)| *key == AzureConfigKey::CredentialType).map(|(_, kind)| kind.as_str());
        let is_auto = kind.is_none_or(|kind| kind == "auto");
        let is_of_cli = kind == Some("azure_cli")
            || is_auto && options.is_on("AZURE_USE_AZURE_CLI") && !has_credentials(&all);
        let is_fixed =
            [AzureConfigKey::Token, AzureConfigKey::AccessKey, AzureConfigKey::SasKey].into_iter().any(has);
        let login = "Run `az login`";
        let of_string = "AZURE_STORAGE_CONNECTION_STRING";
        let fixed =
            |name: &'static str| Source::variables(if is_signed_by_variable { name } else { of_string });
        let source = if is_of_cli {
            Source::new("the program az", login)
        } else if has(AzureConfigKey::Token) {
            fixed("AZURE_STORAGE_TOKEN")
        } else if has(AzureConfigKey::AccessKey) {
            fixed("AZURE_STORAGE_ACCOUNT_KEY")
        } else if has(AzureConfigKey::FederatedTokenFile) {
            let hint = "Check that the application of AZURE_CLIENT_ID trusts the token of AZURE_FEDERATED_TOKEN_FILE";
            Source::new("the workload identity of AZURE_CLIENT_ID", hint)
        } else if has(AzureConfigKey::ClientSecret) {
            let hint = "Set AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID to those of an application that may use the account";
            Source::new("the service principal of AZURE_CLIENT_ID", hint)
        } else if has(AzureConfigKey::SasKey) {
            fixed("AZURE_STORAGE_SAS_TOKEN")
        } else {
            let hint = "Give the machine an identity that may use the account, or set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCOUNT_KEY, \
                        or AZURE_USE_AZURE_CLI=true";
            Source::new("the managed identity of this machine", hint)
        };
        Ok(Self { can_renew: is_of_cli || !is_fixed, settings: all, is_of_cli, source })
    }
}

fn add(all: &mut Vec<Setting>, key: AzureConfigKey, value: String) {
    if all.iter().all(|(it, _)| *it != key) {
        all.push((key, value));
    }
}

/// Whether the settings contain credentials.
fn has_credentials(all: &[Setting]) -> bool {
    let has = |key| all.iter().any(|(it, _)| *it == key);
    [
        AzureConfigKey::Token,
        AzureConfigKey::AccessKey,
        AzureConfigKey::SasKey,
        AzureConfigKey::ClientSecret,
        AzureConfigKey::FederatedTokenFile,
    ]
    .into_iter()
    .any(has)
}
