use std::fmt;

use super::{Conflict, Found};
use crate::format::Head;

/// The state that the caller built its change on. There is no default: a change that overwrites any state
/// must say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The workflow does not exist: it never did, was only locked, or is deleted.
    Absent,
    /// The workflow is at this generation. A deleted workflow is at the generation of its deletion; 0 means
    /// [`Expect::Absent`].
    Generation(u64),
    /// Any state. The current version becomes the parent of the change, so it stays in the history.
    Any,
}

impl Expect {
    /// Checks the expectation against a head.
    ///
    /// # Errors
    /// The conflict that a change on top of that head has.
    pub fn check(self, head: &Head) -> Result<(), Conflict> {
        let generation = head.generation();
        let found = || Found::new(head.current.as_ref());
        match self {
            Self::Any => Ok(()),
            Self::Absent | Self::Generation(0) if head.live().is_none() => Ok(()),
            Self::Absent | Self::Generation(0) => {
                Err(Conflict::Exists { id: head.id.clone(), found: found() })
            }
            Self::Generation(expected) if expected == generation => Ok(()),
            Self::Generation(expected) if head.current.is_some() && head.live().is_none() => {
                Err(Conflict::DeletedMeanwhile { id: head.id.clone(), expected, found: found() })
            }
            Self::Generation(expected) => {
                Err(Conflict::Version { id: head.id.clone(), expected, found: found() })
            }
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::Generation(generation) => write!(f, "generation {generation}"),
            Self::Any => f.write_str("anything"),
        }
    }
}
