use crate::{
    Remedy,
    document::DocumentError,
    merge::{Overlap, TooMuch},
};

/// Why a resolution could not be carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// Both sides changed these places, and not to the same.
    #[error("both sides changed {}", describe_overlaps(.0))]
    Overlaps(Vec<Overlap>),
    /// They deleted the workflow, and ours is not what they deleted.
    #[error("it cannot be merged with a deletion")]
    Deletion,
    /// The version that ours was built on is not kept any more.
    #[error("it cannot be merged: generation {generation}, which it was built on, is not there any more")]
    BaseMissing {
        /// Its generation.
        generation: u64,
    },
    /// What a person put into `workflow.json` is no workflow, so it cannot be kept as a version.
    #[error("what stands in {key} cannot be kept: {source}")]
    UnusableEdit {
        /// The file, as a key of the store.
        key: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// What the sides come to together is no workflow that may be kept, or one of them cannot be merged.
    #[error("it cannot be merged: {source}")]
    Unmergeable {
        /// What is wrong.
        source: DocumentError,
    },
    /// The documents are too large to be merged.
    #[error("it cannot be merged: {source}")]
    TooMuch {
        /// In which way.
        source: TooMuch,
    },
    /// The resolution does not fit the conflict or the change.
    #[error("{resolution} is no answer to that")]
    Unfit {
        /// What was answered.
        resolution: &'static str,
    },
    /// The resolver was asked too often.
    #[error("it was still so after {answers} answers")]
    Endless {
        /// How often.
        answers: u32,
    },
}

impl Obstacle {
    /// What helps, where that is more than what helps against the conflict.
    pub fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Overlaps(_) => Some(Remedy::SettleByHand),
            Self::TooMuch { .. } => Some(Remedy::ChooseSide),
            Self::UnusableEdit { key, .. } => Some(Remedy::CorrectFile { key: key.clone() }),
            _ => None,
        }
    }
}

/// The first places, so that the message stays one that a person reads.
fn describe_overlaps(overlaps: &[Overlap]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> =
        overlaps.iter().take(SHOWN).map(|overlap| overlap.path.to_string()).collect();
    if let Some(more) = overlaps.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}
