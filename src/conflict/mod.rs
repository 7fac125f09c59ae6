//! What a conflict is, a change that is possible but not on top of what is there now, and who decides what
//! becomes of it.
//!
//! A change that meets one asks its [`ConflictResolver`], with the [`Case`] before it, for a [`Resolution`].
//! A [`Policy`] is a resolver that is ready made. Without a resolver the conflict is the caller's answer, as
//! [`crate::Error::Conflict`].

mod case;
mod error;
mod expect;
mod obstacle;
mod policy;
mod resolved;
mod resolver;

pub use case::{Case, ChangeKind, Side};
pub(crate) use case::{Question, ReadSides, Wanted, differences};
pub use error::{Conflict, Found};
pub use expect::Expect;
pub use obstacle::Obstacle;
pub use policy::{InvalidPolicy, Policy};
pub use resolved::{How, Resolved};
pub use resolver::{ConflictResolver, Resolution};
