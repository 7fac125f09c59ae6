//! `AZURE_STORAGE_CONNECTION_STRING`:
//! <https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string>.

use object_store::azure::AzureConfigKey;
use url::Url;

use super::Setting;
use crate::credentials::NoCredentials;

/// Parses the settings in a connection string.
pub(super) fn settings(text: &str) -> Result<Vec<Setting>, NoCredentials> {
    let invalid = |why: &str| {
        let hint =
            "Copy it from the portal, or run `az storage account show-connection-string --name ACCOUNT`";
        NoCredentials::invalid(format!("AZURE_STORAGE_CONNECTION_STRING {why}"), hint)
    };
    let mut pairs = Vec::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| invalid("has a part without `=`"))?;
        pairs.push((name.trim().to_ascii_lowercase(), value.trim()));
    }
    let value = |wanted: &str| {
        pairs.iter().find(|(name, value)| name == wanted && !value.is_empty()).map(|(_, value)| *value)
    };
    if value("usedevelopmentstorage").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
        return Ok(vec![(AzureConfigKey::UseEmulator, "true".to_owned())]);
    }
    let given = value("blobendpoint").map(|it| it.trim_end_matches('/'));
    let account = value("accountname").map(str::to_owned).or_else(|| account(given?));
    let Some(account) = account else { return Err(invalid("has neither AccountName nor BlobEndpoint")) };
    let mut settings = match (value("accountkey"), value("sharedaccesssignature")) {
        (Some(key), _) => vec![(AzureConfigKey::AccessKey, key.to_owned())],
        (None, Some(signature)) => vec![(AzureConfigKey::SasKey, signature.to_owned())],
        (None, None) => return Err(invalid("has neither AccountKey nor SharedAccessSignature")),
    };
    let endpoint = match given {
        Some(given) => given.to_owned(),
        None => {
            let protocol = value("defaultendpointsprotocol").unwrap_or("https");
            let suffix = value("endpointsuffix").unwrap_or("core.windows.net");
            format!("{protocol}://{account}.blob.{suffix}")
        }
    };
    settings.push((AzureConfigKey::AccountName, account));
    settings.push((AzureConfigKey::Endpoint, endpoint));
    Ok(settings)
}

/// The account in an endpoint: the first label of its host.
fn account(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    let (account, rest) = url.domain()?.split_once('.')?;
    rest.starts_with("blob.").then(|| account.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_are_parsed_as_azure_writes_them() {
        let (account, key) = (AzureConfigKey::AccountName, AzureConfigKey::AccessKey);
        let (signature, endpoint) = (AzureConfigKey::SasKey, AzureConfigKey::Endpoint);
        for (text, wanted) in [
            (
                "DefaultEndpointsProtocol=https;AccountName=plans;AccountKey=a+b/c==;EndpointSuffix=core.chinacloudapi.cn",
                vec![
                    (key, "a+b/c=="),
                    (account, "plans"),
                    (endpoint, "https://plans.blob.core.chinacloudapi.cn"),
                ],
            ),
            (
                "BlobEndpoint=https://plans.blob.core.windows.net/;QueueEndpoint=https://x/;SharedAccessSignature=sv=2024&sig=a%3D",
                vec![
                    (signature, "sv=2024&sig=a%3D"),
                    (account, "plans"),
                    (endpoint, "https://plans.blob.core.windows.net"),
                ],
            ),
            (
                "accountname=a;AccountKey=k;BlobEndpoint=http://127.0.0.1:10000/a;",
                vec![(key, "k"), (account, "a"), (endpoint, "http://127.0.0.1:10000/a")],
            ),
            ("UseDevelopmentStorage=true", vec![(AzureConfigKey::UseEmulator, "true")]),
        ] {
            let found = settings(text).unwrap();
            let found: Vec<_> = found.iter().map(|(key, value)| (*key, value.as_str())).collect();
            assert_eq!(found, wanted, "{text}");
        }
        for (text, words) in [
            ("hunter2", "without `=`"),
            ("AccountName=a", "neither AccountKey"),
            ("AccountKey=hunter2", "neither AccountName"),
        ] {
            let refused = settings(text).unwrap_err().why;
            assert!(refused.contains(words) && !refused.contains("hunter2"), "{refused}");
        }
    }
}
