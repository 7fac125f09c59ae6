//! One name for one state of an object, whichever request tells it.

use std::sync::atomic::{AtomicU8, Ordering};

use object_store::UpdateVersion;
use pflow_backend::Version;

use crate::url::Scheme;

/// What a cloud names the states of an object by, and what its conditional writes take.
///
/// - S3 and Azure: the ETag (`If-Match`), see <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html> and
///   <https://learn.microsoft.com/en-us/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations>.
/// - GCS: the generation (`x-goog-if-generation-match`), see <https://cloud.google.com/storage/docs/request-preconditions>. It differs for
///   every write, the ETag only for different bytes.
#[derive(Debug)]
pub(crate) enum Tokens {
    ETag(Quoting),
    Generation,
}

/// How the server wants ETags in `If-Match`. RFC 9110 has them in double quotes; Ceph RGW 16 compares without.
#[derive(Debug, Default)]
pub(crate) struct Quoting(AtomicU8);

const QUOTED: u8 = 0;
const BARE: u8 = 1;
/// Both were tried on a version that was there, so that the quotes were not to blame.
const SETTLED: u8 = 2;

impl Tokens {
    pub(crate) fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::S3 | Scheme::Azure => Self::ETag(Quoting::default()),
            Scheme::Gcs => Self::Generation,
        }
    }

    /// What the server calls the state; none if it does not name it.
    ///
    /// Some answers have the ETag in quotes, some without, and a proxy that compresses marks it as weak: all of these are the same state.
    pub(crate) fn version(&self, e_tag: Option<&str>, generation: Option<&str>) -> Option<Version> {
        let token = match self {
            Self::ETag(_) => {
                let tag = e_tag?.trim();
                tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
            }
            Self::Generation => generation?.trim(),
        };
        (!token.is_empty()).then(|| Version::new(token))
    }

    /// The condition of a swap.
    pub(crate) fn condition(&self, version: &Version) -> UpdateVersion {
        match self {
            Self::ETag(quoting) if quoting.0.load(Ordering::Relaxed) == BARE => {
                UpdateVersion { e_tag: Some(version.to_string()), version: None }
            }
            Self::ETag(_) => UpdateVersion { e_tag: Some(format!("\"{version}\"")), version: None },
            Self::Generation => UpdateVersion { e_tag: None, version: Some(version.to_string()) },
        }
    }

    /// A swap was refused although the version that it named was still there: perhaps the server wants the other form. Whether there is
    /// another one to try; each handle tries it once.
    pub(crate) fn try_the_other_form(&self) -> bool {
        match self {
            Self::ETag(Quoting(form)) => {
                form.compare_exchange(QUOTED, BARE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            }
            Self::Generation => false,
        }
    }

    /// The other form was refused too: back to what the standard says, for good.
    pub(crate) fn settle_on_quotes(&self) {
        if let Self::ETag(Quoting(form)) = self {
            form.store(SETTLED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_state_has_one_name_however_the_tag_is_written() {
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
    fn a_condition_is_quoted_until_the_server_wants_it_bare() {
        let (tokens, version) = (Tokens::of(Scheme::S3), Version::new("abc"));
        let sent = || tokens.condition(&version).e_tag.unwrap();
        assert_eq!(sent(), "\"abc\"");
        assert!(tokens.try_the_other_form());
        assert_eq!(sent(), "abc");
        assert!(!tokens.try_the_other_form());
        tokens.settle_on_quotes();
        assert_eq!(sent(), "\"abc\"");
        assert!(!tokens.try_the_other_form());
        let condition = Tokens::of(Scheme::Gcs).condition(&Version::new("17"));
        assert_eq!((condition.e_tag, condition.version.as_deref()), (None, Some("17")));
    }
}
