//! Whether a lease must be respected. Pure: no I/O.

mod standing;

pub(crate) use standing::human;
pub use standing::{Holder, Live, Sight, Stale, Standing};
