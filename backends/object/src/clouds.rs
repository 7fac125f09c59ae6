//! Makes object_store's clients of the three clouds, from the environment variables that are usual for each.

use std::{str::FromStr, sync::Arc, time::Duration};

#[cfg(feature = "s3")]
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
#[cfg(feature = "azure")]
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
#[cfg(feature = "gcs")]
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig};
use pflow_backend::{Environment, Error, ErrorKind, Result};
use url::Url;

#[cfg(feature = "gcs")]
use crate::credentials::Gcs;
#[cfg(any(feature = "gcs", feature = "azure"))]
use crate::credentials::Source;
#[cfg(feature = "s3")]
use crate::credentials::{Aws, Origin};
#[cfg(feature = "azure")]
use crate::credentials::{Azure, AzureCli};
use crate::{
    connected::Connected,
    credentials::{Held, Refused, Service},
    foreign::Foreign,
    options::ObjectOptions,
    place::Place,
    switch,
    url::ObjectUrl,
    wire::Connector,
};

#[cfg(feature = "s3")]
pub(crate) fn s3(
    url: &ObjectUrl,
    options: &ObjectOptions,
    environment: &Arc<dyn Environment>,
) -> Result<Connected> {
    let settings: Vec<(AmazonS3ConfigKey, &str)> = settings("aws_", options);
    let value = |wanted| settings.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    if value(AmazonS3ConfigKey::AccessKeyId).is_some() != value(AmazonS3ConfigKey::SecretAccessKey).is_some()
    {
        let sentence =
            format!("{url} needs both of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and one is set");
        return Err(Error::not_applied(ErrorKind::InvalidInput, sentence));
    }
    let is_signed = !is_on(value(AmazonS3ConfigKey::SkipSignature));
    let aws = Aws::find(options, is_signed, environment)?;
    let region = value(AmazonS3ConfigKey::Region).or(value(AmazonS3ConfigKey::DefaultRegion));
    let region = region.or(aws.region.as_deref()).unwrap_or("us-east-1");
    let given = value(AmazonS3ConfigKey::S3Endpoint).or(value(AmazonS3ConfigKey::Endpoint));
    let of_profile = aws.endpoint.as_deref().filter(|_| given.is_none());
    let given = given.or(of_profile);
    let allow_http = value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    let usual = format!("https://s3.{region}.amazonaws.com");
    let endpoint = endpoint(given.unwrap_or(&usual), allow_http, "AWS_ALLOW_HTTP")?;
    let foreign = Arc::<Foreign>::default();
    let can_renew = !matches!(aws.origin, Origin::Unsigned | Origin::Variables);
    let refused = Arc::new(if can_renew { Refused::renewable() } else { Refused::default() });
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client("AWS_", options)?)
        .with_retry(no_retries())
        .with_http_connector(Connector::new(url, &endpoint, &foreign, &refused, environment)?)
        // One DELETE for each key: every server supports it, and its answer is about one key.
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
    for (key, value) in &settings {
        builder = builder.with_config(*key, *value);
    }
    if let Some(given) = of_profile {
        builder = builder.with_endpoint(given);
    }
    let builder = builder.with_region(region).with_bucket_name(url.bucket());
    let unfit = |_| unfit(url, options);
    let environment = environment.clone();
    let service = match aws.origin {
        Origin::Unsigned | Origin::Variables => builder.build().map_err(unfit)?,
        Origin::Profile(profile) => {
            let held = Held::new(profile, refused, environment);
            builder.with_credentials(Arc::new(held)).build().map_err(unfit)?
        }
        Origin::Container(container) => {
            let held = Held::new(container, refused, environment);
            builder.with_credentials(Arc::new(held)).build().map_err(unfit)?
        }
        Origin::Service => {
            let again = builder.clone();
            let make = move || Ok(again.clone().build()?.credentials().clone());
            let service = Service::new(make, &aws.source).map_err(unfit)?;
            builder
                .with_credentials(Arc::new(Held::new(service, refused, environment)))
                .build()
                .map_err(unfit)?
        }
    };
    let place =
        Place { url: url.clone(), endpoint, region: Some(region.to_owned()), credentials: aws.source };
    Ok(Connected { service: Arc::new(service), place, foreign })
}

#[cfg(feature = "gcs")]
pub(crate) fn gcs(
    url: &ObjectUrl,
    options: &ObjectOptions,
    environment: &Arc<dyn Environment>,
) -> Result<Connected> {
    let settings: Vec<(GoogleConfigKey, &str)> = settings("google_", options);
    let value = |wanted| settings.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    let allow_http = value(GoogleConfigKey::Client(ClientConfigKey::AllowHttp));
    let given = match value(GoogleConfigKey::BaseUrl) {
        Some(given) => Some(given.to_owned()),
        None => base_url(value(GoogleConfigKey::ServiceAccountKey), value(GoogleConfigKey::ServiceAccount)),
    };
    let usual = "https://storage.googleapis.com";
    let endpoint = endpoint(given.as_deref().unwrap_or(usual), allow_http, "GOOGLE_ALLOW_HTTP")?;
    let foreign = Arc::<Foreign>::default();
    let is_signed = !is_on(value(GoogleConfigKey::SkipSignature));
    let found = if is_signed { Some(Gcs::find(options)?) } else { None };
    let refused = Arc::new(if is_signed { Refused::renewable() } else { Refused::default() });
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(client("GOOGLE_", options)?)
        .with_retry(no_retries())
        .with_http_connector(Connector::new(url, &endpoint, &foreign, &refused, environment)?);
    for (key, value) in &settings {
        builder = builder.with_config(*key, *value);
    }
    builder = builder.with_bucket_name(url.bucket());
    let mut source = Source::default();
    if let Some(found) = found {
        if let Some(file) = found.well_known {
            builder = builder.with_application_credentials(file);
        }
        source = found.source;
        let again = builder.clone();
        let make = move || Ok(again.clone().build()?.credentials().clone());
        let service = Service::new(make, &source).map_err(|_| unfit(url, options))?;
        builder = builder.with_credentials(Arc::new(Held::new(service, refused, environment.clone())));
    }
    let service = builder.build().map_err(|_| unfit(url, options))?;
    let place = Place { url: url.clone(), endpoint, region: None, credentials: source };
    Ok(Connected { service: Arc::new(service), place, foreign })
}

/// The endpoint that a service account file names, which emulators use. An unreadable file is refused when
/// the client is made.
#[cfg(feature = "gcs")]
fn base_url(key: Option<&str>, path: Option<&str>) -> Option<String> {
    let account = match (key, path) {
        (Some(key), _) => key.to_owned(),
        (None, path) => std::fs::read_to_string(path?).ok()?,
    };
    let account: serde_json::Value = serde_json::from_str(&account).ok()?;
    account.get("gcs_base_url")?.as_str().map(str::to_owned)
}

#[cfg(feature = "azure")]
pub(crate) fn azure(
    url: &ObjectUrl,
    options: &ObjectOptions,
    environment: &Arc<dyn Environment>,
) -> Result<Connected> {
    let azure = Azure::find(options, settings("azure_", options))?;
    let value =
        |wanted| azure.settings.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.as_str());
    let allow_http = value(AzureConfigKey::Client(ClientConfigKey::AllowHttp));
    let is_emulator = is_on(value(AzureConfigKey::UseEmulator));
    let Some(account) = value(AzureConfigKey::AccountName).or(is_emulator.then_some("devstoreaccount1"))
    else {
        let sentence = format!(
            "{url} needs an account: set AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING"
        );
        return Err(Error::not_applied(ErrorKind::InvalidInput, sentence));
    };
    let endpoint = if is_emulator {
        // object_store's address of the emulator. The setting implies plain HTTP on this machine.
        "http://127.0.0.1:10000".to_owned()
    } else {
        let usual = format!("https://{account}.blob.core.windows.net");
        endpoint(value(AzureConfigKey::Endpoint).unwrap_or(&usual), allow_http, "AZURE_ALLOW_HTTP")?
    };
    let foreign = Arc::<Foreign>::default();
    let is_signed = !is_on(value(AzureConfigKey::SkipSignature));
    let can_renew = is_signed && !is_emulator && azure.can_renew;
    let refused = Arc::new(if can_renew { Refused::renewable() } else { Refused::default() });
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(client("AZURE_", options)?)
        .with_retry(no_retries())
        .with_http_connector(Connector::new(url, &endpoint, &foreign, &refused, environment)?);
    for (key, value) in &azure.settings {
        builder = builder.with_config(*key, value);
    }
    builder = builder.with_container_name(url.bucket());
    let source = if is_signed && !is_emulator { azure.source } else { Source::default() };
    if can_renew && azure.is_of_cli {
        let az = AzureCli::new(options, environment);
        builder = builder.with_credentials(Arc::new(Held::new(az, refused, environment.clone())));
    } else if can_renew {
        let again = builder.clone();
        let make = move || Ok(again.clone().build()?.credentials().clone());
        let service = Service::new(make, &source).map_err(|_| unfit(url, options))?;
        builder = builder.with_credentials(Arc::new(Held::new(service, refused, environment.clone())));
    }
    let service = builder.build().map_err(|_| unfit(url, options))?;
    let place = Place { url: url.clone(), endpoint, region: None, credentials: source };
    Ok(Connected { service: Arc::new(service), place, foreign })
}

/// The variables that are settings of the cloud. Others (such as `AWS_PROFILE`) belong to other programs.
fn settings<'a, K: FromStr>(cloud: &str, options: &'a ObjectOptions) -> Vec<(K, &'a str)> {
    let setting = |(name, value): (&String, &'a String)| {
        let name = name.to_ascii_lowercase();
        // An empty variable counts as unset, as for the clouds' own programs.
        let is_set = name.starts_with(cloud) && !value.is_empty();
        let key = is_set.then(|| name.parse().ok()).flatten()?;
        Some((key, value.as_str()))
    };
    options.variables.iter().filter_map(setting).collect()
}

/// The client's timeouts, which are options of this crate. Refuses variables that would set them in another
/// way, and a user agent that object_store would ignore silently.
fn client(cloud: &str, options: &ObjectOptions) -> Result<ClientOptions> {
    let refuse = |sentence: String| Err(Error::not_applied(ErrorKind::InvalidInput, sentence));
    for (name, value) in options.variables.iter().filter(|(_, value)| !value.is_empty()) {
        let upper = name.to_ascii_uppercase();
        match upper.strip_prefix(cloud) {
            Some("TIMEOUT") => {
                return refuse(format!(
                    "{name} has no effect: set the request timeout of the options instead"
                ));
            }
            Some("CONNECT_TIMEOUT") => {
                return refuse(format!(
                    "{name} has no effect: set the connect timeout of the options instead"
                ));
            }
            Some("USER_AGENT") if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                return refuse(format!("{name} has signs that no header may have"));
            }
            _ => {}
        }
    }
    let limits = ClientOptions::new();
    Ok(limits.with_connect_timeout(options.connect_timeout).with_timeout(options.request_timeout))
}

/// Disables object_store's retries. It repeats 5xx, 429 and 408, so that an own write would be reported as
/// one that exists already. The loop of this crate handles that.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

/// The endpoint in a form that may be shown. Refuses one with credentials, and plain HTTP unless its setting
/// allows it.
fn endpoint(given: &str, allow_http: Option<&str>, setting: &str) -> Result<String> {
    let refuse = |sentence: String| Err(Error::not_applied(ErrorKind::InvalidInput, sentence));
    let Ok(parsed) = Url::parse(given) else {
        return refuse("The endpoint is no URL such as https://host:port".to_owned());
    };
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
        return refuse(
            "The endpoint carries credentials or a query; set the variables of the cloud instead".to_owned(),
        );
    }
    match parsed.scheme() {
        "https" => {}
        "http" if is_on(allow_http) => {}
        "http" => {
            return refuse(format!(
                "The endpoint {given} is not encrypted: set {setting}=true to use plain HTTP"
            ));
        }
        _ => return refuse(format!("The endpoint {given} is neither https nor http")),
    }
    Ok(given.trim_end_matches('/').to_owned())
}

fn is_on(value: Option<&str>) -> bool {
    value.and_then(switch::read).unwrap_or_default()
}

/// The error for unusable settings. object_store's message may repeat their values, so only their names are
/// shown.
fn unfit(url: &ObjectUrl, options: &ObjectOptions) -> Error {
    let names: Vec<&str> = options.variables.keys().map(String::as_str).collect();
    let names = if names.is_empty() { "none is set".to_owned() } else { names.join(", ") };
    let sentence =
        format!("{url} cannot be opened: one of its settings has a value that does not fit ({names})");
    Error::not_applied(ErrorKind::InvalidInput, sentence)
}
