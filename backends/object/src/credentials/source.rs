/// The origin of a handle's credentials, in words for a person. It contains no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Completes "the credentials are those of …"; empty if nothing is known of them.
    pub(crate) origin: String,
    /// What a person should do if they are wrong or have expired: one imperative sentence.
    pub(crate) renew: String,
}

#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure")),
    allow(dead_code, reason = "not each cloud says all of this")
)]
impl Source {
    pub(crate) fn new(origin: impl Into<String>, renew: impl Into<String>) -> Self {
        Self { origin: origin.into(), renew: renew.into() }
    }

    /// Credentials in the caller's environment variables.
    pub(crate) fn variables(names: &str) -> Self {
        Self::new(names, format!("Set {names} to credentials that are valid"))
    }
}
