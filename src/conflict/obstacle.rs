use super::ExpectedVersion;
use crate::{
    Remedy,
    document::DocumentError,
    format::VersionId,
    merge::{Overlap, TooMuch},
};

/// Why a resolution could not be carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// Both sides changed these places, in different ways.
    #[error("both sides changed {}", describe_overlaps(.0))]
    Overlaps(Vec<Overlap>),
    /// Theirs is a deletion of the workflow, and ours differs from what they deleted.
    #[error("it cannot be merged with a deletion")]
    Deletion,
    /// The version that ours was built on is no longer kept; or the expectation names a generation that several
    /// ancestors have.
    #[error("it cannot be merged: {}, which it was built on, is not there any more or is one of several", .version.in_words())]
    BaseMissing {
        /// That version.
        version: ExpectedVersion,
    },
    /// The version to merge was built on the current one, so there is nothing to merge.
    #[error("version {version_id} was built on the current one: there is nothing to merge")]
    Ahead {
        /// The version to merge.
        version_id: VersionId,
    },
    /// The content of the working copy is not a workflow, so it cannot be kept as a version.
    #[error("the content of {key} cannot be kept: {source}")]
    UnusableEdit {
        /// The file, as a key of the store.
        key: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// Another file of the workflow holds an edit too, and one save can keep only one of them.
    #[error("{other} was modified as well; save one of the two under another id, or move it away")]
    TwoEdits {
        /// The other file, as a key of the store.
        other: String,
    },
    /// The merged document is not an acceptable workflow, or one of the sides cannot be merged.
    #[error("it cannot be merged: {source}")]
    Unmergeable {
        /// The reason.
        source: DocumentError,
    },
    /// Both sides together have more tags than a version can have.
    #[error("it cannot be merged: both sides together have too many tags")]
    TooManyTags,
    /// The documents are too large to be merged.
    #[error("it cannot be merged: {source}")]
    TooMuch {
        /// The limit that was exceeded.
        source: TooMuch,
    },
    /// The resolution does not fit the conflict or the change.
    #[error("{resolution} is no answer to that")]
    Unfit {
        /// The resolution.
        resolution: &'static str,
    },
    /// The resolver was called too often.
    #[error("it was still so after {answers} answers")]
    Endless {
        /// The number of answers.
        answers: u32,
    },
}

impl Obstacle {
    /// The remedy, if there is a better one than that of the conflict.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Overlaps(_) => Some(Remedy::SettleByHand),
            Self::TooMuch { .. } => Some(Remedy::ChooseSide),
            Self::UnusableEdit { key, .. } => Some(Remedy::CorrectFile { key: key.clone() }),
            Self::TwoEdits { other } => Some(Remedy::MoveAway { key: other.clone() }),
            _ => None,
        }
    }
}

/// Lists the first few places, so that the message stays readable.
fn describe_overlaps(overlaps: &[Overlap]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> =
        overlaps.iter().take(SHOWN).map(|overlap| overlap.path.to_string()).collect();
    if let Some(more) = overlaps.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}
