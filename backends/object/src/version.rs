//! One version for one state of an object, whichever request returns it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use object_store::UpdateVersion;
use pflow_backend::Version;

use crate::url::Scheme;

/// The kind of version that a cloud returns and accepts in conditional writes.
///
/// - S3 and Azure: the ETag (`If-Match`), see
///   <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html> and
///   <https://learn.microsoft.com/en-us/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations>.
/// - GCS: the generation (`x-goog-if-generation-match`), see
///   <https://cloud.google.com/storage/docs/request-preconditions>. It differs for every write, the ETag only
///   for different bytes.
#[derive(Debug)]
pub(crate) enum Tokens {
    ETag(Quoting),
    Generation,
}

/// The form in which the server expects ETags in `If-Match`. RFC 9110 puts them in double quotes; Ceph RGW 16
/// compares them without.
#[derive(Debug, Default)]
pub(crate) struct Quoting {
    /// Bit 0 is the [`Form`]. Bit 1 says whether a swap has succeeded with it: then it is right, and is kept.
    state: AtomicU8,
    /// Whether an ETag was marked as weak. RFC 9110 compares strongly in `If-Match`, so a weak ETag never
    /// matches.
    is_weak: AtomicBool,
}

const PROVEN: u8 = 2;

/// The form in which an ETag is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Quoted = 0,
    Bare = 1,
}

impl Tokens {
    pub(crate) fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::S3 | Scheme::Azure => Self::ETag(Quoting::default()),
            Scheme::Gcs => Self::Generation,
        }
    }

    /// The version of a state; none if the server returned none.
    ///
    /// Some answers have the ETag in quotes, some without, and a proxy that compresses marks it as weak: all
    /// of these are the same version.
    pub(crate) fn version(&self, e_tag: Option<&str>, generation: Option<&str>) -> Option<Version> {
        let token = match self {
            Self::ETag(quoting) => {
                let tag = e_tag?.trim();
                let strong = tag.strip_prefix("W/");
                if strong.is_some() {
                    quoting.is_weak.store(true, Ordering::Relaxed);
                }
                strong.unwrap_or(tag).trim_matches('"')
            }
            Self::Generation => generation?.trim(),
        };
        (!token.is_empty()).then(|| Version::new(token))
    }

    /// Whether the server has marked an ETag as weak.
    pub(crate) fn are_weak(&self) -> bool {
        matches!(self, Self::ETag(quoting) if quoting.is_weak.load(Ordering::Relaxed))
    }

    /// The form in which the next swap is sent.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::ETag(it) if it.state.load(Ordering::Relaxed) & 1 == Form::Bare as u8 => Form::Bare,
            _ => Form::Quoted,
        }
    }

    /// The condition of a swap.
    pub(crate) fn condition(&self, version: &Version, form: Form) -> UpdateVersion {
        match (self, form) {
            (Self::ETag(_), Form::Bare) => UpdateVersion { e_tag: Some(version.to_string()), version: None },
            (Self::ETag(_), Form::Quoted) => {
                UpdateVersion { e_tag: Some(format!("\"{version}\"")), version: None }
            }
            (Self::Generation, _) => UpdateVersion { e_tag: None, version: Some(version.to_string()) },
        }
    }

    /// Records that a swap in this form has succeeded.
    pub(crate) fn proven(&self, form: Form) {
        if let Self::ETag(Quoting { state, .. }) = self {
            state.store(form as u8 | PROVEN, Ordering::Relaxed);
        }
    }

    /// Switches to the other form, because a swap in this form was refused although the version that it named
    /// was still stored. Returns whether the next swap is sent in another form than this one. If several
    /// swaps are refused at once, each switches away only from its own form.
    pub(crate) fn turn_from(&self, form: Form) -> bool {
        let Self::ETag(Quoting { state, .. }) = self else { return false };
        let other = form as u8 ^ 1;
        let turned = state.compare_exchange(form as u8, other, Ordering::Relaxed, Ordering::Relaxed);
        turned.is_ok() || turned == Err(other) || turned == Err(other | PROVEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_state_has_one_version_however_the_etag_is_written() {
        let tokens = Tokens::of(Scheme::S3);
        let name = |tag| tokens.version(Some(tag), Some("null")).map(|it| it.to_string());
        for tag in ["\"abc\"", "abc", "W/\"abc\"", " \"abc\""] {
            assert_eq!(name(tag).as_deref(), Some("abc"));
        }
        assert_eq!(name("\"\""), None);
        assert_eq!(name(""), None);
        assert_eq!(tokens.version(None, Some("1")), None);
        let generations = Tokens::of(Scheme::Gcs);
        assert_eq!(generations.version(Some("\"abc\""), Some("17")).unwrap().as_str(), "17");
        assert_eq!(generations.version(Some("\"abc\""), None), None);
    }

    #[test]
    fn condition_is_quoted_until_the_server_needs_it_bare() {
        let (tokens, version) = (Tokens::of(Scheme::S3), Version::new("abc"));
        let sent = || tokens.condition(&version, tokens.form()).e_tag.unwrap();
        assert_eq!(sent(), "\"abc\"");
        // Two swaps that are refused at once switch to the same form.
        assert!(tokens.turn_from(Form::Quoted) && tokens.turn_from(Form::Quoted));
        assert_eq!(sent(), "abc");
        assert!(tokens.turn_from(Form::Bare));
        assert_eq!(sent(), "\"abc\"", "the other one was no better");
        assert!(tokens.turn_from(Form::Quoted));
        tokens.proven(Form::Bare);
        assert!(!tokens.turn_from(Form::Bare), "what has worked stays");
        assert!(tokens.turn_from(Form::Quoted));
        assert_eq!(sent(), "abc");
        let generations = Tokens::of(Scheme::Gcs);
        let condition = generations.condition(&Version::new("17"), generations.form());
        assert_eq!((condition.e_tag, condition.version.as_deref()), (None, Some("17")));
        assert!(!generations.turn_from(Form::Quoted));
    }
}
