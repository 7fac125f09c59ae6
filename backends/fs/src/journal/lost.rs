use std::fmt;

use pflow_backend::Key;

/// So many keys are named in a message.
const NAMED: usize = 20;

/// Committed records of a journal that cannot be read.
///
/// It is the source of the [`Corrupt`](pflow_backend::ErrorKind::Corrupt) error that opening such a folder
/// answers, and what
/// [`FsBackend::lost_tail`](crate::FsBackend::lost_tail) answers for a folder that was opened without these records
/// ([`FsOptions::accept_tail`](crate::FsOptions::accept_tail)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostTail {
    /// The number of the journal's epoch, which rises each time the journal begins again; none if no header
    /// could be read.
    pub epoch: Option<u64>,
    /// The first record that cannot be read, counted from 1 in its epoch.
    pub first: u64,
    /// The last record that was committed; none if nothing tells.
    pub last: Option<u64>,
    /// The keys in later records that are still whole. Their changes are lost with the records before them,
    /// on which they build.
    pub keys: Vec<Key>,
}

impl LostTail {
    /// All that a journal held of which nothing can be read.
    pub(crate) fn all() -> Self {
        Self { epoch: None, first: 1, last: None, keys: Vec::new() }
    }
}

impl fmt::Display for LostTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(f, "record {last}")?,
            Some(last) => write!(f, "records {} to {last}", self.first)?,
            None => write!(f, "the records from {} on", self.first)?,
        }
        match self.epoch {
            Some(epoch) => write!(f, " of epoch {epoch} of the journal")?,
            None => write!(f, " of the journal")?,
        }
        write!(f, " cannot be read although committed")?;
        let Some((first, others)) = self.keys.split_first() else { return Ok(()) };
        write!(f, "; whole records after them change {first}")?;
        others.iter().take(NAMED).try_for_each(|key| write!(f, ", {key}"))?;
        match others.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for LostTail {}
