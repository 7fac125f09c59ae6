use std::time::Duration;

/// Why a credential service provides no credentials at the moment. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) host: String,
    /// The cause in a few words.
    pub(crate) cause: String,
    /// The pause that the service asked for, if any.
    pub(crate) retry_after: Option<Duration>,
    /// Whether no connection was made.
    pub(crate) is_unreached: bool,
}
