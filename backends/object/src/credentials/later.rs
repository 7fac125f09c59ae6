use std::time::Duration;

/// Why a service that hands out credentials gives none at the moment. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) host: String,
    /// In a few words.
    pub(crate) cause: String,
    /// How long it wants to be left alone, if it said so.
    pub(crate) retry_after: Option<Duration>,
    /// Whether there was no connection.
    pub(crate) is_unreached: bool,
}
