//! The time limits for stores in buckets.

use clap::Args;
use pflow_store::StoreBuilder;
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
use pflow_store::object::ObjectOptions;

use super::time::Ttl;

/// The heading above the options for stores in buckets.
const BUCKETS: &str = "Stores in buckets";

/// Options that every command has and that only concern stores in buckets.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Patience {
    /// How long a server that cannot be reached is tried; 2s unless set
    #[arg(long, global = true, value_name = "TIME", env = "PFLOW_CONNECT_TIMEOUT", hide_env_values = true)]
    #[arg(help_heading = BUCKETS)]
    connect_timeout: Option<Ttl>,

    /// How long one request may take; 30s unless set
    #[arg(long, global = true, value_name = "TIME", env = "PFLOW_REQUEST_TIMEOUT", hide_env_values = true)]
    #[arg(help_heading = BUCKETS)]
    request_timeout: Option<Ttl>,

    /// How long all attempts of one request may take together; 60s unless set
    #[arg(long, global = true, value_name = "TIME", env = "PFLOW_TIMEOUT", hide_env_values = true)]
    #[arg(help_heading = BUCKETS)]
    timeout: Option<Ttl>,
}

impl Patience {
    /// Sets the limits that were given on the command line or in variables.
    #[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
    pub(super) fn apply(self, builder: StoreBuilder) -> StoreBuilder {
        let mut bucket = ObjectOptions::from_process();
        if let Some(Ttl(limit)) = self.connect_timeout {
            bucket = bucket.connect_timeout(limit);
        }
        if let Some(Ttl(limit)) = self.request_timeout {
            bucket = bucket.request_timeout(limit);
        }
        if let Some(Ttl(limit)) = self.timeout {
            bucket = bucket.deadline(limit);
        }
        builder.object_options(bucket)
    }

    /// Changes nothing: without a cloud feature no store has a server.
    #[cfg(not(any(feature = "s3", feature = "gcs", feature = "azure")))]
    pub(super) fn apply(self, builder: StoreBuilder) -> StoreBuilder {
        builder
    }
}
