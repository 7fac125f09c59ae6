//! Conflicts: changes that are valid but cannot be made on top of the present state, and who decides what to
//! do.
//!
//! A change that has a conflict asks its [`ConflictResolver`] for a [`Resolution`] and passes it the
//! [`Case`]. A [`Policy`] is a ready-made resolver. Without a resolver the caller gets the conflict as
//! [`crate::Error::Conflict`].

mod case;
pub(crate) mod error;
pub(crate) mod expect;
mod obstacle;
mod policy;
mod resolved;
mod resolver;

pub use case::{Case, ChangeKind, ConflictSide};
pub(crate) use case::{Goal, Question, ReadSides, TypedContent, differences, media_type_of_edit};
pub(crate) use error::Conflict;
pub use error::Found;
pub(crate) use expect::Expect;
pub use expect::ExpectedVersion;
pub use obstacle::Obstacle;
pub use policy::{InvalidPolicy, Policy};
pub use resolved::{How, Resolved};
pub use resolver::{ConflictResolver, Resolution};
