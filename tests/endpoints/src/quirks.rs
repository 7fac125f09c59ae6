//! Deviations of servers from the documented behaviour.

use std::time::Duration;

/// Behaviour of real servers that the documentation of S3 does not mention. The default has no quirks:
/// conditions are honoured, and check and write are atomic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Lists return the ETag without quotes, other replies with them (Azure, some S3 servers).
    pub unquoted_list_etags: bool,
    /// `If-Match` only works without quotes: with them, even the right ETag gets 412 (Ceph RGW 16).
    pub if_match_unquoted_only: bool,
    /// `If-Match` is ignored: every update succeeds (s3rver).
    pub ignores_if_match: bool,
    /// `If-None-Match` is ignored: every create succeeds (s3rver).
    pub ignores_if_none_match: bool,
    /// A condition is checked, other requests may run, and then the write happens (s3s-fs, stock moto): all
    /// of several concurrent writers may win. A write whose condition holds waits up to 0.2 s for a second
    /// writer of its key.
    pub racy: bool,
    /// A conditional write that lost to a concurrent one gets 409 instead of 412 (AWS).
    pub conflict_409_on_race: bool,
    /// A conditional write that lost to a concurrent one gets 500 instead of 412 (Ceph RGW 16). Takes
    /// precedence over [`conflict_409_on_race`](Self::conflict_409_on_race).
    pub error_500_on_lost_race: bool,
    /// The reply to a completed multipart upload has an empty ETag (Ceph RGW 16). The object has one.
    pub empty_multipart_etag: bool,
}

impl Quirks {
    /// No quirks, like the default.
    pub const NONE: Self = Self {
        unquoted_list_etags: false,
        if_match_unquoted_only: false,
        ignores_if_match: false,
        ignores_if_none_match: false,
        racy: false,
        conflict_409_on_race: false,
        error_500_on_lost_race: false,
        empty_multipart_etag: false,
    };

    /// Ceph RGW 16 as shipped in Debian 12. Safe for clients that handle its quirks.
    #[must_use]
    pub const fn ceph_rgw_16() -> Self {
        Self {
            if_match_unquoted_only: true,
            error_500_on_lost_race: true,
            empty_multipart_etag: true,
            ..Self::NONE
        }
    }

    /// s3rver: it ignores all conditions.
    #[must_use]
    pub const fn s3rver() -> Self {
        Self { ignores_if_match: true, ignores_if_none_match: true, ..Self::NONE }
    }

    /// s3s-fs 0.14: correct for sequential writes, wrong in a race.
    #[must_use]
    pub const fn s3s_fs() -> Self {
        Self { racy: true, ..Self::NONE }
    }

    /// AWS: safe, and replies 409 to a conditional write that lost to a concurrent one.
    #[must_use]
    pub const fn aws() -> Self {
        Self { conflict_409_on_race: true, ..Self::NONE }
    }

    /// Whether conditional writes have to be given the chance to race.
    pub(crate) fn lets_others_in(self) -> bool {
        self.racy || self.conflict_409_on_race || self.error_500_on_lost_race
    }
}

/// The latency of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shaping {
    /// Added to every request before it is executed. A request takes at least this long, and concurrent
    /// requests wait in parallel.
    pub latency: Duration,
}

impl Shaping {
    /// Returns a server with this latency.
    #[must_use]
    pub const fn latency(latency: Duration) -> Self {
        Self { latency }
    }
}
