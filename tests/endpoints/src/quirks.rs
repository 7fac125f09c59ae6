//! How a server may differ from a good one.

use std::time::Duration;

/// What real servers do that the documentation of S3 does not say. The default has none: conditions are
/// honoured, and checking one and acting on it is one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Lists give the ETag without its quotes, all else gives it with them (Azure, some S3 servers).
    pub unquoted_list_etags: bool,
    /// `If-Match` holds only without quotes: with them even the right ETag is 412 (Ceph RGW 16).
    pub if_match_unquoted_only: bool,
    /// `If-Match` is not looked at: every update succeeds (s3rver).
    pub ignores_if_match: bool,
    /// `If-None-Match` is not looked at: every create succeeds (s3rver).
    pub ignores_if_none_match: bool,
    /// A condition is checked, then others get a turn, then the write happens (s3s-fs, stock moto): of
    /// several writers at once all may win. A write whose condition holds waits up to 0.2 s for a second
    /// writer of its key.
    pub racy: bool,
    /// A conditional write that lost to one at the same time is 409 instead of 412 (AWS).
    pub conflict_409_on_race: bool,
    /// A conditional write that lost to one at the same time is 500 instead of 412 (Ceph RGW 16). Wins over
    /// [`conflict_409_on_race`](Self::conflict_409_on_race).
    pub error_500_on_lost_race: bool,
    /// A completed multipart upload is answered with an empty ETag (Ceph RGW 16). The object has one.
    pub empty_multipart_etag: bool,
}

impl Quirks {
    /// No quirks at all, the same as the default.
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

    /// Ceph RGW 16 as Debian 12 ships it. Safe once its dialect is spoken.
    #[must_use]
    pub const fn ceph_rgw_16() -> Self {
        Self {
            if_match_unquoted_only: true,
            error_500_on_lost_race: true,
            empty_multipart_etag: true,
            ..Self::NONE
        }
    }

    /// s3rver: no condition means anything there.
    #[must_use]
    pub const fn s3rver() -> Self {
        Self { ignores_if_match: true, ignores_if_none_match: true, ..Self::NONE }
    }

    /// s3s-fs 0.14: right one by one, wrong in a race.
    #[must_use]
    pub const fn s3s_fs() -> Self {
        Self { racy: true, ..Self::NONE }
    }

    /// AWS: safe, and says 409 where two conditional writes met.
    #[must_use]
    pub const fn aws() -> Self {
        Self { conflict_409_on_race: true, ..Self::NONE }
    }

    /// Whether conditional writes have to be given the chance to meet.
    pub(crate) fn lets_others_in(self) -> bool {
        self.racy || self.conflict_409_on_race || self.error_500_on_lost_race
    }
}

/// How slow a server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shaping {
    /// Added to every request before anything of it is carried out. A request takes at least this long, and
    /// requests that are sent at once wait side by side.
    pub latency: Duration,
}

impl Shaping {
    /// A server that is `latency` away.
    #[must_use]
    pub const fn latency(latency: Duration) -> Self {
        Self { latency }
    }
}
