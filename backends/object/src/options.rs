use std::{collections::BTreeMap, fmt, time::Duration};

use crate::switch;

/// The timeouts and limits of a handle, and the settings of the cloud.
///
/// The defaults use no variable of the process except those of its proxies and, for GCS, `HOME` (on Windows
/// `APPDATA`), below which the file of application default credentials is looked up.
/// [`ObjectOptions::from_env`] takes the variables of the clouds.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectOptions {
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) deadline: Duration,
    pub(crate) max_in_flight: usize,
    pub(crate) max_object_size: u64,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ObjectOptions {
    /// The defaults that the setters name, without variables.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(60),
            max_in_flight: 64,
            max_object_size: 256 << 20,
            variables: BTreeMap::new(),
        }
    }

    /// Sets how long to try an endpoint that cannot be reached (a refused port, a dead host, an unknown name);
    /// 2 seconds by default.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Sets how long one request may take, from its first byte to the last byte of its answer; 30 seconds by
    /// default.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Sets how long all requests of one operation may take in total, including the pauses between them; 60
    /// seconds by default.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// Sets how many operations of this handle run at a time, at least 1; 64 by default. Others wait for
    /// their turn.
    #[must_use]
    pub fn max_in_flight(mut self, operations: usize) -> Self {
        self.max_in_flight = operations.max(1);
        self
    }

    /// Sets the maximum size of an object in bytes; 256 MiB by default. An object is sent in one request and
    /// held in memory as a whole.
    #[must_use]
    pub fn max_object_size(mut self, bytes: u64) -> Self {
        self.max_object_size = bytes;
        self
    }

    /// Sets the variables of the cloud by their usual names (`AWS_…`, `GOOGLE_…`, `AZURE_…`), in place of the
    /// process's environment. Their values are never shown. Programs that print credentials get them too, on
    /// top of the environment that they inherit.
    ///
    /// For GCS the file of application default credentials in the home folder is used as well; if the
    /// variables name no home folder, the process's. For S3 AWS's files are used if `HOME` or `USERPROFILE`
    /// (or `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`) says where they are: `AWS_PROFILE` selects
    /// the profile. They are read when the handle is opened, and the profile's credentials again when the
    /// server refuses the present ones.
    ///
    /// | | S3 | GCS | Azure |
    /// | --- | --- | --- | --- |
    /// | credentials | `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | `GOOGLE_APPLICATION_CREDENTIALS`, `GOOGLE_SERVICE_ACCOUNT_KEY` | `AZURE_STORAGE_CONNECTION_STRING`, or `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY` |
    /// | region | `AWS_REGION`, `AWS_DEFAULT_REGION` | | |
    /// | another server | `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3` | `GOOGLE_BASE_URL`, `gcs_base_url` in the key | `AZURE_STORAGE_ENDPOINT` |
    /// | plain HTTP | `AWS_ALLOW_HTTP=true` | `GOOGLE_ALLOW_HTTP=true` | `AZURE_ALLOW_HTTP=true` |
    ///
    /// Proxies are those of the process (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), unless
    /// `AWS_PROXY_URL` names one, with `AWS_PROXY_EXCLUDES` and `AWS_PROXY_CA_CERTIFICATE`. `AWS_TIMEOUT` and
    /// `AWS_CONNECT_TIMEOUT` are refused: the timeouts are set here. All of these exist for the
    /// other clouds as well.
    ///
    /// The complete list: the configuration keys of
    /// [S3](https://docs.rs/object_store/0.14/object_store/aws/enum.AmazonS3ConfigKey.html),
    /// [GCS](https://docs.rs/object_store/0.14/object_store/gcp/enum.GoogleConfigKey.html) and
    /// [Azure](https://docs.rs/object_store/0.14/object_store/azure/enum.AzureConfigKey.html).
    #[must_use]
    pub fn variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables = variables.into_iter().collect();
        self
    }

    /// The defaults with the clouds' variables among these, and with those that locate the files of the
    /// clouds' programs (`HOME`, `USERPROFILE`, `APPDATA`); all others are ignored.
    ///
    /// ```
    /// let options = pflow_backend_object::ObjectOptions::from_env(std::env::vars());
    /// ```
    pub fn from_env(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_of_a_cloud = |name: &str| {
            let name = name.to_ascii_uppercase();
            ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|cloud| name.starts_with(cloud))
                || ["HOME", "USERPROFILE", "APPDATA"].contains(&name.as_str())
        };
        let variables = variables.into_iter().filter(|(name, _)| is_of_a_cloud(name)).collect();
        Self { variables, ..Self::default() }
    }

    /// The defaults, with the variables of this process's environment. Variables that are not UTF-8 are
    /// ignored.
    pub fn from_process() -> Self {
        Self::from_env(std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            Some((name, value))
        }))
    }

    /// The value of a variable, if it is set and not empty. An empty variable counts as unset, as for the
    /// clouds' own programs. Names are compared without case as well, because Windows does not distinguish
    /// it.
    #[cfg_attr(
        not(any(feature = "s3", feature = "azure")),
        allow(dead_code, reason = "other settings are read by object_store's names")
    )]
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        let exact = self.variables.get(name);
        let found = exact.or_else(|| {
            self.variables.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        found.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a variable switches a setting on, parsed as by object_store.
    #[cfg_attr(
        not(any(feature = "s3", feature = "azure")),
        allow(dead_code, reason = "other settings are read by object_store's names")
    )]
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.variable(name).and_then(switch::read).unwrap_or_default()
    }

    /// The same with one more variable, which replaces one of the same name.
    #[must_use]
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }
}

/// Shows the names of the variables and hides their values.
impl fmt::Debug for ObjectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("deadline", &self.deadline)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_object_size", &self.max_object_size)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_timeouts_are_short_enough_for_a_person() {
        let options = ObjectOptions::default();
        assert_eq!(options.connect_timeout, Duration::from_secs(2));
        assert!(options.request_timeout <= options.deadline);
        assert!(options.variables.is_empty());
    }

    #[test]
    fn only_cloud_variables_are_taken_and_no_value_is_shown() {
        let variables = [
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("HOME", "/home/ada"),
            ("AZURE_ALLOW_HTTP", "true"),
            ("LANG", "C"),
        ];
        let options =
            ObjectOptions::from_env(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            options.variables.keys().collect::<Vec<_>>(),
            ["AWS_SECRET_ACCESS_KEY", "AZURE_ALLOW_HTTP", "HOME"]
        );
        let shown = format!("{options:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
    }
}
